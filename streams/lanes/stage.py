"""What a stage of a flow implements, and what a slice offers it.

A stage is deterministic: its outputs depend on its state, its input and the reference tables, never on
a clock or on how records were cut into slices. The lane gives it records in order and calls it again
for keys whose references changed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from streams.errors import RecordError
from streams.lanes.records import Headers, InputRecord, Output
from streams.lanes.state import Overlay

# What a reference view says of a change and its stage turns into keys; opaque to the lane.
Touch = Hashable


@dataclass(frozen=True, slots=True)
class Cause:
    """The change that a slice's outputs answer: its times, and whether it was no live entry change."""

    occurred_at: datetime
    captured_at: datetime
    published_at: datetime
    indirect: bool


class SliceContext:
    """State and outputs of one slice. Created anew for each; nothing of it survives a failed slice."""

    __slots__ = ("counts", "now", "outputs", "state")

    def __init__(self, state: Overlay, now: datetime) -> None:
        self.state = state
        self.now = now
        self.outputs: list[Output] = []
        self.counts: dict[str, int] = {}

    def emit(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: Headers | None = None,
        decoded: dict[str, Any] | None = None,
    ) -> None:
        """Publish a record in the slice's transaction; ``decoded`` as in `Output`."""
        self.outputs.append(Output(topic, key, value, partition, headers, None, decoded))

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter that is exported once the slice is committed."""
        self.counts[name] = self.counts.get(name, 0) + amount


def in_order(keys: Iterable[bytes], after: bytes = b"") -> Iterator[bytes]:
    """Keys as `Stage.affected` gives them, for a stage that has few of them."""
    return (key for key in sorted(set(keys)) if key > after)


class Stage(Protocol):
    """One stage of a flow, for one lane. ``rules`` is a version as `streams.lanes.rules` reads it.

    What it caches in memory follows from its state: after a slice that was not committed the lane is
    opened anew, with a new stage object.
    """

    inputs: Sequence[str]
    rules: str

    def open(self, state: Overlay, now: datetime) -> None:
        """Build what the stage keeps in memory from its restored state."""

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Apply one record; raise `RecordError` for one that can't be processed."""

    def finish(self, context: SliceContext) -> None:
        """Called once at the end of a slice: emit what is computed once a slice rather than once a record."""

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """Route a record that can't be processed, with its bytes, to the dead letters and exceptions."""

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Keys to re-evaluate for reference changes, ascending and each once; those behind ``after`` alone.

        A lane that was killed goes on behind the last key that it did, and may be asked with wider touches
        for the same changes then: of what the first touches reached, nothing that was not done may be left out.
        """

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """All keys that `reevaluate` takes, as `affected` gives them: for a state that older rules wrote."""

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Compute the results of ``keys`` again with the reference tables as they are now."""

    def tick(self, context: SliceContext) -> None:
        """Called about once a second: timers. ``context.now`` is the clock."""
