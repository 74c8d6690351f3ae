"""Who is idle in a group's window: employed on a day in the group, and without an approved entry or time planned
on those days.

Their capacity is the group's as much as that of those who worked: a practice of two, one on the bench all week,
is used by half. A day is one of the groups of that day, as for everybody else. A window in which
nobody of a group has anything has no record.

Example: Ada has 30 billable of 40 h; Bo, hired on Wednesday of that week, has no entry and 24 h of capacity.
Their practice has 2 consultants, 1 of them idle, and 30 of 64 h: 0.468750.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from agents.utilization.capacity import UtilizationReference
from agents.utilization.groups import FIRM
from agents.utilization.parts import capacity_of
from agents.utilization.staff import Consultant


class Place(NamedTuple):
    """A group's window, ``[starts_on, ends_on)``."""

    dimension: str
    value: str
    window: str
    starts_on: date
    ends_on: date


class Idle(NamedTuple):
    """What somebody adds by having nothing; ``capacity`` in seconds, None where it is unknown."""

    capacity: int | None


def belongs(place: Place, consultant_id: str, reference: UtilizationReference) -> bool:
    """Whether a consultant is of a group on any day of its window on which they are employed."""
    return any(who.is_employed(start, end) for start, end, who in _parts(place, consultant_id, reference))


def idle(place: Place, consultant_id: str, reference: UtilizationReference) -> Idle | None:
    """What a consultant without entry or plan adds to a group's window; None if they don't belong to it."""
    if not belongs(place, consultant_id, reference):
        return None
    spans = [(start, end) for start, end, _ in _parts(place, consultant_id, reference)]
    return Idle(capacity_of(consultant_id, spans, reference))


def _parts(
    place: Place, consultant_id: str, reference: UtilizationReference
) -> list[tuple[date, date, Consultant]]:
    """The parts of a window in which somebody is in a group."""
    parts = reference.consultant_between(consultant_id, place.starts_on, place.ends_on)
    if place[:2] == FIRM:
        return parts
    return [part for part in parts if getattr(part[2], place.dimension) == place.value]
