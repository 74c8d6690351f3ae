"""The books of one entry: in which periods what it was at each close, and what it is, are booked and earned.

See `agents.billing.closes` for the rule. What it was comes as states, each other than the one before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from agents.billing.allocation import Segments
from agents.billing.closes import Facts
from agents.billing.drafts import put_on_draft
from agents.billing.items import Item
from agents.billing.periods import PeriodTable
from agents.billing.segments import BILLED, DUE_SEGMENT, Key, Segment
from agents.billing.terms import Terms
from streams.money import ZERO

DayOf = Callable[[Segment, datetime | None], date | None]
EarnedOn = Callable[[Item | None, Segment, datetime | None], date | None]
Dated = tuple[datetime | None, Item | None, Segments]  # a `State`, with the close that it began with


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

    def add(self, others: EntryBooks) -> None:
        """Take in the books of other entries."""
        self.bookings.update(others.bookings)
        self.earned.update(others.earned)
        self.last.update(others.last)

    def mapped(self, changed: Callable[[Segment], Segment]) -> EntryBooks:
        """The same of segments that are changed so."""
        return EntryBooks(
            {k: [one._replace(segment=changed(one.segment)) for one in v] for k, v in self.bookings.items()},
            self.earned,
            {key: changed(segment) for key, segment in self.last.items()},
        )


class State(NamedTuple):
    """What an entry was, and its segments, from one close on.

    ``interval`` 0 is before the first close of its legal entity, k from close ck on. ``item`` dates what is earned: of
    a day line, the day's first.
    """

    interval: int
    item: Item | None
    segments: Segments


def book_entry(facts: Facts, now: Segments, terms: Terms, periods: PeriodTable) -> EntryBooks | None:
    """The books of an entry of a root whose `Terms.is_independent`.

    ``now`` is what `Facts.allocate` makes of it. None where the books say what ``billing.current`` says.
    """
    entity = terms.legal_entity_id
    closes = () if entity is None or facts.is_dated_by_rating else periods.hard_closes(entity)
    if entity is None or not closes:
        return None
    intervals = sorted({bisect_right(closes, moment) for moment in facts.decisions()})
    if not intervals:
        return None
    states = []
    for at in intervals[:-1]:
        before = facts.as_of(closes[at])
        states.append(State(at, before.item, before.allocate(terms)))
    states.append(State(intervals[-1], facts.item, now))
    return book_states(facts, states, now, terms, periods)


def book_states(
    facts: Facts,
    states: Sequence[State],
    now: Segments,
    terms: Terms,
    periods: PeriodTable,
    first_of_day: Item | None = None,
) -> EntryBooks | None:
    """The books of an entry that was in some states, one after the other, of which the last still is.

    ``now`` has the same segments as the last, as ``billing.current`` dates them; ``first_of_day`` dates a day line now.
    None where the books say the same.
    """
    entity = terms.legal_entity_id
    closes = () if entity is None else periods.hard_closes(entity)
    if entity is None or not closes or not states:
        return None

    def day_of(segment: Segment, since: datetime | None) -> date | None:
        own = segment.accounting_date if _is_of_a_posting(segment) else segment.work_date
        return None if own is None else periods.accounting_date(entity, own, since)

    def earned_on(item: Item | None, segment: Segment, since: datetime | None) -> date | None:
        own = segment.accounting_date if item is None else item.work_date
        return None if own is None else periods.accounting_date(entity, own, since)

    dated = [(since_of(closes, one.interval), one.item, one.segments) for one in states]
    since, item = dated[-1][0], facts.item or first_of_day
    is_plain = len(states) == 1 and not facts.is_parked_and_posted
    if is_plain and all(
        day_of(one, since) == one.accounting_date
        and (item is None or earned_on(item, one, since) == item.accounting_date)
        for one in now.values()
    ):
        return None
    booked, days = _chain(dated, day_of)
    if facts.drafts:
        _draft(booked, {key: now[key]._replace(accounting_date=days[key]) for key in now}, facts, terms)
    last = {key: segment for state in states for key, segment in state.segments.items()}
    return EntryBooks(booked, earned_of(dated, day_of, earned_on), last)


def as_it_is(segments: Mapping[Key, Segment]) -> dict[Key, list[Booking]]:
    """The bookings of segments that are in the books as they are."""
    return {key: [Booking(segment, False)] for key, segment in segments.items()}


def earned_of(states: Iterable[Dated], day_of: DayOf, earned_on: EarnedOn) -> dict[Key, tuple[str, ...]]:
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
            if old is not None and new is not None and content(old[0]) == content(new[0]):
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


def _chain(states: Iterable[Dated], day_of: DayOf) -> tuple[dict[Key, list[Booking]], dict[Key, date | None]]:
    """What each state adds to the books of the one before, and the day on which each segment stands at the end."""
    booked: dict[Key, list[Booking]] = {}
    days: dict[Key, date | None] = {}
    stands: Segments = {}
    for since, _, here in states:
        for key in stands.keys() | here.keys():
            old, new = stands.get(key), here.get(key)
            if content(old) == content(new):
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


def since_of(closes: Sequence[datetime], interval: int) -> datetime | None:
    """The close that an interval begins with."""
    return closes[interval - 1] if interval else None


def _is_of_a_posting(segment: Segment) -> bool:
    return segment.bucket == BILLED or segment.segment.startswith(DUE_SEGMENT)


def content(segment: Segment | None) -> Segment | None:
    """What a segment says, whenever it is booked."""
    return None if segment is None else segment._replace(accounting_date=None)
