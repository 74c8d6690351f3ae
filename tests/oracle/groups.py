"""Utilization of groups: the sum over the people of a practice, a region, a grade, and of the whole firm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from .rows import Rows
from .utilization import Capacity, DayKey, Utilization, WindowKey, days_of, ratio, window_end

FIRM: Final = "firm"


class GroupKey(NamedTuple):
    """A window of a group: ``practice`` ``data``, or ``firm`` ``firm``."""

    dimension: str
    value: str
    window: str
    starts_on: date


@dataclass(frozen=True, slots=True)
class GroupUtilization:
    """Sums over the people who have the window, and those who were employed in it and have nothing.

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


def group(
    daily: Mapping[DayKey, Utilization], windows: Mapping[WindowKey, Utilization], rows: Rows
) -> dict[GroupKey, GroupUtilization]:
    """All groups' windows in which anybody has anything.

    A person nobody knows belongs to the firm, and to no other group. Example: Ada has 30 of 40 h billable; Bo,
    hired on Wednesday, has no entry and 24 h of capacity: their practice is used by 30 / 64.
    """
    members: dict[GroupKey, list[WindowKey]] = defaultdict(list)
    for key in windows:
        members[GroupKey(FIRM, FIRM, key.window, key.starts_on)].append(key)
        person = rows.consultants.get(key.consultant_id)
        if person is not None:
            for dimension in ("practice", "region", "grade"):
                value = getattr(person, dimension)
                members[GroupKey(dimension, value, key.window, key.starts_on)].append(key)
    capacity = Capacity(rows)
    bench: dict[GroupKey, list[int | None]] = defaultdict(list)
    for window, starts_on in {(key.window, key.starts_on) for key in members}:
        ends_on = window_end(window, starts_on)
        for person in rows.consultants.values():
            is_gone = person.left_on is not None and person.left_on <= starts_on
            if is_gone or person.hired_on >= ends_on or WindowKey(person.id, window, starts_on) in windows:
                continue
            seconds = capacity.of_window(person, window, starts_on)
            bench[GroupKey(FIRM, FIRM, window, starts_on)].append(seconds)
            for dimension in ("practice", "region", "grade"):
                bench[GroupKey(dimension, getattr(person, dimension), window, starts_on)].append(seconds)
    return {key: _sum(of_group, bench[key], daily, windows) for key, of_group in members.items()}


def _sum(
    members: list[WindowKey],
    bench: list[int | None],
    daily: Mapping[DayKey, Utilization],
    windows: Mapping[WindowKey, Utilization],
) -> GroupUtilization:
    parts = [windows[key] for key in members]
    known = [part for part in parts if part.capacity is not None]
    seconds = [*(part.capacity for part in parts), *bench]
    known_seconds = [one for one in seconds if one is not None]
    capacity = sum(known_seconds) if known_seconds else None
    planned_billable = sum(part.planned_billable or 0 for part in known)
    days = [
        day
        for key in members
        for day in days_of(key.window, key.starts_on)
        if DayKey(key.consultant_id, day) in daily
    ]
    return GroupUtilization(
        consultants=len(seconds),
        idle=len(bench),
        without_capacity=len(seconds) - len(known_seconds),
        days=len(days),
        worked=sum(part.worked for part in parts),
        billable=sum(part.billable for part in parts),
        unclassified=sum(part.unclassified for part in parts),
        capacity=capacity,
        ratio=ratio(sum(part.billable for part in known), capacity),
        planned=sum(part.planned or 0 for part in known),
        planned_billable=planned_billable,
        planned_unclassified=sum(part.planned_unclassified or 0 for part in known),
        forecast=ratio(planned_billable, capacity),
    )
