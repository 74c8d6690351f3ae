"""Utilization: capacity, worked examples, what a change publishes, and equality with computing anew."""

from __future__ import annotations

import io
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st
from utilization_builders import (
    ADA,
    HOUR,
    NOW,
    Person,
    absence,
    assignment,
    calendar,
    consultant,
    firm,
    holiday,
    position,
)

from agents.utilization import ConsultantState, Contribution, Lineage, Touch, piece_key
from agents.utilization.ratio import utilization
from agents.utilization.touches import month_of, quarter_of, week_of
from streams.contracts import load_schema

MONDAY = date(2024, 5, 6)


def day(offset: int) -> date:
    return MONDAY + timedelta(days=offset)


def test_part_time_with_a_holiday() -> None:
    """FTE 0.5, five days of 8 h, one holiday, 14 billable hours: 14 / 16 = 87.5%."""
    person = Person(firm("0.5"))
    person.change("holiday", "erp:H-1", holiday(day(3)))
    for offset in (0, 1, 2, 4):
        person.put(f"time:{offset}", day(offset), 3.5, 3.5)
    week = person.windows["week", MONDAY]
    assert (week["billable_seconds"], week["capacity_seconds"]) == (14 * HOUR, 16 * HOUR)
    assert week["utilization"] == Decimal("0.875000")


def test_two_half_days_absent() -> None:
    """Two half-days absent in a 40 h week at FTE 1, 30 billable: 30 / 32 = 93.75%."""
    person = Person(firm())
    for number, offset in enumerate((1, 3)):
        person.change("absence", f"time:A-{number}", absence(day(offset), 4))
    for offset in range(5):
        person.put(f"time:{offset}", day(offset), 6, 6)
    week = person.windows["week", MONDAY]
    assert week["capacity_seconds"] == 32 * HOUR
    assert week["utilization"] == Decimal("0.937500")


@pytest.mark.parametrize(
    ("when", "hours"),
    [
        (day(0), 8.0),
        (day(5), 0.0),  # Saturday
        (day(1), 4.0),  # half holiday
        (day(2), 0.0),  # whole holiday and another: not below zero
        (day(3), 5.0),  # absent
        (day(4), 0.0),  # absent for longer than the day
        (date(2019, 12, 31), 0.0),  # not hired yet
        (date(2020, 1, 1), 8.0),
        (date(2024, 12, 30), 8.0),
        (date(2024, 12, 31), 0.0),  # the day of leaving is exclusive
    ],
)
def test_day_capacity(when: date, hours: float) -> None:
    """Calendar, holidays, absences and employment make a day's capacity, never below zero."""
    reference = firm()
    reference.apply("consultant", ADA, consultant(left_on=date(2024, 12, 31)))
    reference.apply("holiday", "erp:H-1", holiday(day(1), 4))
    reference.apply("holiday", "erp:H-2", holiday(day(2)))
    reference.apply("holiday", "erp:H-3", holiday(day(2), 4))
    reference.apply("absence", "time:A-1", absence(day(3), 1))
    reference.apply("absence", "time:A-2", absence(day(3), 2))
    reference.apply("absence", "time:A-3", absence(day(4), 12))
    assert reference.day_capacity(ADA, when) == int(hours * HOUR)


def test_capacity_rounds_half_up() -> None:
    """A capacity of half a second rounds up, and holidays come before FTE, absences after it."""
    reference = firm("0.5")
    reference.apply("calendar", "erp:DE", {**calendar(), "monday_seconds": 28801})
    assert reference.day_capacity(ADA, day(0)) == 14401
    reference.apply("holiday", "erp:H-1", holiday(day(0), 4))
    reference.apply("absence", "time:A-1", absence(day(0), 1))
    assert reference.day_capacity(ADA, day(0)) == 7201 - HOUR


def test_unknown_capacity_is_null_and_raised() -> None:
    """Without consultant or calendar capacity and ratio are null; one exception, cleared by itself."""
    person = Person(firm())
    person.change("calendar", "erp:DE", None)
    person.put("time:1", day(0), 8, 8)
    person.put("time:2", day(1), 8, 8)
    assert person.daily[day(0)]["capacity_seconds"] is None
    assert person.windows["week", MONDAY]["utilization"] is None
    assert person.raised is not None
    assert (person.raised["subject"], person.raised["exception_class"]) == (ADA, "MISSING_CALENDAR")
    assert (person.raised["missing_keys"], person.raised["seconds"]) == (["calendar:erp:DE"], 16 * HOUR)
    person.change("consultant", ADA, None)
    assert person.raised["missing_keys"] == [f"consultant:{ADA}"]
    assert person.daily[day(0)]["practice"] is None
    person.change("consultant", ADA, consultant())
    person.change("calendar", "erp:DE", calendar())
    assert person.raised is None
    assert person.windows["week", MONDAY]["utilization"] == Decimal("0.400000")


def test_exception_goes_with_the_days() -> None:
    """A consultant nobody knows is no exception any more once the time is withdrawn."""
    person = Person(firm(), "erp:ghost")
    person.put("time:1", day(0), 8)
    assert person.raised is not None
    person.put("time:1", None, 0, revision=2)
    assert person.raised is None


def test_zero_capacity_has_no_ratio() -> None:
    """Work in a window without capacity has a null ratio, not a division by zero."""
    person = Person(firm())
    person.change("consultant", ADA, consultant(left_on=date(2024, 1, 1)))
    person.put("time:1", day(0), 8, 8)
    assert person.windows["week", MONDAY]["capacity_seconds"] == 0
    assert person.windows["week", MONDAY]["utilization"] is None
    assert person.raised is None


def test_one_change_publishes_one_day_and_its_windows() -> None:
    """An entry changes its day and the three windows of it; the same again changes nothing."""
    person = Person(firm())
    facts = person.put("time:1", day(0), 8, 6)
    assert (len(facts.daily), [w["window"] for w in facts.windows]) == (1, ["month", "quarter", "week"])
    assert person.put("time:1", day(0), 8, 6).daily == []
    assert person.put("time:1", day(0), 8, 6, revision=2).windows == []
    assert person.records == 5  # and one that says that nobody knows what Ada costs
    assert len(facts.plans) == 1


def test_last_entry_goes() -> None:
    """Rows are published once as deleted when their last entry goes, and count on when it comes back."""
    person = Person(firm())
    person.put("time:1", day(0), 8, 8)
    facts = person.put("time:1", None, 0, revision=2)
    assert [(row["deleted"], row["worked_seconds"], row["revision"]) for row in facts.daily] == [(True, 0, 2)]
    assert all(row["deleted"] and row["utilization"] is None for row in facts.windows)
    assert person.live() == ({}, {}, {}, {})
    facts = person.put("time:1", day(0), 8, 8, revision=3)
    assert [(row["deleted"], row["revision"]) for row in facts.daily] == [(False, 3)]


def test_a_quarter_is_the_calendars() -> None:
    """Entries of its first and last day are in it, those beside it are not; capacity is of all 65 days."""
    person = Person(firm())
    for number, when in enumerate((date(2024, 3, 29), date(2024, 4, 1), date(2024, 6, 28), date(2024, 7, 1))):
        person.put(f"time:{number}", when, 8, 8)
    quarter = person.windows["quarter", date(2024, 4, 1)]
    assert (quarter["ends_on"], quarter["billable_seconds"]) == (date(2024, 7, 1), 16 * HOUR)
    assert quarter["capacity_seconds"] == 65 * 8 * HOUR
    assert quarter["utilization"] == Decimal("0.030769")


def test_entry_moves_to_another_day() -> None:
    """Moving an entry across a month changes both days and every window of both; the quarter is one."""
    person = Person(firm())
    person.put("time:1", date(2024, 5, 31), 8, 8)
    facts = person.put("time:1", date(2024, 6, 3), 8, 8, revision=2)
    assert [(row["day"], row["deleted"]) for row in facts.daily] == [
        (date(2024, 5, 31), True),
        (date(2024, 6, 3), False),
    ]
    assert [(row["window"], row["deleted"]) for row in facts.windows] == [
        ("month", True),
        ("month", False),
        ("week", True),
        ("week", False),
    ]


def test_arrival_order_of_moves() -> None:
    """An entry that went to another consultant and back ends right, whatever arrives first."""
    put_1 = Contribution(1, day(0), 8 * HOUR, 0, 0)
    remove_2 = Contribution(2, None, 0, 0, 0)
    put_3 = Contribution(3, day(1), 4 * HOUR, 0, 0)
    for order in ((put_1, remove_2, put_3), (put_3, remove_2, put_1), (remove_2, put_1, put_3)):
        state = ConsultantState(ADA)
        for part in order:
            state.apply("time:1", part)
        assert list(state.days) == [day(1)]
    state = ConsultantState(ADA)
    state.apply("time:1", remove_2)
    assert state.apply("time:1", put_1) == set()
    assert state.days == {}


def test_contribution_records() -> None:
    """PUT and REMOVE records are read, with unknown seconds as none."""
    put = {"op": "PUT", "revision": 2, "work_date": day(0), "worked_seconds": 60, "billable_seconds": None}
    put["project_id"] = None
    assert Contribution.from_record({**put, "unclassified_seconds": 60}) == Contribution(2, day(0), 60, 0, 60)
    assert Contribution.from_record({"op": "REMOVE", "revision": 3}) == Contribution(3, None, 0, 0, 0)


def test_absence_on_a_day_without_entries() -> None:
    """An absence on a free day changes its windows and no day."""
    person = Person(firm())
    person.put("time:1", day(0), 8, 8)
    before = person.daily[day(0)]
    person.change("absence", "time:A-1", absence(day(1), 8))
    assert person.daily[day(0)] is before
    assert person.windows["week", MONDAY]["capacity_seconds"] == 32 * HOUR
    assert person.windows["month", date(2024, 5, 1)]["capacity_seconds"] == (23 - 1) * 8 * HOUR


def test_touches() -> None:
    """Each reference change says whom it reaches and when; without effect it reaches nobody."""
    reference = firm()
    reference.apply("consultant", "erp:C-2", consultant(calendar_id="erp:FR"))
    reference.apply("consultant", "erp:C-3", consultant())
    assert reference.apply("holiday", "erp:H-1", holiday(day(1))) == [
        Touch(ADA, day(1), day(1)),
        Touch("erp:C-3", day(1), day(1)),
    ]
    assert reference.apply("holiday", "erp:H-1", holiday(day(1))) == []
    moved = reference.apply("holiday", "erp:H-1", holiday(day(2)))
    assert {t[:2] for t in moved} == {(who, when) for who in (ADA, "erp:C-3") for when in (day(1), day(2))}
    assert reference.apply("absence", "time:A-1", absence(day(1), 4)) == [Touch(ADA, day(1), day(1))]
    handed_on = reference.apply("absence", "time:A-1", absence(day(1), 4, "erp:C-2"))
    assert [t[0] for t in handed_on] == [ADA, "erp:C-2"]
    assert reference.apply("absence", "time:A-1", {"deleted": True}) == [Touch("erp:C-2", day(1), day(1))]
    assert reference.apply("absence", "time:A-1", None) == []
    assert reference.apply("calendar", "erp:FR", calendar()) == [Touch("erp:C-2")]
    assert reference.apply("consultant", "erp:C-2", consultant(calendar_id="erp:FR")) == []
    assert reference.apply("consultant", "erp:C-2", consultant("0.5")) == [Touch("erp:C-2")]
    assert reference.apply("rate", "erp:R-1", {"deleted": False}) == []


def test_rows_fit_their_schemas() -> None:
    """Rows, deleted rows and reports are written by their schemas without losing a field."""
    person = Person(firm())
    person.change("calendar", "erp:DE", None)
    facts = [person.put("time:1", day(0), 8, 8), person.put("time:1", None, 0, revision=2)]
    for topic, rows in (
        ("events/utilization_daily", [row for one in facts for row in one.daily]),
        ("events/utilization_window", [row for one in facts for row in one.windows]),
        ("events/utilization_plan", [row for one in facts for row in one.plans]),
        ("events/utilization_member", [row for one in facts for row in one.members]),
        ("events/exception_raised", [row for one in facts for row in one.reports]),
    ):
        schema = load_schema(topic)
        assert len(rows) >= 2
        for row in rows:
            assert row.keys() <= {field["name"] for field in schema["fields"]}
            schemaless_writer(io.BytesIO(), parse_schema(schema), row)


def test_lineage() -> None:
    """Rows carry the times of the contribution, or are marked as no entry's when a reference changed."""
    times = {"occurred_at": NOW, "captured_at": NOW, "published_at": NOW, "rated_at": NOW, "snapshot": False}
    assert Lineage.of_contribution({**times, "op": "PUT"}).fields() == times
    assert Lineage.of_reference(NOW, NOW, NOW).fields() == {**times, "snapshot": True}


def test_ratio_rounds_half_up() -> None:
    """Six places, half up."""
    assert utilization(1, 3) == Decimal("0.333333")
    assert utilization(2, 3) == Decimal("0.666667")
    assert utilization(1, 2_000_000) == Decimal("0.000001")
    assert utilization(5, 0) is None
    assert utilization(5, None) is None


@given(st.dates(min_value=date(1, 2, 1), max_value=date(9998, 12, 1)))
def test_windows_hold_their_day(when: date) -> None:
    """A day's week starts on Monday and has seven days; its month and quarter are the calendar's."""
    week, month, quarter = week_of(when), month_of(when), quarter_of(when)
    assert week.starts_on.weekday() == 0
    assert (week.ends_on - week.starts_on).days == 7
    assert week.starts_on <= when < week.ends_on
    assert (month.starts_on.day, month.ends_on.day) == (1, 1)
    assert month.starts_on <= when < month.ends_on
    assert (month.ends_on - month.starts_on).days in (28, 29, 30, 31)
    assert quarter.starts_on <= month.starts_on < month.ends_on <= quarter.ends_on
    assert (quarter.starts_on.day, quarter.ends_on.day) == (1, 1)
    assert (quarter.starts_on.month, quarter.ends_on.month) in ((1, 4), (4, 7), (7, 10), (10, 1))


def test_piece_keys() -> None:
    """No consultant's pieces are under another's prefix, also where one id begins with the other."""
    assert piece_key("erp:C-1", "x").startswith(piece_key("erp:C-1"))
    assert not piece_key("erp:C-10", "x").startswith(piece_key("erp:C-1"))


OFFSETS = st.integers(0, 40)
CONTRIBUTION = st.tuples(
    st.just("put"), st.integers(1, 4), st.one_of(st.none(), OFFSETS), st.integers(0, 12), st.integers(0, 12)
)
REFERENCE = st.one_of(
    st.tuples(st.just("absence"), st.integers(1, 3), st.one_of(st.none(), OFFSETS), st.integers(0, 9)),
    st.tuples(st.just("holiday"), st.integers(1, 3), st.one_of(st.none(), OFFSETS), st.integers(0, 9)),
    st.tuples(st.just("consultant"), st.one_of(st.none(), st.sampled_from(["1", "0.5", "0.8333"])), OFFSETS),
    st.tuples(st.just("practice"), st.sampled_from(["data", "cloud"])),
    st.tuples(
        st.just("position"),
        st.integers(1, 2),
        st.one_of(st.none(), OFFSETS),
        st.integers(1, 30),
        st.sampled_from([{"practice": "cloud"}, {"fte": Decimal("0.5")}, {"calendar_id": "erp:UK"}, {}]),
    ),
    st.tuples(st.just("calendar"), st.one_of(st.none(), st.integers(0, 10))),
    st.tuples(st.just("target"), st.integers(1, 2), st.sampled_from([None, "0.5", "0.7777"]), OFFSETS),
    st.tuples(st.just("plan"), st.integers(1, 2), st.one_of(st.none(), OFFSETS), st.integers(0, 12)),
    st.tuples(st.just("line"), st.sampled_from([None, "tm", "non_billable"])),
    st.tuples(st.just("restart")),
)


def play(person: Person, step: tuple[Any, ...], revision: int) -> None:
    match step:
        case ("put", entry, None, _, _):
            person.put(f"time:{entry}", None, 0, revision=revision)
        case ("put", entry, offset, worked, billable):
            person.put(f"time:{entry}", day(offset), worked, billable, revision)
        case ("absence", number, offset, hours):
            person.change(
                "absence", f"time:A-{number}", None if offset is None else absence(day(offset), hours)
            )
        case ("holiday", number, offset, hours):
            row = None if offset is None else holiday(day(offset), hours or None)
            person.change("holiday", f"erp:H-{number}", row)
        case ("consultant", fte, offset):
            person.change("consultant", ADA, None if fte is None else consultant(fte, left_on=day(offset)))
        case ("practice", name):
            person.change("consultant", ADA, consultant(practice=name))
        case ("position", number, offset, length, columns):
            row = None if offset is None else position(day(offset), day(offset + length), **columns)
            person.change("consultant_position", f"erp:CP-{number}", row)
        case ("calendar", hours):
            person.change("calendar", "erp:DE", None if hours is None else calendar(tuesday=hours))
        case ("target", number, ratio, offset):
            names = {"scope": "practice", "practice": "data", "consultant_id": None, "grade": None}
            since = {"effective_from": day(offset), "effective_to": day(offset + 9), "deleted": False}
            row = None if ratio is None else {**names, **since, "ratio": Decimal(ratio)}
            person.change("utilization_target", f"erp:T-{number}", row)
        case ("plan", number, offset, length):
            start = MONDAY if offset is None else day(offset)
            status = "cancelled" if offset is None else "planned"
            row = assignment(start, start + timedelta(days=length + 1), number, status=status)
            person.plan(f"erp:AS-{number}", row, revision)
        case ("line", method):
            project = {"deleted": False, "engagement_id": "erp:E", "contract_line_id": "erp:L"}
            person.change("project", "erp:P", project)
            line = None if method is None else {"deleted": False, "billing_method": method}
            person.change("contract_line", "erp:L", line)
        case _:
            person.restart()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(CONTRIBUTION, REFERENCE), max_size=15))
def test_incremental_equals_computing_anew(steps: list[tuple[Any, ...]]) -> None:
    """After any changes of entries and references, with restarts, the fold of what was published equals
    one pass over the final state; and every revision that was published changed something."""
    person = Person(firm())
    for revision, step in enumerate(steps, 1):
        play(person, step, revision)
    fresh = person.anew()
    assert person.live() == fresh.live()
    assert (person.raised is None) is (fresh.raised is None)
    if person.raised is not None and fresh.raised is not None:
        for name in ("missing_keys", "seconds", "subject", "exception_class"):
            assert person.raised[name] == fresh.raised[name]
