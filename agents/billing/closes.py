"""Closed months do not move: in which period each change of an entry's segments is booked.

A legal entity closes at c1 < c2 < ... Let S(c) be the allocation from all that was decided before c, and S(now) the
one from everything. What differs between S(ck-1) and S(ck) was decided in between, and is booked then: on its own
day (of the work; of the posting, for what is posted or due back), unless that day's period was closed at ck-1; then
on the first day of the first period open at ck-1. So what stood in a month at its close stays there, the bookings of
a segment sum to S(now), and nothing depends on what arrived first: a fact that arrives after the close, but was
decided before it, still goes to the closed month.

When things are decided: an entry's version is approved and later ended (corrected, withdrawn, deleted), a milestone
accepted, an invoice or credit line posted, an adjustment decided and released. Contracts, rates and exchange rates
are as they are now, and entries that share something with others (a cap, a lot, a day line) are booked as of now:
their rows don't say when they were decided. A draft decides nothing: it names a part of what is to be billed, in the
month where that stands now.

Only versions of time entries and releases of adjustments are kept as they were: a posting, an acceptance or an
adjustment whose row is changed or deleted later is as if it had always been so.

Revenue goes by the same: what an entry has earned is the difference between what stood at closes, whatever is posted
of it, on the day of the work or in the first period open then. ``billing.current`` has it as ``earned``.

Only intervals between closes in which something about the entry was decided are looked at: mostly one, and then the
books say what ``billing.current`` says, at the cost of a comparison.

Example: 8 h at 150 of 30 March, approved on 1 April; March closes on 3 April 18:00; corrected to 6 h on 5 April.
March keeps 8 h/1,200; April has -8 h/-1,200 and 6 h/900.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from agents.billing.adjustments import Adjustment
from agents.billing.allocation import Segments, allocate_item
from agents.billing.authority import LimitTable
from agents.billing.drafts import DraftLine, put_on_draft
from agents.billing.items import PARKED, Item
from agents.billing.periods import PeriodTable
from agents.billing.posted import PostedLine
from agents.billing.segments import BILLED, DUE_SEGMENT, Key, Segment
from agents.billing.terms import Terms
from streams.money import ZERO

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)

DayOf = Callable[[Segment, datetime | None], date | None]
EarnedOn = Callable[[Item | None, Segment, datetime | None], date | None]


class Booking(NamedTuple):
    """A segment as it was put into the books on its accounting date, or (``is_back``) taken back on it."""

    segment: Segment
    is_back: bool


class EntryBooks(NamedTuple):
    """The bookings of each segment of an entry, what each adds to the months of revenue (`earned_of`), and how each
    stood last."""

    bookings: dict[Key, list[Booking]]
    earned: dict[Key, tuple[str, ...]]
    last: dict[Key, Segment]

    def mapped(self, changed: Callable[[Segment], Segment]) -> EntryBooks:
        """The same of segments that are changed so."""
        return EntryBooks(
            {k: [one._replace(segment=changed(one.segment)) for one in v] for k, v in self.bookings.items()},
            self.earned,
            {key: changed(segment) for key, segment in self.last.items()},
        )


class State(NamedTuple):
    """What an entry was, and its segments, from a close (None: from the first day) until the next."""

    since: datetime | None
    item: Item | None
    segments: Segments


class Version(NamedTuple):
    """What an entry was from the approval that ``item`` says until ``ended_at``; ``id`` is its row's."""

    id: str
    item: Item
    ended_at: datetime


class Released(NamedTuple):
    """An adjustment that counted until ``released_at``."""

    adjustment: Adjustment
    released_at: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of one entry on one root: as it is now, and what counts no more."""

    entry_id: str
    item: Item | None
    lines: Sequence[PostedLine] = ()
    adjustments: Sequence[Adjustment] = ()
    drafts: Sequence[DraftLine] = ()
    versions: Sequence[Version] = ()
    released: Sequence[Released] = ()

    @property
    def is_dated_by_rating(self) -> bool:
        """See `is_dated_by_rating`."""
        return is_dated_by_rating(self.item, self.lines, self.adjustments, self.versions, self.released)

    @property
    def is_parked_and_posted(self) -> bool:
        """Whether what is posted is earned though the rest is not."""
        return bool(self.lines) and self.item is not None and self.item.disposition == PARKED

    def decisions(self) -> set[datetime]:
        """When something of it was decided; `LONG_AGO` where that is not known."""
        found = {line.posted_at for line in self.lines}
        found |= {one.decided_at or LONG_AGO for one in self.adjustments}
        if self.item is not None:
            found.add(self.item.decided_at or LONG_AGO)
        for version in self.versions:
            found |= {version.item.decided_at or LONG_AGO, version.ended_at}
        for one in self.released:
            found |= {one.adjustment.decided_at or LONG_AGO, one.released_at}
        return found

    def limited(self, limits: LimitTable) -> Facts:
        """The same, each adjustment with what its approver could decide."""
        if not self.adjustments and not self.released:
            return self
        ended = limits.limited(one.adjustment for one in self.released)
        return replace(
            self,
            adjustments=limits.limited(self.adjustments),
            released=[Released(one, of.released_at) for one, of in zip(ended, self.released, strict=True)],
        )

    def as_of(self, close: datetime) -> Facts:
        """What had been decided before a close, drafts left out."""
        stood = [version.item for version in self.versions if version.ended_at >= close]
        if self.item is not None:
            stood.append(self.item)
        stood = [item for item in stood if _before(item.decided_at, close)]
        adjustments = [one for one in self.adjustments if _before(one.decided_at, close)]
        adjustments += [
            one.adjustment
            for one in self.released
            if _before(one.adjustment.decided_at, close) and one.released_at >= close
        ]
        return Facts(
            self.entry_id,
            max(stood, key=lambda item: (item.decided_at or LONG_AGO, item.version), default=None),
            [line for line in self.lines if line.posted_at < close],
            adjustments,
        )

    def allocate(self, terms: Terms) -> Segments:
        """Its segments, nothing of them on a draft."""
        return allocate_item(self.entry_id, self.item, self.lines, self.adjustments, terms)


def is_dated_by_rating(item: Item | None, *decided: Collection[object]) -> bool:
    """Whether an entry is an item that has a period's date, and nothing else: rating knows of closes by itself."""
    return not any(decided) and (item is None or item.disposition != PARKED)


def book_entry(facts: Facts, now: Segments, terms: Terms, periods: PeriodTable) -> EntryBooks | None:
    """The books of an entry of a root whose `Terms.is_independent`.

    ``now`` is what `Facts.allocate` makes of it. None where the books say what ``billing.current`` says.
    """
    entity = terms.legal_entity_id
    closes = () if entity is None or facts.is_dated_by_rating else periods.hard_closes(entity)
    if entity is None or not closes:
        return None
    # The interval before the first close is 0, the one from close ck on is k.
    intervals = sorted({bisect_right(closes, moment) for moment in facts.decisions()})
    if not intervals:
        return None

    def day_of(segment: Segment, since: datetime | None) -> date | None:
        own = segment.accounting_date if _is_of_a_posting(segment) else segment.work_date
        return None if own is None else periods.accounting_date(entity, own, since)

    since = _since(closes, intervals[-1])
    is_plain = len(intervals) == 1 and not facts.is_parked_and_posted
    if is_plain and all(day_of(one, since) == one.accounting_date for one in now.values()):
        return None
    states = []
    for at in intervals[:-1]:
        before = facts.as_of(closes[at])
        states.append(State(_since(closes, at), before.item, before.allocate(terms)))
    states.append(State(since, facts.item, now))
    booked, days = _chain(states, day_of)
    if facts.drafts:
        _draft(booked, {key: now[key]._replace(accounting_date=days[key]) for key in now}, facts, terms)

    def earned_on(item: Item | None, segment: Segment, since: datetime | None) -> date | None:
        own = segment.accounting_date if item is None else item.work_date
        return None if own is None else periods.accounting_date(entity, own, since)

    last = {key: segment for state in states for key, segment in state.segments.items()}
    return EntryBooks(booked, earned_of(states, day_of, earned_on), last)


def as_it_is(segments: Mapping[Key, Segment]) -> dict[Key, list[Booking]]:
    """The bookings of segments that are in the books as they are."""
    return {key: [Booking(segment, False)] for key, segment in segments.items()}


def earned_of(states: Iterable[State], day_of: DayOf, earned_on: EarnedOn) -> dict[Key, tuple[str, ...]]:
    """What each segment adds to the months of its contract line's revenue, as ``billing.current`` has it.

    What is posted is billed in the month of its posting and earned in that of the work, as it was when it was
    posted; both are open months as of the decision, and the two months of each text. Example, of 8 h/1,200 of
    March corrected to 6 h in April: ``2026-03 2026-03 28800 1200.00 unbilled erp:L`` and
    ``2026-04 2026-04 -7200 -300.00 unbilled erp:L``. What has no known amount has ``-`` for it.
    """
    sums: dict[Key, dict[tuple[str, str, str, str], tuple[int, Decimal | None]]] = {}
    stands: dict[Key, tuple[Segment, Item | None]] = {}
    for since, item, segments in states:
        here = {key: (segment, item) for key, segment in segments.items()}
        for key in stands.keys() | here.keys():
            old, new = stands.get(key), here.get(key)
            if old is not None and new is not None and _content(old[0]) == _content(new[0]):
                here[key] = old
                continue
            for sign, one in ((-1, old), (1, new)):
                if one is None or one[0].contract_line_id is None:
                    continue
                segment = one[0]
                earned, booked = earned_on(one[1], segment, since), day_of(segment, since)
                if earned is None or booked is None:
                    continue
                months = (f"{earned:%Y-%m}", f"{booked:%Y-%m}", segment.bucket, one[0].contract_line_id)
                of_key = sums.setdefault(key, {})
                seconds, amount = of_key.get(months, (0, None))
                if segment.amount is not None:
                    amount = (amount or ZERO) + sign * segment.amount
                of_key[months] = (seconds + sign * segment.seconds, amount)
        stands = here
    texts = {
        key: tuple(
            f"{earned} {booked} {seconds} {'-' if amount is None else amount} {bucket} {line}"
            for (earned, booked, bucket, line), (seconds, amount) in sorted(of_key.items())
            if seconds or amount
        )
        for key, of_key in sums.items()
    }
    return {key: of_key for key, of_key in texts.items() if of_key}


def _chain(states: Iterable[State], day_of: DayOf) -> tuple[dict[Key, list[Booking]], dict[Key, date | None]]:
    """What each state adds to the books of the one before, and the day on which each segment stands at the end."""
    booked: dict[Key, list[Booking]] = {}
    days: dict[Key, date | None] = {}
    stands: Segments = {}
    for since, _, here in states:
        for key in stands.keys() | here.keys():
            old, new = stands.get(key), here.get(key)
            if _content(old) == _content(new):
                continue
            of_key = booked.setdefault(key, [])
            if old is not None:
                day = day_of(old, since)
                if day == days[key]:  # as if it had never been
                    of_key.remove(Booking(old._replace(accounting_date=day), False))
                else:
                    of_key.append(Booking(old._replace(accounting_date=day), True))
            if new is not None:
                days[key] = day_of(new, since)
                of_key.append(Booking(new._replace(accounting_date=days[key]), False))
        stands = here
    return booked, days


def _draft(booked: dict[Key, list[Booking]], stands: Segments, facts: Facts, terms: Terms) -> None:
    """Book what drafts take where that is of which they take."""
    drafted = dict(stands)
    put_on_draft(drafted, facts.item, facts.drafts, terms)
    for key in stands.keys() | drafted.keys():
        before, after = stands.get(key), drafted.get(key)
        if before == after:
            continue
        of_key = booked.setdefault(key, [])
        if before is not None:
            of_key.remove(Booking(before, False))
        if after is not None:
            of_key.append(Booking(after, False))


def _since(closes: Sequence[datetime], interval: int) -> datetime | None:
    return closes[interval - 1] if interval else None


def _is_of_a_posting(segment: Segment) -> bool:
    return segment.bucket == BILLED or segment.segment.startswith(DUE_SEGMENT)


def _content(segment: Segment | None) -> Segment | None:
    return None if segment is None else segment._replace(accounting_date=None)


def _before(moment: datetime | None, close: datetime) -> bool:
    return moment is None or moment < close
