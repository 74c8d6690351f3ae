"""What entries, milestones and expenses add to the months of a contract line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from streams.money import ZERO

# What sums were stored without by earlier versions: lots, and expenses.
_LATER: Final[tuple[Any, ...]] = ((), "0")
# Of a line: by the first day of an accounting month.
Months = dict[date, "MonthSums"]


class MonthSums(NamedTuple):
    """Money in the engagement's currency, and seconds.

    ``delivered`` is what approved time is worth, day lines among it, ``accepted`` what milestones are;
    ``billed`` is posted less what was credited of it since, in the month of the posting. ``worked`` is approved
    chargeable time, whether or not it has a price, ``covered`` what the line's own lot or retainer paid for, ``lots``
    what each other lot did, by its id in order, ``expenses`` is what approved ones are billed for. What is parked is
    worth nobody knows what.
    """

    delivered: Decimal = ZERO
    accepted: Decimal = ZERO
    billed: Decimal = ZERO
    worked: int = 0
    covered: int = 0
    parked_items: int = 0
    parked_seconds: int = 0
    lots: tuple[tuple[str, int], ...] = ()
    expenses: Decimal = ZERO

    def plus(self, other: MonthSums, sign: int = 1) -> MonthSums:
        """The sum, or with sign -1 the difference."""
        return MonthSums(
            self.delivered + sign * other.delivered,
            self.accepted + sign * other.accepted,
            self.billed + sign * other.billed,
            self.worked + sign * other.worked,
            self.covered + sign * other.covered,
            self.parked_items + sign * other.parked_items,
            self.parked_seconds + sign * other.parked_seconds,
            _together(self.lots, other.lots, sign) if self.lots or other.lots else (),
            self.expenses + sign * other.expenses,
        )

    @property
    def consumed(self) -> int:
        """What the line's own lot and all others paid for."""
        return self.covered + sum(seconds for _, seconds in self.lots)

    @property
    def is_nothing(self) -> bool:
        """Whether all sums are 0."""
        return not any(self)

    def packed(self) -> list[Any]:
        """As JSON has it."""
        return [*(str(amount) for amount in self[:3]), *self[3:8], str(self.expenses)]

    @classmethod
    def unpacked(cls, values: list[Any]) -> MonthSums:
        """Of `packed`."""
        delivered, accepted, billed = (Decimal(text) for text in values[:3])
        lots, expenses, *_ = [*values[7:], *_LATER[len(values) - 7 :]]
        found = cls(delivered, accepted, billed, *values[3:7])
        of_lots = tuple((lot, seconds) for lot, seconds in lots)
        return found._replace(lots=of_lots, expenses=Decimal(expenses))


def _together(
    mine: Iterable[tuple[str, int]], its: Iterable[tuple[str, int]], sign: int
) -> tuple[tuple[str, int], ...]:
    total = dict(mine)
    for lot, seconds in its:
        total[lot] = total.get(lot, 0) + sign * seconds
    return tuple(sorted((lot, seconds) for lot, seconds in total.items() if seconds))


NOTHING: Final = MonthSums()


def first_of(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)


def month_after(month: date) -> date:
    """The first day of the next month."""
    return first_of(month.replace(day=1) + timedelta(days=32))


def add(months: Months, month: date, sums: MonthSums, sign: int = 1) -> None:
    """Add to a month; one in which nothing is left is taken out."""
    total = months.get(month, NOTHING).plus(sums, sign)
    if total.is_nothing:
        months.pop(month, None)
    else:
        months[month] = total


def difference(
    old: Mapping[tuple[str, date], MonthSums], new: Mapping[tuple[str, date], MonthSums]
) -> Iterator[tuple[str, date, MonthSums]]:
    """Line, month and what to add to it, to turn the ``old`` parts of an entry into the ``new`` ones."""
    for key in sorted({*old, *new}):
        change = new.get(key, NOTHING).plus(old.get(key, NOTHING), -1)
        if not change.is_nothing:
            yield (*key, change)
