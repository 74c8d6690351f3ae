"""Who is idle in a group's window: employed in it, and without an approved entry or time planned.

Their capacity is the group's as much as that of those who worked: a practice of two, one on the bench all week,
is used by half. Groups are those of the attributes as known now, as for everybody else. A window in which
nobody of a group has anything has no record.

Example: Ada has 30 billable of 40 h; Bo, hired on Wednesday of that week, has no entry and 24 h of capacity.
Their practice has 2 consultants, 1 of them idle, and 30 of 64 h: 0.468750.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from agents.utilization.capacity import UtilizationReference
from agents.utilization.groups import FIRM


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
    """Whether a consultant is of a group, and employed in its window."""
    who = reference.consultant(consultant_id)
    if who is None or not who.is_employed(place.starts_on, place.ends_on):
        return False
    return place[:2] == FIRM or bool(getattr(who, place.dimension) == place.value)


def idle(place: Place, consultant_id: str, reference: UtilizationReference) -> Idle | None:
    """What a consultant without entry or plan adds to a group's window; None if they don't belong to it."""
    if not belongs(place, consultant_id, reference):
        return None
    return Idle(reference.range_capacity(consultant_id, place.starts_on, place.ends_on))
