"""What a sink is given: messages in the order they were read, and the positions after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from streams.errors import RecordError

Partition = tuple[str, int]  # topic and partition number
Positions = Mapping[Partition, int]  # offset of the next record to apply, by partition


class Message(NamedTuple):
    """One record of a topic: decoded (``record``), or refused (``error``), never both or neither.

    ``timestamp_ms`` is the producer's or broker's clock, milliseconds since 1970. A named tuple,
    because tens of thousands a second are made.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    record: dict[str, Any] | None
    error: RecordError | None

    def refused(self, error: RecordError) -> Message:
        """The same message as a dead letter, with the reason."""
        return self._replace(record=None, error=error)


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages to apply as one transaction; afterwards ``positions`` holds for the partitions in it.

    A partition's messages are in offset order. ``positions`` may move a partition without a message:
    transaction markers and aborted records take offsets too.
    """

    messages: tuple[Message, ...]
    positions: Positions

    def halves(self) -> tuple[Batch, Batch]:
        """The batch as two that, applied one after the other, come to the same. Needs two messages."""
        middle = len(self.messages) // 2
        first = self.messages[:middle]
        reached = {(message.topic, message.partition): message.offset + 1 for message in first}
        return Batch(first, reached), Batch(self.messages[middle:], self.positions)

    def refused(self, error: RecordError) -> Batch:
        """The batch with all its messages as dead letters."""
        return Batch(tuple(message.refused(error) for message in self.messages), self.positions)
