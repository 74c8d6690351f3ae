"""What a consultant's window comes to: the sums of its days against the capacity of all its days."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from agents.utilization.capacity import Consultant, UtilizationReference
from agents.utilization.contributions import ConsultantState, DaySum
from agents.utilization.plans import Planned, planned, planned_by_project
from agents.utilization.touches import Window


@dataclass(slots=True)
class Measure:
    """A window of one consultant, in seconds.

    ``days`` are those with an approved entry. ``capacity`` is None while the consultant or their calendar is
    unknown, and so is ``plan`` where there is one; ``target`` and ``shortfall`` also where no target is.
    """

    capacity: int | None
    who: Consultant | None
    total: DaySum = field(default_factory=DaySum)
    days: int = 0
    target: int | None = None
    shortfall: int | None = None
    plan: Planned | None = None

    @property
    def variance(self) -> int | None:
        """Planned less worked seconds."""
        return None if self.plan is None else self.plan.seconds - self.total.worked


def measure(state: ConsultantState, reference: UtilizationReference, window: Window) -> Measure | None:
    """Measure a window; None without an approved entry in it, or time planned."""
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
    by_project = planned_by_project(
        state.consultant_id, state.assignments(), reference, window.starts_on, window.ends_on
    )
    found.plan = planned(by_project, reference)
    if found.days == 0 and not (found.plan and found.plan.seconds):
        return None
    if goal is not None:
        found.target = goal.seconds
        found.shortfall = goal.shortfall(total.billable - without_target)
    return found
