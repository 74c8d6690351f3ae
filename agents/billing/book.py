"""What the allocation stage holds of one root or of one entry of it, decoded.

State is stored per (root, entry): one record with the rated item, the ERP's lines, the adjustments and
the live segments of that entry, so that an entry of an uncapped root costs one read and one write,
whatever the size of the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from agents.billing.adjustments import Adjustment
from agents.billing.booking import Booked
from agents.billing.closes import Facts, Released, Version, is_dated_by_rating
from agents.billing.drafts import DraftLine
from agents.billing.items import Item
from agents.billing.ledger import LedgerLine, LiveSegment
from agents.billing.posted import PostedLine
from streams.lanes.state import Overlay
from streams.lanes.statecodec import StateCodec

PREFIX = b"e\0"
Decode = Callable[[bytes], dict[str, Any]]


@dataclass(slots=True)
class EntryBook:
    """One entry on one root: stored bytes, and what they mean."""

    stored: dict[str, Any]
    revision: int = 0
    item: Item | None = None
    lines: dict[str, PostedLine] = field(default_factory=dict)
    adjustments: dict[str, Adjustment] = field(default_factory=dict)
    live: dict[str, LiveSegment] = field(default_factory=dict)
    drafts: dict[str, DraftLine] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    released: dict[str, Released] = field(default_factory=dict)
    booked: dict[str, Booked] = field(default_factory=dict)
    version_revisions: dict[str, int] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether it is in the books as it is, since it is dated by rating and nothing else was decided about it."""
        decided = self.lines, self.adjustments, self.versions, self.released
        if self.booked or not is_dated_by_rating(self.item, *decided):
            return False
        return all(live.earned is None for live in self.live.values())

    def facts(self, entry_id: str) -> Facts:
        """All that is known of the entry, for its bookings."""
        return Facts(
            entry_id,
            self.item,
            tuple(self.lines.values()),
            tuple(self.adjustments.values()),
            tuple(self.drafts.values()),
            tuple(self.versions.values()),
            tuple(self.released.values()),
        )

    def put_rated(self, value: bytes, record: dict[str, Any]) -> bool:
        """Apply a PUT or REMOVE unless a later revision is there already; says whether it did."""
        if record["version_id"] is not None:
            return self._put_version(value, record)
        if record["revision"] < self.revision:
            return False
        self.stored["rated"] = value
        self.revision = record["revision"]
        self.item = Item.from_record(record) if record["op"] == "PUT" else None
        return True

    def _put_version(self, value: bytes, record: dict[str, Any]) -> bool:
        version_id = record["version_id"]
        if record["revision"] < self.version_revisions.get(version_id, 0):
            return False
        self.version_revisions[version_id] = record["revision"]
        self.stored["versions"][version_id] = value
        self.versions.pop(version_id, None)
        if record["op"] == "PUT":
            self.versions[version_id] = Version(version_id, Item.from_record(record), record["ended_at"])
        return True

    def put_line(self, value: bytes, record: dict[str, Any]) -> bool:
        """Apply an invoice line; a deleted one and a draft of a credit have no effect. Says whether it is here now."""
        row_id, posted, draft = record["id"], PostedLine.from_record(record), DraftLine.from_record(record)
        self.drop_line(row_id)
        if draft is not None:
            return _put(self.stored["lines"], self.drafts, row_id, value, draft)
        return _put(self.stored["lines"], self.lines, row_id, value, posted)

    def put_adjustment(self, value: bytes, record: dict[str, Any]) -> bool:
        """Apply a bill adjustment; a deleted one has no effect. Says whether it is here now."""
        row_id, released_at = record["id"], record["released_at"]
        self.drop_adjustment(row_id)
        decided = Adjustment.as_decided(record)
        if decided is None or released_at is None:
            return _put(self.stored["adjustments"], self.adjustments, row_id, value, decided)
        return _put(self.stored["adjustments"], self.released, row_id, value, Released(decided, released_at))

    def drop_line(self, row_id: str) -> None:
        """Take a line out."""
        self.drafts.pop(row_id, None)
        _drop(self.stored["lines"], self.lines, row_id)

    def drop_adjustment(self, row_id: str) -> None:
        """Take an adjustment out."""
        self.released.pop(row_id, None)
        _drop(self.stored["adjustments"], self.adjustments, row_id)

    def put_booked(self, segment: str, booked: Booked | None, encode: Callable[[LedgerLine], bytes]) -> None:
        """Keep the live lines of a segment, or (None) no more."""
        known = self.stored["booked"]
        before = self.booked.pop(segment, None)
        self.stored["revisions"].pop(segment, None)
        gone = {} if before is None else {line.event_id: known.pop(line.event_id) for line in before.lines}
        if booked is not None:
            self.booked[segment] = booked
            for line in booked.lines:
                known[line.event_id] = gone.get(line.event_id) or encode(line)
            self.stored["revisions"][segment] = str(booked.revision).encode()

    def hand_line(self, row_id: str, other: EntryBook) -> bool:
        """Give a line to another book; False if it is not here."""
        if row_id not in self.lines:
            return False
        other.stored["lines"][row_id] = self.stored["lines"].pop(row_id)
        other.lines[row_id] = self.lines.pop(row_id)
        return True


def _put(stored: dict[str, bytes], decoded: dict[str, Any], row_id: str, value: bytes, meaning: Any) -> bool:
    if meaning is None:
        _drop(stored, decoded, row_id)
        return False
    stored[row_id] = value
    decoded[row_id] = meaning
    return True


def _drop(stored: dict[str, bytes], decoded: dict[str, Any], row_id: str) -> None:
    stored.pop(row_id, None)
    decoded.pop(row_id, None)


def book_key(root_id: str, entry_id: str = "") -> bytes:
    """State key of an entry on a root; without an entry, the prefix of the root's keys."""
    return PREFIX + f"{root_id}\0{entry_id}".encode()


class Books:
    """Reads and writes entry books."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._codec = StateCodec("allocation_state")
        self._lines = StateCodec("booked_line")

    def entry(self, state: Overlay, root_id: str, entry_id: str) -> EntryBook:
        """The book of one entry, empty if there is none."""
        stored = state.get(book_key(root_id, entry_id))
        return self._read(stored) if stored else new_book()

    def root(self, state: Overlay, root_id: str) -> Iterator[tuple[str, EntryBook]]:
        """All entry books of a root."""
        prefix = book_key(root_id)
        for key, stored in state.scan(prefix):
            yield key[len(prefix) :].decode(), self._read(stored)

    def roots(self, state: Overlay, after: str = "") -> Iterator[str]:
        """Ids of all roots, ascending and each once; those behind ``after`` alone."""
        last = after
        for key, _ in state.scan(PREFIX, book_key(after)):
            root_id = key[len(PREFIX) :].split(b"\0", 1)[0].decode()
            if root_id != last:
                last = root_id
                yield root_id

    def exists(self, state: Overlay, root_id: str) -> bool:
        """Whether the lane holds anything of a root."""
        return next(iter(state.scan(book_key(root_id))), None) is not None

    def write(self, state: Overlay, root_id: str, entry_id: str, book: EntryBook) -> None:
        """Store a book."""
        state.put(book_key(root_id, entry_id), self._codec.encode(book.stored))

    def encode_line(self, line: LedgerLine) -> bytes:
        """A line that is kept in the state."""
        return self._lines.encode(line.fields())

    def _read(self, data: bytes) -> EntryBook:
        stored = self._codec.decode(data)
        book = EntryBook(stored)
        if stored["rated"] is not None:
            book.put_rated(stored["rated"], self._decode(stored["rated"]))
        for value in list(stored["lines"].values()):
            book.put_line(value, self._decode(value))
        for value in list(stored["adjustments"].values()):
            book.put_adjustment(value, self._decode(value))
        for value in list(stored["versions"].values()):
            book.put_rated(value, self._decode(value))
        if stored["revisions"]:
            book.booked = self._booked(stored)
        book.live = {s: LiveSegment.from_record(self._decode(v)) for s, v in stored["live"].items()}
        return book

    def _booked(self, stored: dict[str, Any]) -> dict[str, Booked]:
        lines: dict[str, list[LedgerLine]] = {}
        for value in stored["booked"].values():
            line = LedgerLine.from_record(self._lines.decode(value))
            lines.setdefault(line.segment.segment, []).append(line)
        return {
            segment: Booked(tuple(lines.get(segment, ())), int(revision))
            for segment, revision in stored["revisions"].items()
        }


def new_book() -> EntryBook:
    """The book of an entry of which nothing is known."""
    return EntryBook(
        {
            "rated": None,
            "lines": {},
            "adjustments": {},
            "live": {},
            "versions": {},
            "booked": {},
            "revisions": {},
        }
    )
