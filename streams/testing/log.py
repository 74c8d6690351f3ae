"""Kafka as the driver needs it: partitioned logs, and slices that commit wholly or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streams.lanes.records import Headers, Output, PlainRecord
from streams.serde.partitioning import partition_of


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
    ) -> None:
        """Append a record; without a partition the key decides."""
        logs = self.partitions(topic)
        if partition is None:
            partition = partition_of((key or b"").decode(), len(logs)) if len(logs) > 1 else 0
        log = logs[partition]
        log.append(PlainRecord(topic, partition, len(log), timestamp, key, value, tuple(headers or ())))


class MemorySliceLog:
    """A lane's log. ``before`` and ``after`` are called around each commit: the places to crash."""

    def __init__(
        self,
        logs: Logs,
        state: list[tuple[bytes, bytes | None]],
        timestamp: Callable[[], int],
        before: Callable[[], Any],
        after: Callable[[], Any],
    ) -> None:
        self._logs = logs
        self._state = state
        self._timestamp = timestamp
        self._before = before
        self._after = after

    def commit(self, outputs: Sequence[Output], changes: Mapping[bytes, bytes | None]) -> None:
        """Append outputs and state changes together."""
        self._before()
        for topic, key, value, partition, headers in outputs:
            self._logs.append(topic, key, value, self._timestamp(), partition, headers)
        self._state.extend(changes.items())
        self._after()

    def close(self) -> int | None:
        """Nothing to release."""
        return len(self._state)
