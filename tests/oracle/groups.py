"""Utilization of groups: the sum over the people of a practice, a region, a grade, and of the whole firm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from .rows import Rows
from .utilization import DayKey, Utilization, WindowKey, days_of, ratio

FIRM: Final = "firm"


class GroupKey(NamedTuple):
    """A window of a group: ``practice`` ``data``, or ``firm`` ``firm``."""

    dimension: str
    value: str
    window: str
    starts_on: date


@dataclass(frozen=True, slots=True)
class GroupUtilization:
    """Sums over the people who have the window.

    ``days`` are days of a person with an approved entry. ``capacity`` is that of the people of whom it is
    known, None if it is of none; ``without_capacity`` are the others, whose billable time the ratio leaves out
    and whose plan is unknown.
    """

    consultants: int
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
    """All groups' windows. A person nobody knows belongs to the firm, and to no other group."""
    members: dict[GroupKey, list[WindowKey]] = defaultdict(list)
    for key in windows:
        members[GroupKey(FIRM, FIRM, key.window, key.starts_on)].append(key)
        person = rows.consultants.get(key.consultant_id)
        if person is not None:
            for dimension in ("practice", "region", "grade"):
                value = getattr(person, dimension)
                members[GroupKey(dimension, value, key.window, key.starts_on)].append(key)
    return {key: _sum(of_group, daily, windows) for key, of_group in members.items()}


def _sum(
    members: list[WindowKey], daily: Mapping[DayKey, Utilization], windows: Mapping[WindowKey, Utilization]
) -> GroupUtilization:
    parts = [windows[key] for key in members]
    known = [part for part in parts if part.capacity is not None]
    capacity = sum(part.capacity for part in known if part.capacity is not None) if known else None
    planned_billable = sum(part.planned_billable or 0 for part in known)
    days = [
        day
        for key in members
        for day in days_of(key.window, key.starts_on)
        if DayKey(key.consultant_id, day) in daily
    ]
    return GroupUtilization(
        consultants=len(parts),
        without_capacity=len(parts) - len(known),
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
