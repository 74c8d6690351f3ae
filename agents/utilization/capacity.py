"""Capacity of a consultant's day, from calendars, holidays, FTE, employment dates and absences.

    capacity = max(0, (calendar's seconds of the weekday - holidays) x FTE - absences)

Holidays of one day add up, an hourless holiday takes the whole day, and neither takes more than the
calendar gives. The result is rounded half up to a whole second. Outside the employment, ``[hired_on,
left_on)``, it is 0. It is unknown (None) while the consultant or the calendar is. Calendar and FTE are those of
the day (`agents.consultant_positions`).

Example: FTE 0.5 and an 8 h day give 14,400 s; with 2 h of absence 7,200 s; on a holiday 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, TypeAlias, TypeVar

from agents.consultant_positions import ENTITY as POSITION
from agents.consultant_positions import holding
from agents.utilization.chargeable import CONTRACT_LINE, PROJECT, Chargeable
from agents.utilization.costs import COST_RATE, CostRates
from agents.utilization.staff import CONSULTANT_ROW, Consultant, Staff
from agents.utilization.targets import CONSULTANT, GRADE, PRACTICE, Goal, Scope, Target, Targets
from agents.utilization.targets import ENTITY as TARGET
from agents.utilization.touches import ProjectTouch, Touch

Record: TypeAlias = Mapping[str, Any]
V = TypeVar("V")

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SECOND: Final = Decimal(1)
_DAY: Final = timedelta(days=1)
# Ranges remembered a consultant: those of the windows that live input is about. Beyond that
# (a backfill of years) they are forgotten together.
_REMEMBERED: Final = 64
ENTITIES: Final = (
    *(CONSULTANT_ROW, POSITION, "calendar", "holiday", "absence"),
    *(TARGET, PROJECT, CONTRACT_LINE, COST_RATE),
)


@dataclass(frozen=True, slots=True)
class DayOff:
    """A holiday of a calendar or an absence of a consultant; ``seconds`` None is the whole day."""

    owner_id: str
    day: date
    seconds: int | None


class UtilizationReference:
    """The reference tables, indexed by what a day's capacity, target and plan look up."""

    def __init__(self) -> None:
        self._staff = Staff()
        self.consultant_on = self._staff.on
        self.consultant_between = self._staff.between
        self.consultants = self._staff.ids
        self._calendars: dict[str, tuple[int, ...]] = {}
        self._holidays: dict[str, DayOff] = {}
        self._absences: dict[str, DayOff] = {}
        self._holidays_of: dict[tuple[str, date], set[str]] = {}
        self._absences_of: dict[tuple[str, date], set[str]] = {}
        self._targets = Targets()
        self._chargeable = Chargeable()
        self.is_billable = self._chargeable.is_billable
        self.costs = CostRates()
        self._ranges: dict[str, dict[tuple[date, date], int | None]] = {}
        self._workdays: dict[str, dict[tuple[date, date], int | None]] = {}
        self._goals: dict[str, dict[tuple[date, date], Goal | None]] = {}

    def apply(self, entity: str, identifier: str, record: Record | None) -> list[Touch | ProjectTouch]:
        """Take a canonical record (None or ``deleted``: gone); the consultants and days it reaches.

        Or the projects: who is planned on them is not known here. Records of other entities reach nothing.
        """
        row = None if record is None or record["deleted"] else record
        if entity in (PROJECT, CONTRACT_LINE):
            return [ProjectTouch(project) for project in self._chargeable.apply(entity, identifier, row)]
        if entity == COST_RATE:
            return list(self.costs.apply(identifier, row))
        touches = self._apply(entity, identifier, row)
        for touch in touches:
            self._ranges.pop(touch.consultant_id, None)
            self._workdays.pop(touch.consultant_id, None)
            self._goals.pop(touch.consultant_id, None)
        return list(touches)

    def _apply(self, entity: str, identifier: str, row: Record | None) -> list[Touch]:
        if entity in (CONSULTANT_ROW, POSITION):
            return self._staff.apply(entity, identifier, row)
        if entity == "calendar":
            return self._apply_calendar(identifier, row)
        if entity == "holiday":
            touched = _replace(self._holidays, self._holidays_of, identifier, row, "calendar_id")
            return [
                Touch(who, day, day)
                for calendar, day in touched
                for who in self._staff.with_calendar(calendar, day)
            ]
        if entity == "absence":
            touched = _replace(self._absences, self._absences_of, identifier, row, "consultant_id")
            return [Touch(who, day, day) for who, day in touched]
        if entity == TARGET:
            reached = [
                touch for target in self._targets.apply(identifier, row) for touch in self._aims(target)
            ]
            return list(dict.fromkeys(reached))
        return []

    def missing_keys(self, consultant_id: str) -> list[str]:
        """What the capacity of any day lacks: ``consultant:<id>`` or each ``calendar:<id>``, or nothing."""
        timeline = self._staff.timeline(consultant_id)
        if timeline is None:
            return [f"consultant:{consultant_id}"]
        calendars = {who.calendar_id for _, who in timeline}
        return sorted(f"calendar:{one}" for one in calendars if one not in self._calendars)

    def day_capacity(self, consultant_id: str, day: date) -> int | None:
        """Seconds the consultant could work on a day; None if the consultant or calendar is unknown."""
        consultant = self.consultant_on(consultant_id, day)
        if consultant is None:
            return None
        week = self._calendars.get(consultant.calendar_id)
        if week is None:
            return None
        if day < consultant.hired_on or (consultant.left_on is not None and day >= consultant.left_on):
            return 0
        seconds = week[day.weekday()]
        holidays = self._holidays_of.get((consultant.calendar_id, day))
        if holidays:
            seconds = _after_holidays(seconds, [self._holidays[one].seconds for one in holidays])
        capacity = seconds * consultant.fte
        absences = self._absences_of.get((consultant_id, day))
        if absences:
            capacity -= sum(self._absences[one].seconds or 0 for one in absences)
        return max(0, int(capacity.quantize(_SECOND, rounding=ROUND_HALF_UP)))

    def range_capacity(self, consultant_id: str, start: date, end: date) -> int | None:
        """Sum of the days of ``[start, end)``; None if the consultant or calendar is unknown."""
        known = _room(self._ranges, consultant_id)
        if (start, end) not in known:
            known[start, end] = self._sum(consultant_id, start, end)
        return known[start, end]

    def range_workdays(self, consultant_id: str, start: date, end: date) -> int | None:
        """How many days of ``[start, end)`` have capacity; None if the consultant or calendar is unknown."""
        known = _room(self._workdays, consultant_id)
        if (start, end) not in known:
            days = range(start.toordinal(), end.toordinal())
            seconds = [self.day_capacity(consultant_id, date.fromordinal(ordinal)) for ordinal in days]
            known[start, end] = None if None in seconds else sum(bool(part) for part in seconds)
        return known[start, end]

    def _sum(self, consultant_id: str, start: date, end: date) -> int | None:
        total = 0
        for ordinal in range(start.toordinal(), end.toordinal()):
            seconds = self.day_capacity(consultant_id, date.fromordinal(ordinal))
            if seconds is None:
                return None
            total += seconds
        return total

    def range_goal(self, consultant_id: str, start: date, end: date) -> Goal | None:
        """What the days of ``[start, end)`` are to reach; None without a target, or if capacity is unknown."""
        known = _room(self._goals, consultant_id)
        if (start, end) not in known:
            timeline = self._staff.timeline(consultant_id)
            known[start, end] = None
            if timeline is not None and self.range_capacity(consultant_id, start, end) is not None:
                known[start, end] = self._targets.goal(
                    lambda day: _scopes(consultant_id, holding(timeline, day)),
                    start,
                    end,
                    lambda day: self.day_capacity(consultant_id, day),
                )
        return known[start, end]

    def _aims(self, target: Target) -> list[Touch]:
        """The people that a target is for, with its days."""
        end = date.max if target.effective_to is None else target.effective_to
        return [
            Touch(who, first, None if until == date.max else until - _DAY)
            for who in self.consultants()
            for first, until, consultant in self.consultant_between(who, target.effective_from, end)
            if target.scope in _scopes(who, consultant)
        ]

    def _apply_calendar(self, identifier: str, row: Record | None) -> list[Touch]:
        old = self._calendars.pop(identifier, None)
        new = None
        if row is not None:
            new = self._calendars[identifier] = tuple(row[f"{name}_seconds"] for name in _WEEKDAYS)
        return [] if old == new else self._staff.days_with_calendar(identifier)


def _room(known: dict[str, dict[tuple[date, date], V]], consultant_id: str) -> dict[tuple[date, date], V]:
    """What is remembered of a consultant's ranges, with room for one more."""
    ranges = known.setdefault(consultant_id, {})
    if len(ranges) >= _REMEMBERED:
        ranges.clear()
    return ranges


def _scopes(consultant_id: str, consultant: Consultant) -> list[Scope]:
    """Whose targets are a consultant's, the most specific first."""
    scopes = ((CONSULTANT, consultant_id), (GRADE, consultant.grade), (PRACTICE, consultant.practice))
    return [(kind, name) for kind, name in scopes if name is not None]


def _after_holidays(seconds: int, holidays: list[int | None]) -> int:
    return max(0, seconds - sum(seconds if taken is None else taken for taken in holidays))


def _replace(
    rows: dict[str, DayOff],
    index: dict[tuple[str, date], set[str]],
    identifier: str,
    row: Record | None,
    owner: str,
) -> list[tuple[str, date]]:
    """Put a day off in place of the one of the same id; the (owner, day) that either is about."""
    old = rows.pop(identifier, None)
    new = None
    if old is not None:
        place = (old.owner_id, old.day)
        index[place].discard(identifier)
        if not index[place]:
            del index[place]
    if row is not None:
        new = rows[identifier] = DayOff(row[owner], row["day"], row["seconds"])
        index.setdefault((new.owner_id, new.day), set()).add(identifier)
    if old == new:
        return []
    return sorted({(one.owner_id, one.day) for one in (old, new) if one is not None})
