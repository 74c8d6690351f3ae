"""``bench growth``: what a change costs when much is open already. No broker: the stages, their lanes'
cores and their RocksDB stores, in this process.

Two kinds of growth: entries over many roots, and entries on one root with a cap, which they all share. A firm
with more entries has more people and contracts, not more work of each person on each.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, Final

from agents.bench.changes import SYSTEM, Staffing, entry_states
from agents.bench.firm import Cohort, Firm, Row, Work, make_firm, stamped
from agents.billing.flow import billing_flow
from agents.billing.view import BillingView
from streams.contracts import load_contracts, load_schema
from streams.contracts.registration import register_schemas
from streams.lanes.core import LaneCore
from streams.lanes.records import Chunk, Output, PlainRecord
from streams.lanes.rocks import RocksStore
from streams.references.feed import PREFIX
from streams.references.views import ReferenceState
from streams.serde import Decoder, Encoder
from streams.settings import Settings
from streams.testing import MemoryRegistry
from streams.worker.flow import StageEnvironment
from streams.worker.process import spare_the_collector

TIME_ENTRY: Final = "canonical.time_entry"
RATED: Final = "billing.rated"
STAGES: Final = ("billing-rate", "billing-allocate")
# Ids of the rates by role alone or by role and grade.
DEFAULTS: Final = "erp:R-default-"
ENTRIES_OF_PERSON: Final = 250  # in half a year, the time that the firm works
FEWEST_PEOPLE: Final = 20
# Entries are put in by so many, which nobody measures.
LOADED_TOGETHER: Final = 5_000
# Half of the work on the capped root passes its cap: an entry is worth some 400.
CAP_OF_ENTRY: Final = 200
REPORT_EVERY: Final = 20_000

Show = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class GrowthSettings:
    """Sizes. ``together`` is how many changes come in one fetch."""

    open_entries: Sequence[int]
    entries_of_root: Sequence[int]
    changes: int
    together: int
    seed: int = 1


def run_growth(settings: GrowthSettings, show: Show = lambda *_: None) -> dict[str, Any]:
    """Changes per second of CPU time, by number of open entries, and by entries of one capped root.

    ``corrected`` are corrections of any entries, ``appended`` new entries after all others, ``reevaluated``
    entries that a new price of the default rate is looked at for (both stages, changed or not).
    """
    spare_the_collector()
    open_entries = {str(n): _measure(settings, n, False, show) for n in settings.open_entries}
    capped = {str(n): _measure(settings, n, True, show) for n in settings.entries_of_root}
    return {
        "changes": settings.changes,
        "together": settings.together,
        "by_open_entries": open_entries,
        "by_entries_of_capped_root": capped,
        "slowest_of_fastest_open": _spread(open_entries),
        "slowest_of_fastest_capped": _spread(capped),
    }


def _spread(rates: Mapping[str, Mapping[str, int]]) -> float:
    """The worst rate as a share of the best, of the kind of change in which that is least."""
    kinds = next(iter(rates.values()), {})
    shares = [min(r[k] for r in rates.values()) / max(r[k] for r in rates.values()) for k in kinds]
    return round(min(shares, default=1.0), 3)


def _measure(settings: GrowthSettings, entries: int, on_one_root: bool, show: Show) -> dict[str, int]:
    what = f"{entries:,} entries of one root" if on_one_root else f"{entries:,} open entries"
    people = max(FEWEST_PEOPLE, entries // ENTRIES_OF_PERSON)
    firm = make_firm(settings.seed, people, {"A": entries})
    if on_one_root:
        firm = _on_one_root(firm, entries)
    rng = random.Random(settings.seed)  # noqa: S311 -- changes to repeat, not a secret
    staffing = Staffing(firm, firm.cohorts[0], rng)
    folder = Path(tempfile.mkdtemp(prefix="tallystream-bench-growth-"))
    try:
        with closing(_Flow(firm, folder)) as flow:
            approved = [entry_states(staffing, n, n / entries, rng)[1] for n in range(entries)]
            for start in range(0, entries, LOADED_TOGETHER):
                flow.apply(approved[start : start + LOADED_TOGETHER])
                if start % REPORT_EVERY == 0:
                    show(what, start, entries)
            corrections = _corrections(approved, rng)
            appended = (entry_states(staffing, n, 1.0, rng)[1] for n in count(entries))
            # The first changes find nothing in memory yet.
            flow.apply(list(islice(corrections, settings.together)))
            rates = {
                "corrected": _rate(flow, corrections, settings),
                "appended": _rate(flow, appended, settings),
            }
            if not on_one_root:
                rates["reevaluated"] = flow.reevaluate()
            return rates
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _on_one_root(firm: Firm, entries: int) -> Firm:
    """All work of the firm on its first engagement, whose cap half of it passes."""
    cohort = firm.cohorts[0]
    root = min(cohort.roots)
    work = next(work for work in cohort.work if work.project_id == f"{root.replace(':E-', ':PR-')}a")
    rows = tuple(
        (entity, {**row, "cap_money": Decimal(entries * CAP_OF_ENTRY)} if row["id"] == root else row)
        for entity, row in firm.rows
    )
    only = Cohort(cohort.name, frozenset([root]), (Work(work.project_id, (None,)),), (1.0,))
    return Firm(rows, firm.consultants, (only,))


def _corrections(approved: Sequence[Row], rng: random.Random) -> Iterator[Row]:
    """Endless corrections, all entries in turn in any order: a quarter of an hour longer or shorter.

    In turn, since two of one entry in one fetch are less work, which few entries would see more of.
    """
    states = {row["id"]: row for row in approved}
    ids = list(states)
    rng.shuffle(ids)
    for entry_id in cycle(ids):
        row = states[entry_id]
        longer = row["seconds"] <= 3600 or rng.random() < 0.5
        corrected = {
            **row,
            "seconds": row["seconds"] + (900 if longer else -900),
            "version": row["version"] + 1,
        }
        states[entry_id] = corrected
        yield corrected


def _rate(flow: _Flow, rows: Iterator[Row], settings: GrowthSettings) -> int:
    before = time.process_time()
    for _ in range(0, settings.changes, settings.together):
        flow.apply(list(islice(rows, settings.together)))
    return round(settings.changes / (time.process_time() - before))


class _Outputs:
    """A log that keeps what stage 1 tells stage 2."""

    def __init__(self) -> None:
        self.rated: list[Output] = []

    def commit(self, outputs: Sequence[Output], changes: Mapping[bytes, bytes | None]) -> None:
        self.rated += [output for output in outputs if output.topic == RATED]

    def close(self) -> int | None:
        return None


class _Flow:
    """Both stages of billing on one partition."""

    def __init__(self, firm: Firm, folder: Path) -> None:
        contracts, registry = load_contracts(), MemoryRegistry()
        ids = register_schemas(registry, contracts)
        decoder = Decoder(registry)
        self._decode = decoder.decode
        self._references = ReferenceState(BillingView(), decoder.decode)

        def encoder(topic: str) -> Encoder:
            schema = contracts.topics[topic].schema
            assert schema is not None
            return Encoder(load_schema(schema), ids[topic])

        self._encoders = {entity: encoder(PREFIX + entity) for entity in {entity for entity, _ in firm.rows}}
        self._offset = count()
        self._cards = [
            row for entity, row in firm.rows if entity == "rate" and row["id"].startswith(DEFAULTS)
        ]
        for entity, row in firm.rows:
            self._refer(entity, row)
        environment = StageEnvironment(
            0, Settings(partitions=1), contracts, decoder, ids, self._references.view, [RATED]
        )
        self._encoder = encoder(TIME_ENTRY)
        self._cores, self._logs = [], []
        stages = {stage.name: stage for stage in billing_flow().stages}
        for stage in (stages[name] for name in STAGES):
            log = _Outputs()
            # Slices end by CPU time, so that a busy machine makes the same slices.
            core = LaneCore(
                stage.build(environment),
                RocksStore(folder / stage.name, "growth"),
                log,
                self._references.subscribe(),
                clock=lambda: datetime.now(UTC),
                elapsed=time.process_time,
            )
            for topic in stage.inputs:
                core.start_at(topic, 0)
            self._cores.append(core)
            self._logs.append(log)
        self._lsn = count(1_000_000)

    def apply(self, rows: Sequence[Row]) -> None:
        """Rate and allocate changes that came in one fetch."""
        encode = self._encoder.encode
        values = [encode(stamped(row, SYSTEM, next(self._lsn))) for row in rows]
        self._apply(0, TIME_ENTRY, [(b"", value, None) for value in values])
        self._pass_on()

    def reevaluate(self) -> int:
        """Give every price of the default card a new value; entries a second of CPU time for all that follows."""
        for row in self._cards:
            self._refer("rate", {**row, "price": row["price"] + 1})
        before, done = time.process_time(), 0
        while any(core.has_references() for core in self._cores):
            for core in self._cores:
                if core.has_references():
                    done += core.fan_out().get("reevaluated", 0)
            self._pass_on()
        return round(done / (time.process_time() - before))

    def _refer(self, entity: str, row: Row) -> None:
        value = self._encoders[entity].encode(row)
        self._references.apply(entity, 0, next(self._offset), self._decode(value), value)

    def _pass_on(self) -> None:
        rated, self._logs[0].rated = self._logs[0].rated, []
        if rated:
            self._apply(1, RATED, [(output.key, output.value, output.decoded) for output in rated])

    def _apply(
        self,
        stage: int,
        topic: str,
        records: Sequence[tuple[bytes | None, bytes | None, dict[str, Any] | None]],
    ) -> None:
        core = self._cores[stage]
        base = core.position(topic) or 0
        made = [
            PlainRecord(topic, 0, base + n, 0, key, value, (), decoded)
            for n, (key, value, decoded) in enumerate(records)
        ]
        core.apply(Chunk(topic, 0, base, base + len(made), 1, made))

    def close(self) -> None:
        """Close the stores."""
        for core in self._cores:
            core.close()
