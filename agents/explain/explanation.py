"""A ledger line explained: what it is, how its amount and its rate came about, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from agents.billing.entities import Rate, Record
from agents.billing.fx import SPOT, serves
from agents.billing.ledger import REVERSAL, LedgerLine
from agents.billing.reference import BillingReference
from agents.billing.segments import (
    ADJUSTMENT_SEGMENT,
    BASE,
    COVERED_SEGMENT,
    DRAFT_SEGMENT,
    DUE_SEGMENT,
    LOT_SEGMENT,
    OVER_ENGAGEMENT,
    OVER_LINE,
    PER_DIEM_SEGMENT,
    POSTED_SEGMENT,
    REFUSED,
    ROUNDING_SEGMENT,
    UPLIFT_SEGMENT,
    Segment,
)
from agents.explain.arithmetic import Arithmetic, money_text, plain, priced, without_price
from agents.explain.chainview import ChainLink, chain_links, limit_notes
from agents.explain.entryview import (
    EXPENSE,
    MILESTONE,
    EntryView,
    adjustment_note,
    draft_note,
    entry_view,
    expense_note,
    posted_remarks,
)
from agents.explain.neighbours import Neighbours, ledger_line
from agents.explain.whyrate import RateStory, no_rate_reason, why_rate
from streams.money import ZERO, seconds_to_hours

Names = Mapping[tuple[str, str], str]

_MEANINGS: Final = {
    BASE: "what remains of the entry after posted lines, bill adjustments, inclusions and caps",
    ROUNDING_SEGMENT: "what the rounding of the quantity took away or added",
    COVERED_SEGMENT: "covered by the retainer or the prepaid lot",
    OVER_LINE: "beyond the cap of the contract line",
    OVER_ENGAGEMENT: "beyond the cap of the engagement",
    UPLIFT_SEGMENT: "what a consultant's day lacks of its minimum",
    PER_DIEM_SEGMENT: "a consultant's day at the per diem amount",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a line is explained from. All but the ledger is as it is now.

    ``entry`` is the canonical record of ``entry_entity``; ``invoice_lines`` the posted line that the segment
    is about with its credits; ``adjustment`` the bill adjustment; ``names`` by entity and id.
    """

    ledger: Neighbours
    reference: BillingReference
    entry_entity: str | None = None
    entry: Record | None = None
    invoice_lines: Sequence[Record] = ()
    adjustment: Record | None = None
    names: Names = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LineView:
    """The line itself. ``state`` says whether it is in force, taken back, or takes back another."""

    event_id: str
    kind: str
    state: str
    entry_id: str
    segment: str
    meaning: str
    bucket: str
    revision: int
    seconds: int
    hours: Decimal
    amount: Decimal | None
    currency: str | None
    work_date: date | None
    accounting_date: date | None
    exception_class: str | None
    missing_keys: tuple[str, ...]
    reverses: str | None
    reversed_by: str | None
    next_charge: str | None


@dataclass(frozen=True, slots=True)
class LiveLine:
    """A line of the same entry, or of the same day, that is in force now."""

    event_id: str
    bucket: str
    hours: Decimal
    amount: Decimal | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The change in a source that caused the line, and when each step handled it."""

    source_system: str
    source_epoch: int
    source_lsn: int
    source_ordinal: int
    occurred_at: datetime
    captured_at: datetime
    published_at: datetime
    rated_at: datetime
    allocated_at: datetime
    snapshot: bool
    rule_version: str
    remark: str | None


@dataclass(frozen=True, slots=True)
class LineExplanation:
    """All of it, in the order in which it is read."""

    line: LineView
    arithmetic: Arithmetic
    rate: RateStory
    chain: tuple[ChainLink, ...]
    entry: EntryView | None
    live_lines: tuple[LiveLine, ...]
    lineage: Lineage
    notes: tuple[str, ...]


def explain_line(facts: Facts) -> LineExplanation:
    """Explain the line that ``facts.ledger`` wanted, which must have been found.

    A reversal is explained as the line it takes back, with its figures negated.
    """
    record = facts.ledger.record
    assert record is not None
    line, ref = ledger_line(record), facts.reference
    segment = line.segment
    is_milestone = facts.entry_entity == MILESTONE
    live = facts.ledger.live
    is_live = line in live
    links = chain_links(segment, facts.entry if is_milestone else None, ref, facts.names)
    first = next(
        (one.event_id for one in live if one.segment.rate_id == segment.rate_id and one != line), None
    )
    return LineExplanation(
        _line_view(line, facts.ledger, is_live),
        _arithmetic(segment, is_milestone, facts, [one.segment for one in live] if is_live else []),
        why_rate(segment, is_milestone, first, ref),
        links,
        None
        if facts.ledger.wanted.is_day_line
        else entry_view(segment.entry_id, facts.entry_entity, facts.entry, ref),
        tuple(_live_line(one) for one in live),
        _lineage(record),
        tuple(_notes(segment, facts, links)),
    )


def _line_view(line: LedgerLine, ledger: Neighbours, is_live: bool) -> LineView:
    segment = line.segment
    if line.kind == REVERSAL:
        state = "takes back an earlier line; it can't itself be reversed"
    elif is_live:
        state = "in force"
    else:
        state = "taken back"
    return LineView(
        event_id=line.event_id,
        kind=line.kind,
        state=state,
        entry_id=segment.entry_id,
        segment=segment.segment,
        meaning=_meaning(segment),
        bucket=segment.bucket,
        revision=line.revision,
        seconds=segment.seconds,
        hours=seconds_to_hours(segment.seconds),
        amount=segment.amount,
        currency=segment.currency,
        work_date=segment.work_date,
        accounting_date=segment.accounting_date,
        exception_class=segment.exception_class,
        missing_keys=segment.missing_keys or (),
        reverses=line.reverses,
        reversed_by=None if ledger.reversal is None else ledger.reversal.event_id,
        next_charge=None if ledger.replacement is None else ledger.replacement.event_id,
    )


def _meaning(of: Segment) -> str:
    segment = of.segment
    kind, _, what = segment.partition(":")
    if of.bucket == REFUSED:
        return f"bill adjustment {what}, which has no effect: {of.exception_class}, {', '.join(of.missing_keys or ())}"
    if what:
        meanings = {
            POSTED_SEGMENT: f"posted in the ERP on invoice line {what}, less its credits",
            DUE_SEGMENT: f"a credit that is due for invoice line {what}",
            DRAFT_SEGMENT: f"on invoice line {what}, a draft",
            LOT_SEGMENT: f"covered by the prepaid lot {what}",
            ADJUSTMENT_SEGMENT: f"taken out by bill adjustment {what}",
        }
        return meanings.get(f"{kind}:", segment)
    return _MEANINGS.get(segment, segment)


def _arithmetic(segment: Segment, is_milestone: bool, facts: Facts, live: Sequence[Segment]) -> Arithmetic:
    ref = facts.reference
    if segment.price is not None and segment.amount is not None:
        rate = ref.rates.by_id.get(segment.rate_id or "")
        line = ref.lines.get(segment.contract_line_id or "")
        return priced(
            segment,
            _price_currency(rate, facts),
            None if line is None else line.rounding,
            None if line is None else line.terms.day_minimum_seconds,
            live,
        )
    if segment.segment.startswith((POSTED_SEGMENT, DUE_SEGMENT)):
        return without_price(
            no_rate_reason(segment, is_milestone), *posted_remarks(segment, facts.invoice_lines)
        )
    remarks = [no_rate_reason(segment, is_milestone)]
    if segment.segment == PER_DIEM_SEGMENT:
        terms = ref.terms(segment.root_id).lines.get(segment.contract_line_id or "")
        if terms is not None:
            amount = money_text(terms.per_diem_amount, segment.currency)
            remarks.append(f"the contract line's per diem is {amount} {segment.currency} now")
    if is_milestone and facts.entry is not None and facts.entry["amount"] is not None:
        amount = money_text(facts.entry["amount"], segment.currency)
        remarks.append(f"the milestone's amount is {amount} {segment.currency or ''} now".replace("  ", " "))
    return without_price(*remarks)


def _price_currency(rate: Rate | None, facts: Facts) -> str | None:
    """Of the rate; of an expense its own."""
    if facts.entry_entity == EXPENSE and facts.entry is not None:
        return str(facts.entry["currency"])
    return None if rate is None else rate.currency


def _notes(segment: Segment, facts: Facts, links: Sequence[ChainLink]) -> list[str]:
    notes = []
    for link in links:
        if link.missing:
            notes.append(f"{link.what} {link.on_line} is not in the reference tables now")
        elif link.on_line and link.on_line != link.now:
            notes.append(f"{link.what}: the line has {link.on_line}, the references lead to {link.now} now")
    notes += limit_notes(segment, facts.reference)
    notes += _fx_notes(segment, facts.reference)
    if facts.entry_entity == EXPENSE and facts.entry is not None:
        notes.append(expense_note(facts.entry, segment, facts.reference))
    if segment.draft_amount is not None:
        notes.append(draft_note(segment))
    if facts.adjustment is not None:
        notes.append(adjustment_note(facts.adjustment, segment.currency))
    if segment.accounting_date != segment.work_date and segment.accounting_date and segment.work_date:
        if segment.segment.startswith((POSTED_SEGMENT, DUE_SEGMENT)):
            notes.append("the accounting date is the day of the ERP's posting")
        else:
            notes.append(
                "the accounting date is in the first period that was open at the decision: "
                "the work date's own was closed"
            )
    return notes


def _fx_notes(segment: Segment, ref: BillingReference) -> list[str]:
    rate = ref.rates.by_id.get(segment.rate_id or "")
    if rate is None or rate.currency == segment.currency or not segment.currency or not segment.work_date:
        return []
    engagement = ref.engagements.get(segment.root_id)
    rule = SPOT if engagement is None else engagement.fx_rule
    first, second = rule.pair(rate.currency, segment.currency)
    kind = rule.rate_type or "spot"
    row = ref.fx.find(rule, rate.currency, segment.currency, segment.work_date)
    if row is None:
        return [f"no {kind} exchange rate {first} to {second} of the work date is known now"]
    says = f"{kind} exchange rate {row.id}, {first} to {second}, published for {row.day}"
    if rule.inverse:
        says += ", by which the contract divides"
    if not serves(rule, row):
        return [f"{says}, is too small now to divide by"]
    if row.rate == segment.fx_rate and rule.inverse == bool(segment.fx_divides):
        return [says]
    return [f"{says}, is {plain(row.rate)} now; the line has {plain(segment.fx_rate or ZERO)}"]


def _live_line(line: LedgerLine) -> LiveLine:
    segment = line.segment
    return LiveLine(
        line.event_id, segment.bucket, seconds_to_hours(segment.seconds), segment.amount, segment.currency
    )


def _lineage(record: Record) -> Lineage:
    remark = None
    if not record["source_system"]:
        remark = "caused by a change of the contract's terms, not by one row of a source"
    elif record["snapshot"]:
        remark = "caused by an initial snapshot or by a reference change; the position is the row's own"
    names = [name for name in Lineage.__dataclass_fields__ if name != "remark"]
    return Lineage(**{name: record[name] for name in names}, remark=remark)
