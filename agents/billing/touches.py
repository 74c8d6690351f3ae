"""What a change of a reference row can reach: dependencies, narrowed by work date and decision time.

A **dependency** is the name of something a rating looked at, whether or not it was there:

    consultant:<id>  project:<id>  task:<id>  line:<id>  engagement:<id>  client:<id>  legal_entity:<id>
    rate@tc:<task>/<consultant>    rate@pc:<project>/<consultant>    rate@pr:<project>/<role>
    rate@lr:<line>/<role>          rate@cl:<client>                  rate@default
    fx:<from>:<to>                 period:<legal entity>             right:<legal entity>/<person>

and, for allocation, ``terms:<engagement>``: the caps and inclusions of an allocation root, and ``limit:<person>``: the
limits of who approved a bill adjustment of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Touch:
    """Entries to look at again: those that reported the dependency, inside the bounds.

    Work dates are inclusive on both ends; None is unbounded. ``decided_from`` leaves out entries
    that were decided (approved, accepted) earlier; it may be ignored, at the cost of extra work.
    Example: a rate of project P and consultant C whose end moves from open to 1 July touches
    ``rate@pc:P/C`` from 1 July on.
    """

    dependency: str
    first_day: date | None = None
    last_day: date | None = None
    decided_from: datetime | None = None

    def reaches(self, work_date: date, decided_at: datetime | None = None) -> bool:
        """Whether an item of that work date and decision is inside the bounds."""
        if self.first_day is not None and work_date < self.first_day:
            return False
        if self.last_day is not None and work_date > self.last_day:
            return False
        if self.decided_from is None:
            return True
        return decided_at is not None and decided_at >= self.decided_from


def half_open(dependency: str, start: date | None, end: date | None) -> Touch:
    """The touch of work dates ``[start, end)``; None is unbounded."""
    return Touch(dependency, start, None if end is None else end - DAY)
