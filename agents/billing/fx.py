"""Exchange rates: the last one published, not older than five days.

Example: for work of Monday 9 March, Friday's row (6 March) serves; a row of 3 March is too old, and one
of 10 March is not yet known on the work date.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from agents.billing.entities import FxRate
from agents.billing.touches import Touch

# A published rate bridges a long weekend; what is older hides a broken feed.
MAX_AGE_DAYS: Final = 5
_AGES: Final = tuple(timedelta(days=age) for age in range(MAX_AGE_DAYS + 1))


class FxTable:
    """Published rows by currency pair and day."""

    def __init__(self) -> None:
        self.by_id: dict[str, FxRate] = {}
        self._pairs: dict[tuple[str, str], dict[date, list[FxRate]]] = {}

    def replace(self, row_id: str, new: FxRate | None) -> list[Touch]:
        """Put, change or (None) take away a row; it reaches work dates from its day to five days later."""
        old = self.by_id.pop(row_id, None)
        if new is not None:
            self.by_id[row_id] = new
        if old == new:
            return []
        touches = []
        if old is not None:
            self._pairs[old.from_currency, old.to_currency][old.day].remove(old)
            touches.append(_touch(old))
        if new is not None:
            pair = self._pairs.setdefault((new.from_currency, new.to_currency), {})
            pair.setdefault(new.day, []).append(new)
            touches.append(_touch(new))
        return touches

    def find(self, from_currency: str, to_currency: str, work_date: date) -> FxRate | None:
        """The row of the latest day in the five days up to the work date; of one day, the greatest id."""
        days = self._pairs.get((from_currency, to_currency))
        if days:
            for age in _AGES:
                rows = days.get(work_date - age)
                if rows:
                    return max(rows, key=_id)
        return None


def _id(row: FxRate) -> str:
    return row.id


def _touch(row: FxRate) -> Touch:
    return Touch(f"fx:{row.from_currency}:{row.to_currency}", row.day, row.day + _AGES[-1])
