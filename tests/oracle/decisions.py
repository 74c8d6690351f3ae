"""What was decided about billing an entry, apart from its time: discounts, holds; and what postings leave of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from streams.money import ZERO, minor_unit, round_money

from .caps import share
from .rating import Item
from .rows import BillAdjustment


class Part(NamedTuple):
    """A part of an item, before or after a hold took of it."""

    segment: str
    bucket: str
    seconds: int
    money: Decimal


def discounts(worth: Decimal, adjustments: Iterable[BillAdjustment], currency: str) -> dict[str, Decimal]:
    """What each discount takes of what an entry is worth, in their order, as far as it goes.

    Example: of 1,200, discounts of 1,000 and 300 take 1,000 and 200.
    """
    taken = {}
    for adjustment in adjustments:
        off = min(round_money(adjustment.amount or ZERO, currency), worth)
        taken[adjustment.id] = off
        worth -= off
    return taken


def hold(parts: Sequence[Part], seconds: int | None, currency: str) -> tuple[list[Part], int, Decimal]:
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
                money = share(part.money, taken, part.seconds, currency) if taken else ZERO
            held_seconds, held_money = held_seconds + taken, held_money + money
            part = part._replace(seconds=part.seconds - taken, money=part.money - money)
        left.append(part)
    return left, held_seconds, held_money


def remaining(
    item: Item, posted_seconds: int, posted_money: Decimal, discount: Decimal = ZERO
) -> tuple[int, Decimal]:
    """Seconds and money of a priced item that are neither posted nor discounted.

    If the rate changed after posting, without the right to touch invoiced time, the posted part keeps
    its price and only the time left is priced anew. A posted amount counts as of this price when it
    is within the value of one second and one minor unit, as splitting rounds time. This price is the one
    with the discount, or the one before it: the discount may have been decided after the posting.
    """
    assert item.amount is not None
    worth = item.amount - discount
    seconds, money = item.quantity - posted_seconds, worth - posted_money
    is_posted = posted_seconds != 0 or posted_money != 0
    if not is_posted or item.applies_to_invoiced or item.quantity <= 0:
        return seconds, money
    if not any(_is_price(item, price, posted_seconds, posted_money) for price in (worth, item.amount)):
        money = share(worth, seconds, item.quantity, currency_of(item))
    return seconds, money


def _is_price(item: Item, worth: Decimal, posted_seconds: int, posted_money: Decimal) -> bool:
    """|posted - worth x posted seconds / quantity| against worth / quantity + minor unit, both times the
    quantity, so that nothing is divided."""
    difference = abs(posted_money * item.quantity - worth * posted_seconds)
    return difference <= worth + minor_unit(currency_of(item)) * item.quantity


def currency_of(item: Item) -> str:
    """The currency of a priced item: it always has one."""
    assert item.currency is not None
    return item.currency
