"""What was decided about billing an entry, apart from its time: discounts, holds; and what postings leave of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from .caps import share
from .exact import ZERO, minor_unit, round_money
from .rating import Item
from .rows import BillAdjustment

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


class Part(NamedTuple):
    """A part of an item, before or after a hold took of it."""

    segment: str
    bucket: str
    seconds: int
    money: Decimal


class Posted(NamedTuple):
    """What is posted of the current version of an entry, and when the last of it was."""

    seconds: int
    money: Decimal
    last: datetime


def discounts(
    worth: Decimal, adjustments: Iterable[BillAdjustment], currency: str, rounding: str
) -> list[tuple[BillAdjustment, Decimal]]:
    """What each discount takes of what an entry is worth, in their order, as far as it goes.

    Example: of 1,200, discounts of 1,000 and 300 take 1,000 and 200.
    """
    taken = []
    for adjustment in adjustments:
        off = min(round_money(adjustment.amount or ZERO, currency, rounding), worth)
        taken.append((adjustment, off))
        worth -= off
    return taken


def hold(
    parts: Sequence[Part], seconds: int | None, currency: str, rounding: str
) -> tuple[list[Part], int, Decimal]:
    """What a hold of so many seconds, or (None) of everything, leaves to be billed, and what it holds.

    Only what is to be billed can be held: not what goes back to the client.
    """
    left, held_seconds, held_money = [], 0, ZERO
    for part in parts:
        if part.bucket == "unbilled" and part.seconds >= 0 and part.money >= 0:
            taken = part.seconds if seconds is None else min(part.seconds, seconds - held_seconds)
            if seconds is None or 0 < taken == part.seconds:
                money = part.money
            else:
                money = share(part.money, taken, part.seconds, currency, rounding) if taken else ZERO
            held_seconds, held_money = held_seconds + taken, held_money + money
            part = part._replace(seconds=part.seconds - taken, money=part.money - money)
        left.append(part)
    return left, held_seconds, held_money


def remaining(
    item: Item, posted: Posted | None, taken: Sequence[tuple[BillAdjustment, Decimal]] = ()
) -> tuple[int, Decimal]:
    """Seconds and money of a priced item that are neither posted nor discounted.

    By subtraction; or, where the rate `changed_since`, only the time left is priced anew, less its share of the
    discounts that were decided before the posting, less all of those that were decided since.
    """
    assert item.amount is not None
    net = item.amount - sum((off for _, off in taken), ZERO)
    if posted is None:
        return item.quantity, net
    seconds, money = item.quantity - posted.seconds, net - posted.money
    if not changed_since(item, posted, taken):
        return seconds, money
    anew = _share_of(item, item.amount, seconds)
    for adjustment, off in taken:
        since = adjustment.decided_at is not None and adjustment.decided_at > posted.last
        anew -= off if since else _share_of(item, off, seconds)
    return seconds, anew


def changed_since(item: Item, posted: Posted, taken: Sequence[tuple[BillAdjustment, Decimal]]) -> bool:
    """Whether the rate changed after posting, without the right to touch invoiced time.

    A posted amount counts as of today's price when it lies between what the posted time is worth with all
    discounts and without any: they may have been decided later. (Within the value of one second and one minor
    unit, as splitting rounds time.) If it does not, the rate changed after posting, and without the right to
    touch invoiced time the posted part keeps its price.
    """
    assert item.amount is not None
    if item.applies_to_invoiced or item.quantity <= 0:
        return False
    net = item.amount - sum((off for _, off in taken), ZERO)
    # All times the quantity, so that nothing is divided.
    bounds = sorted((net * posted.seconds, item.amount * posted.seconds))
    slack = item.amount + minor_unit(currency_of(item)) * item.quantity
    return not bounds[0] - slack <= posted.money * item.quantity <= bounds[1] + slack


def _share_of(item: Item, money: Decimal, seconds: int) -> Decimal:
    return share(money, seconds, item.quantity, currency_of(item), item.rounding)


def currency_of(item: Item) -> str:
    """The currency of a priced item: it always has one."""
    assert item.currency is not None
    return item.currency
