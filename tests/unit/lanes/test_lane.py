"""Several stages in one lane: one transaction for what gathered, all or nothing, and no stage left behind."""

from __future__ import annotations

import pytest
from lane_builders import OTHER, TOPIC, CountingStage, QueuedReferences, SharedLog, chunk, open_core, record

from streams.errors import Fenced
from streams.lanes.core import Gap
from streams.lanes.cursor import CURSOR_KEY
from streams.lanes.lane import Lane


class FirstStage(CountingStage):
    """Reads one topic."""

    inputs = (TOPIC,)


class SecondStage(CountingStage):
    """Reads the other."""

    inputs = (OTHER,)


def two_stages(log: SharedLog) -> Lane:
    """A lane as opened from what the logs hold."""
    first, second = open_core(log.first, FirstStage()), open_core(log.second, SecondStage())
    return Lane({("first", 0): first, ("second", 0): second}, log, {"second"})


def test_what_gathered_for_two_stages_is_one_transaction() -> None:
    """Counters come back by stage."""
    log = SharedLog()
    lane = two_stages(log)
    counts = lane.apply([chunk([record(0)]), chunk([record(0, topic=OTHER)]), chunk([record(1)])])
    assert log.transactions == [2]
    assert {name: counted["processed"] for name, counted in counts.items()} == {"first": 2, "second": 1}
    assert (lane.position(TOPIC, 0), lane.position(OTHER, 0)) == (2, 1)


def test_entries_are_evaluated_again_beside_what_is_live() -> None:
    """Some in each transaction, until there are none; without any that is asked for, none are."""
    log, references = SharedLog(), QueuedReferences()
    first = open_core(log.first, FirstStage(), references=references)
    lane = Lane({("first", 0): first, ("second", 0): open_core(log.second, SecondStage())}, log)
    lane.apply([chunk([record(n, b"%d" % n) for n in range(5)])])
    references.change()
    assert "again" not in lane.apply([chunk([record(0, topic=OTHER)])], 0).get("first", {})
    log.transactions.clear()
    again = []
    for offset in range(5, 9):
        counts = lane.apply([chunk([record(offset, b"x")]), chunk([record(offset - 4, topic=OTHER)])], 2)
        again.append(counts["first"].get("again", 0))
        assert counts["first"]["processed"] == counts["second"]["processed"] == 1
    assert again == [2, 2, 2, 0]
    assert log.transactions == [3, 3, 3, 2], "one transaction for all"
    assert not lane.has_references()


def test_a_refused_transaction_leaves_both_stages_where_they_were() -> None:
    """Opened anew, neither has applied anything, and repeating counts once."""
    log = SharedLog()
    lane = two_stages(log)
    work = [chunk([record(0)]), chunk([record(0, topic=OTHER)])]
    log.fails = True
    with pytest.raises(Fenced):
        lane.apply(work)
    lane.abandon()
    log.fails = False
    again = two_stages(log)
    assert (again.position(TOPIC, 0), again.position(OTHER, 0)) == (0, 0)
    again.apply(work)
    assert log.first.counts() == log.second.counts() == {b"nk": b"1"}


def test_a_gap_of_one_stage_does_not_undo_the_other() -> None:
    """What was applied beside it is committed; the gap is told, so that inputs seek."""
    log = SharedLog()
    lane = two_stages(log)
    with pytest.raises(Gap):
        lane.apply([chunk([record(3)]), chunk([record(0, topic=OTHER)])])
    assert log.transactions == [1]
    assert (lane.position(TOPIC, 0), lane.position(OTHER, 0)) == (0, 1)


def test_closing_makes_cursors_durable_that_moved_without_output() -> None:
    """Both in one transaction; timers run only for the stage that has some."""
    log = SharedLog()
    lane = two_stages(log)
    lane.apply([chunk([record(0, value=b"silent")]), chunk([record(0, value=b"silent", topic=OTHER)])])
    assert log.transactions == []
    lane.close()
    assert log.transactions == [2]
    assert CURSOR_KEY in dict(log.first.state)
    assert two_stages(log).position(OTHER, 0) == 1
    ticked = SharedLog()
    two_stages(ticked).tick()
    assert ticked.first.outputs == []
    assert [output.topic for output in ticked.second.outputs] == ["ticks"]
