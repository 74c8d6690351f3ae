"""What both peers compute, a message at a time: the billing flow's own rating, allocation and ledger.

Written as someone would who knows a stream processor with tables: bytes in topics and tables, one small
table value per key, decoded books of capped roots kept in memory. What it leaves out: exceptions,
utilization contributions, the index of reference changes, and lineage of its state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from agents.billing.allocation import allocate, allocate_item
from agents.billing.functional import in_functional
from agents.billing.inputs import Entry
from agents.billing.items import Item
from agents.billing.ledger import LiveSegment, diff
from agents.billing.rate_stage import RULES
from agents.billing.rating import rate_entry
from agents.billing.reference import BillingReference
from streams.contracts import load_contracts, load_schema
from streams.contracts.topics import key_of
from streams.lanes.statecodec import StateCodec
from streams.money import ZERO
from streams.serde import Decoder, Encoder

RATED, EVENTS, CURRENT = "billing.rated", "billing.events", "billing.current"
OUTPUTS = (RATED, EVENTS, CURRENT)
TIMES = ("occurred_at", "captured_at", "published_at", "rated_at", "snapshot")
POSITION = ("source_system", "source_epoch", "source_lsn", "source_ordinal")


class Made(NamedTuple):
    """An output: its topic by contract, the key by contract, the bytes, and the root, which partitions it."""

    topic: str
    key: bytes
    value: bytes
    root_id: str


class Table(Protocol):
    """A table of a stream processor, bytes to bytes."""

    def get(self, key: bytes) -> bytes | None: ...
    def __setitem__(self, key: bytes, value: bytes) -> None: ...


@dataclass(slots=True)
class Book:
    """One entry on one root: the record it came by, its item, and its live segments."""

    rated: bytes | None = None
    revision: int = 0
    item: Item | None = None
    live: dict[str, LiveSegment] = field(default_factory=dict)
    current: dict[str, bytes] = field(default_factory=dict)


class PeerBilling:
    """Both steps. ``schema_ids`` are by contracted topic; tables are given with each message."""

    def __init__(self, reference: BillingReference, decoder: Decoder, schema_ids: dict[str, int]) -> None:
        self._reference = reference
        self._decode = decoder.decode
        self._contracts = load_contracts().topics
        self._encoders = {name: self._encoder(name, schema_ids[name]) for name in OUTPUTS}
        self._codec = StateCodec("allocation_state")
        self._roots: dict[str, dict[str, Book]] = {}

    def rate(self, value: bytes, last_rated: Table) -> list[Made]:
        """Rate a changed entry; what was made of it last is in the table."""
        row = self._decode(value)
        key = row["id"].encode()
        stored = last_rated.get(key)
        last = None if stored is None else self._decode(stored)
        old = Item.from_record(last) if last is not None and last["op"] == "PUT" else None
        new = rate_entry(Entry.from_record(row), self._reference).item
        if new == old:
            return []
        revision = 1 if last is None else last["revision"] + 1
        common = {name: row[name] for name in (*TIMES, *POSITION) if name != "rated_at"}
        common |= {"revision": revision, "rule_version": RULES, "rated_at": datetime.now(UTC)}
        made = []
        if old is not None and (new is None or new.root_id != old.root_id):
            fields = {"root_id": old.root_id, "entry_id": old.entry_id, "item_kind": old.item_kind}
            made.append(self._make(RATED, {"op": "REMOVE"} | fields | common))
        if new is not None:
            made.append(self._make(RATED, {"op": "PUT"} | new.fields() | common))
        last_rated[key] = made[-1].value
        return made

    def allocate(self, value: bytes, books: Table) -> list[Made]:
        """Allocate the root of a rated item, or only the item where its root shares nothing."""
        record = self._decode(value)
        root_id, entry_id = record["root_id"], record["entry_id"]
        terms = self._reference.terms(root_id)
        alone = terms.is_independent
        touched = (
            {entry_id: self._entry(books, root_id, entry_id)}
            if alone
            else self._root(books, root_id, entry_id)
        )
        book = touched[entry_id]
        if record["revision"] < book.revision:
            return []
        book.rated, book.revision = value, record["revision"]
        book.item = Item.from_record(record) if record["op"] == "PUT" else None
        if alone:
            target = allocate_item(entry_id, book.item, (), (), terms)
        else:
            present = [each.item for each in touched.values() if each.item is not None]
            target = allocate(present, (), (), terms)
        live = {(e, s): state for e, each in touched.items() for s, state in each.live.items()}
        fx = self._reference.fx
        change = diff(live, {key: in_functional(segment, terms, fx) for key, segment in target.items()})
        times = {name: record[name] for name in TIMES}
        common = {"rule_version": RULES, "allocated_at": datetime.now(UTC)}
        lineage = times | common | {name: record[name] for name in POSITION}
        made = [self._make(EVENTS, line.fields() | lineage) for line in change.lines]
        changed = {entry_id}
        for (entry, segment), state in change.changed.items():
            shown = state.segment or live[entry, segment].segment
            assert shown is not None
            fields = shown.fields() | times | common
            if state.segment is None:
                fields |= {"seconds": 0, "amount": None if shown.amount is None else ZERO}
            deleted = state.segment is None
            fields |= {"deleted": deleted, "revision": state.revision, "event_id": state.event_id}
            made.append(self._make(CURRENT, fields))
            touched[entry].current[segment] = made[-1].value
            touched[entry].live[segment] = state
            changed.add(entry)
        for entry in changed:
            self._write(books, root_id, entry, touched[entry])
        return made

    def forget(self) -> None:
        """Drop what is in memory: another process may have the partitions next."""
        self._roots.clear()

    def _encoder(self, topic: str, schema_id: int) -> Encoder:
        schema = self._contracts[topic].schema
        assert schema is not None
        return Encoder(load_schema(schema), schema_id)

    def _make(self, topic: str, record: dict[str, Any]) -> Made:
        value = self._encoders[topic].encode(record)
        return Made(topic, key_of(self._contracts[topic], record), value, record["root_id"])

    def _entry(self, table: Table, root_id: str, entry_id: str) -> Book:
        stored = table.get(_book_key(root_id, entry_id))
        return Book() if stored is None else self._read(stored)

    def _root(self, table: Table, root_id: str, entry_id: str) -> dict[str, Book]:
        """All books of a capped root, with one for the entry at hand; a list of them is kept, too."""
        members_key = f"members\0{root_id}".encode()
        found = self._roots.get(root_id)
        if found is None:
            members = table.get(members_key)
            names: Iterable[str] = members.decode().split("\n") if members else ()
            found = self._roots[root_id] = {name: self._entry(table, root_id, name) for name in names}
        if entry_id not in found:
            found[entry_id] = Book()
            table[members_key] = "\n".join(found).encode()
        return found

    def _write(self, table: Table, root_id: str, entry_id: str, book: Book) -> None:
        state = {"rated": book.rated, "lines": {}, "adjustments": {}, "live": book.current}
        table[_book_key(root_id, entry_id)] = self._codec.encode(state)

    def _read(self, data: bytes) -> Book:
        state = self._codec.decode(data)
        book = Book(state["rated"], current=state["live"])
        if book.rated is not None:
            record = self._decode(book.rated)
            book.revision = record["revision"]
            book.item = Item.from_record(record) if record["op"] == "PUT" else None
        book.live = {s: LiveSegment.from_record(self._decode(v)) for s, v in book.current.items()}
        return book


def _book_key(root_id: str, entry_id: str) -> bytes:
    return f"book\0{root_id}\0{entry_id}".encode()
