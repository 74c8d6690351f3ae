"""Marks over a pipeline in miniature: whatever is said to be applied is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from agents.finality.looking import Marker, watermark_of
from agents.finality.marks import Step
from streams.lanes.cursor import Cursor

START = datetime(2026, 4, 3, tzinfo=UTC)
STEPS = [Step(f"stage{n}", (f"topic{n}",), (), 2) for n in range(3)]


class World:
    """A source whose n-th record is committed in second n, and stages that make one record of each.

    ``topics`` are the records' seconds by step and partition, ``applied`` how many of them each stage has applied.
    """

    def __init__(self) -> None:
        self.second = 0
        self.captured = 0
        self.topics: list[list[list[int]]] = [[[], []] for _ in range(len(STEPS) + 1)]
        self.applied = [[0, 0] for _ in STEPS]
        self.steps = STEPS
        self.marker = Marker(cast(Any, self), cast(Any, self))

    # What a marker asks of sources and stages.

    def watermarks(self) -> Mapping[str, datetime]:
        return {"erp": START + timedelta(seconds=self.captured)}

    def ends(self, step: Step) -> dict[tuple[str, int], int]:
        at = STEPS.index(step)
        return {(step.inputs[0], p): len(self.topics[at][p]) for p in (0, 1) if self.topics[at][p]}

    def cursors(self, step: Step) -> dict[int, Cursor]:
        at = STEPS.index(step)
        return {p: Cursor({step.inputs[0]: self.applied[at][p]}, {}, "1", "1") for p in (0, 1)}

    # What happens.

    def commit(self, partition: int) -> None:
        """In the database, and in the change topic."""
        self.second += 1
        self.topics[0][partition].append(self.second)

    def hear(self) -> None:
        """The source publishes its watermark."""
        self.captured = self.second

    def work(self, step: int, partition: int) -> None:
        """A stage applies a record, which goes to the other partition."""
        records, at = self.topics[step][partition], self.applied[step][partition]
        if at < len(records):
            self.topics[step + 1][1 - partition].append(records[at])
            self.applied[step][partition] += 1

    def done(self) -> set[int]:
        """The seconds of the records that are through."""
        return {second for records in self.topics[-1] for second in records}


actions = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(0, 1)),
        st.tuples(st.just("hear")),
        st.tuples(st.just("work"), st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("look"), st.integers(0, 2)),
    ),
    max_size=120,
)


@given(actions)
def test_what_is_said_to_be_applied_is_through_all_stages(history: list[tuple[Any, ...]]) -> None:
    """Whatever happens between two looks, also while new closes come."""
    world = World()
    for action, *arguments in history:
        if action != "look":
            getattr(world, action)(*arguments)
            continue
        progress = world.marker.look({("P", n) for n in range(arguments[0])})
        if "erp" in progress.applied:
            seconds = (progress.applied["erp"] - START) // timedelta(seconds=1)
            assert set(range(1, seconds + 1)) <= world.done()


@given(actions)
def test_a_pipeline_at_rest_is_found_to_be_done(history: list[tuple[Any, ...]]) -> None:
    """Nothing is waited for once everything is worked off, wherever a mark stood before."""
    world = World()
    for action, *arguments in history:
        if action == "look":
            world.marker.look(())
        else:
            getattr(world, action)(*arguments)
    world.hear()
    for step in (0, 1, 2):
        for partition in (0, 1):
            for _ in range(len(world.topics[step][partition])):
                world.work(step, partition)
    progress = world.marker.look(())
    assert (progress.lacking, progress.applied) == ([], progress.captured)


def test_a_new_close_is_not_judged_by_what_was_applied_before() -> None:
    """The stages may not have heard of it: its record has to lie before the goals, which are taken anew."""
    world = World()
    world.commit(0)
    world.hear()
    for step, partition in ((0, 0), (1, 1), (2, 0)):
        world.work(step, partition)
    assert world.marker.look({("March", 1)}).applied == world.watermarks()
    world.commit(1)
    progress = world.marker.look({("March", 1), ("April", 1)})
    assert (progress.applied, progress.lacking) == ({}, ["stage0-1: topic0"])
    world.work(0, 1)
    assert world.marker.look({("April", 1)}).lacking == ["stage1-0: topic1"]


def test_a_position_without_a_watermark_says_nothing() -> None:
    """As those of other sources, and of one that takes a snapshot."""
    assert watermark_of(b'{"epoch": 1}') is None
    assert watermark_of(b'{"watermark_us": 0}') is None
    assert watermark_of(b"[]") is None
    assert watermark_of(b'{"watermark_us": 1775174400000000}') == START
