"""How well the firm bills: what it had to credit, which approvals did not hold, what of the hours it bills, gives away."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from .exact import ZERO, to_places
from .expected import Expected
from .positions import consultant_on
from .realization import expense_ids
from .rows import InvoiceLine, Rows, TimeEntry


class AccuracyKey(NamedTuple):
    """``month`` is that in which the charge was posted."""

    entity: str | None
    client: str | None
    month: date
    currency: str | None


@dataclass(slots=True)
class Accuracy:
    """Money of the charges of a month, what was credited of them since, and credits of no charge."""

    billed: Decimal = ZERO
    credited: Decimal = ZERO
    unlinked: Decimal = ZERO

    @property
    def ratio(self) -> Decimal | None:
        """Credited / billed, six places."""
        return _ratio(self.credited, self.billed)


def accuracy(rows: Rows) -> dict[AccuracyKey, Accuracy]:
    """Example: 1,200 posted in March and 200 of it credited in April: 200 of 1,200 in March."""
    out: dict[AccuracyKey, Accuracy] = defaultdict(Accuracy)
    posted = {line.id: line for line in rows.invoice_lines.values() if line.status == "posted"}

    def key(line: InvoiceLine) -> AccuracyKey:
        assert line.posted_at is not None
        contract = rows.engagements.get(line.engagement_id)
        if contract is None:
            return AccuracyKey(None, line.client_id, _month(line.posted_at), None)
        client = line.client_id or contract.client_id
        return AccuracyKey(contract.legal_entity_id, client, _month(line.posted_at), contract.currency)

    for line in posted.values():
        if line.kind == "charge":
            out[key(line)].billed += line.amount
        elif line.kind == "credit":
            of = posted.get(line.credits_line_id or "")
            if of is not None and of.kind == "charge" and of.engagement_id == line.engagement_id:
                out[key(of)].credited += line.amount
            else:
                out[key(line)].unlinked += line.amount
    return dict(out)


@dataclass(slots=True)
class Quality:
    """Decisions of a month: approvals, with what became of them, and rejections."""

    approved: int = 0
    corrected: int = 0
    taken_back: int = 0
    rejected: int = 0

    @property
    def rejected_rate(self) -> Decimal | None:
        """Of all decisions."""
        return _ratio(self.rejected, self.approved + self.rejected)

    @property
    def corrected_rate(self) -> Decimal | None:
        """Of what was approved."""
        return _ratio(self.corrected, self.approved)


def approval_quality(rows: Rows) -> dict[tuple[str | None, date], Quality]:
    """By practice and month. An entry of which nothing is left is of no practice.

    Example: of 10 decisions 8 approved, one of which is corrected later: rates of 0.2 and 0.125.
    """
    out: dict[tuple[str | None, date], Quality] = defaultdict(Quality)
    versions: dict[str, list[TimeEntry]] = defaultdict(list)
    for one in rows.entry_versions.values():
        versions[one.entry.id].append(one.entry)

    def practice(entry: TimeEntry) -> str | None:
        person = consultant_on(entry.consultant_id, entry.work_date, rows)
        return None if person is None else person.practice

    for entry in rows.time_entries.values():
        if entry.status == "approved":
            assert entry.approved_at is not None
            out[practice(entry), _month(entry.approved_at)].approved += 1
    for identity, past in versions.items():
        now = rows.time_entries.get(identity)
        last = max(entry.version for entry in [*past, *([] if now is None else [now])])
        for entry in past:
            assert entry.approved_at is not None
            figures = out[practice(entry), _month(entry.approved_at)]
            figures.approved += 1
            figures.corrected += entry.version < last
            figures.taken_back += entry.version == last
    for event in rows.entry_events.values():
        if event.action == "rejected":
            past = versions[event.entry_id]
            of = rows.time_entries.get(event.entry_id)
            of = of or max(past, key=lambda entry: entry.version, default=None)
            out[None if of is None else practice(of), _month(event.at)].rejected += 1
    return dict(out)


@dataclass(slots=True)
class Capture:
    """Seconds of work that is billed by the hour, those of them that are billed, and those that a fee pays for."""

    billable: int = 0
    captured: int = 0
    by_fee: int = 0

    @property
    def capture(self) -> Decimal | None:
        """Captured / billable, six places."""
        return _ratio(self.captured, self.billable)


def capture(expected: Expected, rows: Rows) -> dict[tuple[str | None, str | None, date], Capture]:
    """By client, practice and month of the work. An entry is billed for its own hours at most."""
    expenses = expense_ids(rows)
    entries: dict[tuple[str, str, str | None, str, date], list[int]] = defaultdict(lambda: [0, 0, 0])
    for key, fold in expected.billing.items():
        if key.consultant is None or key.day is None or key.entry in expenses:
            continue
        sums = entries[key.root, key.entry, key.client, key.consultant, key.day]
        if key.bucket in ("covered", "fixed_fee"):
            sums[2] += fold.seconds
        elif key.bucket != "non_chargeable":
            sums[0] += fold.seconds
        if key.bucket == "billed":
            sums[1] += fold.seconds
    out: dict[tuple[str | None, str | None, date], Capture] = defaultdict(Capture)
    for (_, _, client, who, day), (billable, billed, by_fee) in entries.items():
        person = consultant_on(who, day, rows)
        practice = None if person is None else person.practice
        figures = out[client, practice, day.replace(day=1)]
        figures.billable += billable
        figures.captured += max(0, min(billed, billable))
        figures.by_fee += by_fee
    return dict(out)


class WriteOffKey(NamedTuple):
    """``kind`` None: a decision that is gone."""

    entity: str | None
    client: str | None
    month: str | None
    currency: str | None
    kind: str | None
    reason: str | None = None
    preparer: str | None = None
    approver: str | None = None


def write_offs(expected: Expected, rows: Rows) -> dict[WriteOffKey, tuple[int, Decimal]]:
    """Seconds and money that the books wrote off or held in a month, less what they took back."""
    out: dict[WriteOffKey, tuple[int, Decimal]] = defaultdict(lambda: (0, ZERO))
    for key, fold in expected.booked.items():
        if key.bucket not in ("written_off", "on_hold"):
            continue
        contract = rows.engagements.get(key.root)
        at = WriteOffKey(
            None if contract is None else contract.legal_entity_id,
            key.client,
            key.month,
            key.currency,
            "over_cap",
        )
        if key.segment.startswith("adj:"):
            decided = rows.bill_adjustments.get(key.segment.removeprefix("adj:"))
            at = at._replace(kind=None)
            if decided is not None:
                who = {"preparer": decided.preparer_id, "approver": decided.approver_id}
                at = at._replace(kind=decided.kind, reason=decided.reason, **who)
        seconds, money = out[at]
        out[at] = seconds + fold.seconds, money + (fold.amount or ZERO)
    return {key: sums for key, sums in out.items() if sums != (0, ZERO)}


def _month(at: datetime) -> date:
    return at.astimezone(UTC).date().replace(day=1)


def _ratio(over: Decimal | int, under: Decimal | int) -> Decimal | None:
    return to_places(Fraction(over) / Fraction(under), 6) if under > 0 else None
