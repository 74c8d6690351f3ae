"""Dates: Easter, months, local evenings."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.reference.firm import FirmSettings
from connectors.reference.firm.days import days_between, easter, is_banking_day, local, monday_of, next_month

DAYS = st.dates(min_value=date(1990, 1, 1), max_value=date(2090, 1, 1))


@pytest.mark.parametrize(
    ("year", "day"),
    [
        (2024, date(2024, 3, 31)),
        (2025, date(2025, 4, 20)),
        (2026, date(2026, 4, 5)),
        (2038, date(2038, 4, 25)),
    ],
)
def test_easter_is_on_the_known_days(year: int, day: date) -> None:
    """2038 is the latest possible day."""
    assert easter(year) == day


@given(DAYS)
def test_weeks_and_months(day: date) -> None:
    """A week's Monday is at most six days back; the next month begins after every day of this one."""
    assert timedelta(0) <= day - monday_of(day) < timedelta(days=7)
    assert monday_of(day).weekday() == 0
    assert next_month(day).day == 1
    assert day < next_month(day) <= day + timedelta(days=31)


def test_an_evening_in_tonga_is_a_morning_in_utc() -> None:
    """UTC+13: 17:30 of the 10th is 04:30 of the 10th in UTC, and 07:00 is of the day before."""
    day = date(2026, 3, 10)
    assert local(day, 17 * 60 + 30, "Pacific/Tongatapu") == datetime(2026, 3, 10, 4, 30, tzinfo=UTC)
    assert local(day, 7 * 60, "Pacific/Tongatapu") == datetime(2026, 3, 9, 18, 0, tzinfo=UTC)


def test_markets_are_closed_at_easter_for_less_than_the_look_back() -> None:
    """Good Friday to Easter Monday: four days without a rate, so that five days of look-back find one."""
    closed = [day for day in days_between(date(2026, 4, 3), date(2026, 4, 7)) if not is_banking_day(day)]
    assert len(closed) == 4
    assert is_banking_day(date(2026, 4, 2))
    assert is_banking_day(date(2026, 4, 7))


@given(st.integers(min_value=14, max_value=400), st.integers(min_value=0, max_value=100))
def test_percent_of_a_run(days: int, percent: int) -> None:
    """A percentage of the run is a day of it, or the day after."""
    settings = FirmSettings(days=days)
    assert settings.start <= settings.day_at(percent) <= settings.end
