"""Exchange rates: the last one published of the contract's type, not older than five days.

Example: for work of Monday 9 March, Friday's row (6 March) serves; a row of 3 March is too old, and one
of 10 March is not yet known on the work date.

A contract may convert by the opposite pair: the amount is then divided by its rate, and rounded once like any.
Example: 7.5 h at EUR 133.33 into USD by USD:EUR at 0.9228 are 1,083.63.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from agents.billing.entities import FxRate
from agents.billing.touches import Touch

# A published rate bridges a long weekend; what is older hides a broken feed.
MAX_AGE_DAYS: Final = 5
_AGES: Final = tuple(timedelta(days=age) for age in range(MAX_AGE_DAYS + 1))
INVERSE: Final = "inverse"  # a contract's direction
# What is divided by less is multiplied by more than the mapping lets a rate be: amounts must fit the ledger.
_TOO_SMALL: Final = Decimal("0.000001")


class FxRule(NamedTuple):
    """How a contract converts: by which type of rate (None: spot), and whether by that of the opposite pair."""

    rate_type: str | None = None
    inverse: bool = False

    def pair(self, from_currency: str, to_currency: str) -> tuple[str, str]:
        """The pair whose published rate is looked up."""
        return (to_currency, from_currency) if self.inverse else (from_currency, to_currency)

    def dependency(self, from_currency: str, to_currency: str) -> str:
        """What an item that was converted, or could not be, has looked at."""
        return "fx:{}:{}".format(*self.pair(from_currency, to_currency))

    def missing_key(self, from_currency: str, to_currency: str, work_date: date) -> str:
        """What an item that can't be converted waits for: ``fx:EUR:USD:2026-03-09``, with a type before the pair."""
        first, second = self.pair(from_currency, to_currency)
        type_ = "" if self.rate_type is None else f"{self.rate_type}:"
        return f"fx:{type_}{first}:{second}:{work_date}"


SPOT: Final = FxRule()


class FxTable:
    """Published rows by currency pair and type, and day."""

    def __init__(self) -> None:
        self.by_id: dict[str, FxRate] = {}
        self._pairs: dict[tuple[str, str, str | None], dict[date, list[FxRate]]] = {}

    def replace(self, row_id: str, new: FxRate | None) -> list[Touch]:
        """Put, change or (None) take away a row; it reaches work dates from its day to five days later."""
        old = self.by_id.pop(row_id, None)
        if new is not None:
            self.by_id[row_id] = new
        if old == new:
            return []
        touches = []
        if old is not None:
            self._pairs[_pair(old)][old.day].remove(old)
            touches.append(_touch(old))
        if new is not None:
            pair = self._pairs.setdefault(_pair(new), {})
            pair.setdefault(new.day, []).append(new)
            touches.append(_touch(new))
        return touches

    def convert(self, rule: FxRule, from_currency: str, to_currency: str, work_date: date) -> Decimal | None:
        """The rate that a contract multiplies or (inverse) divides by on a work date, None where no row serves."""
        row = self.find(rule, from_currency, to_currency, work_date)
        return None if row is None or not serves(rule, row) else row.rate

    def find(self, rule: FxRule, from_currency: str, to_currency: str, work_date: date) -> FxRate | None:
        """The row of the latest day in the five days up to the work date; of one day, the greatest id."""
        days = self._pairs.get((*rule.pair(from_currency, to_currency), rule.rate_type))
        if days:
            for age in _AGES:
                rows = days.get(work_date - age)
                if rows:
                    return max(rows, key=_id)
        return None


def serves(rule: FxRule, row: FxRate) -> bool:
    """Whether a contract can convert by a row: not by the reciprocal of next to nothing."""
    return not rule.inverse or row.rate > _TOO_SMALL


def _pair(row: FxRate) -> tuple[str, str, str | None]:
    return (row.from_currency, row.to_currency, row.rate_type)


def _id(row: FxRate) -> str:
    return row.id


def _touch(row: FxRate) -> Touch:
    return Touch(f"fx:{row.from_currency}:{row.to_currency}", row.day, row.day + _AGES[-1])
