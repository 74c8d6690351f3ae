"""Dates of a working firm: weeks, months, local evenings, public holidays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

SATURDAY = 5


def monday_of(day: date) -> date:
    """The Monday of a day's week."""
    return day - timedelta(days=day.weekday())


def is_weekend(day: date) -> bool:
    """Saturday or Sunday."""
    return day.weekday() >= SATURDAY


def month_of(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)


def next_month(day: date) -> date:
    """The first day of the month after a day's."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def days_between(start: date, end: date) -> Iterator[date]:
    """Days of ``[start, end)``."""
    for offset in range((end - start).days):
        yield start + timedelta(days=offset)


def local(day: date, minutes: int, zone: str) -> datetime:
    """The UTC instant ``minutes`` after local midnight of a day; may be another day in UTC."""
    return (datetime.combine(day, time(), ZoneInfo(zone)) + timedelta(minutes=minutes)).astimezone(UTC)


@cache
def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the anonymous algorithm of 1876)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (b - (b + 8) // 25 + 1) // 3
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    weekday = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * weekday) // 451
    month, day = divmod(h + weekday - 7 * m + 114, 31)
    return date(year, month, day + 1)


@cache
def public_holidays(year: int) -> dict[date, str]:
    """Days on which neither the offices work nor the markets publish rates."""
    sunday = easter(year)
    return {
        date(year, 1, 1): "New Year",
        sunday - timedelta(days=2): "Good Friday",
        sunday + timedelta(days=1): "Easter Monday",
        date(year, 5, 1): "May Day",
        date(year, 12, 25): "Christmas",
        date(year, 12, 26): "Second day of Christmas",
    }


def is_banking_day(day: date) -> bool:
    """A day on which FX rates are published."""
    return not is_weekend(day) and day not in public_holidays(day.year)
