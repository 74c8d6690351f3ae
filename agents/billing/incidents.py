"""What billing must say aloud of what is as it should not stay, as incidents: per entry, and per cap of a contract.

Of a cap, one each, whatever the number of entries (``<name>:engagement``, or ``<name>:<contract line>``):

    over-cap          OVER_CAP: all that passed it and is not posted, on hold, to be written off or billed anyway. Where
                      it is billed anyway, what is posted beyond it, too, by what the cap is of (hours, money). An alert.
    below-billed      CAP_BELOW_BILLED: more is posted than it lets pass, since it was cut, or what it was not asked for
                      was posted; by how much, of what the cap is of. Nothing is credited by itself.

Of an entry, by the names of what they are about:

    price             RATE_CHANGED_AFTER_POSTING: it is posted at another price than its rate says now, and the rate
                      does not apply to invoiced time; with the posted seconds, and the money that the new price would
                      make more of them (negative: less). Goes when the rate goes back, or the line is credited.
    base, uplift, ..  CREDIT_DUE: what is to be billed of it is less than nothing, since more was posted than it is
                      worth now: a discount after the posting, a cut that applies to invoiced time, an uplift too many.
                      (What was corrected or withdrawn is due by its own segments: `agents.billing.reports`.)

Each is a function of how things are. Examples: cap 1,000 on hold, 1,200 of 12 h posted, 3 h/300 more: OVER_CAP 3 h/300
and CAP_BELOW_BILLED 200; were it billed anyway, OVER_CAP 3 h/500. 8 h posted at 100; the rate becomes 120: 8 h and 160.
With a discount of 200 instead: 0 h and -200 are due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from agents.billing.adjustments import Adjustment
from agents.billing.caps import ENGAGEMENT_CAP, CapUse, Room
from agents.billing.contracts import BILL, WRITE_OFF, Cap
from agents.billing.inclusions import Limit
from agents.billing.items import Item
from agents.billing.posted import PostedLine, net_lines
from agents.billing.repricing import price_kept
from agents.billing.segments import CREDIT_DUE, DUE_SEGMENT, UNBILLED, Segment
from agents.billing.terms import Terms
from streams.money import ZERO, seconds_to_hours

RATE_CHANGED: Final = "RATE_CHANGED_AFTER_POSTING"
OVER_CAP: Final = "OVER_CAP"
CAP_BELOW_BILLED: Final = "CAP_BELOW_BILLED"
PRICE: Final = "price"
OVER: Final = "over-cap"
BELOW_BILLED: Final = "below-billed"
_ACTIONS: Final = {BILL: "billed anyway", WRITE_OFF: "written off"}


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
    terms: Terms,
) -> dict[str, Incident]:
    """The incidents of one entry that something was posted of; ``segments`` are all that it has."""
    found = {}
    if item is not None:
        kept = price_kept(item, net_lines(lines), adjustments, terms.rounding_of(item.contract_line_id))
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


def of_caps(terms: Terms, uses: Mapping[Limit, CapUse]) -> dict[str, Incident]:
    """The incidents of the caps of a root."""
    found = {}
    for limit, use in uses.items():
        is_root = limit == ENGAGEMENT_CAP
        cap, of = (terms.cap, "engagement") if is_root else (terms.lines[limit[1]].cap, limit[1])
        seconds, money = use.seconds, use.money
        beyond = _beyond(use.room)
        if beyond != (None, None) and cap.over_cap_action == BILL:
            seconds, money = seconds + (beyond[0] or 0), money + (beyond[1] or ZERO)
        elif beyond != (None, None):
            message = f"more is billed than the cap of {_words(cap, of, terms)} lets pass"
            found[f"{BELOW_BILLED}:{of}"] = Incident(CAP_BELOW_BILLED, message, *beyond, terms.currency)
        if seconds or money:
            what = f"{seconds_to_hours(seconds)} h and {money} are over the cap of {_words(cap, of, terms)}"
            message = f"{what}: {_ACTIONS.get(cap.over_cap_action, 'on hold')}"
            found[f"{OVER}:{of}"] = Incident(OVER_CAP, message, seconds, money, terms.currency)
    return found


def _beyond(room: Room) -> tuple[int | None, Decimal | None]:
    """What is posted beyond a cap of hours, and beyond one of money."""
    seconds = -room.seconds if room.seconds is not None and room.seconds < 0 else None
    money = -room.money if room.money is not None and room.money < 0 else None
    return seconds, money


def _words(cap: Cap, of: str, terms: Terms) -> str:
    limits = [] if cap.seconds is None else [f"{seconds_to_hours(cap.seconds)} h"]
    limits += [] if cap.money is None else [f"{cap.money} {terms.currency or ''}".rstrip()]
    name = terms.root_id if of == "engagement" else of
    return f"{name}, {' and '.join(limits)}"


def goes_back(of: Segment) -> bool:
    """Whether something is due to the client that is not due for a changed version."""
    if of.bucket != UNBILLED or of.segment.startswith(DUE_SEGMENT):
        return False
    return of.seconds < 0 or (of.amount is not None and of.amount < 0)
