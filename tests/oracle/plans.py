"""The resource plan: who is to work on what, held against what they worked.

An assignment plans its seconds a day for each day of its range on which the person has capacity, whatever
the capacity is: who is planned for more than they have shows. Three years of a range count: a longer one is
a mistyped year. Cancelled assignments plan nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, NamedTuple

from .rows import Assignment, Consultant, Rows, TimeEntry

LONGEST: Final = timedelta(days=1096)
ONE_DAY: Final = timedelta(days=1)

# A person's seconds of capacity on a day.
CapacityOf = Callable[[Consultant | None, date], int | None]


class PlannedDay(NamedTuple):
    """A day of an assignment; ``seconds`` None while the person's capacity is unknown."""

    consultant_id: str
    project_id: str
    day: date
    seconds: int | None


class PlanKey(NamedTuple):
    """A consultant's week (from Monday) on a project."""

    consultant_id: str
    project_id: str
    starts_on: date


@dataclass(frozen=True, slots=True)
class PlanWeek:
    """Seconds planned, worked, and their difference; None while the capacity is unknown."""

    planned: int | None
    worked: int
    variance: int | None


def planned_days(rows: Rows, capacity_of: CapacityOf) -> list[PlannedDay]:
    """Every day of every assignment that is not cancelled, as far as the person has capacity."""
    found = []
    for assignment in rows.assignments.values():
        if assignment.status == "cancelled":
            continue
        consultant = rows.consultants.get(assignment.consultant_id)
        for day in _days(assignment):
            capacity = capacity_of(consultant, day)
            if capacity is None or capacity > 0:
                seconds = None if capacity is None else assignment.seconds_per_day
                found.append(PlannedDay(assignment.consultant_id, assignment.project_id, day, seconds))
    return found


def _days(assignment: Assignment) -> list[date]:
    end = min(assignment.ends_on, assignment.starts_on + LONGEST)
    return [assignment.starts_on + ONE_DAY * n for n in range((end - assignment.starts_on).days)]


def total(days: Iterable[PlannedDay]) -> int | None:
    """Seconds planned on days; None if those of any are unknown."""
    seconds = [day.seconds for day in days]
    return None if None in seconds else sum(part for part in seconds if part is not None)


def plan_weeks(planned: list[PlannedDay], entries: list[TimeEntry]) -> dict[PlanKey, PlanWeek]:
    """Weeks of a person on a project in which something is planned, or worked.

    Example: 30 h planned, 34 h worked: -4 h. Work that nobody planned is all negative.
    """
    days: dict[PlanKey, list[PlannedDay]] = defaultdict(list)
    worked: dict[PlanKey, list[TimeEntry]] = defaultdict(list)
    for day in planned:
        days[PlanKey(day.consultant_id, day.project_id, _monday(day.day))].append(day)
    for entry in entries:
        worked[PlanKey(entry.consultant_id, entry.project_id, _monday(entry.work_date))].append(entry)
    weeks = {}
    for key in {*days, *worked}:
        plan, actual = total(days[key]), sum(entry.seconds for entry in worked[key])
        if worked[key] or plan:
            weeks[key] = PlanWeek(plan, actual, None if plan is None else plan - actual)
    return weeks


def _monday(day: date) -> date:
    return day - ONE_DAY * day.weekday()
