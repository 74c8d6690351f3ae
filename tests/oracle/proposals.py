"""Invoice proposals: what is to be billed and to be credited of a contract in an accounting month, by payer.

Every segment that is unbilled or on a draft counts in the proposal of its contract, the month of its accounting
date, its client and its currency; what is billed counts in that of the month of its posting. Money that goes back
to the client is a sum of its own. What is over a cap, on hold or parked is not proposed. Where a contract has several
payers, its segments come divided among them (`payers`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from .exact import ZERO
from .rows import Rows
from .segments import Segment

# A proposal names so many of its stale drafts, the first by their ids.
MOST_NAMED: Final = 100


class ProposalKey(NamedTuple):
    """``month`` is ``YYYY-MM``; what is not known is an empty text."""

    root: str
    month: str
    payer: str
    currency: str


class Sum(NamedTuple):
    """Lines, seconds and money."""

    lines: int = 0
    seconds: int = 0
    amount: Decimal = ZERO


class Proposal(NamedTuple):
    """Figures that show, and the ids of the lines of drafts that are stale."""

    state: str
    po_number: str | None
    tax_region: str | None
    unbilled: Sum
    on_draft: Sum
    credit: Sum
    billed: Sum
    stale_drafts: int
    stale_draft_ids: tuple[str, ...]


def propose(segments: Iterable[Segment], rows: Rows) -> dict[ProposalKey, Proposal]:
    """All proposals that there is anything in."""
    parts: dict[ProposalKey, list[Segment]] = defaultdict(list)
    for segment in segments:
        if segment.bucket in ("unbilled", "on_draft", "billed"):
            month = "" if segment.accounting_date is None else segment.accounting_date.strftime("%Y-%m")
            key = ProposalKey(segment.root, month, segment.work.client or "", segment.currency or "")
            parts[key].append(segment)
    return {key: _proposal(key, of_key, rows) for key, of_key in parts.items()}


def is_credit(segment: Segment) -> bool:
    """Whether it goes back to the client: less than no money, or no money and less than no time."""
    assert segment.amount is not None
    return segment.bucket == "unbilled" and (
        segment.amount < 0 or (segment.amount == 0 and segment.seconds < 0)
    )


def _proposal(key: ProposalKey, segments: Sequence[Segment], rows: Rows) -> Proposal:
    credits = [segment for segment in segments if is_credit(segment)]
    unbilled = [s for s in segments if s.bucket == "unbilled" and not is_credit(s)]
    drafts = [segment for segment in segments if segment.bucket == "on_draft"]
    billed = [segment for segment in segments if segment.bucket == "billed"]
    stale = sorted(
        segment.segment.removeprefix("draft:")
        for segment in drafts
        if segment.draft is not None and segment.draft.is_stale
    )
    engagement, client = rows.engagements.get(key.root), rows.clients.get(key.payer)
    if stale:
        state = "stale"
    elif unbilled:
        state = "proposed"
    elif drafts:
        state = "drafted"
    else:
        state = "credit_due" if credits else "posted"
    return Proposal(
        state=state,
        po_number=None if engagement is None else engagement.po_number,
        tax_region=None if client is None else client.tax_region,
        unbilled=_sum(unbilled),
        on_draft=_sum(drafts),
        credit=_sum(credits),
        billed=_sum(billed),
        stale_drafts=len(stale),
        stale_draft_ids=tuple(stale[:MOST_NAMED]),
    )


def _sum(segments: Sequence[Segment]) -> Sum:
    amounts = [segment.amount for segment in segments if segment.amount is not None]
    return Sum(len(segments), sum(segment.seconds for segment in segments), sum(amounts, ZERO))
