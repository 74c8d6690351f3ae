"""Invoice proposals: sums of what is to be billed and to be credited, kept up to date segment by segment.

A segment counts in the proposal of its contract, the month of its accounting date, its client, who pays, and its
currency: what is unbilled or on a draft, and what was posted in the month. Money that goes back to the client is a
sum of its own, so that no credit disappears in what is to be billed. What is over a cap, on hold or parked is not
proposed. So unbilled + draft + credit of all proposals are what is unbilled and on drafts, to the cent. Where a contract
has several payers, what is unbilled of an entry counts by payer: see `agents.posting.payers`.

A proposal is a header. Its lines are the segments of ``billing.current`` with its contract, month, client and
currency: a month of a large contract has thousands, which would be written again with every change of one.

Example: 8 h/800 unbilled, 2 h/200 on a draft as they are, and a posted line of 3 h/300 that is due back: state
``proposed``, unbilled 1 line 8 h/800, draft 1 line 2 h/200, credit 1 line -3 h/-300, billed 1 line 3 h/300.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

from agents.billing.segments import BILLED, ON_DRAFT, STALE_DRAFT
from agents.billing.segments import UNBILLED as UNBILLED_BUCKET
from streams.money import ZERO
from streams.packing import packed

UNBILLED: Final = "unbilled"
DRAFT: Final = "draft"
CREDIT: Final = "credit"
POSTED: Final = "billed"
KINDS: Final = (UNBILLED, DRAFT, CREDIT, POSTED)

STALE: Final = "stale"
PROPOSED: Final = "proposed"
DRAFTED: Final = "drafted"
CREDIT_DUE: Final = "credit_due"
ALL_POSTED: Final = "posted"
WITHDRAWN: Final = "withdrawn"


class Part(NamedTuple):
    """What a segment adds to which proposal of its contract; what is not known is an empty text.

    ``stale`` is the id of its draft line, if that is stale; ``day`` the work date.
    """

    month: str
    currency: str
    payer_id: str
    kind: str
    seconds: int
    amount: Decimal
    stale: str | None = None
    day: str = ""

    def to_bytes(self) -> bytes:
        """As it is stored."""
        return packed(self.stored())

    @classmethod
    def from_bytes(cls, data: bytes) -> Part:
        """The inverse of `to_bytes`."""
        return cls.from_stored(json.loads(data))

    def stored(self) -> list[Any]:
        """As a value of JSON."""
        return [*self[:5], _text(self.amount), self.stale, self.day]

    @classmethod
    def from_stored(cls, values: list[Any]) -> Part:
        """The inverse of `stored`; what rules before payers stored has no work date."""
        month, currency, payer_id, kind, seconds, amount, stale, *more = values
        day = more[0] if more else ""
        return cls(month, currency, payer_id, kind, seconds, Decimal(amount), stale, day)


def part_of(record: Mapping[str, Any]) -> Part | None:
    """The part of a decoded record of ``billing.current``; None where nothing of it is for an invoice."""
    if record["deleted"] or record["bucket"] not in (UNBILLED_BUCKET, ON_DRAFT, BILLED):
        return None
    seconds, amount = record["seconds"], record["amount"] or ZERO
    kind = {ON_DRAFT: DRAFT, BILLED: POSTED}.get(record["bucket"]) or kind_of(seconds, amount)
    day, work_date = record["accounting_date"], record["work_date"]
    is_stale = kind == DRAFT and record["exception_class"] == STALE_DRAFT
    return Part(
        "" if day is None else f"{day:%Y-%m}",
        record["currency"] or "",
        record["client_id"] or "",
        kind,
        seconds,
        amount,
        record["invoice_line_id"] if is_stale else None,
        "" if work_date is None else work_date.isoformat(),
    )


def kind_of(seconds: int, amount: Decimal) -> str:
    """Of what is unbilled: whether it goes back to the client."""
    return CREDIT if amount < 0 or (not amount and seconds < 0) else UNBILLED


class Sum(NamedTuple):
    """Segments, seconds and money."""

    lines: int = 0
    seconds: int = 0
    amount: Decimal = ZERO

    def plus(self, sign: int, part: Part) -> Sum:
        """With a part added, or with sign -1 taken out."""
        return Sum(self.lines + sign, self.seconds + sign * part.seconds, self.amount + sign * part.amount)


class Proposal(NamedTuple):
    """The business content of a proposal, as it is compared: amounts are texts of four places."""

    state: str
    po_number: str | None
    tax_region: str | None
    sums: tuple[tuple[int, int, str], ...]  # in the order of KINDS
    stale_drafts: int
    stale_draft_ids: tuple[str, ...]

    def fields(self) -> dict[str, Any]:
        """The business fields of the ``billing.invoice_event`` record, without its key."""
        found: dict[str, Any] = {
            "deleted": self.state == WITHDRAWN,
            "state": self.state,
            "po_number": self.po_number,
            "tax_region": self.tax_region,
            "stale_drafts": self.stale_drafts,
            "stale_draft_ids": list(self.stale_draft_ids),
        }
        for kind, (lines, seconds, amount) in zip(KINDS, self.sums, strict=True):
            found |= {f"{kind}_lines": lines, f"{kind}_seconds": seconds, f"{kind}_amount": Decimal(amount)}
        return found


@dataclass(slots=True)
class Group:
    """The proposal of a (contract, month, payer, currency): its sums, and what was published of it last."""

    sums: dict[str, Sum] = field(default_factory=lambda: dict.fromkeys(KINDS, Sum()))
    stale_drafts: int = 0
    revision: int = 0
    published: Proposal | None = None

    def add(self, part: Part, sign: int) -> None:
        """Add a part, or with sign -1 take it out."""
        self.sums[part.kind] = self.sums[part.kind].plus(sign, part)
        if part.stale is not None:
            self.stale_drafts += sign

    def proposal(
        self, po_number: str | None, tax_region: str | None, stale_draft_ids: tuple[str, ...]
    ) -> Proposal:
        """What there is to say of it now."""
        state = state_of(self.sums, self.stale_drafts)
        sums = tuple((of.lines, of.seconds, _text(of.amount)) for of in self.sums.values())
        return Proposal(state, po_number, tax_region, sums, self.stale_drafts, stale_draft_ids)

    def publish(self, proposal: Proposal) -> bool:
        """Whether a proposal has to be published, as the next revision: it is not what was, or what never was."""
        if proposal == self.published or (self.published is None and proposal.state == WITHDRAWN):
            return False
        self.published = proposal
        self.revision += 1
        return True

    def to_bytes(self) -> bytes:
        """As it is stored."""
        sums = [[of.lines, of.seconds, _text(of.amount)] for of in self.sums.values()]
        return packed([sums, self.stale_drafts, self.revision, self.published])

    @classmethod
    def from_bytes(cls, data: bytes) -> Group:
        """The inverse of `to_bytes`."""
        sums, stale_drafts, revision, published = json.loads(data)
        proposal = None
        if published is not None:
            state, po_number, tax_region, shown, stale, ids = published
            proposal = Proposal(
                state, po_number, tax_region, tuple((n, s, a) for n, s, a in shown), stale, tuple(ids)
            )
        found = {kind: Sum(n, s, Decimal(a)) for kind, (n, s, a) in zip(KINDS, sums, strict=True)}
        return cls(found, stale_drafts, revision, proposal)


def state_of(sums: Mapping[str, Sum], stale_drafts: int) -> str:
    """The state of a proposal: what has to be done next about it."""
    if stale_drafts:
        return STALE
    if sums[UNBILLED].lines:
        return PROPOSED
    if sums[DRAFT].lines:
        return DRAFTED
    if sums[CREDIT].lines:
        return CREDIT_DUE
    return ALL_POSTED if sums[POSTED].lines else WITHDRAWN


def _text(amount: Decimal) -> str:
    return f"{amount:.4f}"
