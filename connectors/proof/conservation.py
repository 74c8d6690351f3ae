"""Conservation: what was approved is in the buckets, to the second, and its worth to the cent.

Of each entry: billed + on draft + unbilled + covered + fixed fee + over cap + non-chargeable + written off +
on hold + rounding + parked = approved. Signed: what is due back is negative. Money likewise where it is priced;
what is parked has no known worth, which is not 0.

Example: 8 h approved, 6 h billed and 2 h unbilled have no gap. If the 2 h are missing, the gap is 7200 s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from streams.money import ZERO


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds and money of an entry in a bucket; ``amount`` None is unknown."""

    entry: str
    bucket: str
    seconds: int
    currency: str | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing of an entry, or too much if negative: seconds, and money by currency."""

    seconds: int
    money: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Conservation:
    """Sums over all lines, and ``gaps``: by entry, the entries that do not add up."""

    approved_seconds: int
    seconds: Mapping[str, int]  # by bucket
    money: Mapping[tuple[str, str], Decimal]  # by (bucket, currency)
    unpriced_seconds: int
    gaps: Mapping[str, Gap]

    @property
    def booked_seconds(self) -> int:
        """Of all buckets."""
        return sum(self.seconds.values())

    @property
    def gap_seconds(self) -> int:
        """Approved less booked, of all entries together."""
        return self.approved_seconds - self.booked_seconds

    @property
    def booked_money(self) -> dict[str, Decimal]:
        """Money of all buckets, by currency."""
        return by_currency(((currency, amount) for (_, currency), amount in self.money.items()))

    @property
    def gap_money(self) -> dict[str, Decimal]:
        """By currency, of all entries together; empty where what they are worth was not told."""
        return by_currency(pair for gap in self.gaps.values() for pair in gap.money.items())

    @property
    def holds(self) -> bool:
        """Whether every entry adds up: gaps that cancel out are still gaps."""
        return not self.gaps


def conserve(
    approved: Mapping[str, int],
    lines: Iterable[Line],
    worth: Mapping[tuple[str, str], Decimal] | None = None,
) -> Conservation:
    """Add up lines and compare each entry with its approved seconds, 0 if it has none.

    ``worth`` is what each (entry, currency) must come to; without it money is added up but not compared.
    """
    seconds_of: dict[str, int] = defaultdict(int)
    money_of: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    seconds: dict[str, int] = defaultdict(int)
    money: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    unpriced = 0
    for line in lines:
        seconds_of[line.entry] += line.seconds
        seconds[line.bucket] += line.seconds
        if line.amount is None:
            unpriced += line.seconds
        elif line.currency is not None:
            money_of[line.entry, line.currency] += line.amount
            money[line.bucket, line.currency] += line.amount
    missing_money: dict[str, dict[str, Decimal]] = defaultdict(dict)
    if worth is not None:
        for entry, currency in {*worth, *money_of}:
            missing = worth.get((entry, currency), ZERO) - money_of.get((entry, currency), ZERO)
            if missing:
                missing_money[entry][currency] = missing
    gaps = {}
    for entry in sorted({*approved, *seconds_of, *missing_money}):
        gap = Gap(approved.get(entry, 0) - seconds_of.get(entry, 0), missing_money.get(entry, {}))
        if gap.seconds or gap.money:
            gaps[entry] = gap
    return Conservation(sum(approved.values()), dict(seconds), dict(money), unpriced, gaps)


def by_currency(pairs: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """Amounts added up by currency."""
    total: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for currency, amount in pairs:
        total[currency] += amount
    return dict(sorted(total.items()))
