"""What each accounting period's ledger must say: a closed month is never changed by what is decided later.

A legal entity closes at c1 < c2 < ... Let S(c) be the allocation from all that was decided before c, and S(now) the
one from everything; each of the whole contract, since entries may share a cap, a lot, a day. What is in S(ck) and
was not so in S(ck-1) was decided in between, and is booked then: on its own day (of the work; of the posting, for
what is posted or due back), unless that day's period was closed at ck-1; then on the first day of the first period
open at ck-1. What S(ck-1) had and S(ck) has not is taken back on the day found in the same way. So what stood in a
month at its close stays there, the sums over all periods are S(now), and nothing depends on what arrived first.

Decided before c: an entry's version approved before it and not corrected, withdrawn or deleted before it; an invoice
or credit line posted before it; an adjustment decided before it and not released before it; a milestone accepted
before it; an expense as an entry; a rate or an exchange rate decided before it and not changed or taken away before it.
Where there was none yet, an entry is parked. Caps, inclusions and amounts of a day are those that were agreed then (see
`terms`). Lots and all else of a contract are as they are now: their rows say nothing of when they were decided.
A draft decides nothing: it names a part of what is to be billed, in the month where that stands now.

Example: 8 h at 150 of 30 March, approved on 1 April; March closes on 3 April 18:00; corrected to 6 h on 5 April.
March keeps 8 h/1,200; April has -8 h/-1,200 and 6 h/900. Or not corrected, and the rate changed to 160 on 10 April
from 1 March on: April has -8 h/-1,200 and 8 h/1,280.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Final, NamedTuple, TypeVar

from .allocation import adjustments_by_root, allocate, invoice_lines_by_root, item_order
from .books import Books
from .daylines import day_items
from .drafts import is_draft
from .expenses import rate_expense
from .rating import Item, rate_entry, rate_milestone
from .rows import Expense, FxRate, FxRateVersion, InvoiceLine, Rate, RateVersion, Rows, TimeEntry
from .segments import Segment
from .terms import engagements_as_of, lines_as_of

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)

Price = TypeVar("Price", Rate, FxRate)


class Booking(NamedTuple):
    """A segment as it was put into the books of a day, or (``is_back``) taken back."""

    segment: Segment
    is_back: bool


def as_of(rows: Rows, close: datetime) -> Rows:
    """The rows as far as they had been decided before a close."""
    stood: dict[str, list[TimeEntry]] = defaultdict(list)
    for entry in rows.time_entries.values():
        if entry.status == "approved" and _before(entry.approved_at, close):
            stood[entry.id].append(entry)
    for version in rows.entry_versions.values():
        if _before(version.entry.approved_at, close) and version.ended_at >= close:
            stood[version.entry.id].append(version.entry)
    paid: dict[str, list[Expense]] = defaultdict(list)
    for expense in rows.expenses.values():
        if expense.status == "approved" and _before(expense.approved_at, close):
            paid[expense.id].append(expense)
    for was in rows.expense_versions.values():
        if _before(was.expense.approved_at, close) and was.ended_at >= close:
            paid[was.expense.id].append(was.expense)
    return replace(
        rows,
        engagements=engagements_as_of(rows, close),
        contract_lines=lines_as_of(rows, close),
        expenses={
            expense_id: max(of_one, key=lambda one: (one.approved_at or LONG_AGO, one.version))
            for expense_id, of_one in paid.items()
        },
        time_entries={
            entry_id: max(of_entry, key=lambda entry: (entry.approved_at or LONG_AGO, entry.version))
            for entry_id, of_entry in stood.items()
        },
        rates=_known(rows.rates.values(), rows.rate_versions.values(), close),
        fx_rates=_known(rows.fx_rates.values(), rows.fx_rate_versions.values(), close),
        milestones={
            one.id: one for one in rows.milestones.values() if one.accepted_at and one.accepted_at < close
        },
        invoice_lines={
            line.id: line
            for line in rows.invoice_lines.values()
            if line.status == "posted" and _before(line.posted_at, close)
        },
        bill_adjustments={
            one.id: replace(one, released_at=None)
            for one in rows.bill_adjustments.values()
            if _before(one.decided_at, close) and (one.released_at is None or one.released_at >= close)
        },
    )


def _known(
    now: Iterable[Price], ended: Iterable[RateVersion | FxRateVersion], close: datetime
) -> dict[str, Price]:
    """The rows of a price table as they had been decided before a close: of each the last decision.

    Decided at once, the row that is still there is the later one, then the version of the greatest id.
    """
    stood = [
        (version.row.decided_at or LONG_AGO, False, version.id, version.row)
        for version in ended
        if _before(version.row.decided_at, close) and version.ended_at >= close
    ]
    stood += [(row.decided_at or LONG_AGO, True, "", row) for row in now if _before(row.decided_at, close)]
    return {row.id: row for *_, row in sorted(stood, key=lambda one: one[:3])}


class Closes:
    """What had been decided by each close, and by now."""

    def __init__(self, rows: Rows, books: Books) -> None:
        self.rows, self.books = rows, books
        self.now = Moment(rows, books)
        self.moments: dict[datetime, Moment] = {}
        for period in rows.periods.values():
            if period.closed_at is not None and period.closed_at not in self.moments:
                known = as_of(rows, period.closed_at)
                self.moments[period.closed_at] = Moment(known, Books(known))
        every = (self.now, *self.moments.values())
        self.roots = sorted({root for moment in every for root in (*moment.items, *moment.lines)})

    def states(self, root: str) -> list[tuple[datetime | None, Moment]]:
        """From when on (None: from the first day) a contract was as in each moment, the last of which is now.

        None of contracts whose legal entity has closed nothing.
        """
        engagement = self.rows.engagements.get(root)
        if engagement is None:
            return []
        entity = engagement.legal_entity_id
        periods = [period for period in self.rows.periods.values() if period.legal_entity_id == entity]
        closes = sorted({period.closed_at for period in periods if period.closed_at is not None})
        if not closes:
            return []
        moments = [self.moments[close] for close in closes]
        return list(zip([None, *closes], [*moments, self.now], strict=True))


class Earned(NamedTuple):
    """What a segment adds to revenue on a day and, if it is billed, to what is billed on another; less, if ``is_back``."""

    segment: Segment
    kind: str
    earned_on: date | None
    billed_on: date | None
    is_back: bool


def book(closes: Closes) -> list[Booking]:
    """What is in the books of all periods together.

    Contracts that have no `Closes.states` are booked as they are now, as if all had been decided so at once.
    """
    booked: list[Booking] = []
    for root in closes.roots:
        states = closes.states(root)
        if states:
            entity = closes.rows.engagements[root].legal_entity_id
            booked += _book_root(root, entity, states, closes.books)
        else:
            booked += [Booking(segment, False) for segment in closes.now.segments(root)]
    return booked


def earn(closes: Closes, root: str) -> list[Earned]:
    """What the entries of a contract add to months of revenue, closed ones staying as they were; nothing of contracts
    that have no `Closes.states`.

    As in the ledger, only that what is posted is earned on the day of the work all the same, as it was then; what is
    of no entry and no line of a day any more on that of the posting.
    """
    found = []
    kinds = {item.entry_id: item.kind for item in closes.now.items.get(root, [])}
    stands: dict[tuple[str, str], tuple[Segment, Item | None]] = {}
    for since, moment in closes.states(root):
        entity = closes.rows.engagements[root].legal_entity_id
        of_root = sorted(moment.items.get(root, []), key=item_order)
        items = {item.entry_id: item for item in (*of_root, *day_items(of_root, moment.rows))}
        here = {(s.entry_id, s.segment): (s, items.get(s.entry_id)) for s in moment.without_drafts(root)}
        for key in {*stands, *here}:
            old, new = stands.get(key), here.get(key)
            if old and new and _content(old[0]) == _content(new[0]):
                here[key] = old
                continue
            for one, is_back in ((old, True), (new, False)):
                if one is not None:
                    segment, item = one
                    own = segment.accounting_date if item is None else item.work_date
                    earned_on = None if own is None else closes.books.accounting_date(entity, own, since)
                    kind = kinds.get(segment.entry_id, "entry")
                    billed_on = _day(segment, entity, since, closes.books)
                    found.append(Earned(segment, kind, earned_on, billed_on, is_back))
        stands = here
    return found


class Moment:
    """All that was decided up to some moment, by root."""

    def __init__(self, rows: Rows, books: Books) -> None:
        self.rows = rows
        self.items: dict[str, list[Item]] = defaultdict(list)
        approved = [entry for entry in rows.time_entries.values() if entry.status == "approved"]
        accepted = [
            one
            for one in rows.milestones.values()
            if one.status == "accepted" and one.accepted_on and one.accepted_at
        ]
        for item in (
            *(rate_entry(entry, rows, books) for entry in approved),
            *(rate_milestone(one, rows, books) for one in accepted),
            *(rate_expense(one, rows, books) for one in rows.expenses.values() if one.status == "approved"),
        ):
            self.items[item.root].append(item)
        self.lines = invoice_lines_by_root(rows)
        self.adjustments = adjustments_by_root(rows)

    def segments(self, root: str) -> list[Segment]:
        """The allocation of a root, drafts among it."""
        return self._allocate(root, self.lines.get(root, []), None)

    def without_drafts(self, root: str) -> list[Segment]:
        """The allocation of a root as if nothing were on a draft."""
        return self._allocate(root, [line for line in self.lines.get(root, []) if not is_draft(line)], None)

    def with_drafts(self, root: str, days: dict[tuple[str, str], date | None]) -> list[Segment]:
        """The allocation with other accounting dates, of which drafts take their part."""

        def dated(segments: list[Segment]) -> list[Segment]:
            return [s._replace(accounting_date=days[s.entry_id, s.segment]) for s in segments]

        return self._allocate(root, self.lines.get(root, []), dated)

    def _allocate(
        self,
        root: str,
        lines: list[InvoiceLine],
        dated: Callable[[list[Segment]], list[Segment]] | None,
    ) -> list[Segment]:
        items, adjustments = self.items.get(root, []), self.adjustments.get(root, [])
        return allocate(root, items, lines, adjustments, self.rows, dated)


def _book_root(
    root: str, entity: str, moments: Sequence[tuple[datetime | None, Moment]], books: Books
) -> list[Booking]:
    now = moments[-1][1]
    states = [(since, moment.without_drafts(root)) for since, moment in moments]
    booked: list[Booking] = []
    stands: dict[tuple[str, str], Segment] = {}
    days: dict[tuple[str, str], date | None] = {}
    for decided_since, segments in states:
        here = {(segment.entry_id, segment.segment): segment for segment in segments}
        for key in sorted({*stands, *here}):
            old, new = stands.get(key), here.get(key)
            if _content(old) == _content(new):
                continue
            if old is not None:
                _take_back(booked, old, _day(old, entity, decided_since, books), days[key])
            if new is not None:
                days[key] = _day(new, entity, decided_since, books)
                booked.append(Booking(new._replace(accounting_date=days[key]), False))
        stands = here

    # What drafts take is booked where that is of which they take.
    drafted = {(s.entry_id, s.segment): s for s in now.with_drafts(root, days)}
    for key in {*stands, *drafted}:
        before, after = stands.get(key), drafted.get(key)
        if before is not None and _content(before) != _content(after):
            booked.remove(Booking(before._replace(accounting_date=days[key]), False))
        if after is not None and (before is None or _content(before) != _content(after)):
            booked.append(Booking(after, False))
    return booked


def _take_back(booked: list[Booking], old: Segment, day: date | None, booked_on: date | None) -> None:
    """On the day that it was booked on, it is as if it had never been."""
    if day == booked_on:
        booked.remove(Booking(old._replace(accounting_date=booked_on), False))
    else:
        booked.append(Booking(old._replace(accounting_date=day), True))


def _day(segment: Segment, entity: str, decided_since: datetime | None, books: Books) -> date | None:
    """What is posted, or due back, has the day of its posting; other things have that of the work."""
    own = segment.accounting_date if segment.segment.startswith(("inv:", "due:")) else segment.work.day
    return None if own is None else books.accounting_date(entity, own, decided_since)


def _content(segment: Segment | None) -> Segment | None:
    return None if segment is None else segment._replace(accounting_date=None)


def _before(moment: datetime | None, close: datetime) -> bool:
    return moment is None or moment < close
