"""Targets: the billable share of capacity that a consultant, a grade or a practice is to reach in a range.

Of a day the most specific target in effect holds: the consultant's own, then their grade's, then their
practice's. Of two of one scope, the one that starts later holds, then the one with the higher id. A window
is measured day by day, so that a target may begin, end or change inside it:

    target    = sum over the days that have one of ratio x capacity, half up to a whole second
    shortfall = max(0, target - billable seconds of those days)

Example: 0.75 of a week of 40 h is 30 h; with 28 h billable it is 2 h short. Where the target starts on the
Wednesday, the three days' 24 h count: 18 h, whatever was billable on Monday.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from streams.money import EXACT, ZERO

Scope: TypeAlias = tuple[str, str]  # kind and name: ("grade", "G4")
CONSULTANT, GRADE, PRACTICE = "consultant", "grade", "practice"
ENTITY: Final = "utilization_target"
_NAMED_BY: Final = {CONSULTANT: "consultant_id", GRADE: "grade", PRACTICE: "practice"}
_SECOND: Final = Decimal(1)


class Target(NamedTuple):
    """A ratio for a scope in ``[effective_from, effective_to)``; an open end is None."""

    scope: Scope
    ratio: Decimal
    effective_from: date
    effective_to: date | None

    def holds(self, day: date) -> bool:
        """Whether it is in effect on a day."""
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)


class Goal(NamedTuple):
    """What a range of days is to reach; ``without`` are its days that no target is in effect on."""

    seconds: int
    without: frozenset[date]

    def shortfall(self, billable: int) -> int:
        """Seconds that lack, given those that were billable on the days that count."""
        return max(0, self.seconds - billable)


class Targets:
    """The table of targets, by scope."""

    def __init__(self) -> None:
        self._rows: dict[str, Target] = {}
        self._of: dict[Scope, dict[str, Target]] = {}

    def apply(self, identifier: str, row: Mapping[str, Any] | None) -> list[Target]:
        """Put a row in place of the one of the same id (None: gone); what came and what went."""
        old = self._rows.pop(identifier, None)
        if old is not None:
            del self._of[old.scope][identifier]
        new = None
        if row is not None:
            scope = row["scope"], row[_NAMED_BY[row["scope"]]]
            new = Target(scope, row["ratio"], row["effective_from"], row["effective_to"])
            self._rows[identifier] = self._of.setdefault(scope, {})[identifier] = new
        return [] if old == new else [one for one in (old, new) if one is not None]

    def ratio(self, scopes: Sequence[Scope], day: date) -> Decimal | None:
        """The ratio in effect on a day for the first of the scopes that has one."""
        for scope in scopes:
            found = [
                (one.effective_from, key) for key, one in self._of.get(scope, {}).items() if one.holds(day)
            ]
            if found:
                return self._rows[max(found)[1]].ratio
        return None

    def goal(
        self,
        scopes_of: Callable[[date], Sequence[Scope]],
        start: date,
        end: date,
        capacity_of: Callable[[date], int | None],
    ) -> Goal | None:
        """What ``[start, end)`` is to reach; None without a target on any day, or of unknown capacity."""
        if not self._rows:
            return None
        exact, without, days = ZERO, set(), end.toordinal() - start.toordinal()
        for ordinal in range(start.toordinal(), end.toordinal()):
            day = date.fromordinal(ordinal)
            ratio = self.ratio(scopes_of(day), day)
            if ratio is None:
                without.add(day)
                continue
            capacity = capacity_of(day)
            if capacity is None:
                return None
            exact = EXACT.add(exact, EXACT.multiply(ratio, Decimal(capacity)))
        if len(without) == days:
            return None
        return Goal(int(exact.quantize(_SECOND, rounding=ROUND_HALF_UP, context=EXACT)), frozenset(without))
