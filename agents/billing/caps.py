"""Caps and inclusions: what items of a root share, drawn on in item order.

What the line includes covers first (see `inclusions`). What it doesn't cover draws on the cap of the contract line;
what passes that draws on the cap of the engagement. Example: line cap 500, engagement cap 800; line-1 item A of 600,
then line-2 item B of 400: A is 500 and 100 over its line, B is 300 and 100 over the engagement.

An expense counts against the caps that its scope names, posted or not: those of line and engagement as work does, the
engagement's alone, or none. It has no hours, so that only caps of money bind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from agents.billing.contracts import BILL, HALF_UP, WRITE_OFF, Cap
from agents.billing.inclusions import Limit, drawn_on, included
from agents.billing.items import ENGAGEMENT_SCOPE, LINE_SCOPE, NO_SCOPE, Item
from agents.billing.posted import NetLine
from agents.billing.rounding import share
from agents.billing.segments import (
    BASE,
    COVERED,
    OVER_CAP,
    OVER_ENGAGEMENT,
    OVER_LINE,
    UNBILLED,
    WRITTEN_OFF,
)
from agents.billing.terms import Terms
from streams.money import ZERO, seconds_for_money

_ENGAGEMENT: Final[Limit] = ("engagement", "", None)
ENGAGEMENT_CAP: Final = _ENGAGEMENT

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


def split(
    seconds: int,
    amount: Decimal,
    room_seconds: int | None,
    room_money: Decimal | None,
    currency: str,
    rounding: str,
) -> Split:
    """Split a quantity by the room left, None being unlimited; the remainder is by subtraction.

    Room in seconds cuts seconds exactly and money in proportion, rounded as the line says; room in money cuts money
    exactly and seconds half up. Example: 8 h at 137.50 with 100.00 left: 2,618 s/100.00 and 26,182 s/1,000.00 over.
    """
    in_seconds, in_amount = seconds, amount
    if room_seconds is not None and room_seconds < seconds:
        in_seconds = room_seconds
        in_amount = share(amount, in_seconds, seconds, currency, rounding)
    if room_money is not None and room_money < in_amount:
        in_amount = room_money
        in_seconds = min(in_seconds, seconds_for_money(in_amount, amount, seconds))
    return Split(in_seconds, in_amount, seconds - in_seconds, amount - in_amount)


class Room(NamedTuple):
    """What a limit still lets pass, None being unlimited: cap - posted - consumed. It may be less than nothing."""

    seconds: int | None
    money: Decimal | None

    def less(self, seconds: int, money: Decimal) -> Room:
        """What is left after a consumption."""
        return Room(
            None if self.seconds is None else self.seconds - seconds,
            None if self.money is None else self.money - money,
        )


class Draw(NamedTuple):
    """What passed a limit that had ``room``: all that was asked for if ``whole``."""

    limit: Limit
    room: Room
    seconds: int
    money: Decimal
    whole: bool


class Limits:
    """Running rooms of a root's caps and inclusions; `place` must be called in item order.

    ``scopes`` are those of expenses by their ids. ``draws`` are the draws of the item that was placed last.
    """

    def __init__(
        self, terms: Terms, posted: Iterable[NetLine], scopes: Mapping[str, str | None] | None = None
    ) -> None:
        self._lines = terms.lines
        self._buckets: dict[Limit, str] = {}
        self.rooms: dict[Limit, Room] = {}
        self.draws: list[Draw] = []
        if terms.cap.is_set:
            self._cap(_ENGAGEMENT, terms.cap)
        for line_id, line in terms.lines.items():
            if line.cap.is_set:
                self._cap(_line(line_id), line.cap)
        for net in posted:
            self.count(net, None if scopes is None else scopes.get(net.line.entry_id))

    def _cap(self, limit: Limit, cap: Cap) -> None:
        """The room before anything is posted."""
        self.rooms[limit] = Room(cap.seconds, cap.money)
        self._buckets[limit] = _OVER_CAP_BUCKETS.get(cap.over_cap_action, OVER_CAP)

    def count(self, net: NetLine, scope: str | None, sign: int = 1) -> None:
        """Take a posted line out of the rooms, or (sign -1) give it back. One that is due for credit counts too."""
        for limit in self._caps(net.line.contract_line_id or "", scope):
            self.rooms[limit] = self.rooms[limit].less(sign * net.seconds, sign * net.amount)

    def _caps(self, line_id: str, scope: str | None) -> list[Limit]:
        """The caps that there are for something on a line, in the order in which it draws on them."""
        limits = {NO_SCOPE: (), ENGAGEMENT_SCOPE: (_ENGAGEMENT,)}.get(
            scope or LINE_SCOPE, (_line(line_id), _ENGAGEMENT)
        )
        return [limit for limit in limits if limit in self._buckets]

    def room(self, limit: Limit) -> Room:
        """What a limit lets pass now."""
        return self.rooms.get(limit) or self.untouched(limit)

    def untouched(self, limit: Limit) -> Room:
        """What an inclusion lets pass before anything has drawn on it."""
        line = self._lines.get(limit[1])
        return Room(0 if line is None else included(limit, line), None)

    def place(self, item: Item, seconds: int, amount: Decimal) -> list[Part]:
        """Where a priced remainder goes: covered, unbilled, over the line's or the engagement's cap.

        A negative amount (more was posted than the item is now worth) passes and frees nothing.
        """
        self.draws = []
        if amount < 0:
            return [Part(BASE, UNBILLED, seconds, amount)]
        parts: list[Part] = []
        currency = item.currency or ""
        line_id = item.contract_line_id or ""
        line = self._lines.get(line_id)
        rounding = HALF_UP if line is None else line.rounding
        for segment, taken in self._cover(item, line_id, seconds).items():
            covered = split(seconds, amount, taken, None, currency, rounding)
            parts.append(Part(segment, COVERED, covered.in_seconds, covered.in_amount))
            seconds, amount = covered.out_seconds, covered.out_amount
        for limit in self._caps(line_id, item.cap_scope):
            over = OVER_ENGAGEMENT if limit == _ENGAGEMENT else OVER_LINE
            passed = self._draw(limit, seconds, amount, currency, rounding)
            parts.append(Part(over, self._buckets[limit], passed.out_seconds, passed.out_amount))
            seconds, amount = passed.in_seconds, passed.in_amount
        parts.append(Part(BASE, UNBILLED, seconds, amount))
        return parts

    def _cover(self, item: Item, line_id: str, wanted: int) -> dict[str, int]:
        """Take what an item's line includes, from one inclusion after the other; seconds by segment."""
        line, found = self._lines.get(line_id), dict[str, int]()
        if line is None:
            return found
        for segment, limits in drawn_on(item.method, line_id, line, item.work_date):
            if wanted <= 0:
                break
            rooms = [self.room(limit) for limit in limits]
            taken = min([wanted, *(max(0, room.seconds or 0) for room in rooms)])
            for limit, room in zip(limits, rooms, strict=True):
                self.rooms[limit] = room.less(taken, ZERO)
                # What has room left would give as much whatever more it had: only what binds must stay as it is.
                is_whole = taken == wanted or taken < (room.seconds or 0)
                self.draws.append(Draw(limit, room, taken, ZERO, is_whole))
            found[segment] = found.get(segment, 0) + taken
            wanted -= taken
        return found

    def _draw(self, limit: Limit, seconds: int, amount: Decimal, currency: str, rounding: str) -> Split:
        """Let pass what fits, and count it."""
        room = self.room(limit)
        parts = split(
            seconds,
            amount,
            None if room.seconds is None else max(0, room.seconds),
            None if room.money is None else max(ZERO, room.money),
            currency,
            rounding,
        )
        self.rooms[limit] = room.less(parts.in_seconds, parts.in_amount)
        whole = not parts.out_seconds and not parts.out_amount and seconds >= 0 and amount >= 0
        self.draws.append(Draw(limit, room, parts.in_seconds, parts.in_amount, whole))
        return parts


class CapUse(NamedTuple):
    """What passed a cap, time and money, and the ``room`` before the first item: the cap less what is posted."""

    seconds: int
    money: Decimal
    room: Room


Passed = Mapping[Limit, tuple[int, Decimal]]


def passed_caps(item: Item, parts: Iterable[Part]) -> Passed:
    """What of an item's parts passed which cap: its line's, or the engagement's."""
    found: dict[Limit, tuple[int, Decimal]] = {}
    for part in parts:
        if part.seconds or part.amount:
            if part.segment == OVER_LINE:
                found[_line(item.contract_line_id or "")] = (part.seconds, part.amount)
            elif part.segment == OVER_ENGAGEMENT:
                found[_ENGAGEMENT] = (part.seconds, part.amount)
    return found


def passed_together(some: Iterable[Passed]) -> Passed:
    """The sums by cap."""
    sums: dict[Limit, tuple[int, Decimal]] = {}
    for one in some:
        for limit, (seconds, money) in one.items():
            of = sums.get(limit, (0, ZERO))
            sums[limit] = (of[0] + seconds, of[1] + money)
    return sums


def _line(line_id: str) -> Limit:
    return ("line", line_id, None)
