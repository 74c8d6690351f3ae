"""What work, milestones and postings add to the months of contract lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from .allocation import Segment, item_order
from .closes import Closes, earn
from .daylines import day_items
from .exact import ZERO
from .rating import Item
from .rows import Rows

# Held back or not, drafted, posted or neither: it was approved, and is to be paid for.
EARNED: Final = ("billed", "on_draft", "unbilled", "on_hold")


@dataclass(slots=True)
class Month:
    """Sums of a month: money of entries, of milestones, of expenses, money posted; seconds; what is parked.

    ``covered`` is by what the line itself includes, ``lots`` by each lot.
    ``by_person`` is the money of entries and expenses by consultant and day of the work, that of nobody left out.
    """

    delivered: Decimal = ZERO
    accepted: Decimal = ZERO
    billed: Decimal = ZERO
    worked: int = 0
    covered: int = 0
    parked_items: int = 0
    parked_seconds: int = 0
    lots: dict[str, int] = field(default_factory=dict)
    expenses: Decimal = ZERO
    by_person: dict[tuple[str, date | None], Decimal] = field(
        default_factory=lambda: defaultdict(lambda: ZERO), compare=False
    )


Sums = Mapping[tuple[str, str], Mapping[date, Month]]


def sums_by_month(
    segments: Iterable[Segment], rated: Iterable[Item], rows: Rows, closes: Closes
) -> dict[tuple[str, str], dict[date, Month]]:
    """By line and month. Work is of the month in which it was approved, whenever it is posted.

    Where it is told what stood at each close (`Closes.states`), later acts move no closed month; what is parked is
    told as of now.
    """
    told = {root for root in closes.roots if closes.states(root)}
    expenses = set(rows.expenses) | {version.expense.id for version in rows.expense_versions.values()}
    sums: dict[tuple[str, str], dict[date, Month]] = defaultdict(lambda: defaultdict(Month))
    by_root: dict[str, list[Item]] = defaultdict(list)
    for item in rated:
        by_root[item.root].append(item)
    items: dict[tuple[str, str], Item] = {}
    for root, of_root in by_root.items():
        ordered = sorted(of_root, key=item_order)
        for item in (*ordered, *day_items(ordered, rows)):
            items[root, item.entry_id] = item
            if item.line_id is None:
                continue
            month = sums[root, item.line_id][first_of(item.accounting_date)]
            if item.disposition == "parked":
                month.parked_items += 1
                month.parked_seconds += item.seconds
            elif item.disposition in ("priced", "fixed_fee") and root not in told:
                month.worked += item.seconds
    for segment in segments:
        if segment.line_id is None or segment.accounting_date is None or segment.root in told:
            continue
        of_line = sums[segment.root, segment.line_id]
        its_item = items.get((segment.root, segment.entry_id))
        earned_on = segment.accounting_date if its_item is None else its_item.accounting_date
        month = of_line[first_of(earned_on)]
        if segment.bucket in EARNED:
            assert segment.amount is not None
            if its_item is not None and its_item.kind == "milestone":
                month.accepted += segment.amount
            else:
                if segment.entry_id in expenses:
                    month.expenses += segment.amount
                else:
                    month.delivered += segment.amount
                if segment.work.consultant is not None:
                    month.by_person[segment.work.consultant, segment.work.day] += segment.amount
        elif segment.segment.startswith("lot:"):
            lot = segment.segment.removeprefix("lot:")
            month.lots[lot] = month.lots.get(lot, 0) + segment.seconds
        elif segment.bucket == "covered":
            month.covered += segment.seconds
        if segment.bucket == "billed":
            assert segment.amount is not None
            of_line[first_of(segment.accounting_date)].billed += segment.amount
    for root in told:
        for one in earn(closes, root):
            if one.segment.line_id is None or one.earned_on is None:
                continue
            sign, of_line = -1 if one.is_back else 1, sums[root, one.segment.line_id]
            month, bucket, money = of_line[first_of(one.earned_on)], one.segment.bucket, one.segment.amount
            if bucket in EARNED:
                assert money is not None
                if one.kind == "milestone":
                    month.accepted += sign * money
                else:
                    work = one.segment.work
                    if one.segment.entry_id in expenses:
                        month.expenses += sign * money
                    else:
                        month.delivered += sign * money
                    if work.consultant is not None:
                        month.by_person[work.consultant, work.day] += sign * money
            if one.segment.segment.startswith("lot:"):
                lot = one.segment.segment.removeprefix("lot:")
                month.lots[lot] = month.lots.get(lot, 0) + sign * one.segment.seconds
            elif bucket == "covered":
                month.covered += sign * one.segment.seconds
            if bucket not in ("parked", "non_chargeable"):
                month.worked += sign * one.segment.seconds
            if bucket == "billed":
                assert money is not None
                assert one.billed_on is not None
                of_line[first_of(one.billed_on)].billed += sign * money
    return sums


def first_of(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)
