"""What the runner needs of a place that records are written to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from connectors.sinks.messages import Batch, Positions
from streams.errors import RecordError


@dataclass(slots=True)
class Applied:
    """What applying a batch came to, for the metrics. Counts are of records."""

    written: dict[str, int] = field(default_factory=dict)  # by table or view
    stale: int = 0  # older than, or the same as, what was there: duplicates and replays
    dead_letters: dict[tuple[str, str], int] = field(default_factory=dict)  # by topic and class

    def count(self, name: str, *, written: int, stale: int) -> None:
        """Count records of one table or view."""
        self.written[name] = self.written.get(name, 0) + written
        self.stale += stale

    def count_dead_letter(self, topic: str, error: RecordError) -> None:
        """Count a record that was set aside."""
        key = (topic, error.exception_class)
        self.dead_letters[key] = self.dead_letters.get(key, 0) + 1

    def add(self, other: Applied) -> None:
        """Add another batch's counts."""
        for name, count in other.written.items():
            self.written[name] = self.written.get(name, 0) + count
        for key, count in other.dead_letters.items():
            self.dead_letters[key] = self.dead_letters.get(key, 0) + count
        self.stale += other.stale


class Target(Protocol):
    """A store that keeps the sink's positions and changes them together with its data.

    ``apply`` and ``beat`` are called from one thread at a time. They raise `DependencyUnavailable`
    when the store is away: the runner then closes, waits, opens again, and continues from the
    positions that ``open`` returns, so an unknown outcome of a commit needs no care.
    """

    name: str
    topics: tuple[str, ...]

    def open(self) -> Positions:
        """Connect, shut out every other instance (`Fenced` if one is alive), return the positions."""

    def begin(self, positions: Positions) -> None:
        """Store the first positions of partitions that have none."""

    def apply(self, batch: Batch) -> Applied:
        """Write a batch and its positions in one transaction; `Fenced` if somebody else moved them."""

    def beat(self, lag: Positions) -> None:
        """Called about once a second between batches, with the records left by partition."""

    def forget(self, topic: str | None) -> int:
        """Drop the stored positions of a topic, or of all; the number of partitions dropped."""

    def close(self) -> None:
        """Release the store; never raises."""
