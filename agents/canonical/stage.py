"""The canonical stage: one lane of change topics in, canonical entities and exception reports out.

State: one small `RowState` per source row. All rules are in `decisions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from agents.canonical.decisions import FLOW, Action, decide, identify
from agents.canonical.loader import load_mappings
from agents.canonical.mapping import SystemMapping, TableMapping
from agents.canonical.rows import RowState
from agents.rejects import RAISED, Rejects
from streams.errors import PoisonRecord, RecordError, SchemaMismatch
from streams.lanes.records import InputRecord
from streams.lanes.stage import Cause, SliceContext, Touch
from streams.lanes.state import Overlay
from streams.worker.flow import StageDefinition, StageEnvironment

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


class CanonicalStage:
    """Maps the changes of one partition of all change topics."""

    def __init__(self, environment: StageEnvironment, mappings: Sequence[SystemMapping]) -> None:
        self.inputs: Sequence[str] = [topic for mapping in mappings for topic in change_topics(mapping)]
        # Zero-padded, so that versions order as text.
        self.rules = "|".join(f"{m.system}:{m.version:06d}" for m in mappings)
        self._mapping_of = {topic: mapping for mapping in mappings for topic in change_topics(mapping)}
        entities = {t.entity for m in mappings for t in m.tables.values() if isinstance(t, TableMapping)}
        self._publishers = {entity: environment.publisher(f"canonical.{entity}") for entity in entities}
        self._raised = environment.publisher(RAISED)
        self._rejects = Rejects(environment, FLOW)
        self._decoder = environment.decoder

    def open(self, state: Overlay, now: datetime) -> None:
        """Nothing is cached."""

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Decide on one change and publish what follows."""
        context.count("cdc")
        value = record.value
        change = self._decoder.decode(value) if value is not None else None
        if change is not None and not ("op" in change and isinstance(change.get("source"), dict)):
            raise SchemaMismatch("the value is no change envelope (op, source); is this a change topic?")
        mapping = self._mapping_of[record.topic]
        identity = identify(mapping, change)
        key = b"r\0" + "\0".join(identity).encode() if identity else b""
        stored = context.state.get(key) if key else None
        try:
            decision = decide(
                change,
                dict(record.headers),
                RowState.from_bytes(stored) if stored else None,
                mapping,
                context.now,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PoisonRecord(f"the change envelope is malformed: {error!r}") from None
        for canonical in decision.records:
            assert decision.entity is not None
            self._publishers[decision.entity].emit(context, canonical)
        for report in decision.reports:
            if report["op"] == "RAISE":
                report |= {
                    "raw_topic": record.topic,
                    "raw_partition": record.partition,
                    "raw_offset": record.offset,
                    "raw_key": record.key,
                    "raw_value": value,
                }
            self._raised.emit(context, report)
        if decision.state is not None and key:
            context.state.put(key, decision.state.to_bytes())
        context.count(COUNTED[decision.action])

    def finish(self, context: SliceContext) -> None:
        """Everything was emitted record by record."""

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters and exceptions."""
        self._rejects.reject(record, error, context)

    def affected(self, touches: Sequence[Touch], state: Overlay) -> Iterator[bytes]:
        """Mapping looks nothing up."""
        return iter(())

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Mapping looks nothing up."""

    def tick(self, context: SliceContext) -> None:
        """No timers."""


def canonical_stage() -> StageDefinition:
    """The stage over all mappings; change topics are partitioned as entries are.

    Reading the mappings may raise `ConfigurationError`.
    """
    mappings = tuple(load_mappings().values())
    topics = [topic for mapping in mappings for topic in change_topics(mapping)]
    return StageDefinition(
        "canonical", topics, lambda env: CanonicalStage(env, mappings), "entry", looks_up=False
    )
