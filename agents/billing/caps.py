"""Caps and inclusions: what items of a root share, drawn on in item order.

An inclusion (prepaid lot, retainer of a month) covers first. What it doesn't cover draws on the cap of the
contract line; what passes that draws on the cap of the engagement. Example: line cap 500, engagement cap
800; line-1 item A of 600, then line-2 item B of 400: A is 500 and 100 over its line, B is 300 and 100 over
the engagement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from agents.billing.contracts import BILL, PREPAID, RETAINER, WRITE_OFF, Cap
from agents.billing.items import Item
from agents.billing.posted import NetLine
from agents.billing.segments import (
    BASE,
    COVERED,
    COVERED_SEGMENT,
    OVER_CAP,
    OVER_ENGAGEMENT,
    OVER_LINE,
    UNBILLED,
    WRITTEN_OFF,
)
from agents.billing.terms import Terms
from streams.money import EXACT, ZERO, round_money, seconds_for_money

_OVER_CAP_BUCKETS: Final = {BILL: UNBILLED, WRITE_OFF: WRITTEN_OFF}  # hold: over_cap


class Part(NamedTuple):
    """A part of an item's remainder: the segment and bucket that it goes to."""

    segment: str
    bucket: str
    seconds: int
    amount: Decimal


class Split(NamedTuple):
    """What fits and what is over."""

    in_seconds: int
    in_amount: Decimal
    out_seconds: int
    out_amount: Decimal


def share(amount: Decimal, seconds: int, of_seconds: int, currency: str) -> Decimal:
    """The money of a part of a quantity, half up: 100.00 for 3 s, of which 1 s, is 33.33."""
    return round_money(EXACT.divide(EXACT.multiply(amount, Decimal(seconds)), Decimal(of_seconds)), currency)


def split(
    seconds: int, amount: Decimal, room_seconds: int | None, room_money: Decimal | None, currency: str
) -> Split:
    """Split a quantity by the room left, None being unlimited; the remainder is by subtraction.

    Room in seconds cuts seconds exactly and money in proportion; room in money cuts money exactly and
    seconds half up. Example: 8 h at 137.50 with 100.00 left: 2,618 s/100.00 and 26,182 s/1,000.00 over.
    """
    in_seconds, in_amount = seconds, amount
    if room_seconds is not None and room_seconds < seconds:
        in_seconds = room_seconds
        in_amount = share(amount, in_seconds, seconds, currency)
    if room_money is not None and room_money < in_amount:
        in_amount = room_money
        in_seconds = min(in_seconds, seconds_for_money(in_amount, amount, seconds))
    return Split(in_seconds, in_amount, seconds - in_seconds, amount - in_amount)


@dataclass(slots=True)
class Headroom:
    """What a cap still lets pass: cap - posted - consumed, never less than nothing."""

    seconds: int | None
    money: Decimal | None
    bucket: str

    @classmethod
    def of(cls, cap: Cap, posted: Iterable[NetLine]) -> Headroom:
        """The headroom before the first item. Every posted line counts, one that is due for credit too."""
        seconds, money = cap.seconds, cap.money
        for net in posted:
            seconds = None if seconds is None else seconds - net.seconds
            money = None if money is None else money - net.amount
        return cls(seconds, money, _OVER_CAP_BUCKETS.get(cap.over_cap_action, OVER_CAP))

    def draw(self, seconds: int, amount: Decimal, currency: str) -> Split:
        """Let pass what fits, and count it."""
        parts = split(
            seconds,
            amount,
            None if self.seconds is None else max(0, self.seconds),
            None if self.money is None else max(ZERO, self.money),
            currency,
        )
        if self.seconds is not None:
            self.seconds -= parts.in_seconds
        if self.money is not None:
            self.money -= parts.in_amount
        return parts


class Limits:
    """Running headroom and inclusions of a root; `place` must be called in item order."""

    def __init__(self, terms: Terms, posted: Iterable[NetLine]) -> None:
        nets = list(posted)
        self._lines = terms.lines
        self._engagement = Headroom.of(terms.cap, nets) if terms.cap.is_set else None
        self._headrooms: dict[str, Headroom] = {}
        for line_id, line in terms.lines.items():
            if line.cap.is_set:
                own = [net for net in nets if net.line.contract_line_id == line_id]
                self._headrooms[line_id] = Headroom.of(line.cap, own)
        self._pools: dict[tuple[str, date | None], int] = {}

    def place(self, item: Item, seconds: int, amount: Decimal) -> list[Part]:
        """Where a priced remainder goes: covered, unbilled, over the line's or the engagement's cap.

        A negative amount (more was posted than the item is now worth) passes and frees nothing.
        """
        if amount < 0:
            return [Part(BASE, UNBILLED, seconds, amount)]
        parts: list[Part] = []
        currency = item.currency or ""
        line_id = item.contract_line_id or ""
        if item.method in (RETAINER, PREPAID) and seconds > 0:
            pool = (line_id, item.work_date.replace(day=1) if item.method == RETAINER else None)
            left = self._pools.get(pool)
            if left is None:
                line = self._lines.get(line_id)
                left = 0 if line is None else line.included_seconds
            covered = split(seconds, amount, left, None, currency)
            self._pools[pool] = left - covered.in_seconds
            parts.append(Part(COVERED_SEGMENT, COVERED, covered.in_seconds, covered.in_amount))
            seconds, amount = covered.out_seconds, covered.out_amount
        headroom = self._headrooms.get(line_id)
        if headroom is not None:
            passed = headroom.draw(seconds, amount, currency)
            parts.append(Part(OVER_LINE, headroom.bucket, passed.out_seconds, passed.out_amount))
            seconds, amount = passed.in_seconds, passed.in_amount
        if self._engagement is not None:
            passed = self._engagement.draw(seconds, amount, currency)
            over = Part(OVER_ENGAGEMENT, self._engagement.bucket, passed.out_seconds, passed.out_amount)
            parts.append(over)
            seconds, amount = passed.in_seconds, passed.in_amount
        parts.append(Part(BASE, UNBILLED, seconds, amount))
        return parts
