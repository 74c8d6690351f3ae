"""Who pays what of an entry, where its contract has several payers. Pure.

Allocation, caps, the ledger, ``billing.current`` and revenue know nothing of shares: what is divided is what is to be
invoiced. Of an entry (a day line, a milestone), all that is billable on a work date is divided by the shares of that
date: what is unbilled, on drafts, and billed net of credits. A payer's entitlement, less what was billed to it (who was
billed, a posted line says) and what is on drafts to it, is its unbilled, or its credit where that is less than nothing.
Entitlements are cumulated in the order of the payers' ids: the shares of the first, of the first two, of the first
three, each rounded half up to the second and to the minor unit, and the differences. So the parts add up exactly.

A posted line that is due back (its entry was corrected or withdrawn since) is no part of that: it goes back in full to
whom it was billed, as in contracts without payers, and the new version is divided anew. The credit is of the line that
is named as CREDIT_DUE, and a split of 100 % for the client is no other than none.

A draft to somebody who is to pay less than was billed and drafted to it is stale: posted, it would have to be credited.
A segment without a work date counts on the last that its entry is known to have. A day that is not known or can't be
divided stays with whom its segments name, the contract's client, and what is unbilled of it is told as undivided.

Examples, of 8 h/1,000.00 at 60/40:

- A 4.8 h/600.00 and B 3.2 h/400.00 unbilled; once 600.00 are posted to A: A nothing, B 400.00;
- corrected to 6 h/750.00 then: A a credit of 600.00 beside 450.00 unbilled (150.00 in all go back), B 300.00;
- a discount of 200.00 after posting both: A a credit of 120.00, B one of 80.00;
- all of it posted to B: A 600.00 unbilled, B a credit of 600.00.

100.00 among three who pay 33.3333, 33.3333 and 33.3334 %: 33.33, 66.67 less 33.33 is 33.34, the rest is 33.33.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple

from agents.billing.segments import DRAFT_SEGMENT, DUE_SEGMENT, POSTED_SEGMENT
from agents.posting.proposals import CREDIT, DRAFT, UNBILLED, Part, kind_of
from agents.posting.splits import WHOLE, Shares
from streams.money import EXACT, ZERO, round_money

Named = tuple[str, Part]  # a part and the segment that it is of

_OPEN: Final = (UNBILLED, CREDIT)


class Divided(NamedTuple):
    """What an entry adds to proposals, and what of it can't be divided (which is in the former, too)."""

    parts: tuple[Part, ...] = ()
    undivided: tuple[Part, ...] = ()


def divide(parts: Mapping[str, Part], shares_on: Callable[[date], Shares | None]) -> Divided:
    """Divide the parts of an entry's segments, by segment, among those who pay on their work dates."""
    of_days: dict[tuple[str, str], list[Named]] = {}
    out: list[Part] = []
    rest: list[Named] = []
    for segment, part in sorted(parts.items()):
        if _is_returned(segment, parts):
            out.append(part)
        else:
            rest.append((segment, part))
    last: dict[str, str] = {}
    for _, part in rest:
        last[part.currency] = max(part.day, last.get(part.currency, ""))
    for segment, part in rest:
        of_days.setdefault((part.day or last[part.currency], part.currency), []).append((segment, part))
    undivided: list[Part] = []
    for (day, _), of_day in sorted(of_days.items()):
        shares = shares_on(date.fromisoformat(day)) if day else ()
        if shares:
            out += _by_payer(of_day, shares)
        else:
            out += (part for _, part in of_day)
            if shares is not None:
                undivided += (part for _, part in of_day if part.kind in _OPEN)
    return Divided(tuple(out), tuple(undivided))


def _is_returned(segment: str, parts: Mapping[str, Part]) -> bool:
    """Whether a segment is of a posted line that is due back: what was billed, or that it goes back."""
    return segment.startswith(DUE_SEGMENT) or (
        segment.startswith(POSTED_SEGMENT) and DUE_SEGMENT + segment.removeprefix(POSTED_SEGMENT) in parts
    )


def _by_payer(of_day: list[Named], shares: Shares) -> list[Part]:
    """The parts of a day of an entry: one for each payer in place of what is unbilled."""
    whole = [part for _, part in of_day]
    left = dict(_entitled(whole, shares))
    kept = [(segment, part) for segment, part in of_day if part.kind not in _OPEN]
    for _, part in kept:
        seconds, amount = left.get(part.payer_id, (0, ZERO))
        left[part.payer_id] = (seconds - part.seconds, amount - part.amount)
    like = max([part for part in whole if part.kind in _OPEN] or whole, key=_month)
    out = [_as_it_stands(segment, part, *left[part.payer_id]) for segment, part in kept]
    for payer_id, (seconds, amount) in left.items():
        if seconds or amount:
            kind = kind_of(seconds, amount)
            out.append(
                like._replace(payer_id=payer_id, kind=kind, seconds=seconds, amount=amount, stale=None)
            )
    return out


def _as_it_stands(segment: str, part: Part, seconds: int, amount: Decimal) -> Part:
    """What is billed or on a draft; the draft is stale where less than nothing is left for its client."""
    if part.kind == DRAFT and kind_of(seconds, amount) == CREDIT:
        return part._replace(stale=segment.removeprefix(DRAFT_SEGMENT))
    return part


def _entitled(whole: Iterable[Part], shares: Shares) -> Iterable[tuple[str, tuple[int, Decimal]]]:
    """What each payer's share comes to, of all that there is."""
    seconds, amount, currency = 0, ZERO, ""
    for part in whole:
        seconds, amount, currency = seconds + part.seconds, amount + part.amount, part.currency
    cumulated, before = ZERO, (0, ZERO)
    for payer_id, share in shares:
        cumulated += share
        upto = (_seconds(seconds, cumulated), _amount(amount, cumulated, currency))
        yield payer_id, (upto[0] - before[0], upto[1] - before[1])
        before = upto


def _seconds(seconds: int, percent: Decimal) -> int:
    exact = EXACT.divide(EXACT.multiply(Decimal(seconds), percent), WHOLE)
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _amount(amount: Decimal, percent: Decimal, currency: str) -> Decimal:
    """All of it is all of it: what an invoice left may have fractions of a minor unit."""
    if percent == WHOLE:
        return amount
    return round_money(EXACT.divide(EXACT.multiply(amount, percent), WHOLE), currency)


def _month(part: Part) -> str:
    return part.month
