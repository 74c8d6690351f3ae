"""The resource plan of a consultant: assignments, and the seconds that they plan in a range of days.

An assignment plans its seconds a day for each day of its range on which the consultant has capacity, whatever
that is: who is planned for more than they have shows. Planned and confirmed ones count alike, cancelled ones
not at all. Three years of a range count: a longer one is a mistyped year, and would fill the topics.

What is planned on a billable project is forecast to be billable; forecast utilization is that by capacity. It
stands beside the actual figures, of past and coming windows alike: no clock says which of them to read.

Example: 6 h a day from Wednesday to the next Wednesday, one of the days a holiday: 24 h, 12 h in each week.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

from agents.utilization.capacity import UtilizationReference
from agents.utilization.touches import Window

LONGEST: Final = timedelta(days=1096)
CANCELLED: Final = "cancelled"


class Assignment(NamedTuple):
    """What a row plans in ``[starts_on, ends_on)``; one that counts for nothing has no project.

    ``position`` is the row's in its source: epoch, log position, ordinal.
    """

    position: tuple[int, int, int]
    project_id: str | None
    starts_on: date = date.min
    ends_on: date = date.min
    seconds_per_day: int = 0

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Assignment:
        """The assignment in a decoded ``canonical.assignment``."""
        position = record["source_epoch"], record["source_lsn"], record["source_ordinal"]
        if record["deleted"] or record["status"] == CANCELLED:
            return cls(position, None)
        starts_on = record["starts_on"]
        ends_on = min(record["ends_on"], starts_on + LONGEST)
        return cls(position, record["project_id"], starts_on, ends_on, record["seconds_per_day"])

    def stored(self) -> tuple[Any, ...]:
        """Its values as they are stored: the position alone where it counts for nothing."""
        if self.project_id is None:
            return self.position
        dates = self.starts_on.isoformat(), self.ends_on.isoformat()
        return (*self.position, self.project_id, *dates, self.seconds_per_day)

    @classmethod
    def restored(cls, values: list[Any]) -> Assignment:
        """What `stored` gave."""
        epoch, lsn, ordinal, *rest = values
        if not rest:
            return cls((epoch, lsn, ordinal), None)
        project_id, starts_on, ends_on, seconds = rest
        dates = date.fromisoformat(starts_on), date.fromisoformat(ends_on)
        return cls((epoch, lsn, ordinal), project_id, *dates, seconds)


class Planned(NamedTuple):
    """Seconds planned in a range of days: in all, on billable projects, and on those of which it is unknown."""

    seconds: int = 0
    billable: int = 0
    unclassified: int = 0


def planned_by_project(
    consultant_id: str,
    assignments: Iterable[Assignment],
    reference: UtilizationReference,
    window: Window,
) -> dict[str, int | None]:
    """Seconds of a window by the projects that are planned in it; None while the capacity is unknown."""
    found: dict[str, int | None] = {}
    for one in assignments:
        first, last = max(window.starts_on, one.starts_on), min(window.ends_on, one.ends_on)
        if one.project_id is None or first >= last:
            continue
        days = reference.range_workdays(consultant_id, first, last)
        so_far = found.get(one.project_id, 0)
        if days is None or so_far is None:
            found[one.project_id] = None
        else:
            found[one.project_id] = so_far + days * one.seconds_per_day
    return found


def planned(by_project: Mapping[str, int | None], reference: UtilizationReference) -> Planned | None:
    """The sum over projects; None while the capacity is unknown."""
    seconds = billable = unclassified = 0
    for project_id, part in by_project.items():
        if part is None:
            return None
        seconds += part
        verdict = reference.is_billable(project_id)
        if verdict is None:
            unclassified += part
        elif verdict:
            billable += part
    return Planned(seconds, billable, unclassified)
