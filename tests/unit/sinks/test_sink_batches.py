"""Batches that are cut in two where a store refuses one of their records."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sinks.messages import Batch, Message, Partition
from tests.unit.sinks.sink_builders import message

steps = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=2, max_size=30)


def batch_of(items: list[tuple[int, int]]) -> Batch:
    """Messages on three partitions with gaps between offsets, and positions behind a last marker."""
    offsets: dict[int, int] = {}
    messages: list[Message] = []
    for partition, gap in items:
        offsets[partition] = offsets.get(partition, 0) + gap
        messages.append(message("billing.events", offsets[partition], {}, partition))
    return Batch(tuple(messages), {("billing.events", p): offset + 2 for p, offset in offsets.items()})


@settings(deadline=None)  # times a busy machine, not the code
@given(steps)
def test_halves_come_to_the_whole(items: list[tuple[int, int]]) -> None:
    """Halved down to single messages, positions only rise, cover each message, and end where they should."""
    whole = batch_of(items)
    reached: dict[Partition, int] = {}
    pending = [whole]
    applied: list[Message] = []
    while pending:
        part = pending.pop(0)
        if len(part.messages) > 1:
            pending[:0] = part.halves()
            continue
        applied += part.messages
        for partition, offset in part.positions.items():
            assert offset >= reached.get(partition, 0)
            reached[partition] = offset
        for done in part.messages:
            assert reached[done.topic, done.partition] > done.offset
    assert tuple(applied) == whole.messages
    assert reached == whole.positions
