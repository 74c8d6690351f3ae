"""What the sources say now of what a ledger line is about: its entry, its invoice line, its adjustment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from agents.billing.entities import Record
from agents.billing.expenses import GROSS, Expense, rate_expense
from agents.billing.inputs import Entry, Milestone
from agents.billing.posted import CREDIT_LINE, POSTED
from agents.billing.rating import rate_entry, rate_milestone
from agents.billing.reference import BillingReference
from agents.billing.results import RatedResult
from agents.billing.segments import Segment
from agents.explain.arithmetic import money_text, plain
from streams.errors import InvalidValue
from streams.money import ZERO, seconds_to_hours

TIME_ENTRY: Final = "time_entry"
MILESTONE: Final = "milestone"
EXPENSE: Final = "expense"


@dataclass(frozen=True, slots=True)
class EntryView:
    """The entry, milestone or expense as it is now; ``rating_now`` is what rating says of it with today's references."""

    id: str
    rating_now: str
    entity: str | None = None
    status: str | None = None
    version: int | None = None
    work_date: date | None = None
    hours: Decimal | None = None
    kind: str | None = None
    approved_by: str | None = None
    decided_at: datetime | None = None
    position: str | None = None


def entry_view(entry_id: str, entity: str | None, row: Record | None, ref: BillingReference) -> EntryView:
    """The view of a ``canonical.time_entry``, ``milestone`` or ``expense`` record, or that there is none."""
    if row is None or entity is None:
        return EntryView(entry_id, "nothing: no time entry, milestone or expense has this id now")
    status = "deleted" if row["deleted"] else row["status"]
    position = (
        f"{row['source_system']}, epoch {row['source_epoch']}, LSN {row['source_lsn']}, "
        f"ordinal {row['source_ordinal']}"
    )
    if entity == MILESTONE:
        return EntryView(
            entry_id,
            _rating_now(row, entity, ref),
            entity,
            status,
            work_date=row["accepted_on"],
            decided_at=row["accepted_at"],
            position=position,
        )
    if entity == EXPENSE:
        return EntryView(
            entry_id,
            _rating_now(row, entity, ref),
            entity,
            status,
            row["version"],
            row["incurred_on"],
            approved_by=row["approved_by"],
            decided_at=row["approved_at"],
            position=position,
        )
    return EntryView(
        entry_id,
        _rating_now(row, entity, ref),
        entity,
        status,
        row["version"],
        row["work_date"],
        seconds_to_hours(row["seconds"] or 0),
        row["kind"],
        row["approved_by"],
        row["approved_at"],
        position,
    )


def posted_remarks(segment: Segment, invoice_lines: Sequence[Record]) -> list[str]:
    """A posted line and its credits as they are now, in words and as a sum."""
    posted = [row for row in invoice_lines if not row["deleted"] and row["status"] == POSTED]
    if not posted:
        return [f"{segment.invoice_line_id} is not among the posted invoice lines now"]
    remarks, seconds, amount = [], 0, ZERO
    for row in sorted(posted, key=_charges_first):
        sign = -1 if row["kind"] == CREDIT_LINE else 1
        seconds += sign * (row["seconds"] or 0)
        amount += sign * (row["amount"] or ZERO)
        hours, money = seconds_to_hours(row["seconds"] or 0), money_text(row["amount"], segment.currency)
        posted_on = "with no date" if row["posted_at"] is None else f"{row['posted_at']:%Y-%m-%d}"
        remarks.append(
            f"{row['kind']} {row['id']} on invoice {row['invoice_id']}, posted {posted_on}: "
            f"{hours} h, {money} {segment.currency}, version {row['entry_version']} of the entry"
        )
    total = f"{seconds_to_hours(seconds)} h, {money_text(amount, segment.currency)} {segment.currency}"
    return [*remarks, f"net of credits: {total}"]


def draft_note(segment: Segment) -> str:
    """What the ERP's draft says, and whether that is what there is."""
    amount = money_text(segment.draft_amount, segment.currency)
    hours = seconds_to_hours(segment.draft_seconds or 0)
    stale = ": it is stale, there is something else to bill" if segment.exception_class else ""
    return f"the draft says {hours} h, {amount} {segment.currency or ''}".rstrip() + stale


def adjustment_note(row: Record, currency: str | None) -> str:
    """A bill adjustment in a sentence: its kind, what it takes, why, and who approved it."""
    takes = [] if row["seconds"] is None else [f"{seconds_to_hours(row['seconds'])} h"]
    if row.get("amount") is not None:
        takes.append(f"{money_text(row['amount'], currency)} {currency or ''}".strip())
    gone = ", deleted since" if row["deleted"] else ", released since" if row.get("released_at") else ""
    return (
        f"{(row['kind'] or 'adjustment').replace('_', '-')} {row['id']}: {' and '.join(takes) or 'everything'}, "
        f"reason: {row['reason'] or 'none given'}, approved by {row['approver_id'] or 'nobody'}{gone}"
    )


def expense_note(row: Record, segment: Segment, ref: BillingReference) -> str:
    """What an expense cost, what is put on top of it, and which caps it counts against: by its row of now.

    Example: ``238.00 EUR gross less 38.00 tax; markup 10%; counts against the caps of: line``.
    """
    cost = f"{money_text(row['amount'], row['currency'])} {row['currency']} {row['tax_basis']}"
    if row["tax_basis"] == GROSS and row["tax_amount"] is not None:
        cost += f" less {money_text(row['tax_amount'], row['currency'])} tax"
    line = ref.lines.get(segment.contract_line_id or "")
    markup, whose = row["markup"], ""
    if markup is None and line is not None and line.expense_markup is not None:
        markup, whose = line.expense_markup, " (the contract line's)"
    added = "no markup" if markup is None else f"markup {plain(markup)}%{whose}"
    billed = "" if line is None or line.expenses_billed else "; the contract line bills no expenses"
    return f"{cost}; {added}; counts against the caps of: {row['cap_scope']}{billed}"


def _rating_now(row: Record, entity: str, ref: BillingReference) -> str:
    try:
        result = _rate(row, entity, ref)
    except InvalidValue as error:
        return f"rejected: {error}"
    item = result.item
    if item is None:
        return "nothing to bill"
    if result.parking is not None:
        return f"parked, {result.parking.exception_class}: {result.parking.message}"
    money = f"{money_text(item.amount, item.currency)} {item.currency or ''}".strip()
    rate = "" if item.rate_id is None else f" at {item.rate_id}"
    return f"{item.disposition}, {money}{rate}, on {item.root_id}"


def _rate(row: Record, entity: str, ref: BillingReference) -> RatedResult:
    if entity == MILESTONE:
        return rate_milestone(Milestone.from_record(row), ref)
    if entity == EXPENSE:
        return rate_expense(Expense.from_record(row), ref)
    return rate_entry(Entry.from_record(row), ref)


def _charges_first(row: Record) -> tuple[bool, str]:
    return (row["kind"] == CREDIT_LINE, row["id"])
