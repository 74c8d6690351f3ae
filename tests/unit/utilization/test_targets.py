"""Targets and shortfall: worked examples for both judges, whom a change reaches, and equality of judges."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.billing.source_databases import HOUR, D, Sources, day
from utilization_builders import ADA, Person, consultant, firm
from utilization_judges import Judge, agents, oracle

from agents.utilization import Touch, UtilizationReference
from agents.utilization.targets import Targets

MONDAY = day("03-02")


def target(sources: Sources, native: str, ratio: str, scope: str = "practice", **columns: Any) -> Sources:
    """A target of practice data, of grade senior or of consultant C unless told otherwise."""
    names = {
        "practice": {"practice": "data"},
        "grade": {"grade": "senior"},
        "consultant": {"consultant_id": "C"},
    }
    empty = dict.fromkeys(("practice", "grade", "consultant_id"))
    given = {**empty, **names[scope], "effective_from": day("01-01"), **columns}
    return sources.put("utilization_target", native, scope=scope, ratio=D(ratio), **given)


def worked(hours: dict[str, str | int]) -> Sources:
    """Billable entries by day."""
    sources = Sources()
    for number, (on, spent) in enumerate(hours.items()):
        sources.work(number, on, spent)
    return sources


def test_a_target_of_75_percent(judge: Judge) -> None:
    """0.75 of 40 h are 30 h; 28 h billable fall short by 2 h."""
    week = judge(target(worked({"03-02": 14, "03-03": 14}), "T", "0.75")).week(MONDAY)
    assert (week.target, week.shortfall) == (30 * HOUR, 2 * HOUR)


def test_a_target_that_is_exceeded_has_no_shortfall(judge: Judge) -> None:
    """More than there was to reach: 0, not a negative shortfall."""
    week = judge(target(worked({"03-02": 20}), "T", "0.25")).week(MONDAY)
    assert (week.target, week.shortfall) == (10 * HOUR, 0)


def test_without_a_target_there_is_no_shortfall(judge: Judge) -> None:
    """Null, not 0; a target of another practice, or one that is over, is none."""
    sources = target(worked({"03-02": 8}), "T1", "0.75", practice="cloud")
    target(sources, "T2", "0.75", effective_to=MONDAY)
    assert judge(sources).week(MONDAY)[4:6] == (None, None)


@pytest.mark.parametrize(
    ("scopes", "hours"),
    [(("practice",), 8), (("practice", "grade"), 16), (("practice", "grade", "consultant"), 24)],
)
def test_the_most_specific_target_wins(judge: Judge, scopes: tuple[str, ...], hours: int) -> None:
    """The consultant's own, then the grade's, then the practice's: 20%, 40% and 60% of 40 h."""
    sources = worked({"03-02": 8})
    for scope in scopes:
        target(sources, scope, {"practice": "0.2", "grade": "0.4", "consultant": "0.6"}[scope], scope)
    assert judge(sources).week(MONDAY).target == hours * HOUR


def test_a_target_that_starts_inside_a_window(judge: Judge) -> None:
    """From Wednesday on 0.75 of three days of 8 h are 18 h; Monday's billable 8 h are not held against it."""
    sources = target(worked({"03-02": 8, "03-04": 8}), "T", "0.75", effective_from=day("03-04"))
    week = judge(sources).week(MONDAY)
    assert (week.billable, week.target, week.shortfall) == (16 * HOUR, 18 * HOUR, 10 * HOUR)


def test_a_target_that_changes_inside_a_window(judge: Judge) -> None:
    """0.5 on two days and 0.75 on three: 8 h and 18 h, once rounded."""
    sources = target(worked({"03-02": 8}), "T1", "0.5", effective_to=day("03-04"))
    assert judge(target(sources, "T2", "0.75", effective_from=day("03-04"))).week(MONDAY).target == 26 * HOUR


def test_of_two_of_one_scope_the_later_start_wins(judge: Judge) -> None:
    """Then the higher id; neither is added to the other."""
    sources = target(worked({"03-02": 8}), "T1", "0.5", effective_from=day("02-01"))
    target(sources, "T9", "0.25")
    assert judge(sources).week(MONDAY).target == 20 * HOUR
    assert judge(target(sources, "T2", "0.75", effective_from=day("02-01"))).week(MONDAY).target == 30 * HOUR


def test_a_target_rounds_half_up_to_a_second(judge: Judge) -> None:
    """0.0001 of 45,000 s are 4.5 s: 5 s, of which nothing is billable."""
    sources = target(Sources().put("task", "T", billing_class="non_billable"), "U", "0.0001")
    sources.put("calendar", "K", **dict.fromkeys(("tuesday", "wednesday", "thursday", "friday"), D(0)))
    sources.put("calendar", "K", monday=D("12.5")).work(1, "03-02", 8, task_code="T")
    week = judge(sources).week(MONDAY)
    assert (week.capacity, week.target, week.shortfall) == (45_000, 5, 5)


def test_unknown_capacity_has_no_target(judge: Judge) -> None:
    """Null, as the capacity is; with no capacity at all there is nothing to reach."""
    sources = target(worked({"03-02": 8}), "T", "0.75")
    assert judge(sources.drop("calendar", "K")).week(MONDAY)[4:6] == (None, None)
    sources.put("calendar", "K").put("consultant", "C", fte=D(0))
    assert judge(sources).week(MONDAY)[4:6] == (0, 0)


def test_a_target_in_percent_is_left_out(judge: Judge) -> None:
    """75 is no share: the row is withdrawn, as if it were not there."""
    assert judge(target(worked({"03-02": 8}), "T", "75")).week(MONDAY).target is None


def row(scope: str = "practice", name: str = "data", ratio: str = "0.75", **changes: Any) -> dict[str, Any]:
    """A canonical target."""
    names = dict.fromkeys(("consultant_id", "grade", "practice"))
    names["consultant_id" if scope == "consultant" else scope] = name  # type: ignore[assignment]
    values = {"effective_from": date(2024, 1, 1), "effective_to": None, "deleted": False, **names}
    return {"scope": scope, "ratio": Decimal(ratio), **values, **changes}


def test_a_change_reaches_the_people_of_its_scope_on_its_days() -> None:
    """Both before and after it; one that changes nothing reaches nobody."""
    reference = firm()
    reference.apply("consultant", "erp:C-2", consultant(practice="cloud"))
    assert reference.apply("utilization_target", "erp:T", row()) == [Touch(ADA, date(2024, 1, 1))]
    assert reference.apply("utilization_target", "erp:T", row()) == []
    ended = row(effective_to=date(2024, 6, 1))
    assert reference.apply("utilization_target", "erp:T", ended) == [
        Touch(ADA, date(2024, 1, 1)),
        Touch(ADA, date(2024, 1, 1), date(2024, 5, 31)),
    ]
    moved = reference.apply("utilization_target", "erp:T", row("practice", "cloud"))
    assert {touch[0] for touch in moved} == {ADA, "erp:C-2"}
    mine = reference.apply("utilization_target", "erp:T", row("consultant", ADA))
    assert {touch[0] for touch in mine} == {ADA, "erp:C-2"}
    assert reference.apply("utilization_target", "erp:T", None) == [Touch(ADA, date(2024, 1, 1))]


def test_a_new_target_publishes_windows_and_no_day() -> None:
    """A change of a target is a change of every window it reaches, once."""
    person = Person(firm())
    person.put("time:1", date(2024, 5, 6), 8, 8)
    before, records = person.daily[date(2024, 5, 6)], person.records
    person.change("utilization_target", "erp:T", row())
    assert person.daily[date(2024, 5, 6)] is before
    assert person.records == records + 3
    week = person.windows["week", date(2024, 5, 6)]
    assert (week["target_seconds"], week["shortfall_seconds"]) == (30 * HOUR, 22 * HOUR)
    person.change("utilization_target", "erp:T", row(effective_to=date(2024, 5, 6)))
    assert person.windows["week", date(2024, 5, 6)]["target_seconds"] is None
    assert person.windows["month", date(2024, 5, 1)]["target_seconds"] == 3 * 6 * HOUR


def test_a_promotion_changes_the_target() -> None:
    """The grade's target goes with the grade, also where it was asked for before."""
    person = Person(firm())
    person.change("utilization_target", "erp:T", row("grade", "senior"))
    person.put("time:1", date(2024, 5, 6), 8, 8)
    assert person.windows["week", date(2024, 5, 6)]["target_seconds"] == 30 * HOUR
    person.change("consultant", ADA, consultant(grade="partner"))
    assert person.windows["week", date(2024, 5, 6)]["target_seconds"] is None


def test_a_table_that_was_emptied_has_no_goal() -> None:
    """Not even for a scope that had a target before."""
    targets = Targets()
    targets.apply("T", row())
    targets.apply("T", None)
    assert targets.ratio([("practice", "data")], MONDAY) is None
    assert targets.goal([("practice", "data")], MONDAY, MONDAY, lambda _: 1) is None
    assert UtilizationReference().range_goal("nobody", MONDAY, MONDAY) is None


DAYS = st.integers(0, 20).map(lambda offset: day("03-23") + timedelta(days=offset))
ROWS = st.tuples(
    st.sampled_from(["T1", "T2", "T3", "T4"]),
    st.sampled_from(["consultant", "grade", "practice"]),
    st.sampled_from(["0", "0.3333", "0.75", "1"]),
    DAYS,
    st.integers(0, 12),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ROWS, max_size=6),
    st.dictionaries(DAYS, st.sampled_from(["2.5", "8"]), min_size=1, max_size=8),
    st.sampled_from(["1", "0.3333"]),
)
def test_both_judges_agree(
    rows: list[tuple[str, str, str, date, int]], hours: dict[date, str], fte: str
) -> None:
    """On windows of any targets, over a quarter's end."""
    sources = worked({f"{on:%m-%d}": spent for on, spent in hours.items()}).put("consultant", "C", fte=D(fte))
    for native, scope, ratio, start, length in rows:
        end = start + timedelta(days=length) if length else None
        target(sources, native, ratio, scope, effective_from=start, effective_to=end)
    assert agents(sources) == oracle(sources)
