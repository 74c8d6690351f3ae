"""Rates that change after the posting: what was invoiced keeps its price, unless the rate says that it applies to it.

Whether a price changed is told from the figures: a posted amount is at the price of now if it is the item's own price
of the posted seconds, give or take a second's worth and a minor unit; that is the one with all discounts, the one with
none, or any in between, since a discount may have been decided after the posting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from agents.billing.adjustments import Adjustment, discounts
from agents.billing.authority import standing
from agents.billing.items import PRICED, Item
from agents.billing.posted import NetLine
from agents.billing.rounding import share
from streams.money import EXACT, ZERO, minor_unit

Taken = Sequence[tuple[Adjustment, Decimal]]


class Repriced(NamedTuple):
    """What is left to be billed at the new price, and of what was posted at another one the ``posted_amount`` and the
    money that the new price would make more (or, negative, less) of it."""

    seconds: int
    amount: Decimal
    posted_seconds: int
    posted_amount: Decimal
    difference: Decimal


def repriced(item: Item, taken: Taken, nets: Sequence[NetLine], rounding: str) -> Repriced | None:
    """What a priced item comes to whose posted lines have another price; None where they have its own.

    ``taken`` are its discounts. Example: 4 of 8 h posted at 100/h, 400; the rate becomes 150: 4 h/600 remain, and 200
    more would be billed if it applied to invoiced time.
    """
    gross, quantity = item.amount, item.quantity_seconds
    assert gross is not None
    if not nets or quantity <= 0 or item.applies_to_invoiced:
        return None
    worth = gross
    for _, off in taken:
        worth -= off
    posted_seconds, posted_amount = 0, ZERO
    for net in nets:
        posted_seconds += net.seconds
        posted_amount += net.amount
    # worth x posted seconds / quantity <= posted <= gross x posted seconds / quantity, times quantity.
    least, most = sorted(EXACT.multiply(price, Decimal(posted_seconds)) for price in (worth, gross))
    tolerance = gross + minor_unit(item.currency or "") * quantity
    if least - tolerance <= EXACT.multiply(posted_amount, Decimal(quantity)) <= most + tolerance:
        return None
    amount = _at_the_new_price(item, taken, nets, quantity - posted_seconds, rounding)
    left = worth - posted_amount
    return Repriced(quantity - posted_seconds, amount, posted_seconds, posted_amount, left - amount)


def price_kept(
    item: Item | None, nets: Iterable[NetLine], adjustments: Sequence[Adjustment], rounding: str
) -> Repriced | None:
    """The same of an entry with its adjustments; ``nets`` may be of versions that are no more, which are due back."""
    if item is None or item.disposition != PRICED or item.quantity_seconds <= 0:
        return None
    assert item.amount is not None
    own = [net for net in nets if net.line.entry_version == item.version]
    taken: Taken = ()
    if adjustments:
        decided = standing(item, adjustments, rounding)
        taken = discounts(item.amount, decided, item.currency or "", rounding)
    return repriced(item, taken, own, rounding)


def _at_the_new_price(
    item: Item, taken: Taken, nets: Sequence[NetLine], seconds: int, rounding: str
) -> Decimal:
    """The posted part keeps its price, and the ``seconds`` that are left have the new one.

    What was posted has its share of the discounts that were decided before; later ones are due as a whole.
    Examples: 4 of 8 h posted at 100/h, 400; the rate becomes 150: 4 h/600 remain (4 h/800 if it applied to
    invoiced time). With a discount of 200 it is 4 h/500, or 4 h/400 if that was decided after the posting.
    """
    assert item.amount is not None
    currency, quantity = item.currency or "", item.quantity_seconds
    last = max(net.line.posted_at for net in nets)
    money = share(item.amount, seconds, quantity, currency, rounding)
    for adjustment, off in taken:
        decided_later = adjustment.decided_at is not None and adjustment.decided_at > last
        money -= off if decided_later else share(off, seconds, quantity, currency, rounding)
    return money
