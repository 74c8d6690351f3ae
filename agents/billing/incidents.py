"""What billing must say aloud of what is as it should not stay, as incidents: per entry, and per cap of a contract.

Of an entry, by the names of what they are about:

    price             RATE_CHANGED_AFTER_POSTING: it is posted at another price than its rate says now, and the rate
                      does not apply to invoiced time; with the posted seconds, and the money that the new price would
                      make more of them (negative: less). Goes when the rate goes back, or the line is credited.
    base, uplift, ..  CREDIT_DUE: what is to be billed of it is less than nothing, since more was posted than it is
                      worth now: a discount after the posting, a cut that applies to invoiced time, an uplift too many.
                      (What was corrected or withdrawn is due by its own segments: `agents.billing.reports`.)

Each is a function of how things are. Example: 8 h posted at 100; the rate becomes 120: 8 h and 160. With a discount of
200 instead: 0 h and -200 are due.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from agents.billing.adjustments import Adjustment
from agents.billing.items import Item
from agents.billing.posted import PostedLine, net_lines
from agents.billing.repricing import price_kept
from agents.billing.segments import CREDIT_DUE, DUE_SEGMENT, UNBILLED, Segment
from streams.money import seconds_to_hours

RATE_CHANGED: Final = "RATE_CHANGED_AFTER_POSTING"
PRICE: Final = "price"


class Incident(NamedTuple):
    """What is at stake: ``seconds`` and ``amount`` in ``currency``, None where that is not known."""

    exception_class: str
    message: str
    seconds: int | None
    amount: Decimal | None
    currency: str | None


def of_entry(
    item: Item | None,
    lines: Iterable[PostedLine],
    adjustments: Sequence[Adjustment],
    segments: Iterable[Segment],
) -> dict[str, Incident]:
    """The incidents of one entry that something was posted of; ``segments`` are all that it has."""
    found = {}
    if item is not None:
        kept = price_kept(item, net_lines(lines), adjustments)
        if kept is not None:
            hours = seconds_to_hours(kept.posted_seconds)
            message = (
                f"{item.entry_id}: {hours} h are invoiced with {kept.posted_amount}; at the price of now, of "
                f"{item.rate_id}, it would be {kept.posted_amount + kept.difference}"
            )
            found[PRICE] = Incident(
                RATE_CHANGED, message, kept.posted_seconds, kept.difference, item.currency
            )
    for one in segments:
        if goes_back(one):
            message = f"more is invoiced of {one.entry_id} than it is worth now"
            found[one.segment] = Incident(CREDIT_DUE, message, one.seconds, one.amount, one.currency)
    return found


def goes_back(of: Segment) -> bool:
    """Whether something is due to the client that is not due for a changed version."""
    if of.bucket != UNBILLED or of.segment.startswith(DUE_SEGMENT):
        return False
    return of.seconds < 0 or (of.amount is not None and of.amount < 0)
