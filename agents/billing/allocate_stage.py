"""Stage 2 of billing: allocate each root's items to segments, and keep the ledger, keyed by root.

Records of a slice are taken in first; each touched root is then allocated once, as far as the slice can have
changed it, and the difference to its live segments goes to the ledger (``billing.events``) and the current
state (``billing.current``) together.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from agents.billing import converted
from agents.billing.allocation import allocate_item
from agents.billing.authority import LIMIT
from agents.billing.book import Books, EntryBook, new_book
from agents.billing.booking import BookDiff, diff_books
from agents.billing.conservation import Gaps
from agents.billing.decided import Decided
from agents.billing.drafts import put_on_draft
from agents.billing.entrybooks import EntryBooks, book_entry
from agents.billing.filing import ADJUSTMENT, LINE, Filing
from agents.billing.functional import in_functional
from agents.billing.index import ANY
from agents.billing.ledger import LiveSegment
from agents.billing.rate_stage import RULES
from agents.billing.reference import BillingReference
from agents.billing.reporting import TIMES, Reporting
from agents.billing.segments import Key, Segment
from agents.billing.sharedroots import SharedRoots
from agents.billing.terms import Terms
from agents.rejects import Rejects
from streams.errors import RecordError
from streams.lanes.records import InputRecord, decoded
from streams.lanes.stage import Cause, SliceContext, Touch, in_order
from streams.lanes.state import Overlay
from streams.money import ZERO
from streams.worker.flow import StageEnvironment

FLOW = "allocation"
INPUTS = ("billing.rated", "canonical.invoice_line", "canonical.bill_adjustment")
# Entries of capped roots held decoded in memory, over all roots of a lane (about 2 kB each).
CACHED_ENTRIES = 50_000
POSITION = ("source_system", "source_epoch", "source_lsn", "source_ordinal")


class AllocateStage:
    """Allocates the roots of one partition."""

    inputs: Sequence[str] = INPUTS
    rules = RULES

    def __init__(self, environment: StageEnvironment) -> None:
        self._reference: BillingReference = environment.view.reference
        self._decode = environment.decoder.decode
        self._books = Books(environment.decoder.decode)
        self._events = environment.publisher("billing.events")
        self._current = environment.publisher("billing.current")
        self._reporting = Reporting(environment, FLOW)
        self._rejects = Rejects(environment, FLOW)
        self._filing = Filing(self._book)
        self._decided = Decided()
        self._gaps = Gaps(environment.partition)
        self._roots: OrderedDict[str, dict[str, EntryBook]] = OrderedDict()
        self._shared = SharedRoots(self._reference)
        # Of the slice: entries taken in per root, with the cause of each; None is the whole root.
        self._dirty: dict[str, dict[str | None, dict[str, Any]]] = {}
        self._taken: dict[tuple[str, str], EntryBook] = {}

    def open(self, state: Overlay, now: datetime) -> None:
        """Roots are read when they are touched."""

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Take in a rated item, an invoice line or an adjustment."""
        value = record.value
        if value is None:
            return
        row = decoded(record, self._decode, value)
        if record.topic == "billing.rated":
            root_id = row["root_id"]
            if not self._book(context.state, root_id, row["entry_id"]).put_rated(value, row):
                context.count("stale_revisions")
                return
            entries = {row["entry_id"]}
        else:
            root_id = row["engagement_id"]
            entries = self._file(record.topic, value, row, context.state)
            if not entries:
                return
        times = {name: row.get(name) for name in (*TIMES, *POSITION)}
        if times["rated_at"] is None:
            times["rated_at"] = row["published_at"]
        causes = self._dirty.setdefault(root_id, {})
        for entry_id in sorted(entries):
            causes[entry_id] = times

    def _file(self, topic: str, value: bytes, row: dict[str, Any], state: Overlay) -> set[str]:
        """Put an invoice line or adjustment where it belongs; the entries that this changes."""
        root_id, entry_id = row["engagement_id"], row["entry_id"]
        kind = LINE if topic == "canonical.invoice_line" else ADJUSTMENT
        if root_id is not None and entry_id is None:
            # A deleted row says only its id and root: find the entry that holds it.
            entry_id = self._filing.holder(state, root_id, kind, row["id"])
            entry_id = entry_id or self._holder(state, root_id, row["id"])
        if root_id is None or entry_id is None:
            return set()
        return self._filing.take(state, root_id, entry_id, kind, value, row)

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Allocate again whole roots, whose terms changed, or entries, as a period closed."""
        times = {
            "occurred_at": cause.occurred_at,
            "captured_at": cause.captured_at,
            "published_at": cause.published_at,
            "rated_at": cause.published_at,
            "snapshot": True,
            "source_system": "",
            "source_epoch": 0,
            "source_lsn": 0,
            "source_ordinal": 0,
        }
        for key in keys:
            root_id, _, entry_id = key.decode().partition("\0")
            self._dirty.setdefault(root_id, {})[entry_id or None] = times

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Roots whose terms, or the limits of whose approvers, changed; entries that a close or a rate may move."""
        dependencies = {touch.dependency for touch in touches}  # type: ignore[attr-defined]
        roots: set[str] = set()
        for dependency in dependencies:
            kind, _, subject = dependency.partition(":")
            if kind == LIMIT:
                roots.update(self._filing.approved_by(state, subject))
            elif kind == "terms" and subject == ANY:
                roots.update(self._books.roots(state))
            elif kind == "terms" and self._books.exists(state, subject):
                roots.add(subject)
        entries = self._decided.affected(touches, state)  # type: ignore[arg-type]
        exchanged = converted.affected(touches, state)  # type: ignore[arg-type]
        return in_order([*(root_id.encode() for root_id in roots), *entries, *exchanged], after)

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """All roots."""
        return (root_id.encode() for root_id in self._books.roots(state, after.decode()))

    def finish(self, context: SliceContext) -> None:
        """Allocate what the slice touched."""
        for root_id, causes in self._dirty.items():
            latest = next(reversed(causes.values()))
            if self._reference.terms_history(root_id).is_independent:
                self._allocate_entries(root_id, causes, context)
            else:
                self._allocate_root(root_id, causes, latest, context)
        self._gaps.export()
        self._dirty.clear()
        self._taken.clear()
        while len(self._roots) > 1 and sum(map(len, self._roots.values())) > CACHED_ENTRIES:
            root_id, _ = self._roots.popitem(last=False)
            self._shared.forget(root_id)

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters and exceptions."""
        self._rejects.reject(record, error, context)

    def tick(self, context: SliceContext) -> None:
        """No timers."""

    def _holder(self, state: Overlay, root_id: str, row_id: str) -> str | None:
        """Who holds a row that was filed by an earlier version."""
        for entry_id, book in self._root(state, root_id).items():
            if row_id in book.lines or row_id in book.adjustments:
                return entry_id
        return None

    def _book(self, state: Overlay, root_id: str, entry_id: str) -> EntryBook:
        """The entry's book, one object per slice whichever way it is reached."""
        cached = self._roots.get(root_id)
        if cached is not None:
            return cached.setdefault(entry_id, new_book())
        book = self._taken.get((root_id, entry_id))
        if book is None:
            book = self._taken[root_id, entry_id] = self._books.entry(state, root_id, entry_id)
        return book

    def _root(self, state: Overlay, root_id: str) -> dict[str, EntryBook]:
        books = self._roots.get(root_id)
        if books is None:
            books = dict(self._books.root(state, root_id))
            books |= {entry: book for (root, entry), book in self._taken.items() if root == root_id}
            self._roots[root_id] = books
        self._roots.move_to_end(root_id)
        return books

    def _allocate_entries(
        self, root_id: str, causes: dict[str | None, dict[str, Any]], context: SliceContext
    ) -> None:
        """Those that the slice touched, each alone, or all of a root of which it touched the terms."""
        entries: dict[str, dict[str, Any]] = {e: times for e, times in causes.items() if e is not None}
        if None in causes:
            for entry_id, book in self._root(context.state, root_id).items():
                self._filing.remember_all(context.state, root_id, entry_id, book)
                entries.setdefault(entry_id, causes[None])
            self._reporting.caps(root_id, {}, causes[None], context)
        for entry_id, times in entries.items():
            self._allocate_entry(root_id, entry_id, times, context)

    def _allocate_entry(
        self, root_id: str, entry_id: str, times: dict[str, Any], context: SliceContext
    ) -> None:
        book = self._book(context.state, root_id, entry_id)
        terms = self._reference.terms(root_id)
        books = None
        if book.is_plain:
            target = allocate_item(entry_id, book.item, (), (), terms, book.drafts.values())
        else:
            facts = book.facts(entry_id).limited(self._reference.limits)
            target = facts.allocate(terms)
            books = book_entry(facts, target, terms, self._reference.periods)
            self._decided.note(context.state, root_id, terms.legal_entity_id, facts)
            put_on_draft(target, book.item, facts.drafts, terms)
        # Should the root get limits again, what was kept of it has missed this.
        self._shared.forget(root_id)
        target, books = self._in_functional(target, books, terms, context.state)
        live = {(entry_id, segment): state for segment, state in book.live.items()}
        booked = {(entry_id, segment): of for segment, of in book.booked.items()}
        change = diff_books(live, booked, target, books)
        self._publish(live, change, {entry_id: book}, {entry_id: times}, times, context)
        self._reporting.entries(root_id, {entry_id: book}, target, {}, times, context)
        self._write(context.state, root_id, entry_id, book)

    def _allocate_root(
        self,
        root_id: str,
        causes: dict[str | None, dict[str, Any]],
        latest: dict[str, Any],
        context: SliceContext,
    ) -> None:
        books = self._root(context.state, root_id)
        changed = {entry_id for entry_id in causes if entry_id is not None}
        if None in causes:
            for entry_id, book in books.items():
                self._filing.remember_all(context.state, root_id, entry_id, book)
        found = self._shared.allocate(root_id, books, None if None in causes else changed)
        terms = self._reference.terms(root_id)
        self._decided.note_root(context.state, root_id, terms, found.last)
        target, in_books = self._in_functional(found.segments, found.books, terms, context.state)
        known = [(entry_id, books[entry_id]) for entry_id in found.entries if entry_id in books]
        live = {(e, s): state for e, book in known for s, state in book.live.items()}
        booked = {(e, s): of for e, book in known for s, of in book.booked.items()}
        change = diff_books(live, booked, target, in_books)
        for entry_id, _ in (*change.changed, *change.booked):
            if entry_id not in books:  # a day line's first
                books[entry_id] = new_book()
        moved = {e for (e, s), of in change.booked.items() if books[e].booked.get(s) != of}
        self._publish(live, change, books, causes, latest, context)
        looked_at = {entry_id: books[entry_id] for entry_id, _ in target} | dict(known)
        self._reporting.entries(root_id, looked_at, target, causes, latest, context)
        self._reporting.caps(root_id, found.uses, latest, context)
        for entry_id in {e for e, _ in change.changed} | moved | changed:
            self._write(context.state, root_id, entry_id, books[entry_id])

    def _write(self, state: Overlay, root_id: str, entry_id: str, book: EntryBook) -> None:
        self._gaps.look(root_id, entry_id, book)
        self._books.write(state, root_id, entry_id, book)

    def _in_functional(
        self, target: Mapping[Key, Segment], books: EntryBooks | None, terms: Terms, state: Overlay
    ) -> tuple[dict[Key, Segment], EntryBooks | None]:
        """Segments and bookings with what they are in the books of the legal entity."""
        convert = partial(in_functional, terms=terms, fx=self._reference.fx)
        found = {key: convert(segment) for key, segment in target.items()}
        if terms.functional_currency != terms.currency:
            converted.note(state, terms, found.values())
        return found, None if books is None else books.mapped(convert)

    def _publish(
        self,
        live: dict[Key, LiveSegment],
        change: BookDiff,
        books: dict[str, EntryBook],
        causes: dict[Any, dict[str, Any]],
        latest: dict[str, Any],
        context: SliceContext,
    ) -> None:
        for line in change.lines:
            times = causes.get(line.segment.entry_id, latest)
            record = line.fields() | times | {"rule_version": self.rules, "allocated_at": context.now}
            self._events.emit(context, record)
        context.count("billing_events", len(change.lines))
        for (entry_id, segment_id), booked in change.booked.items():
            books[entry_id].put_booked(segment_id, booked, self._books.encode_line)
        for key, state in change.changed.items():
            entry_id, segment_id = key
            before = live[key].segment if key in live else None
            shown = state.segment or before or change.gone.get(key) or self._last(books[entry_id], segment_id)
            times = causes.get(entry_id, latest)
            fields = shown.fields() | {name: times[name] for name in TIMES}
            if state.segment is None:
                fields |= {"seconds": 0, "amount": None if shown.amount is None else ZERO}
            fields |= {
                "deleted": state.segment is None,
                "revision": state.revision,
                "event_id": state.event_id,
                "earned": state.earned,
                "rule_version": self.rules,
                "allocated_at": context.now,
            }
            book = books[entry_id]
            book.live[segment_id] = state
            book.stored["live"][segment_id] = self._current.emit(context, fields)
            self._reporting.segment(before, state, times, context)

    def _last(self, book: EntryBook, segment_id: str) -> Segment:
        """A segment that is no more, as it was last shown."""
        return Segment.from_record(self._decode(book.stored["live"][segment_id]))
