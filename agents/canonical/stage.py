"""The canonical stage: one lane of change topics in, canonical entities and exception reports out.

State: one small `RowState` per source row, and the changes that wait for the end of their transaction
(see `holding`). All rules are in `decisions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from agents.canonical.decisions import FLOW, Action, decide, identify
from agents.canonical.envelopes import LAST_FOR_KEY_HEADER
from agents.canonical.holding import ENDED, HeldChanges, transaction_name, transaction_of
from agents.canonical.loader import load_mappings
from agents.canonical.mapping import OWNERSHIP, UNMAPPED, SystemMapping, TableMapping
from agents.canonical.positions import POSITION_HEADER
from agents.canonical.rows import RowState
from agents.rejects import RAISED, Rejects
from streams.contracts.confidential import confidential_topics, withheld
from streams.contracts.topics import backfill_topic
from streams.errors import PoisonRecord, RecordError, SchemaMismatch
from streams.lanes.records import InputRecord, PlainRecord
from streams.lanes.stage import Cause, SliceContext, Touch
from streams.lanes.state import Overlay
from streams.worker.flow import StageDefinition, StageEnvironment

# What billing reads of it.
BILLED = tuple(
    f"canonical.{entity}"
    for entity in ("time_entry", "milestone", "expense", "invoice_line", "bill_adjustment")
)
# Exceptions that say nothing of a row's values.
QUOTES_NOTHING = (UNMAPPED, OWNERSHIP)
COUNTED = {
    Action.PUBLISH: "canonical",
    Action.DELETE: "canonical",
    Action.QUARANTINE: "quarantined",
    Action.REFUSE: "refused",
    Action.SKIP_DUPLICATE: "duplicates_dropped",
    Action.SKIP_SUPERSEDED: "superseded",
    Action.SKIP_TOMBSTONE: "tombstones",
    Action.SKIP_MESSAGE: "ignored",
    Action.SKIP_IGNORED: "ignored",
}


def change_topics(mapping: SystemMapping) -> list[str]:
    """Change topics of the tables that the mapping publishes."""
    return [
        f"cdc.{mapping.system}.{mapping.schema or 'public'}.{name}"
        for name, table in mapping.tables.items()
        if isinstance(table, TableMapping)
    ]


def backfill_topics(mapping: SystemMapping) -> list[str]:
    """Where the rows of some tables may come by, behind their changes."""
    prefix = f"cdc.{mapping.system}.{mapping.schema or 'public'}"
    return [
        backfill_topic(f"{prefix}.{name}")
        for name, table in mapping.tables.items()
        if isinstance(table, TableMapping) and table.backfill
    ]


def confidential_changes(mappings: Sequence[SystemMapping]) -> frozenset[str]:
    """Change topics of the entities whose canonical topics are confidential."""
    secret = confidential_topics()
    topics = set()
    for mapping in mappings:
        prefix = f"cdc.{mapping.system}.{mapping.schema or 'public'}"
        for name, table in mapping.tables.items():
            if isinstance(table, TableMapping) and f"canonical.{table.entity}" in secret:
                topics |= {f"{prefix}.{name}", backfill_topic(f"{prefix}.{name}")}
    return frozenset(topics)


def boundary_topic(mapping: SystemMapping) -> str:
    """Where a system's source announces the beginning and the end of transactions."""
    return f"cdc.{mapping.system}.transaction"


def input_topics(mappings: Sequence[SystemMapping]) -> list[str]:
    """All topics of the stage."""
    changes = [topic for mapping in mappings for topic in change_topics(mapping)]
    return [*changes, *background_topics(mappings), *map(boundary_topic, mappings), ENDED]


def background_topics(mappings: Sequence[SystemMapping]) -> list[str]:
    """Topics that wait for all others."""
    return [topic for mapping in mappings for topic in backfill_topics(mapping)]


class CanonicalStage:
    """Maps the changes of one partition of all change topics."""

    def __init__(self, environment: StageEnvironment, mappings: Sequence[SystemMapping]) -> None:
        self.inputs: Sequence[str] = input_topics(mappings)
        # Zero-padded, so that versions order as text.
        self.rules = "|".join(f"{m.system}:{m.version:06d}" for m in mappings)
        self._mapping_of = {
            topic: mapping
            for mapping in mappings
            for topic in (*change_topics(mapping), *backfill_topics(mapping))
        }
        self._system_of = {boundary_topic(mapping): mapping.system for mapping in mappings}
        entities = {t.entity for m in mappings for t in m.tables.values() if isinstance(t, TableMapping)}
        self._publishers = {entity: environment.publisher(f"canonical.{entity}") for entity in entities}
        self._raised = environment.publisher(RAISED)
        self._ended = environment.publisher(ENDED)
        self._confidential = confidential_changes(mappings)
        self._rejects = Rejects(environment, FLOW, self._confidential)
        self._decoder = environment.decoder
        self._held = HeldChanges(environment.settings.transaction_patience_s)

    def open(self, state: Overlay, now: datetime) -> None:
        """Find the changes that waited."""
        self._held.open(state, now)

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Decide on one change and publish what follows; or let it wait, or let others wait no longer."""
        mapping = self._mapping_of.get(record.topic)
        if mapping is None:
            self._end(record, context)
            return
        context.count("cdc")
        headers = dict(record.headers)
        value = record.value
        change = self._decoder.decode(value) if value is not None else None
        if change is not None and not ("op" in change and isinstance(change.get("source"), dict)):
            raise SchemaMismatch("the value is no change envelope (op, source); is this a change topic?")
        if change is None or LAST_FOR_KEY_HEADER in headers:
            self._decide(record, change, headers, mapping, context)
            return
        transaction = transaction_of(change)
        for complete in self._held.release_others(record.topic, transaction, context):
            self._decide_held(complete, True, context)
        identity = identify(mapping, change) if transaction is not None else None
        if identity is None or transaction is None:
            self._decide(record, change, headers, mapping, context)
            return
        row = "\0".join(identity).encode()
        earlier = self._held.hold(record, mapping.system, transaction, row, context)
        if earlier is not None:
            self._decide_held(earlier, False, context)

    def _end(self, record: InputRecord, context: SliceContext) -> None:
        """Of a transaction: announced by its source, or passed on by the lane that heard of it."""
        if record.value is None:
            return
        told = self._decoder.decode(record.value)
        try:
            if record.topic == ENDED:
                self._held.end(told["system"], told["transaction_id"], context.now)
            # Our own sources' changes wait for nothing.
            elif told["status"] == "END" and POSITION_HEADER not in dict(record.headers):
                end = {
                    "system": self._system_of[record.topic],
                    "transaction_id": transaction_name(told["id"]),
                }
                self._ended.emit_everywhere(context, end)
        except KeyError as error:
            raise SchemaMismatch(f"the value is no boundary of a transaction: it has no {error}") from None

    def _decide_held(self, record: PlainRecord, last: bool, context: SliceContext) -> None:
        """Decide on a change that waited; ``last`` if no later one of its row is in its transaction."""
        assert record.value is not None
        headers = {**dict(record.headers), LAST_FOR_KEY_HEADER: b"1" if last else b"0"}
        change = self._decoder.decode(record.value)
        try:
            self._decide(record, change, headers, self._mapping_of[record.topic], context)
        except RecordError as error:
            self.reject(record, error, context)

    def _decide(
        self,
        record: InputRecord,
        change: dict[str, Any] | None,
        headers: dict[str, bytes],
        mapping: SystemMapping,
        context: SliceContext,
    ) -> None:
        identity = identify(mapping, change)
        key = b"r\0" + "\0".join(identity).encode() if identity else b""
        stored = context.state.get(key) if key else None
        try:
            decision = decide(
                change,
                headers,
                RowState.from_bytes(stored) if stored else None,
                mapping,
                context.now,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PoisonRecord(f"the change envelope is malformed: {error!r}") from None
        for canonical in decision.records:
            assert decision.entity is not None
            self._publishers[decision.entity].emit(context, canonical)
        hidden = record.topic in self._confidential
        for report in decision.reports:
            if report["op"] == "RAISE":
                report |= {
                    "raw_topic": record.topic,
                    "raw_partition": record.partition,
                    "raw_offset": record.offset,
                    "raw_key": None if hidden else record.key,
                    "raw_value": None if hidden else record.value,
                }
                if hidden and report["exception_class"] not in QUOTES_NOTHING:
                    report["message"] = withheld(report["message"])
            self._raised.emit(context, report)
        if decision.state is not None and key:
            context.state.put(key, decision.state.to_bytes())
        context.count(COUNTED[decision.action])

    def finish(self, context: SliceContext) -> None:
        """Everything was emitted record by record."""

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters and exceptions."""
        self._rejects.reject(record, error, context)

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Mapping looks nothing up."""
        return iter(())

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """What a new mapping changes is in the source, not in the state: its tables are read again for it."""
        return iter(())

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Mapping looks nothing up."""

    def tick(self, context: SliceContext) -> None:
        """Decide on what has waited long enough."""
        for complete in self._held.release_due(context):
            self._decide_held(complete, True, context)


def canonical_stage() -> StageDefinition:
    """The stage over all mappings; change topics are partitioned as entries are.

    Reading the mappings may raise `ConfigurationError`.
    """
    mappings = tuple(load_mappings().values())
    return StageDefinition(
        "canonical",
        input_topics(mappings),
        lambda env: CanonicalStage(env, mappings),
        "entry",
        ticks=True,
        looks_up=False,
        passes_on=[*BILLED, ENDED],
        background=background_topics(mappings),
    )
