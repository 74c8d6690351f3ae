"""Kafka as the driver needs it: partitioned logs, and a producer whose transactions are whole or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from streams.lanes.records import Headers, PlainRecord
from streams.lanes.transaction import HASH_KEY
from streams.serde.partitioning import murmur2_partition


class Logs:
    """All topics of a topology. Unknown topics are made with ``partitions(topic)`` partitions."""

    def __init__(self, partitions: Callable[[str], int]) -> None:
        self._partitions = partitions
        self.topics: dict[str, list[list[PlainRecord]]] = {}

    def partitions(self, topic: str) -> list[list[PlainRecord]]:
        """The partitions of a topic."""
        if topic not in self.topics:
            self.topics[topic] = [[] for _ in range(self._partitions(topic))]
        return self.topics[topic]

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        timestamp: int,
        partition: int | None = None,
        headers: Headers | None = None,
    ) -> int:
        """Append a record, by its key without a partition; returns its offset."""
        logs = self.partitions(topic)
        if partition is None:
            partition = murmur2_partition(key or b"", len(logs))
        log = logs[partition]
        log.append(PlainRecord(topic, partition, len(log), timestamp, key, value, tuple(headers or ())))
        return len(log) - 1


@dataclass(slots=True)
class Claims:
    """Who may write for each partition of each flow; a claim fences who had it before."""

    _owners: dict[tuple[str, int], MemoryProducer] = field(default_factory=dict)

    def claim(self, flow: str, partitions: Collection[int], producer: MemoryProducer) -> None:
        """Fence all that wrote for the partitions so far."""
        for partition in partitions:
            owner = self._owners.get((flow, partition))
            if owner is not None:
                owner.fenced = True
            self._owners[flow, partition] = producer


class _Delivered:
    """A delivery report, as far as it is looked at."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self._place = topic, partition, offset

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._place[2]


class MemoryProducer:
    """What of a transactional producer a lane's log uses.

    ``reach`` is told the places at which a crash makes a difference: ``"before"`` and ``"after"`` a commit.
    """

    def __init__(self, logs: Logs, timestamp: Callable[[], int], reach: Callable[[str], None]) -> None:
        self._logs = logs
        self._timestamp = timestamp
        self._reach = reach
        self._gathered: list[tuple[Any, ...]] = []
        self.fenced = False

    def begin_transaction(self) -> None:
        """Begin."""
        self._gathered = []

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        headers: Headers | None = None,
        on_delivery: Callable[[Any, Any], None] | None = None,
    ) -> None:
        """Add a record."""
        place = None if partition == HASH_KEY else partition
        self._gathered.append((topic, key, value, place, headers, on_delivery))

    def commit_transaction(self, timeout: float) -> None:
        """Append everything, or nothing if somebody else claimed a partition."""
        self._reach("before")
        if self.fenced:
            raise KafkaException(KafkaError(KafkaError._FENCED))
        for topic, key, value, partition, headers, on_delivery in self._gathered:
            offset = self._logs.append(topic, key, value, self._timestamp(), partition, headers)
            if on_delivery is not None:
                on_delivery(None, _Delivered(topic, partition, offset))
        self._reach("after")

    def abort_transaction(self, timeout: float) -> None:
        """Drop everything."""
        self._gathered = []

    def poll(self, timeout: float) -> int:
        """Deliveries are reported at the commit."""
        return 0
