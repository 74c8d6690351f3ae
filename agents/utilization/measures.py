"""What a consultant's window comes to: the sums of its days against the capacity of all its days."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from agents.utilization.capacity import Consultant, UtilizationReference
from agents.utilization.contributions import ConsultantState, DaySum
from agents.utilization.touches import Window


@dataclass(slots=True)
class Measure:
    """A window of one consultant, in seconds.

    ``days`` are those with an approved entry. ``capacity`` is None while the consultant or their calendar is
    unknown, ``target`` and ``shortfall`` also where no target is in effect.
    """

    capacity: int | None
    who: Consultant | None
    total: DaySum = field(default_factory=DaySum)
    days: int = 0
    target: int | None = None
    shortfall: int | None = None


def measure(state: ConsultantState, reference: UtilizationReference, window: Window) -> Measure | None:
    """Measure a window; None without an approved entry in it."""
    goal = reference.range_goal(state.consultant_id, window.starts_on, window.ends_on)
    capacity = reference.range_capacity(state.consultant_id, window.starts_on, window.ends_on)
    found = Measure(capacity, reference.consultant(state.consultant_id))
    total, without_target = found.total, 0
    for ordinal in range(window.starts_on.toordinal(), window.ends_on.toordinal()):
        on = date.fromordinal(ordinal)
        day = state.days.get(on)
        if day is not None:
            found.days += 1
            total.entries += day.entries
            total.worked += day.worked
            total.billable += day.billable
            total.unclassified += day.unclassified
            if goal is not None and on in goal.without:
                without_target += day.billable
    if found.days == 0:
        return None
    if goal is not None:
        found.target = goal.seconds
        found.shortfall = goal.shortfall(total.billable - without_target)
    return found
