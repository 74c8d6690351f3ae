"""What the gate learns from produce and end-transaction requests, and who is woken by it."""

from __future__ import annotations

import asyncio
import struct

import pytest

from streams.stack.activity import Activity, places_produced, transaction_of

HERE, THERE = ("t", 0), ("t", 1)


def _text(value: str | None) -> bytes:
    return struct.pack(">h", -1) if value is None else struct.pack(">h", len(value)) + value.encode()


def produce(transaction: str | None, *topics: tuple[str, list[tuple[int, bytes | None]]]) -> bytes:
    """A produce request, version 8."""
    frame = struct.pack(">hhi", 0, 8, 7) + _text("client") + _text(transaction) + struct.pack(">hi", -1, 1000)
    frame += struct.pack(">i", len(topics))
    for name, partitions in topics:
        frame += _text(name) + struct.pack(">i", len(partitions))
        for partition, records in partitions:
            frame += struct.pack(">ii", partition, -1 if records is None else len(records)) + (records or b"")
    return frame


@pytest.mark.parametrize("transaction", [None, "lane-0"])
def test_a_produce_request_names_its_partitions(transaction: str | None) -> None:
    """Whatever the records are, also none; the transactional id is told apart from its absence."""
    frame = produce(transaction, ("a", [(0, b"xyz"), (3, None)]), ("b", [(1, b"")]))
    assert transaction_of(frame) == transaction
    assert places_produced(frame) == [("a", 0), ("a", 3), ("b", 1)]


def test_a_transaction_shows_its_partitions_when_it_ends() -> None:
    """Not before, once, and those of another transaction not at all."""
    activity = Activity()
    activity.produced("one", [HERE])
    activity.produced("two", [THERE])
    assert not activity.since([HERE, THERE], 0)
    activity.ended("one")
    assert activity.since([HERE], 0)
    assert not activity.since([THERE], 0)
    then = activity.now
    activity.ended("one")
    assert not activity.since([HERE], then)


def test_what_became_visible_after_the_question_is_not_missed() -> None:
    """Between the broker's answer and the wait; what was there before the question wakes nobody."""

    async def check() -> None:
        activity = Activity()
        activity.produced(None, [HERE])
        then = activity.now
        assert not await activity.wait([HERE], then, 0.01)
        activity.produced(None, [HERE])
        assert await activity.wait([HERE, THERE], then, 0)

    asyncio.run(check())


def test_only_who_waits_for_the_partition_is_woken() -> None:
    """The other goes on to its time limit; nobody is left registered."""

    async def check() -> None:
        activity = Activity()
        here = asyncio.create_task(activity.wait([HERE], 0, 5))
        there = asyncio.create_task(activity.wait([THERE], 0, 0.05))
        await asyncio.sleep(0)
        activity.produced(None, [HERE])
        assert await here
        assert not await there
        assert not any(activity._waiting.values())

    asyncio.run(check())
