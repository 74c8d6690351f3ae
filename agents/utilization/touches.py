"""Days of a consultant that a reference change can reach, and the windows that days belong to."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

WEEK: Final = "week"
MONTH: Final = "month"
QUARTER: Final = "quarter"
_MONTHS_IN_A_QUARTER: Final = 3
_DAY: Final = timedelta(days=1)


class Touch(NamedTuple):
    """A consultant's days to compute again, inclusive on both ends; None is unbounded."""

    consultant_id: str
    first_day: date | None = None
    last_day: date | None = None

    def holds(self, day: date) -> bool:
        """Whether a day is inside."""
        return (self.first_day is None or self.first_day <= day) and (
            self.last_day is None or day <= self.last_day
        )

    def reaches(self, start: date, end: date) -> bool:
        """Whether any day of ``[start, end)`` is inside."""
        if self.first_day is not None and end <= self.first_day:
            return False
        return self.last_day is None or start <= self.last_day


class ProjectTouch(NamedTuple):
    """A project of which it may have changed whether its plan is billable; its people are in the state."""

    project_id: str


class Window(NamedTuple):
    """A week from Monday, a calendar month or a calendar quarter, ``[starts_on, ends_on)``."""

    kind: str
    starts_on: date
    ends_on: date


def week_of(day: date) -> Window:
    """The week that holds a day."""
    monday = day - timedelta(days=day.weekday())
    return Window(WEEK, monday, monday + timedelta(days=7))


def month_of(day: date) -> Window:
    """The calendar month that holds a day."""
    first = day.replace(day=1)
    return Window(MONTH, first, (first + timedelta(days=31)).replace(day=1))


def quarter_of(day: date) -> Window:
    """The calendar quarter that holds a day: of 15 May, ``[1 April, 1 July)``."""
    month = day.month - (day.month - 1) % _MONTHS_IN_A_QUARTER
    first = day.replace(month=month, day=1)
    return Window(QUARTER, first, (first + timedelta(days=93)).replace(day=1))


# Entries of some years are on some hundred days.
@lru_cache(maxsize=4096)
def windows_of(day: date) -> tuple[Window, ...]:
    """All windows of a day."""
    return week_of(day), month_of(day), quarter_of(day)


def windows_between(start: date, end: date) -> set[Window]:
    """All windows that have a day of ``[start, end)``."""
    days = range(start.toordinal(), end.toordinal())
    # Every seventh day finds each week, and no month is shorter; the last day, what they leave over.
    looked_at = [date.fromordinal(ordinal) for ordinal in (*days[::7], *days[-1:])]
    return {window for day in looked_at for window in windows_of(day)}
