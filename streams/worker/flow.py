"""How a flow is declared: its stages, what they read, and the reference view they share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.contracts import Contracts, load_schema
from streams.contracts.topics import key_maker
from streams.lanes.stage import SliceContext, Stage
from streams.references.views import ReferenceView
from streams.serde import Decoder, Encoder
from streams.serde.flat import as_decoded
from streams.serde.partitioning import partition_of
from streams.settings import Settings


class Publisher:
    """Emits records of one topic as its contract says: schema, key and partition.

    ``hands_over``: who is handed a record gets it as it is decoded, too.
    """

    def __init__(
        self, topic: str, contracts: Contracts, schema_id: int, partitions: int, *, hands_over: bool = False
    ) -> None:
        contract = contracts.topics[topic]
        assert contract.schema is not None
        self._topic = topic
        self._key_of = key_maker(contract)
        self._partition_by = contract.partition_by
        self._partitions = partitions
        self._encoder = Encoder(load_schema(contract.schema), schema_id)
        self._as_decoded = as_decoded(load_schema(contract.schema)) if hands_over else None

    def emit(self, context: SliceContext, record: dict[str, Any]) -> bytes:
        """Publish ``record`` in the slice; returns its bytes."""
        value = self._encoder.encode(record)
        partition = None
        if self._partition_by is not None:
            partition = partition_of(record[self._partition_by], self._partitions)
        decoded = None if self._as_decoded is None else self._as_decoded(record)
        context.emit(self._topic, self._key_of(record), value, partition, None, decoded)
        return value

    def emit_everywhere(self, context: SliceContext, record: dict[str, Any]) -> None:
        """Publish ``record`` to every partition: to every lane that reads the topic."""
        value, key = self._encoder.encode(record), self._key_of(record)
        for partition in range(self._partitions):
            context.emit(self._topic, key, value, partition)


@dataclass(frozen=True)
class StageEnvironment:
    """What a stage is built from. One per lane. ``hands_over`` are the topics between the flow's stages."""

    partition: int
    settings: Settings
    contracts: Contracts
    decoder: Decoder
    schema_ids: dict[str, int]
    view: Any = None
    hands_over: Collection[str] = ()

    def publisher(self, topic: str) -> Publisher:
        """A publisher for a contracted topic."""
        partitions = self.contracts.partitions(topic, self.settings.partitions)
        hands_over = topic in self.hands_over
        return Publisher(topic, self.contracts, self.schema_ids[topic], partitions, hands_over=hands_over)


@dataclass(frozen=True)
class StageDefinition:
    """A stage: ``inputs`` are co-partitioned topics, all with the partition count of ``group``.

    ``looks_up`` says whether it uses the flow's reference view; ``passes_on`` names what it publishes for
    stages of its own flow, which may be handed over within a lane. ``background`` are inputs that are
    applied piece by piece, behind all others.
    """

    name: str
    inputs: Sequence[str]
    build: Callable[[StageEnvironment], Stage]
    group: str
    ticks: bool = False
    looks_up: bool = True
    passes_on: Sequence[str] = ()
    background: Sequence[str] = ()


@dataclass(frozen=True)
class FlowDefinition:
    """A flow: one Faust application and consumer group. A lane is one partition of all its stages.

    ``gather_seconds`` is how long records may gather between two fetches. Each fetch that brings a handful
    costs a hundred times what a record costs, and so does the transaction that follows: a flow whose
    results nobody waits for by the millisecond leaves that time to those where somebody does.
    """

    name: str
    stages: Sequence[StageDefinition]
    view: Callable[[], ReferenceView] | None = None
    # Topics outside the contracts that the flow reads, with the group that decides their count.
    extra_topics: Sequence[str] = field(default=())
    gather_seconds: float = 0.0

    @property
    def own_topics(self) -> list[str]:
        """The topics between the flow's stages, in its order."""
        return [topic for stage in self.stages for topic in stage.passes_on]

    def handed_over(self, contracts: Contracts, partitions: int | None) -> dict[str, int]:
        """The topics between the flow's stages, in its order, with their numbers of partitions."""
        return {topic: contracts.partitions(topic, partitions) for topic in self.own_topics}
