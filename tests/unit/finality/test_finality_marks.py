"""A mark passes a stage only with all of its partitions, inputs and reference tables."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.finality.looking import steps_of
from agents.finality.marks import Mark, Step, not_reached
from agents.flows import all_flows
from streams.contracts import load_contracts
from streams.lanes.cursor import Cursor

ENTRY, VERSION, RATE = "canonical.time_entry", "canonical.time_entry_version", "canonical.rate"
STEP = Step("billing-rate", (ENTRY, VERSION), ("rate", "period"), 2)
GOAL = {(ENTRY, 0): 5, (ENTRY, 1): 9, (VERSION, 1): 2, (RATE, 0): 4}


def cursor(entries: int, versions: int, rates: int, **other: object) -> Cursor:
    """What a partition has applied."""
    made = Cursor({ENTRY: entries, VERSION: versions}, {"rate/0": rates}, "1", "1")
    for name, value in other.items():
        setattr(made, name, value)
    return made


def test_a_stage_is_past_a_mark_with_its_last_partition() -> None:
    """What it lacks is named; a partition with nothing of an empty topic lacks nothing."""
    assert not_reached(STEP, GOAL, {0: cursor(5, 0, 4), 1: cursor(9, 2, 4)}) == []
    assert not_reached(STEP, GOAL, {0: cursor(5, 0, 4), 1: cursor(8, 2, 4)}) == [f"billing-rate-1: {ENTRY}"]
    assert not_reached(STEP, GOAL, {0: cursor(5, 0, 4)}) == ["billing-rate-1: no state"]


def test_a_price_list_that_is_still_fanned_out_is_waited_for() -> None:
    """The tables are loaded, and entries that they reach are not evaluated yet."""
    assert not_reached(STEP, GOAL, {0: cursor(5, 0, 3), 1: cursor(9, 2, 4)}) == [f"billing-rate-0: {RATE}"]


def test_new_rules_are_waited_for() -> None:
    """While entries are evaluated with what a new version computes."""
    upgraded = cursor(5, 0, 4, rules="2")
    assert not_reached(STEP, GOAL, {0: upgraded, 1: cursor(9, 2, 4)}) == ["billing-rate-0: new rules"]


def test_a_mark_takes_its_goal_at_each_step_anew() -> None:
    """What the stage before has made of it lies before the goal of the next."""
    mark = Mark({})
    assert mark.aim(GOAL).goal == GOAL
    assert mark.aim(GOAL).passed() == Mark({}, 1)


@given(st.lists(st.integers(0, 10), min_size=6, max_size=6))
def test_nothing_before_the_goal_is_left_out(applied: list[int]) -> None:
    """Past the mark if and only if every input and table of every partition is."""
    cursors = {0: cursor(*applied[:3]), 1: cursor(*applied[3:])}
    done = applied[0] >= 5 and applied[2] >= 4 and applied[3] >= 9 and applied[4] >= 2 and applied[5] >= 4
    assert (not_reached(STEP, GOAL, cursors) == []) == done


def test_records_pass_the_steps_in_their_order() -> None:
    """What a step reads is made by sources, or by steps before it."""
    flows = all_flows()
    stages = [stage for name in ("billing", "revenue") for stage in flows[name].stages]
    steps = steps_of([flows["billing"], flows["revenue"]], {stage.name: 4 for stage in stages})
    assert [step.name for step in steps] == ["canonical", "billing-rate", "billing-allocate", "revenue"]
    canonical, *later = steps
    assert not canonical.entities
    assert "period" in later[0].entities
    of_sources = {topic for topic in load_contracts().topics if topic.startswith("canonical.")}
    made = of_sources | {"billing.rated", "transactions.ended"}
    for step in later[:2]:
        assert set(step.inputs) <= made
    assert set(later[2].inputs) == {"billing.rated", "billing.current"}
