"""Hours that a contract line includes, as limits that its work draws on in order.

A prepaid lot covers work from the line's start to its expiry, both included. A retainer includes the same hours in
each calendar month. What a month leaves expires with it, or rolls over: then work is covered by the oldest month
that still has hours, which are those that expire first. Of each month's hours at most ``seconds`` serve later
months, for as many ``months`` as the contract says, and between the line's first and last month only.

Example: 10 h a month, of which at most 4 roll on, for one month. Of March 3 h are used: April has 14 h, and the
first 4 of them are March's; 3 h of March expire.

How the fee is earned does not change with it: a retainer stands ready, straight-line, whatever is used of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

from agents.billing.contracts import LineTerms

# A cap of a contract line or of the engagement, or an inclusion of a line: kind, line, month (of a retainer).
Limit = tuple[str, str, date | None]
INCLUDED: Final = "included"  # what a lot or a month has
ROLLED: Final = "rolled"  # what later months may use of a month


def lots(line_id: str, terms: LineTerms, day: date) -> Iterator[tuple[Limit, ...]]:
    """The prepaid lots that work of a day may draw on: the line's own, while it is valid."""
    if (terms.starts_on is None or terms.starts_on <= day) and (
        terms.expires_on is None or day <= terms.expires_on
    ):
        yield ((INCLUDED, line_id, None),)


def months(line_id: str, terms: LineTerms, day: date) -> Iterator[tuple[Limit, ...]]:
    """The retainer's months that work of a day may draw on; where there are two limits, both must have room."""
    month = day.replace(day=1)
    if terms.rollover is not None:
        for earlier in terms.rollover.months_before(month):
            pool = (INCLUDED, line_id, earlier)
            yield (pool,) if terms.rollover.seconds is None else (pool, (ROLLED, line_id, earlier))
    yield ((INCLUDED, line_id, month),)


def included(limit: Limit, terms: LineTerms) -> int:
    """The seconds that an inclusion has before anything draws on it."""
    if limit[0] == ROLLED:
        return 0 if terms.rollover is None else terms.rollover.seconds or 0
    return terms.included_seconds
