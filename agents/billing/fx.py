"""Exchange rates: the last one published of the contract's type, not older than five days.

Example: for work of Monday 9 March, Friday's row (6 March) serves; a row of 3 March is too old, and one
of 10 March is not yet known on the work date.

A contract may convert by the opposite pair: the amount is then divided by its rate, and rounded once like any.
Example: 7.5 h at EUR 133.33 into USD by USD:EUR at 0.9228 are 1,083.63.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from agents.billing.entities import FxRate
from agents.billing.known import Difference, Ended, KnownRows
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
    """Published rows by currency pair and type, and day; and what they were before they were corrected."""

    def __init__(self) -> None:
        self.known: KnownRows[FxRate] = KnownRows()
        self._now = _ByPair()
        self._ended = _ByPair()

    def replace(self, row_id: str, new: FxRate | None) -> list[Touch]:
        """Put, change or (None) take away a row; it reaches work dates from its day to five days later."""
        self._now.swap(self.known.by_id.get(row_id), new)
        return _touches(self.known.replace(row_id, new))

    def replace_version(self, version_id: str, new: Ended[FxRate] | None) -> list[Touch]:
        """Put, change or (None) take away what a row was; it reaches as far as a row."""
        old = self.known.version(version_id)
        self._ended.swap(None if old is None else old.row, None if new is None else new.row)
        return _touches(self.known.replace_version(version_id, new))

    def convert(
        self,
        rule: FxRule,
        from_currency: str,
        to_currency: str,
        work_date: date,
        known_at: datetime | None = None,
    ) -> Decimal | None:
        """The rate that a contract multiplies or (inverse) divides by on a work date, None where no row serves.

        By what was known at a close, if one is given.
        """
        row = self.find(rule, from_currency, to_currency, work_date, known_at)
        return None if row is None or not serves(rule, row) else row.rate

    def find(
        self,
        rule: FxRule,
        from_currency: str,
        to_currency: str,
        work_date: date,
        known_at: datetime | None = None,
    ) -> FxRate | None:
        """The row of the latest day in the five days up to the work date; of one day, the greatest id."""
        pair = (*rule.pair(from_currency, to_currency), rule.rate_type)
        for age in _AGES:
            rows: Sequence[FxRate] = self._now.of(pair, work_date - age)
            if known_at is not None:
                rows = self.known.standing((*rows, *self._ended.of(pair, work_date - age)), known_at)
            if rows:
                return max(rows, key=_id)
        return None

    def moments(
        self, rule: FxRule, from_currency: str, to_currency: str, work_date: date, since: datetime
    ) -> set[datetime]:
        """When rows that can serve on a work date were decided or ended, from a moment on."""
        if self.known.newest < since:
            return set()
        pair = (*rule.pair(from_currency, to_currency), rule.rate_type)
        days = [work_date - age for age in _AGES]
        rows = [row for day in days for row in (*self._now.of(pair, day), *self._ended.of(pair, day))]
        return {moment for row in rows for moment in self.known.moments(row.id) if moment >= since}


class _ByPair:
    """Rows by currency pair and type, and day."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str, str | None], dict[date, list[FxRate]]] = {}

    def of(self, pair: tuple[str, str, str | None], day: date) -> Sequence[FxRate]:
        days = self._pairs.get(pair)
        return () if days is None else days.get(day, ())

    def swap(self, old: FxRate | None, new: FxRate | None) -> None:
        if old is not None:
            self._pairs[_pair(old)][old.day].remove(old)
        if new is not None:
            self._pairs.setdefault(_pair(new), {}).setdefault(new.day, []).append(new)


def serves(rule: FxRule, row: FxRate) -> bool:
    """Whether a contract can convert by a row: not by the reciprocal of next to nothing."""
    return not rule.inverse or row.rate > _TOO_SMALL


def _pair(row: FxRate) -> tuple[str, str, str | None]:
    return (row.from_currency, row.to_currency, row.rate_type)


def _id(row: FxRate) -> str:
    return row.id


def _touches(differences: Iterable[Difference[FxRate]]) -> list[Touch]:
    rows = (row for of in differences for row in (of.old, of.new) if row is not None)
    return list(dict.fromkeys(_touch(row) for row in rows))


def _touch(row: FxRate) -> Touch:
    return Touch(f"fx:{row.from_currency}:{row.to_currency}", row.day, row.day + _AGES[-1])
