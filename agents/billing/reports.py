"""What allocation reports as exceptions: credits that are due, drafts that are stale, adjustments without effect."""

from __future__ import annotations

from typing import Any, NamedTuple

from agents.billing.ledger import LiveSegment
from agents.billing.results import SELF_APPROVAL
from agents.billing.segments import (
    ADJUSTMENT_SEGMENT,
    CREDIT_DUE,
    DRAFT_SEGMENT,
    DUE_SEGMENT,
    REFUSED,
    STALE_DRAFT,
    Segment,
)
from streams.money import ZERO, seconds_to_hours


class Report(NamedTuple):
    """A record of ``exceptions.raised`` without its flow and times, and the ``name`` that it is counted by."""

    name: str
    record: dict[str, Any]


def report_of(before: Segment | None, now: LiveSegment) -> Report | None:
    """The report that a changed segment gives rise to, if any; ``before`` is None if it is new."""
    shown = now.segment or before
    if shown is None:
        return None
    # A line may come to be about another entry, or contract, each with revisions of its own.
    subject = f"{shown.root_id}:{shown.entry_id}:{shown.segment}"
    if shown.segment.startswith(DUE_SEGMENT):
        message = f"{shown.entry_id} was changed after it was invoiced"
        open_ = CREDIT_DUE if now.segment is not None else None
        name = "credit_due" if open_ else "credit_done"
        return Report(name, _record(subject, open_, message, shown, now.revision))
    if shown.segment.startswith(DRAFT_SEGMENT):
        is_stale = now.segment is not None and now.segment.exception_class == STALE_DRAFT
        if not is_stale and (before is None or before.exception_class != STALE_DRAFT):
            return None
        open_ = STALE_DRAFT if is_stale else None
        name = "draft_stale" if open_ else "draft_mended"
        return Report(name, _record(subject, open_, _disagreement(shown), _missing(shown), now.revision))
    if shown.segment.startswith(ADJUSTMENT_SEGMENT):
        is_refused = now.segment is not None and now.segment.bucket == REFUSED
        if not is_refused and (before is None or before.bucket != REFUSED):
            return None
        open_ = shown.exception_class if is_refused else None
        name = "adjustment_refused" if open_ else "adjustment_stands"
        return Report(name, _record(subject, open_, _refusal(shown), _asked_for(shown), now.revision))
    return None


def _refusal(of: Segment) -> str:
    own = of.exception_class == SELF_APPROVAL
    why = "was approved by who prepared it" if own else "is worth more than its approver may approve"
    adjustment = of.segment.removeprefix(ADJUSTMENT_SEGMENT)
    return f"bill adjustment {adjustment} of {of.entry_id} {why}: {', '.join(of.missing_keys or ())}"


def _asked_for(of: Segment) -> Segment:
    """What the adjustment would take or hold, as far as it is still there."""
    return of._replace(seconds=of.draft_seconds or 0, amount=of.draft_amount)


def _disagreement(of: Segment) -> str:
    if (of.seconds, of.amount) == (of.draft_seconds, of.draft_amount):
        return (
            f"draft line {of.invoice_line_id} of {of.entry_id} is for another client or contract line than is to be "
            f"billed: {of.client_id}, {of.contract_line_id}"
        )
    says = f"{seconds_to_hours(of.draft_seconds or 0)} h, {of.draft_amount}"
    there = f"{seconds_to_hours(of.seconds)} h, {of.amount}"
    return f"draft line {of.invoice_line_id} of {of.entry_id} says {says}; there is {there} to bill"


def _missing(of: Segment) -> Segment:
    """What the draft says less what there is."""
    return of._replace(
        seconds=(of.draft_seconds or 0) - of.seconds,
        amount=(of.draft_amount or ZERO) - (of.amount or ZERO),
    )


def _record(
    subject: str, exception_class: str | None, message: str, of: Segment, revision: int
) -> dict[str, Any]:
    return {
        "op": "RAISE" if exception_class else "CLEAR",
        # A charge and its end have one revision in the ledger; here the later must win.
        "revision": 2 * revision + (exception_class is None),
        "subject": subject,
        "exception_class": exception_class,
        "message": message if exception_class else None,
        "blocks": "billing",
        "seconds": of.seconds,
        "amount": of.amount,
        "currency": of.currency,
    }
