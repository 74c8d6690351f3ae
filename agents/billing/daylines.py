"""Day lines: amounts that belong to a consultant's day on a contract line, not to one entry.

A day minimum: with 4 h at 100, entries of 1 h and 2 h are 100 and 200 and the day gets an uplift of 100; a
late 2 h makes 5 h, and the uplift goes. A per diem of 900: entries of 3 h and 5 h give one line of 900.
Day lines have no seconds and are outside caps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Protocol

from agents.billing.contracts import PER_DIEM, TM
from agents.billing.items import ENTRY, FIXED_FEE, PRICED, Item, order_key
from agents.billing.segments import PER_DIEM_SEGMENT, UNBILLED, UPLIFT_SEGMENT, Segment
from agents.billing.terms import Terms
from streams.money import FIXED, price_seconds

# A day line is made anew from its day, so what was posted of it never goes stale by version.
DAY_VERSION: Final = 1
# What the ids of day lines begin with; those of items begin with their system.
DAY_PREFIX: Final = "day:"


@dataclass(frozen=True, slots=True)
class DayLine:
    """The amount of a day; ``first`` is the day's first item, which dates it."""

    entry_id: str
    segment: str
    amount: Decimal
    first: Item

    def to_segment(self, posted_seconds: int, posted_amount: Decimal) -> Segment | None:
        """The unbilled rest after what was posted of it; None where nothing is left."""
        first = self.first
        seconds, amount = -posted_seconds, self.amount - posted_amount
        if not seconds and not amount:
            return None
        uplift = self.segment == UPLIFT_SEGMENT
        return Segment(
            root_id=first.root_id,
            entry_id=self.entry_id,
            segment=self.segment,
            bucket=UNBILLED,
            contract_line_id=first.contract_line_id,
            client_id=first.client_id,
            project_id=None,
            task_id=None,
            consultant_id=first.consultant_id,
            legal_entity_id=first.legal_entity_id,
            work_date=first.work_date,
            accounting_date=first.accounting_date,
            seconds=seconds,
            amount=amount,
            currency=first.currency,
            price=first.price if uplift else None,
            price_unit_seconds=first.price_unit_seconds if uplift else None,
            rate_id=first.rate_id if uplift else None,
            multiplier=Decimal(1) if uplift else None,
            fx_rate=first.fx_rate if uplift else None,
            fx_divides=first.fx_divides if uplift else None,
        )


def day_lines(items: Iterable[Item], terms: Terms) -> list[DayLine]:
    """The day lines of a root's items, which come in item order; a day's first item is the first of them."""
    minimums = {
        line_id: line.day_minimum_seconds
        for line_id, line in terms.lines.items()
        if line.method == TM and line.day_minimum_seconds
    }
    diems = {
        line_id: line.per_diem_amount for line_id, line in terms.lines.items() if line.method == PER_DIEM
    }
    if not minimums and not diems:
        return []
    timed: dict[str, list[Item]] = {}
    fixed: dict[str, list[Item]] = {}
    for item in items:
        line_id, day_id = item.contract_line_id, day_line_id(item)
        if day_id is None:
            continue
        if item.disposition == FIXED_FEE:
            if line_id in diems:
                fixed.setdefault(day_id, []).append(item)
        elif item.method == TM and line_id in minimums:
            timed.setdefault(day_id, []).append(item)
    lines = []
    for day_id, members in timed.items():
        first = members[0]
        short = minimums[first.contract_line_id or ""] - sum(item.quantity_seconds for item in members)
        if short > 0:
            lines.append(DayLine(day_id, UPLIFT_SEGMENT, _worth(short, first, terms), first))
    for day_id, (first, *_) in fixed.items():
        lines.append(DayLine(day_id, PER_DIEM_SEGMENT, diems[first.contract_line_id or ""], first))
    return lines


class RunningDays:
    """The items of each day, for the day lines of a root whose items change one by one."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._days: dict[str, dict[str, Item]] = {}
        self._day_of: dict[str, str] = {}

    def fork(self) -> RunningDays:
        """Another one that says the same."""
        other = RunningDays(self._terms)
        other._days = {day_id: dict(of_day) for day_id, of_day in self._days.items()}
        other._day_of = dict(self._day_of)
        return other

    def put(self, entry_id: str, item: Item | None) -> set[str]:
        """Take in an entry as it is now; the day lines that this may change, itself if it is one."""
        touched = {entry_id} if entry_id in self._days else set()
        before = self._day_of.pop(entry_id, None)
        if before is not None:
            touched.add(before)
            del self._days[before][entry_id]
            if not self._days[before]:
                del self._days[before]
        if item is not None and self._terms.has_days_of(item.contract_line_id):
            day_id = day_line_id(item)
            if day_id is not None:
                touched.add(day_id)
                self._day_of[entry_id] = day_id
                self._days.setdefault(day_id, {})[entry_id] = item
        return touched

    def line(self, day_id: str) -> DayLine | None:
        """The day line, where the day has an amount of its own."""
        ordered = sorted(self._days.get(day_id, {}).values(), key=order_key)
        return next(iter(day_lines(ordered, self._terms)), None)

    def first(self, day_id: str) -> Item | None:
        """The day's first item."""
        line = self.line(day_id) if day_id in self._days else None
        return None if line is None else line.first


class OfDay(Protocol):
    """What decides of an item which day line it counts for."""

    @property
    def item_kind(self) -> str: ...
    @property
    def disposition(self) -> str: ...
    @property
    def price_unit_seconds(self) -> int | None: ...
    @property
    def consultant_id(self) -> str | None: ...
    @property
    def contract_line_id(self) -> str | None: ...
    @property
    def work_date(self) -> date: ...


def day_line_id(item: OfDay) -> str | None:
    """The id of the day line that an entry counts for, if its contract line has such; None where it never does.

    What is paid by a fixed fee counts for a per diem, what is paid by its time for a minimum; what has a fixed
    price is paid by neither.
    """
    is_timed = item.disposition == PRICED and item.price_unit_seconds != FIXED
    if item.item_kind != ENTRY or not (is_timed or item.disposition == FIXED_FEE):
        return None
    if item.consultant_id is None or item.contract_line_id is None:
        return None
    return f"{DAY_PREFIX}{item.consultant_id}:{item.contract_line_id}:{item.work_date.isoformat()}"


def _worth(seconds: int, first: Item, terms: Terms) -> Decimal:
    """Missing time at the price and exchange rate of the day's first item, without its multiplier."""
    assert first.price is not None
    assert first.fx_rate is not None
    assert first.price_unit_seconds is not None
    return price_seconds(
        seconds,
        first.price,
        first.currency or "",
        fx=first.fx_rate,
        fx_divides=bool(first.fx_divides),
        rounding=terms.rounding_of(first.contract_line_id),
        unit_seconds=first.price_unit_seconds,
    )
