"""Drafts of the ERP's invoices: which part of what is to be billed is on one.

A charge line of status draft names an entry and a version of it. Nothing is frozen by it: everything is
allocated as if it were not there, and then it takes, in the order of the lines' ids, its seconds out of
what the entry has to be billed, at what they are worth today. A line without seconds (a milestone's, a per
diem's) takes money of what has no seconds either. Where what it gets is not what it says, to the second and the
cent, the line is stale; it is shown as such also if it gets nothing at all. It may be for any of a contract's payers;
what it says of money counts then, if that is within a minor unit and a second's worth of what it gets.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from .caps import share
from .exact import ZERO, minor_unit
from .rows import InvoiceLine
from .segments import Draft, Segment

# What can be put on an invoice, and in which order it is.
_TO_BILL: Final = ("base", "over-line", "over-engagement", "uplift", "per-diem")


class DraftKey(NamedTuple):
    """A line of a draft, and the entry and the contract that it is about."""

    root: str
    entry: str
    line: str


def drafts_of(segments: Iterable[Segment]) -> dict[DraftKey, Draft]:
    """What the drafts among segments say."""
    return {
        DraftKey(segment.root, segment.entry_id, segment.segment.removeprefix("draft:")): segment.draft
        for segment in segments
        if segment.draft is not None
    }


def is_draft(line: InvoiceLine) -> bool:
    """Whether a line is a charge that is not posted yet; drafts of credits count for nothing."""
    return line.status == "draft" and line.kind == "charge"


def take(
    line: InvoiceLine, segments: list[Segment], rounding: str, is_payers: bool = False
) -> tuple[Segment | None, int, Decimal, list[Segment]]:
    """The first segment that the line takes of, the seconds and the money that it takes, and what is left.

    ``is_payers`` says that it is for one of the payers of the contract.

    Example: of 8 h/800 unbilled, a draft of 5 h takes 5 h/500 and leaves 3 h/300; of 3 h/300 it takes all.
    """
    like, seconds, money, last = None, 0, ZERO, -1
    left = list(segments)
    for name in _TO_BILL:
        for at, segment in enumerate(left):
            if (segment.entry_id, segment.segment, segment.bucket) != (line.entry_id, name, "unbilled"):
                continue
            assert segment.amount is not None
            assert segment.currency is not None
            if segment.seconds < 0 or segment.amount < 0:
                continue  # it goes back to the client
            if line.seconds > 0:
                off_seconds = min(segment.seconds, line.seconds - seconds)
                if off_seconds == 0:
                    continue
                off_money = share(segment.amount, off_seconds, segment.seconds, segment.currency, rounding)
            else:
                off_seconds = 0
                off_money = min(segment.amount, line.amount - money) if segment.seconds == 0 else ZERO
                if off_money == 0:
                    continue
            like = like or segment
            seconds, money = seconds + off_seconds, money + off_money
            left[at] = segment._replace(
                seconds=segment.seconds - off_seconds, amount=segment.amount - off_money
            )
            last = at
    if is_payers and like is not None and seconds == line.seconds and left[last].seconds > 0:
        more, rest = line.amount - money, left[last].amount
        assert rest is not None
        assert like.amount is not None
        second = Fraction(like.amount) / like.seconds
        if Fraction(abs(more)) <= Fraction(minor_unit(like.currency or "")) + second and more <= rest:
            money, left[last] = money + more, left[last]._replace(amount=rest - more)
    left = [s for s in left if s.seconds != 0 or s.amount != 0 or s.bucket != "unbilled"]
    return like, seconds, money, left
