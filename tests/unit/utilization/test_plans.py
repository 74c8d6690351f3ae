"""The resource plan: worked examples for both judges, changes of it, and equality of judges."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.billing.source_databases import HOUR, D, Sources, day
from utilization_builders import ADA, Person, assignment, consultant, firm, holiday
from utilization_judges import Judge, agents, oracle

from agents.utilization import ConsultantState
from agents.utilization.plans import LONGEST, Assignment
from agents.utilization.touches import ProjectTouch, Window, windows_between, windows_of

MONDAY, NEXT = day("03-02"), day("03-09")
PROJECT = ("erp:C", "erp:P", MONDAY)


def planned(sources: Sources, native: str, hours: str, start: str, end: str, **columns: Any) -> Sources:
    """An assignment of consultant C to project P."""
    given = {"starts_on": day(start), "ends_on": day(end), "hours_per_day": D(hours), **columns}
    return sources.put("assignment", native, **given)


def test_a_week_planned_and_worked(judge: Judge) -> None:
    """6 h on five days are 30 h; 34 h worked: -4 h. Forecast 30 of 40 h, actual 34 of 40 h."""
    sources = planned(Sources(), "S", "6", "03-02", "03-07")
    for number, hours in enumerate((8, 8, 8, 8, 2)):
        sources.work(number, f"03-0{number + 2}", hours)
    verdict = judge(sources)
    assert verdict.plans == {PROJECT: (30 * HOUR, 34 * HOUR, -4 * HOUR)}
    week = verdict.week(MONDAY)
    assert (week.planned, week.planned_billable, week.variance) == (30 * HOUR, 30 * HOUR, -4 * HOUR)
    assert (week.forecast, week.ratio) == (D("0.75"), D("0.85"))


def test_only_days_with_capacity_are_planned(judge: Judge) -> None:
    """Wednesday to the next Wednesday (exclusive), 6 h: two and three days; a holiday and a weekend not."""
    sources = planned(Sources(), "S", "6", "03-04", "03-11").put("holiday", "H", day=day("03-06"))
    assert judge(sources).plans == {
        PROJECT: (12 * HOUR, 0, 12 * HOUR),
        ("erp:C", "erp:P", NEXT): (12 * HOUR, 0, 12 * HOUR),
    }


def test_a_plan_of_more_than_the_capacity_shows(judge: Judge) -> None:
    """8 h and 4 h a day of somebody at half time: 300% of the capacity, not cut to it."""
    sources = planned(Sources().put("consultant", "C", fte=D("0.5")), "S1", "8", "03-02", "03-07")
    assert judge(planned(sources, "S2", "4", "03-02", "03-07")).week(MONDAY).forecast == D("3")


def test_coming_windows_are_there_without_a_clock(judge: Judge) -> None:
    """A week in which nothing is worked yet has its forecast, and an actual of nothing."""
    week = judge(planned(Sources(), "S", "6", "03-02", "03-07")).week(MONDAY)
    assert (week.worked, week.ratio, week.forecast) == (0, D(0), D("0.75"))


def test_unplanned_work_is_negative(judge: Judge) -> None:
    """On one project planned and not worked, on another worked and not planned: the total is as planned."""
    sources = planned(Sources().put("project", "Q"), "S", "8", "03-02", "03-03")
    verdict = judge(sources.work(1, "03-02", 8, project_code="Q"))
    assert verdict.plans == {
        PROJECT: (8 * HOUR, 0, 8 * HOUR),
        ("erp:C", "erp:Q", MONDAY): (0, 8 * HOUR, -8 * HOUR),
    }
    assert verdict.week(MONDAY).variance == 0


@pytest.mark.parametrize(
    ("table", "columns", "billable", "unclassified"),
    [
        ("project", {}, 8, 0),
        ("project", {"engagement_id": None}, 0, 0),
        ("project", {"contract_line_id": "gone"}, 0, 8),
        ("contract_line", {"billing_method": "non_billable"}, 0, 0),
        ("contract_line", {"billing_method": "milestone"}, 8, 0),
    ],
)
def test_what_is_forecast_to_be_billable(
    judge: Judge, table: str, columns: dict[str, Any], billable: int, unclassified: int
) -> None:
    """Projects with a billable line; not internal ones; unknown ones apart."""
    native = {"project": "P", "contract_line": "L"}[table]
    sources = planned(Sources().put(table, native, **columns), "S", "8", "03-02", "03-03")
    week = judge(sources).week(MONDAY)
    assert (week.planned_billable, week.planned_unclassified) == (billable * HOUR, unclassified * HOUR)
    assert week.planned == 8 * HOUR


def test_cancelled_and_impossible_assignments_plan_nothing(judge: Judge) -> None:
    """Nor does one of 40 h a day, or one that ends before it starts."""
    sources = planned(Sources(), "S1", "8", "03-02", "03-07", status="cancelled")
    planned(sources, "S2", "40", "03-02", "03-07")
    planned(sources, "S3", "8", "03-07", "03-02")
    verdict = judge(sources)
    assert (verdict.plans, verdict.windows) == ({}, {})


def test_a_plan_of_unknown_capacity_is_unknown(judge: Judge) -> None:
    """Null, not 0, where there is work; without it there is no window, only the exception."""
    sources = planned(Sources().drop("calendar", "K"), "S", "8", "03-02", "03-07")
    assert judge(sources).windows == {}
    verdict = judge(sources.work(1, "03-02", 8))
    assert verdict.plans == {PROJECT: (None, 8 * HOUR, None)}
    week = verdict.week(MONDAY)
    assert (week.planned, week.planned_billable, week.forecast, week.variance) == (None, None, None, None)


def test_a_mistyped_year_plans_three(judge: Judge) -> None:
    """1,096 days of it count: 157 weeks, not fifty thousand."""
    sources = planned(Sources(), "S", "8", "03-02", "03-07", ends_on=date(2926, 3, 7))
    weeks = {starts_on for _, _, starts_on in judge(sources).plans}
    assert (len(weeks), max(weeks)) == (157, MONDAY + 156 * timedelta(weeks=1))


def test_a_group_forecasts_the_sum_of_its_people(judge: Judge) -> None:
    """Two people planned for 30 h and 10 h of 40 h each: 50%; also where only one of them has worked."""
    sources = planned(Sources().put("consultant", "B"), "S1", "6", "03-02", "03-07")
    planned(sources, "S2", "2", "03-02", "03-07", consultant_id="B").work(1, "03-02", 8)
    group = judge(sources).weeks_of_groups(MONDAY)["practice", "data"]
    assert (group.consultants, group.planned, group.capacity) == (2, 40 * HOUR, 80 * HOUR)
    assert (group.forecast, group.ratio) == (D("0.5"), D("0.1"))


def test_a_change_of_capacity_changes_the_plan() -> None:
    """A holiday takes a planned day away, also in a week without an entry; its end gives it back."""
    person = Person(firm())
    person.plan("erp:AS-1", assignment(date(2024, 5, 6), date(2024, 5, 11), 6))
    week = ("erp:P", date(2024, 5, 6))
    assert person.plans[week]["planned_seconds"] == 30 * HOUR
    person.change("holiday", "erp:H-1", holiday(date(2024, 5, 7)))
    assert person.plans[week]["planned_seconds"] == 24 * HOUR
    person.change("consultant", ADA, consultant(left_on=date(2024, 5, 6)))
    assert person.plans[week]["deleted"]
    assert person.live() == ({}, {}, {}, {})
    person.change("consultant", ADA, consultant())
    assert (person.plans[week]["planned_seconds"], person.plans[week]["revision"]) == (24 * HOUR, 4)


def test_a_plan_of_somebody_unknown_is_raised() -> None:
    """A plan alone is enough for the exception, and its end clears it."""
    person = Person(firm(), "erp:ghost")
    person.plan("erp:AS-1", assignment(date(2024, 5, 6), date(2024, 5, 11), 6))
    assert person.raised is not None
    assert person.raised["missing_keys"] == ["consultant:erp:ghost"]
    person.plan("erp:AS-1", {"deleted": True, "status": None}, 2)
    assert person.raised is None


def test_an_entry_that_moves_between_projects_changes_both_weeks() -> None:
    """The day and the windows stay as they are."""
    person = Person(firm())
    person.put("time:1", date(2024, 5, 6), 8, 8)
    facts = person.put("time:1", date(2024, 5, 6), 8, 8, 2, "erp:Q")
    assert (facts.daily, facts.windows, facts.members) == ([], [], [])
    assert {(row["project_id"], row["deleted"]) for row in facts.plans} == {("erp:P", True), ("erp:Q", False)}


def test_rows_of_the_plan_apply_in_the_order_of_their_source() -> None:
    """An older state of a row that comes later changes nothing, nor does the same again."""
    old, new = assignment(MONDAY, NEXT, 4), assignment(MONDAY, NEXT, 6)
    at = {"source_epoch": 1, "source_ordinal": 0}
    first, second = (
        Assignment.from_record({**at, "source_lsn": lsn, **row}) for lsn, row in ((1, old), (2, new))
    )
    gone = Assignment.from_record({**at, "source_lsn": 3, "deleted": True})
    for order in ((first, second), (second, first), (second, second)):
        state = ConsultantState(ADA)
        for one in order:
            state.assign("erp:AS-1", one)
        assert list(state.assignments()) == [second]
    assert state.assign("erp:AS-1", gone) == [(MONDAY, NEXT)]
    assert state.assign("erp:AS-1", second) == []
    restored = ConsultantState.restore(ADA, state.take_writes().items())
    assert list(restored.assignments()) == [gone]


def test_a_project_reaches_its_people_only_if_its_verdict_may_change() -> None:
    """A renamed project or a raised cap touches nobody; another line, or another method, does."""
    reference = firm()
    project = {"deleted": False, "engagement_id": "erp:E", "contract_line_id": "erp:L", "name": "x"}
    assert reference.apply("project", "erp:P", project) == [ProjectTouch("erp:P")]
    assert reference.apply("project", "erp:P", {**project, "name": "y"}) == []
    line = {"deleted": False, "billing_method": "tm", "cap_money": None}
    assert reference.apply("contract_line", "erp:L", line) == [ProjectTouch("erp:P")]
    assert reference.apply("contract_line", "erp:L", {**line, "cap_money": D(1)}) == []
    assert reference.apply("project", "erp:P", None) == [ProjectTouch("erp:P")]
    assert reference.apply("contract_line", "erp:L", None) == []


@given(st.dates(date(2024, 1, 1), date(2024, 12, 31)), st.integers(0, 200))
def test_windows_between_are_those_of_all_days(start: date, length: int) -> None:
    """None is left out, none is added."""
    days = [start + timedelta(days=n) for n in range(length)]
    every: set[Window] = {window for one in days for window in windows_of(one)}
    assert windows_between(start, start + timedelta(days=length)) == every
    assert LONGEST.days < 3 * 366


DAYS = st.integers(0, 20).map(lambda offset: day("03-23") + timedelta(days=offset))
ROWS = st.tuples(
    st.sampled_from(["S1", "S2", "S3"]),
    st.sampled_from(["C", "B", "ghost"]),
    st.sampled_from(["P", "Q", "unknown"]),
    DAYS,
    st.integers(1, 20),
    st.sampled_from(["0", "2.5", "8"]),
    st.sampled_from(["planned", "confirmed", "cancelled"]),
)
WORK = st.tuples(st.sampled_from(["C", "ghost"]), st.sampled_from(["P", "Q"]), DAYS)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=6), st.lists(WORK, max_size=4), st.sampled_from(["tm", "non_billable"]))
def test_both_judges_agree(rows: list[Any], work: list[tuple[str, str, date]], method: str) -> None:
    """On plans, windows and groups of any assignments, and windows sum up what their projects say."""
    sources = Sources().put("consultant", "B", fte=D("0.5"), practice="cloud")
    sources.put("contract_line", "M", billing_method=method).put("project", "Q", contract_line_id="M")
    for native, who, project, start, length, hours, status in rows:
        ends_on = start + timedelta(days=length)
        planned(sources, native, hours, f"{start:%m-%d}", f"{ends_on:%m-%d}", status=status)
        sources.put("assignment", native, consultant_id=who, project_id=project)
    for number, (who, project, on) in enumerate(work):
        sources.work(number, f"{on:%m-%d}", "7.5", consultant_code=who, project_code=project)
    verdict = agents(sources)
    assert verdict == oracle(sources)
    for (who, kind, starts_on), window in verdict.windows.items():
        if kind == "week" and window.planned is not None:
            parts = [plan for (c, _, at), plan in verdict.plans.items() if (c, at) == (who, starts_on)]
            assert window.planned == sum(part[0] or 0 for part in parts)
            assert window.worked == sum(part[1] for part in parts)
