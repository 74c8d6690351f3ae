"""Drafts: which part of what is to be billed the ERP has put on an invoice that is not posted yet.

A charge line of status ``draft`` names an entry and a version of it. It freezes nothing: caps, holds and all else
are allocated as if it were not there. Then it takes, in the order of the lines' ids, its seconds out of what its
entry has to be billed (what caps let pass first), at what they are worth now; a line without seconds (a milestone's,
a per diem's) takes money of what has none either. That is the segment ``draft:<line>`` in the bucket ``on_draft``.
Of an entry that is not on the root in the version that the line names, it takes nothing. A draft of a credit
counts for nothing.

A draft is stale unless what it takes is what it says, to the second and the cent, of the contract line and for the
client that it says. Where the contract has several payers (``payer_split``), it may be for any of them, and takes what
it says of money where its seconds are worth something else for rounding alone. The segment of a stale one has the class
STALE_DRAFT, and says what the draft says beside what there is; it is there also if the draft takes nothing. What a
stale draft does not take is unbilled, and can be put on another one.
Examples, of 8 h at 100 on a draft of 8 h/800:

- as it is: 8 h/800 on draft;
- 3 h fall over a cap: 5 h/500 on draft, stale, which says 8 h/800; 3 h over the cap;
- the rate becomes 110: 8 h/880 on draft, stale;
- corrected to 6 h: nothing on draft, stale; 6 h/600 of the new version are unbilled;
- withdrawn, parked or on hold: nothing on draft, stale.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from agents.billing.daylines import DAY_VERSION
from agents.billing.entities import Record
from agents.billing.items import Item
from agents.billing.posted import CHARGE_LINE, NOT_PRINTED, Printed, line_segment, printed_on
from agents.billing.rounding import share
from agents.billing.segments import (
    BASE,
    DRAFT_SEGMENT,
    ON_DRAFT,
    OVER_ENGAGEMENT,
    OVER_LINE,
    PER_DIEM_SEGMENT,
    STALE_DRAFT,
    UNBILLED,
    UPLIFT_SEGMENT,
    Key,
    Segment,
)
from agents.billing.terms import Terms
from streams.money import ZERO, minor_unit

DRAFT: Final = "draft"
# The segments that can be put on an invoice, in the order in which a draft takes of them.
_TO_BILL: Final = (BASE, OVER_LINE, OVER_ENGAGEMENT, UPLIFT_SEGMENT, PER_DIEM_SEGMENT)


@dataclass(frozen=True, slots=True)
class DraftLine:
    """A charge line that is not posted; ``printed`` is what it says of the work."""

    id: str
    root_id: str
    contract_line_id: str | None
    entry_id: str
    entry_version: int
    seconds: int
    amount: Decimal
    printed: Printed = NOT_PRINTED

    @classmethod
    def from_record(cls, record: Record) -> DraftLine | None:
        """The line of a decoded ``canonical.invoice_line``; None where it is posted, a credit, or deleted."""
        if record["deleted"] or record["status"] != DRAFT or record["kind"] != CHARGE_LINE:
            return None
        return cls(
            record["id"],
            record["engagement_id"],
            record["contract_line_id"],
            record["entry_id"],
            record["entry_version"] or 1,
            record["seconds"] or 0,
            record["amount"] or ZERO,
            printed_on(record),
        )

    @property
    def segment(self) -> str:
        """The id of its segment."""
        return DRAFT_SEGMENT + self.id


def put_on_draft(
    segments: dict[Key, Segment], item: Item | None, drafts: Iterable[DraftLine], terms: Terms
) -> None:
    """Move what the drafts of one entry take of its segments; ``item`` is None once it left the root.

    ``segments`` may hold other entries' too. The drafts come in any order.
    """
    for draft in sorted(drafts, key=_id):
        version = DAY_VERSION if item is None else item.version
        like, seconds, amount = None, 0, ZERO
        is_shared = draft.printed.client_id in terms.payers
        if draft.entry_version == version:
            like, seconds, amount = _take(draft, segments, is_shared, terms)
        if like is None:
            # Beside what is to be billed of the entry now; once that is gone, on the line's own day.
            booked_on = draft.printed.work_date if item is None else item.accounting_date
            like = line_segment(draft, item, terms)._replace(accounting_date=booked_on)
        if is_shared:
            like = like._replace(client_id=draft.printed.client_id)
        segments[draft.entry_id, draft.segment] = like._replace(
            segment=draft.segment,
            bucket=ON_DRAFT,
            seconds=seconds,
            amount=amount,
            invoice_line_id=draft.id,
            exception_class=None if _is_as_drafted(draft, like, seconds, amount) else STALE_DRAFT,
            draft_seconds=draft.seconds,
            draft_amount=draft.amount,
        )


def _is_as_drafted(draft: DraftLine, like: Segment, seconds: int, amount: Decimal) -> bool:
    """Whether there is to be billed what the draft says, of its contract line and, as far as that is printed, client."""
    return (seconds, amount, like.contract_line_id) == (
        draft.seconds,
        draft.amount,
        draft.contract_line_id,
    ) and draft.printed.client_id in (None, like.client_id)


def _take(
    draft: DraftLine, segments: dict[Key, Segment], is_shared: bool, terms: Terms
) -> tuple[Segment | None, int, Decimal]:
    """Take what the draft can; returns the first segment that it took of, as it was, and how much it took."""
    first, last, seconds, amount = None, None, 0, ZERO
    for name in _TO_BILL:
        part = segments.get((draft.entry_id, name))
        if part is None or part.bucket != UNBILLED or part.amount is None:
            continue
        if part.seconds < 0 or part.amount < 0:
            continue  # goes back to the client, which is for a credit
        if draft.seconds:
            off_seconds = min(part.seconds, draft.seconds - seconds)
            off_amount = _worth(part, off_seconds, terms)
        else:
            off_seconds = 0
            off_amount = ZERO if part.seconds else min(part.amount, draft.amount - amount)
        if not off_seconds and not off_amount:
            continue
        first, last = first or part, part.key
        seconds, amount = seconds + off_seconds, amount + off_amount
        left = part._replace(seconds=part.seconds - off_seconds, amount=part.amount - off_amount)
        if left.seconds or left.amount:
            segments[part.key] = left
        else:
            del segments[part.key]
    if is_shared and first is not None and last is not None and seconds == draft.seconds:
        amount += _rounding(draft, first, amount, segments, last)
    return first, seconds, amount


def _rounding(
    draft: DraftLine, first: Segment, amount: Decimal, segments: dict[Key, Segment], last: Key
) -> Decimal:
    """What a payer's draft says more than its seconds are worth, for rounding alone; it comes out of what is left.

    Seconds and money of a payer's share are each rounded: they differ by less than a minor unit and what a second is
    worth. Example: of 1 h/100.00 the second of three drafts 1,200 s/33.34, which are worth 33.33.
    """
    more, left = draft.amount - amount, segments.get(last)
    if left is None or left.amount is None or first.amount is None or not left.seconds:
        return ZERO
    most = minor_unit(first.currency or "") * first.seconds + first.amount
    if abs(more) * first.seconds > most or left.amount < more:
        return ZERO
    segments[last] = left._replace(amount=left.amount - more)
    return more


def _worth(part: Segment, seconds: int, terms: Terms) -> Decimal:
    assert part.amount is not None
    if not seconds:
        return ZERO
    if seconds == part.seconds:
        return part.amount
    rounding = terms.rounding_of(part.contract_line_id)
    return share(part.amount, seconds, part.seconds, part.currency or "", rounding)


def _id(draft: DraftLine) -> str:
    return draft.id
