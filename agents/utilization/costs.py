"""Of which days it is not known what a consultant costs, and the exception that says so.

A day has a cost where exactly one cost rate holds on it, ``[effective_from, effective_to)``; none is a miss, several are
a tie. Days with approved time and without a cost raise one MISSING_COST_RATE a consultant, in a flow of its own name,
``margin``: it blocks margin only, and clears by itself. What an hour costs is neither kept nor published here.

Example: 8 h on 5 March and 2 h on 6 March, the one cost rate ends on 6 March: 7,200 s, from 6 March on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from operator import attrgetter
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from agents.owned import OwnedRows
from agents.utilization.touches import Touch

Record: TypeAlias = Mapping[str, Any]

COST_RATE: Final = "cost_rate"
COST_RULES: Final = "costs/1"
FLOW: Final = "margin"
MISSING_COST_RATE: Final = "MISSING_COST_RATE"
_DAY: Final = timedelta(days=1)


class _Range(NamedTuple):
    consultant_id: str
    first: date
    until: date | None

    def holds(self, day: date) -> bool:
        return self.first <= day and (self.until is None or day < self.until)


class CostRates:
    """The days that cost rates hold on, by consultant."""

    def __init__(self) -> None:
        self._ranges: OwnedRows[str, _Range] = OwnedRows(attrgetter("consultant_id"))

    def apply(self, identifier: str, row: Record | None) -> list[Touch]:
        """Set a cost rate (None: gone); the consultants and days whose cost became known or unknown."""
        new = None
        if row is not None:
            new = _Range(row["consultant_id"], row["effective_from"], row["effective_to"])
        return [
            Touch(one.consultant_id, one.first, None if one.until is None else one.until - _DAY)
            for one in self._ranges.replace(identifier, new)
        ]

    def has_cost(self, consultant_id: str, day: date) -> bool:
        """Whether it is known what the consultant costs on a day."""
        return sum(one.holds(day) for one in self._ranges.of(consultant_id)) == 1


class _Day(Protocol):
    worked: int


class Uncosted:
    """The days of one consultant that have time and no cost; what was looked at is kept, not stored."""

    def __init__(self) -> None:
        self._days: set[date] | None = None

    def look(
        self, consultant_id: str, days: Mapping[date, _Day], touched: Iterable[date], costs: CostRates
    ) -> tuple[str, int, int] | None:
        """The first such day, how many there are and their seconds, after ``touched`` days changed; None for none.

        The first look is at all days.
        """
        if self._days is None:
            self._days, touched = set(), days
        for day in touched:
            worked = days[day].worked if day in days else 0
            if worked and not costs.has_cost(consultant_id, day):
                self._days.add(day)
            else:
                self._days.discard(day)
        if not self._days:
            return None
        return min(self._days).isoformat(), len(self._days), sum(days[day].worked for day in self._days)


def cost_report(consultant_id: str, revision: int, found: tuple[str, int, int] | None) -> dict[str, Any]:
    """The report for ``exceptions.raised`` of what a look found, without its lineage."""
    since, days, seconds = found or (None, 0, None)
    return {
        "op": "CLEAR" if found is None else "RAISE",
        "revision": revision,
        "flow": FLOW,
        "subject": consultant_id,
        "exception_class": None if found is None else MISSING_COST_RATE,
        "message": None if found is None else f"{days} days have no one cost rate, the first is {since}",
        "blocks": None if found is None else "margin",
        "missing_keys": None if found is None else [f"{COST_RATE}:{consultant_id}"],
        "seconds": seconds,
    }
