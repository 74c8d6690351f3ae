"""Hours that a contract line includes: a prepaid lot's, or those of a retainer's months, which may roll on."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from .caps import Allowance
from .exact import ZERO
from .rating import Item
from .rows import ContractLine, PrepaidLot, Rows

# A line, what of it, and the month that gave the hours (of a lot: the end of time).
Pool = tuple[str, str, date]
ALL: Final = date.max


def draw(item: Item, seconds: int, rows: Rows, pools: dict[Pool, Allowance]) -> list[tuple[str, int]]:
    """The seconds of an item that its line covers, by segment, in turn; they are gone then.

    A retainer's month covers its own work; if hours roll over, work is covered by the oldest month that still has
    some. Of each month's hours at most ``rollover_seconds`` serve later months, of which there are at most
    ``rollover_months``, and none before the line starts or after it ends.

    A prepaid line covers work from the lots that are valid on its day, first and last day included: from the one
    that expires first, of those that expire together from the one whose id is less. The hours that the line itself
    includes are one of them, with the id and the dates of the line.

    Example: 10 h a month, of which at most 4 roll on, for one month: of March 3 h are used. April has 14 h: the first
    4 are March's.
    """
    line = rows.contract_lines[str(item.line_id)]
    if item.method == "prepaid":
        return _draw_lots(line, item, seconds, rows, pools)
    covered = 0
    for month in giving_months(line, item.work_date):
        own = pools.setdefault((line.id, "included", month), Allowance(line.included_seconds or 0, None))
        if month == item.work_date.replace(day=1):
            covered += _take(seconds - covered, own)
        else:
            rolls = pools.setdefault((line.id, "rolls", month), Allowance(line.rollover_seconds, None))
            covered += _take(seconds - covered, own, rolls)
    return [("covered", covered)]


def _draw_lots(
    line: ContractLine, item: Item, seconds: int, rows: Rows, pools: dict[Pool, Allowance]
) -> list[tuple[str, int]]:
    lots = [lot for lot in rows.prepaid_lots.values() if lot.contract_line_id == line.id]
    own = PrepaidLot(line.id, line.id, line.included_seconds or 0, ZERO, line.starts_on, line.expires_on)
    found = []
    for lot in sorted([own, *lots], key=lambda lot: (lot.expires_on or date.max, lot.id)):
        if (lot.starts_on or date.min) <= item.work_date <= (lot.expires_on or date.max):
            segment = "covered" if lot is own else f"lot:{lot.id}"
            taken = _take(seconds, pools.setdefault((line.id, segment, ALL), Allowance(lot.seconds, None)))
            seconds -= taken
            found.append((segment, taken))
    return found


def giving_months(line: ContractLine, day: date) -> list[date]:
    """First days of the months whose hours a retainer's work of a day may use, oldest first; its own is the last."""
    own = day.replace(day=1)
    months = [own]
    if line.unused_hours != "roll_over":
        return months
    assert line.starts_on is not None
    if line.ends_on is not None and own >= line.ends_on:
        return months
    while len(months) <= (24 if line.rollover_months is None else line.rollover_months):
        before = (months[0] - timedelta(days=1)).replace(day=1)
        if before < line.starts_on.replace(day=1):
            break
        months.insert(0, before)
    return months


def _take(seconds: int, *allowances: Allowance) -> int:
    """As much as all of them allow."""
    for allowance in allowances:
        left = allowance.left_seconds()
        seconds = seconds if left is None else min(seconds, left)
    for allowance in allowances:
        allowance.use(seconds, ZERO)
    return seconds
