"""Utilization of groups: the sum over the people of a practice, a region, a grade, and of the whole firm.

A day counts for the groups that the person is in on that day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from .plans import PlannedDay, planned_days, total
from .positions import consultant_on
from .rows import Rows
from .utilization import Capacity, DayKey, Utilization, WindowKey, days_of, is_billable_project, ratio

FIRM: Final = "firm"


class GroupKey(NamedTuple):
    """A window of a group: ``practice`` ``data``, or ``firm`` ``firm``."""

    dimension: str
    value: str
    window: str
    starts_on: date


@dataclass(frozen=True, slots=True)
class GroupUtilization:
    """Sums over the people who have anything on their days in the group, and those employed then who have nothing.

    ``consultants`` are all of these, ``idle`` those who have nothing. ``days`` are days of a person with an
    approved entry. ``capacity`` is that of the people of whom it is known, None if it is of none;
    ``without_capacity`` are the others, whose billable time the ratio leaves out and whose plan is unknown.
    """

    consultants: int
    idle: int
    without_capacity: int
    days: int
    worked: int
    billable: int
    unclassified: int
    capacity: int | None
    ratio: Decimal | None
    planned: int
    planned_billable: int
    planned_unclassified: int
    forecast: Decimal | None


@dataclass(frozen=True, slots=True)
class _Part:
    """What the days of a person in a group come to; no ``planned`` while the capacity is unknown."""

    has_anything: bool
    days: int
    worked: int
    billable: int
    unclassified: int
    capacity: int | None
    planned: tuple[int, int, int] | None


def group(
    daily: Mapping[DayKey, Utilization], windows: Mapping[WindowKey, Utilization], rows: Rows
) -> dict[GroupKey, GroupUtilization]:
    """All groups' windows in which anybody has anything on a day in the group.

    Who has no window of their own (nothing, or only a plan for days of unknown capacity) has nothing in any group.
    A person nobody knows belongs to the firm, and to no other group. Examples: Ada has 30 of 40 h billable; Bo,
    hired on Wednesday, has no entry and 24 h of capacity: their practice is used by 30 / 64. Cy moves from
    practice A to B on Wednesday: A has the 16 h of Monday and Tuesday, B the 24 h of the others.
    """
    people = _People(daily, rows)
    ghosts = {key.consultant_id for key in windows} - set(rows.consultants)
    parts: dict[GroupKey, list[_Part]] = defaultdict(list)
    for window, starts_on in {(key.window, key.starts_on) for key in windows}:
        for person in [*rows.consultants, *ghosts]:
            for (dimension, value), days in _groups(person, days_of(window, starts_on), rows).items():
                part = people.part(person, days)
                if WindowKey(person, window, starts_on) not in windows:
                    part = replace(part, has_anything=False)
                if part.has_anything or people.is_employed(person, days):
                    parts[GroupKey(dimension, value, window, starts_on)].append(part)
    return {
        key: _sum(of_group) for key, of_group in parts.items() if any(part.has_anything for part in of_group)
    }


def _groups(person: str, days: list[date], rows: Rows) -> dict[tuple[str, str], list[date]]:
    """The groups that a person is in on any of the days, and on which."""
    found: dict[tuple[str, str], list[date]] = defaultdict(list)
    for day in days:
        found[FIRM, FIRM].append(day)
        who = consultant_on(person, day, rows)
        if who is not None:
            for dimension in ("practice", "region", "grade"):
                found[dimension, getattr(who, dimension)].append(day)
    return found


class _People:
    """What people have on days."""

    def __init__(self, daily: Mapping[DayKey, Utilization], rows: Rows) -> None:
        self._daily = daily
        self._rows = rows
        self._capacity = Capacity(rows)
        self._plan: dict[DayKey, list[PlannedDay]] = defaultdict(list)
        for one in planned_days(rows, self._capacity.of_day):
            self._plan[DayKey(one.consultant_id, one.day)].append(one)

    def is_employed(self, person: str, days: list[date]) -> bool:
        """Whether somebody is on any of the days."""
        who = self._rows.consultants.get(person)
        if who is None:
            return False
        return any(who.hired_on <= day and (who.left_on is None or day < who.left_on) for day in days)

    def part(self, person: str, days: list[date]) -> _Part:
        """What a person's days come to."""
        who = self._rows.consultants.get(person)
        worked = [self._daily[DayKey(person, day)] for day in days if DayKey(person, day) in self._daily]
        capacities = [self._capacity.of_day(who, day) for day in days]
        seconds = None if None in capacities else sum(one for one in capacities if one is not None)
        plan = [one for day in days for one in self._plan.get(DayKey(person, day), ())]
        planned = total(plan)
        verdicts = {one.project_id: is_billable_project(one.project_id, self._rows) for one in plan}
        billable = total(one for one in plan if verdicts[one.project_id] is True)
        unclassified = total(one for one in plan if verdicts[one.project_id] is None)
        is_planned = planned is not None and billable is not None and unclassified is not None
        return _Part(
            has_anything=bool(worked or planned),
            days=len(worked),
            worked=sum(day.worked for day in worked),
            billable=sum(day.billable for day in worked),
            unclassified=sum(day.unclassified for day in worked),
            capacity=seconds,
            planned=(planned or 0, billable or 0, unclassified or 0) if is_planned else None,
        )


def _sum(parts: list[_Part]) -> GroupUtilization:
    active = [part for part in parts if part.has_anything]
    known = [part for part in parts if part.capacity is not None]
    capacity = sum(part.capacity or 0 for part in known) if known else None
    plans = [part.planned for part in active if part.capacity is not None and part.planned is not None]
    planned, planned_billable, planned_unclassified = (sum(plan[n] for plan in plans) for n in range(3))
    return GroupUtilization(
        consultants=len(parts),
        idle=len(parts) - len(active),
        without_capacity=len(parts) - len(known),
        days=sum(part.days for part in active),
        worked=sum(part.worked for part in active),
        billable=sum(part.billable for part in active),
        unclassified=sum(part.unclassified for part in active),
        capacity=capacity,
        ratio=ratio(sum(part.billable for part in active if part.capacity is not None), capacity),
        planned=planned,
        planned_billable=planned_billable,
        planned_unclassified=planned_unclassified,
        forecast=ratio(planned_billable, capacity),
    )
