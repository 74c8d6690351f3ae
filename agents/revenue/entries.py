"""One entry, milestone, expense or day line on one root: its rated item, its segments, and what they add to which month.

Work is earned in the accounting month of its approval, whatever happens to its billing: a posted segment has the
date of the posting, so the month is the item's. What nobody may ask the client for is not earned: over a cap and
held, written off, the difference that rounded hours leave. What is on hold, drafted or due back is billing's
matter: it counts with its sign. Of an item that left the root only what was posted and the same due back remain:
together nothing.

Messages of both topics come in any order: each carries a revision, and an older one changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

from agents.billing.items import EXPENSE, FIXED_FEE, MILESTONE_ITEM, NON_CHARGEABLE, PARKED, PRICED
from agents.billing.segments import BILLED, COVERED, LOT_SEGMENT, ON_DRAFT, ON_HOLD, UNBILLED
from agents.revenue.sums import MonthSums, first_of
from streams.errors import InvalidValue
from streams.packing import packed

EARNED: Final = frozenset((BILLED, ON_DRAFT, UNBILLED, ON_HOLD))

Parts = dict[tuple[str, date], MonthSums]


class Rated(NamedTuple):
    """What revenue needs of a rated item."""

    item_kind: str
    contract_line_id: str | None
    consultant_id: str | None
    work_date: date
    accounting_date: date
    disposition: str
    price_unit_seconds: int | None
    seconds: int


class Placed(NamedTuple):
    """What revenue needs of a segment."""

    bucket: str
    contract_line_id: str | None
    accounting_date: date | None
    seconds: int
    amount: Decimal | None
    earned: tuple[str, ...] = ()
    is_gone: bool = False


PLACED: Final = Placed._fields[:5]  # as records have them


class EntryState:
    """Mutable state of one entry on one root. ``parts`` are those that are in the sums."""

    __slots__ = ("_is_expense", "_revision", "_segments", "parts", "rated")

    def __init__(self) -> None:
        self.rated: Rated | None = None
        self.parts: Parts = {}
        self._is_expense = False
        self._revision = 0
        self._segments: dict[str, tuple[int, Placed | None]] = {}

    def put_rated(self, record: Mapping[str, Any]) -> bool:
        """Apply a decoded ``billing.rated`` record unless a later one is there; says whether it did."""
        is_new_kind = record["op"] == "PUT" and self.put_kind(record)
        if record["revision"] < self._revision:
            return is_new_kind
        self._revision = record["revision"]
        self.rated = None
        if record["op"] == "PUT":
            self.rated = Rated(*(record[name] for name in Rated._fields))
        return True

    def put_kind(self, record: Mapping[str, Any]) -> bool:
        """Learn from a decoded ``billing.rated`` record if it is an expense, which it is for ever; says if that is new."""
        is_new = record["item_kind"] == EXPENSE and not self._is_expense
        self._is_expense = self._is_expense or is_new
        return is_new

    def put_segment(self, record: Mapping[str, Any]) -> bool:
        """Apply a decoded ``billing.current`` record unless a later one is there; says whether it did.

        Raises InvalidValue for one that is earned and has no amount: nothing is earned for free.
        """
        stored = self._segments.get(record["segment"])
        if stored is not None and record["revision"] < stored[0]:
            return False
        earned = tuple(record["earned"] or ())
        placed = None
        if earned or not record["deleted"]:
            own = {name: record[name] for name in PLACED}
            placed = Placed(**own, earned=earned, is_gone=record["deleted"])
        if placed is not None and not placed.is_gone and placed.bucket in EARNED and placed.amount is None:
            raise InvalidValue(
                f"{record['entry_id']} {record['segment']} is {placed.bucket} without an amount"
            )
        self._segments[record["segment"]] = (record["revision"], placed)
        return True

    def compute(self, day_line_on: date | None) -> Parts:
        """What the entry adds to its months; ``day_line_on`` is the accounting date of a day line.

        Example: 10 h at 150 approved in March and posted in April: 1,500 delivered and 36,000 s worked in
        March, 1,500 billed in April.
        """
        parts: Parts = {}
        in_months = any(placed.earned for _, placed in self._segments.values() if placed is not None)
        rated, month_of = self.rated, day_line_on
        if rated is not None:
            month_of = rated.accounting_date
            if rated.disposition == PARKED:
                _add(parts, rated.contract_line_id, month_of, parked_items=1, parked_seconds=rated.seconds)
            elif rated.disposition in (PRICED, FIXED_FEE) and not in_months:
                _add(parts, rated.contract_line_id, month_of, worked=rated.seconds)
        money = "expenses" if self._is_expense else "delivered"
        if rated is not None and rated.item_kind == MILESTONE_ITEM:
            money = "accepted"
        for name, (_, placed) in self._segments.items():
            if placed is None:
                continue
            if in_months:
                _add_earned(parts, name, placed.earned, money)
                continue
            line_id, booked_on = placed.contract_line_id, placed.accounting_date
            if placed.bucket in EARNED:
                _add(parts, line_id, month_of or booked_on, **{money: placed.amount})
            elif placed.bucket == COVERED:
                _add(parts, line_id, month_of or booked_on, **_covered(name, placed.seconds))
            if placed.bucket == BILLED:
                _add(parts, line_id, booked_on, billed=placed.amount)
        return {key: sums for key, sums in parts.items() if not sums.is_nothing}

    def packed(self) -> bytes:
        """As the lane stores it."""
        segments = {
            name: [revision, None if placed is None else _texts(placed)]
            for name, (revision, placed) in self._segments.items()
        }
        parts = [[line_id, month.isoformat(), sums.packed()] for (line_id, month), sums in self.parts.items()]
        rated = None if self.rated is None else _texts(self.rated)
        return packed([self._revision, rated, segments, parts, self._is_expense])

    @classmethod
    def unpacked(cls, data: bytes) -> EntryState:
        """Of `packed`."""
        state = cls()
        state._revision, rated, segments, parts, *rest = json.loads(data)
        state._is_expense = any(rest)  # earlier versions knew none
        if rated is not None:
            kind, line_id, consultant_id, worked_on, booked_on, *of_rated = rated
            days = date.fromisoformat(worked_on), date.fromisoformat(booked_on)
            state.rated = Rated(kind, line_id, consultant_id, *days, *of_rated)
        for name, (revision, values) in segments.items():
            state._segments[name] = (revision, None if values is None else _placed(values))
        state.parts = {
            (line_id, date.fromisoformat(month)): MonthSums.unpacked(sums) for line_id, month, sums in parts
        }
        return state


def _add_earned(parts: Parts, name: str, earned: tuple[str, ...], money: str) -> None:
    """What the segment ``name`` adds to several months, as billing has worked it out from what stood at each close."""
    for text in earned:
        month, billed_in, seconds, amount, bucket, line_id = text.split(" ", 5)
        on = date.fromisoformat(f"{month}-01")
        if bucket in EARNED:
            _add(parts, line_id, on, **{money: Decimal(amount)})
        elif bucket == COVERED:
            _add(parts, line_id, on, **_covered(name, int(seconds)))
        if bucket not in (PARKED, NON_CHARGEABLE):
            _add(parts, line_id, on, worked=int(seconds))
        if bucket == BILLED:
            _add(parts, line_id, date.fromisoformat(f"{billed_in}-01"), billed=Decimal(amount))


def _covered(name: str, seconds: int) -> dict[str, Any]:
    """By the lot that the segment names, else by what the line itself includes."""
    if name.startswith(LOT_SEGMENT):
        return {"lots": ((name.removeprefix(LOT_SEGMENT), seconds),)}
    return {"covered": seconds}


def _add(parts: Parts, line_id: str | None, on: date | None, **sums: Any) -> None:
    """Add to a month of a line; what is of no contract line, such as internal work, is no revenue."""
    if line_id is not None and on is not None:
        key = (line_id, first_of(on))
        parts[key] = parts.get(key, MonthSums()).plus(MonthSums(**sums))


def _placed(values: list[Any]) -> Placed:
    bucket, line_id, on, seconds, amount, *rest = values
    earned, is_gone = rest or ((), False)  # earlier versions had neither
    return Placed(
        bucket,
        line_id,
        None if on is None else date.fromisoformat(on),
        seconds,
        None if amount is None else Decimal(amount),
        tuple(earned),
        is_gone,
    )


def _texts(values: tuple[Any, ...]) -> list[Any]:
    """Dates and amounts as texts."""
    return [str(value) if isinstance(value, date | Decimal) else value for value in values]
