"""What work, milestones and postings add to the months of contract lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from streams.money import ZERO

from .allocation import Segment, item_order
from .daylines import day_items
from .rating import Item
from .rows import Rows

# Held back or not, drafted, posted or neither: it was approved, and is to be paid for.
EARNED: Final = ("billed", "on_draft", "unbilled", "on_hold")


@dataclass(slots=True)
class Month:
    """Sums of a month: money of entries, money of milestones, money posted; seconds; what is parked."""

    delivered: Decimal = ZERO
    accepted: Decimal = ZERO
    billed: Decimal = ZERO
    worked: int = 0
    covered: int = 0
    parked_items: int = 0
    parked_seconds: int = 0


def sums_by_month(
    segments: Iterable[Segment], rated: Iterable[Item], rows: Rows
) -> dict[tuple[str, str], dict[date, Month]]:
    """By line and month. Work is of the month in which it was approved, whenever it is posted."""
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
            elif item.disposition in ("priced", "fixed_fee"):
                month.worked += item.seconds
    for segment in segments:
        if segment.line_id is None or segment.accounting_date is None:
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
                month.delivered += segment.amount
        elif segment.bucket == "covered":
            month.covered += segment.seconds
        if segment.bucket == "billed":
            assert segment.amount is not None
            of_line[first_of(segment.accounting_date)].billed += segment.amount
    return sums


def first_of(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)
