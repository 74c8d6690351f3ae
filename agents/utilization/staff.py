"""Consultants as utilization sees them, day by day: their rows, but for what their positions say otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from agents.consultant_positions import (
    Position,
    Positions,
    Timeline,
    differing,
    holding,
    parts_between,
    seen_as,
)
from agents.utilization.touches import Touch

CONSULTANT_ROW: Final = "consultant"
_OF_A_POSITION: Final = ("calendar_id", "fte", "practice", "region", "role", "grade")
_DAY: Final = timedelta(days=1)


class Consultant(NamedTuple):
    """What utilization needs of a consultant on a day."""

    calendar_id: str
    fte: Decimal
    hired_on: date
    left_on: date | None
    practice: str | None
    region: str | None
    role: str | None
    grade: str | None

    def is_employed(self, start: date, end: date) -> bool:
        """Whether they are on any day of ``[start, end)``."""
        return self.hired_on < end and (self.left_on is None or self.left_on > start)

    def in_position(self, position: Position | None) -> Consultant:
        """The consultant on a day with a position, which says otherwise where it says anything; or without."""
        if position is None:
            return self
        said = {name: getattr(position, name) for name in _OF_A_POSITION}
        return self._replace(**{name: value for name, value in said.items() if value is not None})


class Staff:
    """All consultants, day by day, and who has which calendar."""

    def __init__(self) -> None:
        self._rows: dict[str, Consultant] = {}
        self._positions = Positions()
        self._timelines: dict[str, Timeline[Consultant]] = {}
        self._by_calendar: dict[str, set[str]] = {}

    def apply(self, entity: str, identifier: str, row: Mapping[str, Any] | None) -> list[Touch]:
        """Take a consultant's row, or a position (None: gone); the days on which anybody differs."""
        if entity == CONSULTANT_ROW:
            self._rows.pop(identifier, None)
            if row is not None:
                self._rows[identifier] = Consultant(*(row[name] for name in Consultant._fields))
            return self._settle(identifier)
        position = None if row is None else Position.from_record(row)
        changes = self._positions.replace(identifier, position)
        return [touch for change in changes for touch in self._settle(change.consultant_id)]

    def ids(self) -> list[str]:
        """Ids of all that are known, ascending."""
        return sorted(self._timelines)

    def timeline(self, consultant_id: str) -> Timeline[Consultant] | None:
        """What a consultant is day by day; None if they are not known."""
        return self._timelines.get(consultant_id)

    def on(self, consultant_id: str, day: date) -> Consultant | None:
        """The consultant as of a day, if known."""
        timeline = self._timelines.get(consultant_id)
        return None if timeline is None else holding(timeline, day)

    def between(self, consultant_id: str, start: date, end: date) -> list[tuple[date, date, Consultant]]:
        """What a consultant is in ``[start, end)``, part by part; nothing if they are not known."""
        timeline = self._timelines.get(consultant_id)
        return [] if timeline is None else parts_between(timeline, start, end)

    def with_calendar(self, calendar_id: str, day: date) -> list[str]:
        """Who works by a calendar on a day, ascending."""
        people = sorted(self._by_calendar.get(calendar_id, ()))
        return [who for who in people if holding(self._timelines[who], day).calendar_id == calendar_id]

    def days_with_calendar(self, calendar_id: str) -> list[Touch]:
        """Who ever works by a calendar, with the days on which they do."""
        return [
            _touch(who, None if first == date.min else first, None if end == date.max else end)
            for who in sorted(self._by_calendar.get(calendar_id, ()))
            for first, end, consultant in self.between(who, date.min, date.max)
            if consultant.calendar_id == calendar_id
        ]

    def _settle(self, identifier: str) -> list[Touch]:
        """Bring what somebody is day by day up to date; the days on which it differs from before."""
        row = self._rows.get(identifier)
        old = self._timelines.pop(identifier, None)
        for _, who in old or ():
            self._by_calendar[who.calendar_id].discard(identifier)
        if row is None:
            return [] if old is None else [Touch(identifier)]
        new = seen_as(self._positions.steps(identifier), row.in_position)
        self._timelines[identifier] = new
        for _, who in new:
            self._by_calendar.setdefault(who.calendar_id, set()).add(identifier)
        if old is None:
            return [Touch(identifier)]
        return [_touch(identifier, first, end) for first, end in differing(old, new)]


def _touch(consultant_id: str, first: date | None, end: date | None) -> Touch:
    return Touch(consultant_id, first, None if end is None else end - _DAY)
