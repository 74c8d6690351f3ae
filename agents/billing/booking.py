"""The ledger of segments that are not in the books just once, as they are: see `agents.billing.closes`.

Of such a segment several lines are live: what stood at a close, that it was taken back later, what took its place.
A line that should not be there, since a fact or a close came late, is taken back on its own day: a charge by a
reversal, a reversal by a new charge, which what the reversal was of counts as from then on. So each charge has
one reversal at most, under its own revision, and no id is used twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agents.billing.entrybooks import Booking, EntryBooks, as_it_is
from agents.billing.ledger import (
    REVERSAL,
    LedgerLine,
    LiveSegment,
    charge,
    diff,
    kind_of,
    negated,
    reversal,
)
from agents.billing.segments import Key, Segment


class Booked(NamedTuple):
    """The live lines of a segment, and the last revision that any line of it has had."""

    lines: tuple[LedgerLine, ...]
    revision: int


class BookDiff(NamedTuple):
    """As `LedgerDiff`; ``booked`` says of the segments looked at which need their lines kept (None: no more), ``gone``
    what the books say last of those that are no more."""

    lines: tuple[LedgerLine, ...]
    changed: dict[Key, LiveSegment]
    booked: dict[Key, Booked | None]
    gone: dict[Key, Segment]


def diff_books(
    previous: Mapping[Key, LiveSegment],
    booked: Mapping[Key, Booked],
    target: Mapping[Key, Segment],
    books: EntryBooks | None = None,
) -> BookDiff:
    """The lines that turn the live ones into ``books``, and the live segments into ``target``.

    Without books it is in them as it is; segments that are, and were so before, are `diff`'s matter.
    """
    if books is None:
        if not booked and all(live.earned is None for live in previous.values()):
            return BookDiff(*diff(previous, target), {}, {})
        books = EntryBooks(as_it_is(target), {}, {})
    bookings, earned = dict(books.bookings), books.earned
    for key in earned.keys() - target.keys():
        if not bookings.get(key) and (key in booked or key not in previous):
            # Earned, and in the books of no month: it was there, and was taken back on the same day.
            bookings[key] = [Booking(books.last[key], False), Booking(books.last[key], True)]
    keys = previous.keys() | booked.keys() | target.keys() | bookings.keys() | earned.keys()
    special = {
        key
        for key in keys
        if key in booked
        or key in earned
        or (key in previous and previous[key].earned is not None)
        or not _is_plain(target.get(key), bookings.get(key, ()))
    }
    plain = diff(
        {key: live for key, live in previous.items() if key not in special},
        {key: segment for key, segment in target.items() if key not in special},
    )
    lines, changed = list(plain.lines), dict(plain.changed)
    kept: dict[Key, Booked | None] = {}
    gone: dict[Key, Segment] = {}
    for key in sorted(special):
        before = previous.get(key)
        made, now = _rebook(booked.get(key) or _as_live(before), bookings.get(key, ()))
        lines += made
        wanted, adds = target.get(key), earned.get(key)
        stood = LiveSegment(None, 0, "") if before is None else before
        named = None if wanted is None else _in_force(now.lines)
        if (stood.segment, stood.earned) != (wanted, adds) or named not in (None, stood.event_id):
            revision = max(now.revision, stood.revision + 1)
            shown = wanted or stood.segment or books.last.get(key)
            line = made[-1] if made else now.lines[-1] if now.lines else None
            event_id = named or (stood.event_id if line is None else line.event_id)
            now = now._replace(revision=revision)
            before = changed[key] = LiveSegment(wanted, revision, event_id, adds)
            if wanted is None and shown is not None:
                gone[key] = shown
        kept[key] = None if now == _as_live(before) else now
    return BookDiff(tuple(lines), changed, kept, gone)


def _in_force(lines: Sequence[LedgerLine]) -> str | None:
    """The last of the charges that nothing takes back."""
    taken_back = {line.reverses for line in lines}
    charges = [line for line in lines if line.kind != REVERSAL and line.event_id not in taken_back]
    return charges[-1].event_id if charges else None


def _is_plain(segment: Segment | None, bookings: Sequence[Booking]) -> bool:
    return list(bookings) == ([] if segment is None else [Booking(segment, False)])


def _as_live(live: LiveSegment | None) -> Booked:
    """The books of a segment that is in them as it is."""
    if live is None:
        return Booked((), 0)
    if live.segment is None:
        return Booked((), live.revision)
    line = LedgerLine(live.event_id, kind_of(live.segment), None, live.revision, live.segment)
    return Booked((line,), live.revision)


def _rebook(had: Booked, wanted: Sequence[Booking]) -> tuple[list[LedgerLine], Booked]:
    """The lines to append, and what is live then."""
    revision, missing = had.revision, list(wanted)
    kept: list[LedgerLine] = []
    wrong: list[LedgerLine] = []
    for line in had.lines:
        booking = _booking(line)
        if booking in missing:
            missing.remove(booking)
            kept.append(line)
        else:
            wrong.append(line)
    # A charge has one reversal: where the charge goes, a reversal that stays is of another one.
    gone = {line.event_id for line in wrong}
    for line in [line for line in kept if line.reverses in gone]:
        kept.remove(line)
        wrong.append(line)
        missing.append(_booking(line))
    made: list[LedgerLine] = []
    charges = [line for line in wrong if line.kind != REVERSAL]
    for line in wrong:
        if line.kind == REVERSAL:
            revision += 1
            again = charge(negated(line.segment), revision)
            made.append(again)
            for lines in (kept, charges):
                _renew(lines, line.reverses, again)
    made += [reversal(line, line.segment) for line in charges]
    for segment, is_back in missing:
        if is_back:
            line = reversal(_charge_of(kept, segment), segment)
        else:
            revision += 1
            line = charge(segment, revision)
        made.append(line)
        kept.append(line)
    return made, Booked(tuple(kept), revision)


def _renew(lines: list[LedgerLine], event_id: str | None, again: LedgerLine) -> None:
    """What a reversal took back counts again, under the id of the line that took the reversal back."""
    for at, line in enumerate(lines):
        if line.event_id == event_id:
            lines[at] = line._replace(event_id=again.event_id, revision=again.revision)


def _booking(line: LedgerLine) -> Booking:
    is_back = line.kind == REVERSAL
    return Booking(negated(line.segment) if is_back else line.segment, is_back)


def _charge_of(lines: Sequence[LedgerLine], segment: Segment) -> LedgerLine:
    """The first live charge of the same content that nothing takes back: what is taken back was charged before."""
    content = segment._replace(accounting_date=None)
    reversed_ids = {line.reverses for line in lines}
    return next(
        line
        for line in lines
        if line.kind != REVERSAL
        and line.event_id not in reversed_ids
        and line.segment._replace(accounting_date=None) == content
    )
