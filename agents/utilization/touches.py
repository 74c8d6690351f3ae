"""Days of a consultant that a reference change can reach, and the windows that days belong to."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final, NamedTuple

WEEK: Final = "week"
MONTH: Final = "month"
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


class Window(NamedTuple):
    """A week from Monday or a calendar month, ``[starts_on, ends_on)``."""

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


def windows_of(day: date) -> tuple[Window, Window]:
    """Both windows of a day."""
    return week_of(day), month_of(day)
