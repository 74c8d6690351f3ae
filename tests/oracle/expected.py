"""What the ledger, the current billing state and utilization must be, for given rows.

One plain pass: rate everything, group it by allocation root, allocate each root, sum up.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from .allocation import adjustments_by_root, allocate_and_note, invoice_lines_by_root
from .books import Books
from .closes import Booking, Closes, book
from .drafts import DraftKey, drafts_of
from .earned import sums_by_month
from .exact import ZERO
from .expenses import rate_expense
from .functional import functional
from .groups import GroupKey, GroupUtilization, group
from .incidents import Incident
from .payers import Undivided, divide
from .plans import PlanKey, PlanWeek
from .proposals import Proposal, ProposalKey, propose
from .rating import Item, rate_entry, rate_milestone
from .revenue import Revenue, RevenueKey, recognise
from .rows import Quarantined, Rows
from .segments import Draft, Reason, Segment
from .utilization import DayKey, Utilization, WindowKey, utilize


class FoldKey(NamedTuple):
    """What lines of the ledger are summed by.

    ``month`` is that of the accounting date, ``YYYY-MM``; what follows says whose work it is, and ``day`` is
    the work date.
    """

    root: str
    entry: str
    segment: str
    bucket: str
    line: str | None
    currency: str | None
    month: str | None
    client: str | None = None
    project: str | None = None
    task: str | None = None
    consultant: str | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Fold:
    """The sum of ledger lines of one key.

    ``amount`` None is unknown money, as all that is parked; ``functional`` is what of it is known in the books of the
    legal entity. ``live`` is charges less reversals: a sum of 0 seconds and no money is something only while it is not 0
    (a parked milestone), else nothing.
    """

    seconds: int
    amount: Decimal | None
    live: int = 1
    functional: Decimal | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether this fold is the same as no fold at all."""
        return self.seconds == 0 and not self.amount and not self.functional and self.live == 0

    def __add__(self, other: Fold) -> Fold:
        return Fold(
            self.seconds + other.seconds,
            _plus(self.amount, other.amount),
            self.live + other.live,
            _plus(self.functional, other.functional),
        )


def _plus(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return one if other is None else other if one is None else one + other


class Parked(NamedTuple):
    """Why an item could not be rated."""

    exception_class: str
    missing_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """The figures a controller asks for first."""

    approved_seconds: int
    seconds_by_bucket: dict[str, int]
    money_by_bucket: dict[tuple[str, str], Decimal]  # by (bucket, currency); parked money is unknown


@dataclass(frozen=True, slots=True)
class Expected:
    """Everything the oracle says.

    ``billing`` holds the live segments, ``booked`` what the ledger of each period says, ``approved`` the seconds
    of each approved valid entry,
    ``parked`` the items that are not rated, ``quarantined`` the source rows that break a rule, ``drafts`` what
    each line of an ERP's draft says and whether it is stale, ``refused`` why bill adjustments have no effect, by entry
    and segment, ``proposals`` what is to be invoiced, ``undivided`` what of a contract can't be divided among its payers,
    by root and currency, ``delivered`` the money of entries that is earned in each month of (root, line), by consultant and
    day of the work,
    ``incidents`` those of billing that must be open, by subject.
    """

    billing: dict[FoldKey, Fold]
    daily: dict[DayKey, Utilization]
    windows: dict[WindowKey, Utilization]
    groups: dict[GroupKey, GroupUtilization]
    plans: dict[PlanKey, PlanWeek]
    parked: dict[str, Parked]
    quarantined: tuple[Quarantined, ...]
    approved: dict[str, int]
    drafts: dict[DraftKey, Draft] = field(default_factory=dict)
    refused: dict[tuple[str, str], Reason] = field(default_factory=dict)
    proposals: dict[ProposalKey, Proposal] = field(default_factory=dict)
    undivided: dict[tuple[str, str], Undivided] = field(default_factory=dict)
    revenue: dict[RevenueKey, Revenue] = field(default_factory=dict)
    booked: dict[FoldKey, Fold] = field(default_factory=dict)
    delivered: dict[tuple[str, str, date], dict[tuple[str, date | None], Decimal]] = field(
        default_factory=dict
    )
    incidents: dict[str, Incident] = field(default_factory=dict)

    @property
    def totals(self) -> Totals:
        """Approved seconds, and seconds and money by bucket."""
        seconds: dict[str, int] = defaultdict(int)
        money: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
        for key, fold in self.billing.items():
            seconds[key.bucket] += fold.seconds
            if fold.amount is not None and key.currency is not None:
                money[key.bucket, key.currency] += fold.amount
        return Totals(sum(self.approved.values()), dict(seconds), dict(money))


def compute_from_rows(rows: Rows) -> Expected:
    """The oracle's answer for rows already read and validated."""
    books = Books(rows)
    approved = [entry for entry in rows.time_entries.values() if entry.status == "approved"]
    items = [rate_entry(entry, rows, books) for entry in approved]
    items += [
        rate_milestone(milestone, rows, books)
        for milestone in rows.milestones.values()
        if milestone.status == "accepted" and milestone.accepted_on and milestone.accepted_at
    ]
    items += [rate_expense(one, rows, books) for one in rows.expenses.values() if one.status == "approved"]
    daily, windows, plans = utilize(approved, rows)
    segments, incidents = allocate_all(items, rows)
    by_payer, undivided = divide(segments, rows)
    closes = Closes(rows, books)
    sums = sums_by_month(segments, items, rows, closes)
    return Expected(
        billing=fold_segments(segments, rows),
        daily=daily,
        windows=windows,
        groups=group(daily, windows, rows),
        plans=plans,
        parked={
            item.entry_id: Parked(item.exception_class, item.missing_keys)
            for item in items
            if item.exception_class is not None
        },
        quarantined=tuple(rows.quarantined),
        approved={entry.id: entry.seconds for entry in approved},
        drafts=drafts_of(segments),
        refused={(s.entry_id, s.segment): s.refused for s in segments if s.refused is not None},
        proposals=propose(by_payer, rows),
        undivided=undivided,
        revenue=recognise(sums, rows, books),
        delivered={
            (*line, month): dict(sums[line][month].by_person) for line in sums for month in sums[line]
        },
        booked=fold_bookings(book(closes), rows),
        incidents=incidents,
    )


def allocate_all(items: list[Item], rows: Rows) -> tuple[list[Segment], dict[str, Incident]]:
    """The segments of every root that has items or invoice lines, and the incidents about them."""
    items_of: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        items_of[item.root].append(item)
    lines_of = invoice_lines_by_root(rows)
    adjustments_of = adjustments_by_root(rows)
    segments, incidents = [], {}
    for root in sorted({*items_of, *lines_of}):
        of_root, noted = allocate_and_note(
            root, items_of.get(root, []), lines_of.get(root, []), adjustments_of.get(root, []), rows
        )
        segments += of_root
        incidents |= noted
    return segments, incidents


def fold_segments(segments: list[Segment], rows: Rows) -> dict[FoldKey, Fold]:
    """Segments by fold key. A segment has one key, and so has each key one segment."""
    return {_key(one): Fold(one.seconds, one.amount, functional=functional(one, rows)) for one in segments}


def fold_bookings(booked: list[Booking], rows: Rows) -> dict[FoldKey, Fold]:
    """The sums of what was booked by fold key, less what was taken back."""
    folds: dict[FoldKey, Fold] = {}
    for segment, is_back in booked:
        key, amount, in_books = _key(segment), segment.amount, functional(segment, rows)
        fold = Fold(segment.seconds, amount, functional=in_books)
        if is_back:
            negated = (None if money is None else -money for money in (amount, in_books))
            fold = Fold(-segment.seconds, next(negated), -1, next(negated))
        folds[key] = folds[key] + fold if key in folds else fold
    return folds


def _key(segment: Segment) -> FoldKey:
    return FoldKey(
        segment.root,
        segment.entry_id,
        segment.segment,
        segment.bucket,
        segment.line_id,
        segment.currency,
        month_of(segment.accounting_date),
        *segment.work,
    )


def month_of(day: date | None) -> str | None:
    """``YYYY-MM`` of a day; an accounting period is a calendar month."""
    return None if day is None else day.strftime("%Y-%m")
