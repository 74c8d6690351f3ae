"""Hours that a contract line includes: a prepaid lot's, or those of a retainer's months, which may roll on."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from streams.money import ZERO

from .caps import Allowance
from .rating import Item
from .rows import ContractLine

# A line, what of it, and the month that gave the hours (of a lot: the end of time).
Pool = tuple[str, str, date]
ALL: Final = date.max


def draw(line: ContractLine, item: Item, seconds: int, pools: dict[Pool, Allowance]) -> int:
    """The seconds of an item that the line covers, which are gone then.

    A lot covers work from the line's start to its expiry, both included. A retainer's month covers its own work; if
    hours roll over, work is covered by the oldest month that still has some. Of each month's hours at most
    ``rollover_seconds`` serve later months, of which there are at most ``rollover_months``, and none
    before the line starts or after it ends.

    Example: 10 h a month, of which at most 4 roll on, for one month: of March 3 h are used. April has 14 h: the first
    4 are March's.
    """
    if item.method == "prepaid":
        begins, ends = line.starts_on or date.min, line.expires_on or date.max
        if not begins <= item.work_date <= ends:
            return 0
        lot = pools.setdefault((line.id, "included", ALL), Allowance(line.included_seconds or 0, None))
        return _take(seconds, lot)
    covered = 0
    for month in giving_months(line, item.work_date):
        own = pools.setdefault((line.id, "included", month), Allowance(line.included_seconds or 0, None))
        if month == item.work_date.replace(day=1):
            covered += _take(seconds - covered, own)
        else:
            rolls = pools.setdefault((line.id, "rolls", month), Allowance(line.rollover_seconds, None))
            covered += _take(seconds - covered, own, rolls)
    return covered


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
