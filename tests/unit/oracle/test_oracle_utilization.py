"""Utilization: what counts as worked and billable, capacity, and ratios of sums."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import DayKey, Utilization, WindowKey
from oracle.utilization import ratio, window_end, window_starts
from unit.oracle.builders import (
    HOUR,
    D,
    absence,
    consultant,
    day,
    entry,
    expect,
    firm,
    holiday,
    line,
    project,
    task,
    without,
)

THURSDAY = DayKey("erp:C", day("03-05"))


def test_a_day_adds_up_its_approved_entries() -> None:
    """Two entries of a day are one row; a draft doesn't count."""
    rows = firm(entry(1, "03-05", HOUR), entry(2, "03-05", 2 * HOUR), entry(3, "03-05", status="draft"))
    assert expect(rows).daily == {
        THURSDAY: Utilization(3 * HOUR, 3 * HOUR, 0, 8 * HOUR, None, "data", "eu", "dev", "senior")
    }


def test_an_entry_is_in_its_week_month_and_quarter() -> None:
    """Weeks start on Monday, months and quarters are the calendar's; all have capacity on idle days."""
    windows = expect(firm(entry(1, "03-05", 8 * HOUR))).windows
    assert {key: (w.billable, w.capacity) for key, w in windows.items()} == {
        WindowKey("erp:C", "week", day("03-02")): (8 * HOUR, 40 * HOUR),
        WindowKey("erp:C", "month", day("03-01")): (8 * HOUR, 22 * 8 * HOUR),
        WindowKey("erp:C", "quarter", day("01-01")): (8 * HOUR, 64 * 8 * HOUR),
    }


@pytest.mark.parametrize("method", ["tm", "milestone", "retainer", "prepaid", "per_diem"])
def test_fixed_fee_and_covered_time_is_billable(method: str) -> None:
    """Every method but non_billable makes billable time."""
    assert expect(firm(line(method=method), entry(1, "03-05"))).daily[THURSDAY].billable == HOUR


def test_non_billable_and_internal_time_is_not() -> None:
    """A non-billable line, a non-billable task, or a project without an engagement."""
    for rows in (
        firm(line(method="non_billable"), entry(1, "03-05")),
        firm(task("T", billing_class="non_billable"), entry(1, "03-05", task_id="erp:T")),
        firm(project(engagement=None, line=None), entry(1, "03-05")),
    ):
        found = expect(rows).daily[THURSDAY]
        assert (found.worked, found.billable, found.unclassified) == (HOUR, 0, 0)


@pytest.mark.parametrize("gone", ["erp:P", "erp:L", "erp:T"])
def test_time_on_unknown_work_is_unclassified(gone: str) -> None:
    """Without its project, line or task it is not known whether time is billable."""
    rows = without(firm(task("T"), entry(1, "03-05", task_id="erp:T")), gone)
    found = expect(rows).daily[THURSDAY]
    assert (found.worked, found.billable, found.unclassified) == (HOUR, 0, HOUR)


@pytest.mark.parametrize("gone", ["erp:E", "erp:A", "erp:LE", "erp:R0"])
def test_billable_time_needs_no_price(gone: str) -> None:
    """Engagement, client, entity and rate don't matter to utilization."""
    assert expect(without(firm(entry(1, "03-05")), gone)).daily[THURSDAY].billable == HOUR


@pytest.mark.parametrize("gone", ["erp:C", "erp:K"])
def test_without_consultant_or_calendar_capacity_is_unknown(gone: str) -> None:
    """Null, not zero, and so is the ratio."""
    out = expect(without(firm(entry(1, "03-05")), gone))
    assert out.daily[THURSDAY].capacity is None
    assert {(w.capacity, w.ratio) for w in out.windows.values()} == {(None, None)}


def test_capacity_is_zero_outside_employment() -> None:
    """Hired on Wednesday, left on Friday: two days of the week count; on a day before, 0."""
    person = consultant(hired_on=day("03-04"), left_on=day("03-06"))
    out = expect(firm(person, entry(1, "03-03"), entry(2, "03-06")))
    assert out.windows[WindowKey("erp:C", "week", day("03-02"))].capacity == 16 * HOUR
    assert [row.capacity for row in out.daily.values()] == [0, 0]


def test_holidays_are_before_fte_and_absences_after() -> None:
    """(8 h - 3 h) x 0.5 - 1 h is 1.5 h; more off than there is leaves 0."""
    half = consultant(fte=D("0.5"))
    short = [holiday("03-05", 2 * HOUR), holiday("03-05", HOUR, "H2")]
    out = expect(firm(half, *short, absence("A", "03-05", HOUR), entry(1, "03-05")))
    assert out.daily[THURSDAY].capacity == 5400
    out = expect(firm(*short, holiday("03-05", None, "H3"), absence("A", "03-05", HOUR), entry(1, "03-05")))
    assert out.daily[THURSDAY].capacity == 0


def test_capacity_rounds_half_up_to_a_second() -> None:
    """8 h x 0.3333 is 9,599.04 s; 1 s of a holiday less than 8 h at 0.5 is 14,399.5 s, up."""
    out = expect(firm(consultant(fte=D("0.3333")), entry(1, "03-05")))
    assert out.daily[THURSDAY].capacity == 9599
    out = expect(firm(consultant(fte=D("0.5")), holiday("03-05", 1), entry(1, "03-05")))
    assert out.daily[THURSDAY].capacity == 14400


def test_no_capacity_is_no_ratio() -> None:
    """Work in a week of zero capacity: null."""
    out = expect(firm(consultant(fte=D(0)), entry(1, "03-05")))
    assert {(w.capacity, w.ratio) for w in out.windows.values()} == {(0, None)}


def test_ratios_have_six_places_half_up() -> None:
    """2/3 is 0.666667, 1/8,000,000 rounds to 0, 1/2,000,000 up."""
    assert ratio(2, 3) == D("0.666667")
    assert ratio(1, 8_000_000) == 0
    assert ratio(1, 2_000_000) == D("0.000001")


@given(st.dates(date(2020, 1, 1), date(2032, 1, 1)))
def test_windows_hold_their_day(any_day: date) -> None:
    """A day is inside its windows, and the last day of each is in the window as well."""
    for window, starts_on in window_starts(any_day):
        assert starts_on <= any_day < window_end(window, starts_on)
        last = window_end(window, starts_on) - timedelta(days=1)
        assert (window, starts_on) in window_starts(last)
        assert (window, starts_on) not in window_starts(last + timedelta(days=1))
