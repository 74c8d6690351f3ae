"""Hours that a contract line includes, as limits that its work draws on in order.

A prepaid line covers work from the lots that are valid on its day, first and last day included: from the one that
expires first, of those that expire together from the one whose id is less. The hours that the line itself includes are
one of them, with its id and dates. Each lot's part is a segment of its own, since it is earned by itself.

A retainer includes the same hours in each calendar month. What a month leaves expires with it, or rolls over: then
work is covered by the oldest month that still has hours, which are those that expire first. Of each month's hours at
most ``seconds`` serve later months, for as many ``months`` as the contract says, and between the line's first and last
month only.

Example: 10 h a month, of which at most 4 roll on, for one month. Of March 3 h are used: April has 14 h, and the
first 4 of them are March's; 3 h of March expire.

How a retainer's fee is earned does not change with it: a retainer stands ready, straight-line, whatever is used of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

from agents.billing.contracts import PREPAID, RETAINER, LineTerms, Lot
from agents.billing.segments import COVERED_SEGMENT, LOT_SEGMENT

# A cap of a contract line or of the engagement, or an inclusion of a line: kind (or lot), line, month (of a retainer).
Limit = tuple[str, str, date | None]
INCLUDED: Final = "included"  # what a lot or a month has
ROLLED: Final = "rolled"  # what later months may use of a month


def drawn_on(
    method: str | None, line_id: str, terms: LineTerms, day: date
) -> Iterator[tuple[str, tuple[Limit, ...]]]:
    """What work of a day may draw on, in turn: the segment that it goes to, and the limits that must have room."""
    if method == PREPAID:
        yield from _lots(line_id, terms, day)
    elif method == RETAINER:
        for limits in _months(line_id, terms, day):
            yield COVERED_SEGMENT, limits


def _lots(line_id: str, terms: LineTerms, day: date) -> Iterator[tuple[str, tuple[Limit, ...]]]:
    own = Lot(line_id, line_id, terms.included_seconds, terms.starts_on, terms.expires_on)
    for lot in sorted((own, *terms.lots), key=_expiry) if terms.lots else (own,):
        if lot.is_valid_on(day):
            if lot is own:
                yield COVERED_SEGMENT, ((INCLUDED, line_id, None),)
            else:
                yield LOT_SEGMENT + lot.id, ((LOT_SEGMENT + lot.id, line_id, None),)


def _months(line_id: str, terms: LineTerms, day: date) -> Iterator[tuple[Limit, ...]]:
    month = day.replace(day=1)
    if terms.rollover is not None:
        for earlier in terms.rollover.months_before(month):
            pool = (INCLUDED, line_id, earlier)
            yield (pool,) if terms.rollover.seconds is None else (pool, (ROLLED, line_id, earlier))
    yield ((INCLUDED, line_id, month),)


def included(limit: Limit, terms: LineTerms) -> int:
    """The seconds that an inclusion has before anything draws on it."""
    kind = limit[0]
    if kind == ROLLED:
        return 0 if terms.rollover is None else terms.rollover.seconds or 0
    if kind == INCLUDED:
        return terms.included_seconds
    return sum(lot.seconds for lot in terms.lots if kind == LOT_SEGMENT + lot.id)


def _expiry(lot: Lot) -> tuple[date, str]:
    return (lot.expires_on or date.max, lot.id)
