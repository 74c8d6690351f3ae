"""The rows of ``revenue.current`` of one contract line, from its sums and its terms.

A row is a month in which something is recognised, billed, scheduled, planned anew, done or parked. Balances are
at the month's end: what is recognised and not billed is a contract asset, what is billed and not recognised
deferred revenue. The price is what the plan in force in that month says, so that a later plan leaves a closed
month as it was: fee, and what is delivered beside it, or all milestones that are not cancelled. Always

    recognised to date + remaining = transaction price
    all recognised + breakage + scheduled = the last transaction price

Example: 10 h at 150 approved in March and posted in April: March recognised 1,500, contract asset 1,500; April
recognised 0, billed 1,500, net change -1,500, contract asset 0.

Where terms are missing, all that depends on them is None, and the keys are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from agents.revenue.fees import Earned, Fee, by_days, by_progress, progress_of, whole_of
from agents.revenue.sums import NOTHING, MonthSums, first_of
from agents.revenue.terms import AS_CONSUMED, FEE_METHODS, PERCENT_COMPLETE, STRAIGHT_LINE, ToCome
from streams.money import ZERO


class MonthRow(NamedTuple):
    """The business content of a ``revenue.current`` record, apart from its key and the parties."""

    revenue_method: str
    recognised: Decimal | None
    breakage: Decimal | None
    recognised_to_date: Decimal | None
    billed: Decimal
    billed_to_date: Decimal
    net_change: Decimal | None
    contract_asset: Decimal | None
    deferred_revenue: Decimal | None
    transaction_price: Decimal | None
    remaining: Decimal | None
    scheduled: Decimal | None
    progress_seconds: int | None
    planned_seconds: int | None
    parked_items: int
    parked_seconds: int
    missing_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LineFacts:
    """All that the rows of a line follow from. ``fee`` is that of a `FEE_METHODS` line that lacks nothing.

    Of one that lacks something ``begins_in`` is the first month, so that it shows before anything happens on it.
    """

    method: str
    months: Mapping[date, MonthSums]
    fee: Fee | None = None
    to_come: Sequence[ToCome] = ()
    missing: tuple[str, ...] = ()
    begins_in: date | None = None


def month_rows(line: LineFacts) -> dict[date, MonthRow]:
    """The rows by month."""
    return dict(_unknown(line) if line.missing else _known(line))


def _known(line: LineFacts) -> Iterator[tuple[date, MonthRow]]:
    earned = _earned(line)
    revised = set() if line.fee is None else line.fee.revised
    milestones = sum((sums.accepted for sums in line.months.values()), ZERO)
    milestones += sum((one.amount for one in line.to_come), ZERO)
    to_date = billed_to_date = delivered_to_date = ZERO
    progress = 0
    for month in sorted({*line.months, *earned.recognised, *earned.breakage, *earned.scheduled, *revised}):
        sums = line.months.get(month, NOTHING)
        delivered, accepted = _beside_the_fee(line.method, sums)
        recognised = earned.recognised.get(month, ZERO) + delivered + accepted
        breakage = earned.breakage.get(month, ZERO)
        scheduled = earned.scheduled.get(month, ZERO)
        moved = progress_of(line.method, sums)
        to_date += recognised + breakage
        billed_to_date += sums.billed
        delivered_to_date += delivered
        progress += moved
        price, planned = delivered_to_date, None
        if line.fee is None:
            price += milestones
        else:
            plan = line.fee.plan_of(month)
            price, planned = price + plan.fee, whole_of(line.fee.terms, plan)
            if line.method == AS_CONSUMED:
                fees, seconds = line.fee.of_lots(month)
                price, planned = price + fees, (planned or 0) + seconds
        happened = recognised or breakage or scheduled or sums.billed or moved or sums.parked_items
        if happened or month in revised:
            yield (
                month,
                MonthRow(
                    line.method,
                    recognised,
                    breakage,
                    to_date,
                    sums.billed,
                    billed_to_date,
                    recognised + breakage - sums.billed,
                    max(ZERO, to_date - billed_to_date),
                    max(ZERO, billed_to_date - to_date),
                    price,
                    price - to_date,
                    scheduled,
                    None if planned is None else progress,
                    planned,
                    sums.parked_items,
                    sums.parked_seconds,
                ),
            )


def _earned(line: LineFacts) -> Earned:
    if line.fee is None:
        earned = Earned()
        for one in line.to_come:
            month = first_of(one.due_on)
            earned.scheduled[month] = earned.scheduled.get(month, ZERO) + one.amount
        return earned
    return by_days(line.fee) if line.method == STRAIGHT_LINE else by_progress(line.fee, line.months)


def _beside_the_fee(method: str, sums: MonthSums) -> tuple[Decimal, Decimal]:
    """What time and milestones earn, and expenses, which are extra.

    Milestones of a fee only say when it is billed; the fee of a fixed price pays for all time, that of a retainer or
    a lot for what it covers.
    """
    delivered = ZERO if method == PERCENT_COMPLETE else sums.delivered
    delivered += sums.expenses
    return delivered, ZERO if method in FEE_METHODS else sums.accepted


def _unknown(line: LineFacts) -> Iterator[tuple[date, MonthRow]]:
    billed_to_date = ZERO
    begins = {} if line.begins_in is None else {line.begins_in: NOTHING}
    for month, sums in sorted({**begins, **line.months}.items()):
        billed_to_date += sums.billed
        unknown = (None, None, None)
        parked = (sums.parked_items, sums.parked_seconds)
        balances = (*unknown, *unknown, None, None)
        yield (
            month,
            MonthRow(line.method, *unknown, sums.billed, billed_to_date, *balances, *parked, line.missing),
        )
