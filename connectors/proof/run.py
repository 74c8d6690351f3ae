"""Runs a proof: looks at sources, topics and warehouse until it is known whether they agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import yaml
from sqlalchemy import text

from connectors.proof import lineage
from connectors.proof.databases import Database, open_database
from connectors.proof.differences import Difference, find
from connectors.proof.lineage import Captured, LedgerLine, Lineage, SourceRow
from connectors.proof.looks import Looks, Verdict
from connectors.proof.oracle import load_oracle
from connectors.proof.topics import EVENTS, TopicFolds, read_topic
from streams.contracts.locator import contract_path
from streams.serde import Decoder, Registry
from streams.settings import Settings

SYSTEMS = ("erp", "crm", "time")
# Between two looks; a large firm's own take longer than that.
PAUSE_S = 0.5  # float: a wait
# Enough to see a pattern, few enough to read.
LISTED = 20

TOPICS, WAREHOUSE = "topics", "warehouse"

_LINES_SQL = text(
    "SELECT event_id, kind, bucket, seconds, amount, currency, source_system, source_epoch, source_lsn, "
    "source_ordinal FROM public.fact_billing_event WHERE entry_id = :entry ORDER BY allocated_at, event_id"
)


@dataclass(frozen=True, slots=True)
class Side:
    """What one side said at the last look, and the oracle's comparison with it."""

    actual: Any
    comparison: Any


@dataclass(frozen=True, slots=True)
class Proof:
    """The outcome. ``staying`` are the differences that stayed; ``in_flight`` the others of the last look."""

    verdict: Verdict
    looks: int
    seconds: float  # float: a time taken
    expected: Any
    sides: dict[str, Side]
    staying: list[Difference]
    in_flight: list[Difference]
    first: Lineage | None


@dataclass(frozen=True, slots=True)
class _Look:
    rows: Any
    expected: Any
    sides: dict[str, Side]
    differences: list[Difference]


class Prover:
    """Compares a running system with the oracle. ``sides`` are ``topics``, ``warehouse`` or both.

    Raises `ConfigurationError` for a missing DSN, `DependencyUnavailable` for what can't be read. ``say``
    gets what is being done.
    """

    def __init__(
        self, settings: Settings, sides: Collection[str], say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._say = say
        self._oracle = load_oracle()
        self._bootstrap = settings.kafka_bootstrap
        dsns = {"erp": settings.erp_dsn, "crm": settings.crm_dsn, "time": settings.time_dsn}
        self._sources = {
            system: open_database(f"{system} database", f"TALLYSTREAM_{system.upper()}_DSN", dsn)
            for system, dsn in dsns.items()
        }
        self._warehouse: Database | None = None
        if WAREHOUSE in sides:
            self._warehouse = open_database("warehouse", "TALLYSTREAM_BI_DSN", settings.bi_dsn)
        self._registry = Registry(settings.registry_url)
        self._decoder = Decoder(self._registry)
        self._with_topics = TOPICS in sides
        self._folds: TopicFolds | None = None

    def run(self, wait_s: float) -> Proof:  # float: a wait
        """Look until it is decided, then trace the first difference that stayed."""
        started = time.monotonic()
        looks, taken, verdict = Looks(wait_s), 0, None
        with ExitStack() as stack:
            stack.callback(self._registry.close)
            for database in self._databases():
                stack.callback(database.engine.dispose)
                database.ask()
            if self._with_topics:
                self._folds = stack.enter_context(closing(self._open_topics()))
                # Or its absence shows after the oracle's long pass only.
                self._registry.learn(f"{EVENTS}-value")
            while verdict is None:
                if taken:
                    time.sleep(PAUSE_S)
                look, taken = self._look(), taken + 1
                verdict = looks.take(look.differences, time.monotonic())
                self._say(f"look {taken}: {len(look.differences):,} differences")
            found = sorted(look.differences, key=lambda difference: difference.order)
            stayed = frozenset() if verdict.proven else looks.staying
            staying = [difference for difference in found if difference in stayed]
            first = self._trace(staying[0], look, stayed=wait_s > 0) if staying else None
        return Proof(
            verdict,
            taken,
            time.monotonic() - started,
            look.expected,
            look.sides,
            staying,
            [difference for difference in found if difference not in stayed],
            first,
        )

    def _databases(self) -> Iterator[Database]:
        yield from self._sources.values()
        if self._warehouse is not None:
            yield self._warehouse

    def _open_topics(self) -> TopicFolds:
        return TopicFolds(
            self._bootstrap, self._decoder, lambda count: self._say(f"reading the topics: {count:,} records")
        )

    def _look(self) -> _Look:
        oracle, tables = self._oracle, {}
        for system, database in self._sources.items():
            self._say(f"reading the {database.name}")
            with database.reading() as engine:
                tables[system] = oracle.read_tables(system, engine)
        self._say("computing what must be")
        rows = oracle.canonical_rows(*(tables[system] for system in SYSTEMS))
        expected = oracle.compute_from_rows(rows)
        actual = {}
        if self._folds is not None:
            self._say("reading the topics")
            self._folds.advance()
            actual[TOPICS] = self._folds.actual()
        if self._warehouse is not None:
            self._say("reading the warehouse")
            with self._warehouse.reading() as engine:
                actual[WAREHOUSE] = oracle.actual_from_warehouse(engine)
        self._say("comparing")
        sides = {side: Side(found, oracle.compare(expected, found)) for side, found in actual.items()}
        differences = [one for side, found in actual.items() for one in find(side, expected, found)]
        return _Look(rows, expected, sides, differences)

    def _trace(self, difference: Difference, look: _Look, stayed: bool) -> Lineage:
        self._say("tracing the first difference")
        side, check, _ = difference.place
        actual = look.sides[side].actual
        entry = lineage.entry_of(difference)
        sources = lineage.sources_of(difference, look.rows)
        captured = self._captured(sources)
        folds = actual.current.folds if check == "current" else actual.ledger.folds
        roots = lineage.roots_of(entry or "", look.expected.billing, folds)
        in_topic = self._lines_of_topic(difference, entry, roots)
        lines: tuple[LedgerLine, ...] = in_topic
        unlike: tuple[str, ...] = ()
        if side == WAREHOUSE and entry is not None:
            lines = self._lines_of_warehouse(entry)
            unlike = lineage.unlike(lines, in_topic) if self._folds is not None else ()
        others = {d.place[1:] for d in look.differences if d.place.side != side}
        return Lineage(
            difference,
            entry,
            sources,
            lineage.segments_of(entry, look.expected.billing),
            lineage.segments_of(entry, folds),
            lines,
            unlike,
            captured,
            lineage.advise(
                difference,
                sources,
                captured,
                look.rows,
                look.expected,
                actual,
                _actions(),
                other_side_agrees=len(look.sides) > 1 and difference.place[1:] not in others,
                stayed=stayed,
            ),
        )

    def _lines_of_warehouse(self, entry: str) -> tuple[LedgerLine, ...]:
        assert self._warehouse is not None
        with self._warehouse.reading() as engine, engine.connect() as connection:
            found = connection.execute(_LINES_SQL, {"entry": entry}).mappings()
            return tuple(lineage.ledger_line(dict(row)) for row in found)

    def _lines_of_topic(
        self, difference: Difference, entry: str | None, roots: list[str]
    ) -> tuple[LedgerLine, ...]:
        """The ledger lines of an entry on its roots, or of an event that is there twice."""
        if self._folds is None:
            return ()
        if entry is not None:
            starts = tuple(f"{root}:{entry}:".encode() for root in roots)
        elif difference.place.check == "duplicates":
            starts = (str(difference.place.key[0]).encode(),)
        else:
            return ()
        records = read_topic(self._bootstrap, EVENTS, self._decoder, lambda key: key.startswith(starts))
        return tuple(lineage.ledger_line(record) for record in records)

    def _captured(self, sources: Collection[SourceRow]) -> dict[str, Captured | None]:
        """The canonical state of source rows; nothing is known of them without topics."""
        latest: dict[str, Any] = {}
        if self._folds is None:
            return {}
        for table, ids in lineage.looked_up(sources).items():
            wanted = {identity.encode() for identity in ids}
            topic = f"canonical.{table}"
            for record in read_topic(self._bootstrap, topic, self._decoder, wanted.__contains__):
                latest[record["id"]] = record
        return {
            source.canonical_id: lineage.captured_of(source, latest.get(source.canonical_id))
            for source in sources
        }


def _actions() -> dict[str, str]:
    """What the owner of an exception does, by class."""
    document = yaml.safe_load(contract_path("exceptions.yaml").read_text(encoding="utf-8"))
    return {name: str(body.get("action", "")) for name, body in document["classes"].items()}
