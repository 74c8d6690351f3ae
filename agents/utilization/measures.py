"""What a consultant's window comes to: the sums of its days against the capacity of all its days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from agents.utilization.capacity import UtilizationReference
from agents.utilization.contributions import ConsultantState, WindowSum
from agents.utilization.plans import Planned, planned, planned_by_project
from agents.utilization.staff import Consultant
from agents.utilization.touches import Window

NOTHING: Final = WindowSum()
_DAY: Final = timedelta(days=1)


@dataclass(slots=True)
class Measure:
    """A window of one consultant, in seconds.

    ``capacity`` is None while the consultant or their calendar is unknown, and so is ``plan`` where there is one;
    ``target`` and ``shortfall`` also where no target is. ``who`` is the consultant as of the window's last day,
    ``planned_on`` the plan by project.
    """

    capacity: int | None
    who: Consultant | None
    total: WindowSum
    plan: Planned | None
    planned_on: Mapping[str, int | None]
    target: int | None = None
    shortfall: int | None = None

    @property
    def variance(self) -> int | None:
        """Planned less worked seconds."""
        return None if self.plan is None else self.plan.seconds - self.total.worked


def measure(state: ConsultantState, reference: UtilizationReference, window: Window) -> Measure | None:
    """Measure a window; None without an approved entry in it, or time planned."""
    goal = reference.range_goal(state.consultant_id, window.starts_on, window.ends_on)
    capacity = reference.range_capacity(state.consultant_id, window.starts_on, window.ends_on)
    total = state.windows.get(window, NOTHING)
    by_project = planned_by_project(state.consultant_id, state.planned_in(window), reference, window)
    plan = planned(by_project, reference)
    if not total.days and not (plan and plan.seconds):
        return None
    who = reference.consultant_on(state.consultant_id, window.ends_on - _DAY)
    found = Measure(capacity, who, total, plan, by_project)
    if goal is not None:
        without = [day.billable for on in goal.without if (day := state.days.get(on)) is not None]
        found.target = goal.seconds
        found.shortfall = goal.shortfall(total.billable - sum(without))
    return found
