"""Capacity, groups and targets as of the day: worked examples and random positions for both judges."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.billing.source_databases import HOUR, D, Sources, day
from utilization_judges import Judge, agents, oracle

MONDAY = day("03-09")
WEDNESDAY = day("03-11")
NEXT_MONDAY = day("03-16")
FIRM = ("firm", "firm")


def moved(sources: Sources, **columns: Any) -> Sources:
    """A position of ``C``."""
    return sources.put("consultant_position", "Q", **columns)


def week_of_work() -> Sources:
    """8 h on each day from Monday to Friday."""
    sources = Sources().put("consultant", "C", practice="A")
    for number in range(5):
        sources.work(number, f"{MONDAY + timedelta(days=number):%m-%d}", 8)
    return sources


def test_who_moves_in_mid_week_counts_for_each_practice_with_its_days(judge: Judge) -> None:
    """A gets the capacity and the hours of Monday and Tuesday, B those of Wednesday to Friday."""
    verdict = judge(moved(week_of_work(), effective_from=WEDNESDAY, practice="B"))
    groups = verdict.weeks_of_groups(MONDAY)
    figures = {key: (of.consultants, of.days, of.billable, of.capacity) for key, of in groups.items()}
    assert figures["practice", "A"] == (1, 2, 16 * HOUR, 16 * HOUR)
    assert figures["practice", "B"] == (1, 3, 24 * HOUR, 24 * HOUR)
    assert figures[FIRM] == figures["region", "eu"] == (1, 5, 40 * HOUR, 40 * HOUR)
    assert verdict.week(MONDAY).capacity == 40 * HOUR


def test_half_time_leaves_capacity_before_as_it_was(judge: Judge) -> None:
    """FTE 1.0 until 15 March, 0.5 from the 16th on: a week of 40 h, then one of 20 h; the month has both."""
    sources = moved(week_of_work().work(9, "03-17", 4), effective_from=NEXT_MONDAY, fte=D("0.5"))
    verdict = judge(sources)
    assert verdict.week(MONDAY).capacity == 40 * HOUR
    assert verdict.week(NEXT_MONDAY)[:4] == (4 * HOUR, 4 * HOUR, 20 * HOUR, D("0.2"))
    # March 2026 has ten working days before the 16th, twelve from then on.
    assert verdict.windows["erp:C", "month", day("03-01")].capacity == (10 * 8 + 12 * 4) * HOUR


def test_who_has_nothing_after_a_move_is_on_the_bench_there(judge: Judge) -> None:
    """16 h of A's Monday and Tuesday; in B, where a colleague works, idle with the 24 h of the other days."""
    sources = Sources().put("consultant", "C", practice="A").put("consultant", "D", practice="B")
    sources.work(1, "03-09", 8).work(2, "03-10", 8).work(3, "03-09", 8, consultant_code="D")
    groups = judge(moved(sources, effective_from=WEDNESDAY, practice="B")).weeks_of_groups(MONDAY)
    assert groups["practice", "A"][:2] == (1, 0)
    assert groups["practice", "A"].capacity == 16 * HOUR
    assert groups["practice", "B"][:2] == (2, 1)
    assert groups["practice", "B"].capacity == 64 * HOUR
    assert groups[FIRM][:2] == (2, 0)


def test_another_calendar_holds_from_its_day_on(judge: Judge) -> None:
    """Holidays of the old calendar before, of the new one since; the same day off in both counts once."""
    sources = week_of_work().put("calendar", "K2", wednesday=D(6), thursday=D(6), friday=D(6))
    for native, calendar, on in (("H1", "K", MONDAY), ("H2", "K", WEDNESDAY), ("H3", "K2", MONDAY)):
        sources.put("holiday", native, calendar_id=calendar, day=on)
    verdict = judge(moved(sources, effective_from=WEDNESDAY, calendar_id="K2"))
    assert verdict.week(MONDAY).capacity == (8 + 6 + 6 + 6) * HOUR


def test_targets_are_those_of_the_grade_of_the_day(judge: Judge) -> None:
    """0.5 of a senior's 16 h until Tuesday, 0.75 of a partner's 24 h since: 8 h and 18 h."""
    sources = week_of_work()
    for grade, ratio in (("senior", "0.5"), ("partner", "0.75")):
        sources.put("utilization_target", grade, scope="grade", consultant_id=None, practice=None)
        sources.put("utilization_target", grade, grade=grade, ratio=D(ratio))
    verdict = judge(moved(sources, effective_from=WEDNESDAY, grade="partner"))
    assert verdict.week(MONDAY).target == (8 + 18) * HOUR


def test_a_plan_counts_for_the_practice_of_each_day(judge: Judge) -> None:
    """6 h a day of the week: 12 h in A, 18 h in B, on which nothing is worked yet."""
    sources = Sources().put("consultant", "C", practice="A")
    span = {"starts_on": MONDAY, "ends_on": MONDAY + timedelta(days=7)}
    sources.put("assignment", "S", **span, hours_per_day=D(6))
    groups = judge(moved(sources, effective_from=WEDNESDAY, practice="B")).weeks_of_groups(MONDAY)
    planned = {key[1]: (of.planned, of.forecast) for key, of in groups.items() if key[0] == "practice"}
    assert planned == {"A": (12 * HOUR, D("0.75")), "B": (18 * HOUR, D("0.75"))}


def test_a_calendar_that_is_missing_makes_its_windows_unknown(judge: Judge) -> None:
    """Not the week before: a position from the 16th on by a calendar that nobody knows."""
    sources = moved(week_of_work().work(9, "03-17", 8), effective_from=NEXT_MONDAY, calendar_id="never")
    verdict = judge(sources)
    assert verdict.week(MONDAY).capacity == 40 * HOUR
    assert verdict.week(NEXT_MONDAY).capacity is None


DAYS = [MONDAY + timedelta(days=number) for number in range(-3, 18)]
one_of = st.sampled_from
POSITION = st.fixed_dictionaries(
    {
        "consultant_id": one_of("CCB"),
        "effective_from": one_of(DAYS),
        "effective_to": st.none() | st.integers(1, 10),
        "practice": one_of([None, "A", "B"]),
        "grade": one_of([None, "senior", "junior"]),
        "calendar_id": one_of([None, None, "K2", "never"]),
        "fte": one_of([None, None, D("0.5"), D(0)]),
    }
)
WORK = st.tuples(one_of(["C", "B", "ghost"]), one_of(DAYS), one_of(["1", "7.5"]))
PLAN = st.tuples(one_of(["C", "B", "ghost"]), one_of(DAYS), st.integers(1, 9))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(POSITION, max_size=4),
    st.lists(WORK, max_size=6),
    st.lists(PLAN, max_size=2),
    st.sampled_from(["senior", "junior"]),
    st.none() | one_of(DAYS),
)
def test_both_judges_agree(
    positions: list[dict[str, Any]],
    work: list[tuple[str, Any, str]],
    plans: list[tuple[str, Any, int]],
    grade: str,
    left_on: Any,
) -> None:
    """On days, windows, plans and groups, whatever overlaps; practices add up to those of the firm who are known."""
    sources = Sources().put("consultant", "B", practice="B", grade=grade, left_on=left_on)
    sources.put("consultant", "C", practice="A", hired_on=DAYS[4])
    sources.put("calendar", "K2", tuesday=D(6)).put("holiday", "H", calendar_id="K2", day=MONDAY)
    sources.put("holiday", "H2", calendar_id="K", day=WEDNESDAY)
    for name, scope in (("T1", "practice"), ("T2", "grade")):
        subject = {"consultant_id": None, "practice": None, "grade": None}
        subject[scope] = {"practice": "B", "grade": "junior"}[scope]
        sources.put("utilization_target", name, scope=scope, **subject, ratio=D("0.6"))
    for number, (who, on, hours) in enumerate(work):
        sources.work(number, f"{on:%m-%d}", hours, consultant_code=who)
    for number, (who, on, length) in enumerate(plans):
        span = {"starts_on": on, "ends_on": on + timedelta(days=length), "hours_per_day": D(5)}
        sources.put("assignment", f"S{number}", consultant_id=who, **span)
    for number, position in enumerate(positions):
        length = position["effective_to"]
        until = None if length is None else position["effective_from"] + timedelta(days=length)
        sources.put("consultant_position", f"Q{number}", **{**position, "effective_to": until})
    verdict = agents(sources)
    assert verdict == oracle(sources)
    for (dimension, _, kind, starts_on), whole in verdict.groups.items():
        if dimension == "firm":
            parts = [
                group
                for (name, _, *at), group in verdict.groups.items()
                if name == "practice" and at == [kind, starts_on]
            ]
            ghost = verdict.windows.get(("erp:ghost", kind, starts_on))
            assert sum(part.worked for part in parts) + (ghost.worked if ghost else 0) == whole.worked
