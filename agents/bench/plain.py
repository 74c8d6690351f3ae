"""The peer: the same billing as an ordinary Faust program, run as ``python -m agents.bench.plain``.

Two agents with tables, a message at a time, aiokafka's transport and Faust's own settings: at least
once. Rating, allocation and ledger are the very functions that the billing flow uses, outputs have the
same schemas, keys and partitions. Written as someone who knows Faust would: raw bytes in topics and
tables, one small table value per key, decoded books of capped roots kept in memory. What it leaves out:
exceptions, utilization contributions, the index of reference changes, and lineage of its state.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import faust

from agents.bench.inputs import PLAIN_PREFIX, TIME_ENTRY
from agents.bench.references import load_reference
from agents.billing.allocation import allocate, allocate_item
from agents.billing.inputs import Entry
from agents.billing.items import Item
from agents.billing.ledger import LiveSegment, diff
from agents.billing.rate_stage import RULES
from agents.billing.rating import rate_entry
from agents.billing.reference import BillingReference
from streams.contracts import TopicContract, load_contracts, load_schema
from streams.contracts.topics import key_of
from streams.lanes.statecodec import StateCodec
from streams.money import ZERO
from streams.serde import Decoder, Encoder, Registry
from streams.serde.partitioning import partition_of

APP = "plain-billing"
RATED, EVENTS, CURRENT = "billing.rated", "billing.events", "billing.current"
TIMES = ("occurred_at", "captured_at", "published_at", "rated_at", "snapshot")
POSITION = ("source_system", "source_epoch", "source_lsn", "source_ordinal")
# Bytes as they are, in tables and in topics: no codec of Faust's on the way.
BYTES: dict[str, Any] = {"key_type": bytes, "value_type": bytes}
RAW: dict[str, Any] = {**BYTES, "key_serializer": "raw", "value_serializer": "raw"}


@dataclass(frozen=True, slots=True)
class PlainOptions:
    """Where the program runs. ``started`` is a file that it makes at its first event."""

    bootstrap: str
    registry: str
    folder: Path
    partitions: int
    started: Path
    schema_ids: dict[str, int]


@dataclass(slots=True)
class Book:
    """One entry on one root: the record it came by, its item, and its live segments."""

    rated: bytes | None = None
    revision: int = 0
    item: Item | None = None
    live: dict[str, LiveSegment] = field(default_factory=dict)
    current: dict[str, bytes] = field(default_factory=dict)


class Outlet:
    """An output topic: framing, key and partition by its contract."""

    def __init__(self, app: faust.App, contract: TopicContract, options: PlainOptions) -> None:
        assert contract.schema is not None
        self._topic = app.topic(PLAIN_PREFIX + contract.name, **RAW)
        self._contract = contract
        self._partitions = options.partitions
        self._encoder = Encoder(load_schema(contract.schema), options.schema_ids[contract.name])

    async def send(self, record: dict[str, Any]) -> bytes:
        """Hand a record to the producer; returns its bytes."""
        value = self._encoder.encode(record)
        assert self._contract.partition_by is not None
        partition = partition_of(record[self._contract.partition_by], self._partitions)
        await self._topic.send(key=key_of(self._contract, record), value=value, partition=partition)
        return value


def plain_app(options: PlainOptions, decoder: Decoder, reference: BillingReference) -> faust.App:
    """Build the program."""
    app = faust.App(
        APP,
        broker=f"kafka://{options.bootstrap}",
        store="rocksdb://",
        datadir=str(options.folder),
        topic_partitions=options.partitions,
        topic_allow_declare=False,  # made beforehand, like everybody's
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
        origin=None,
    )
    contracts = load_contracts().topics
    rated, events, current = (Outlet(app, contracts[name], options) for name in (RATED, EVENTS, CURRENT))
    entries = app.topic(PLAIN_PREFIX + TIME_ENTRY, **RAW)
    items = app.topic(PLAIN_PREFIX + RATED, **RAW)
    last_rated = app.Table("rated", **BYTES)
    books = Books(app.Table("books", **BYTES), app.Table("members", **BYTES), decoder)

    async def rate(stream: Any) -> None:
        started = False
        async for value in stream:
            if not started:
                options.started.touch()
                started = True
            row = decoder.decode(value)
            key = row["id"].encode()
            stored = last_rated.get(key)
            last = None if stored is None else decoder.decode(stored)
            old = Item.from_record(last) if last is not None and last["op"] == "PUT" else None
            new = rate_entry(Entry.from_record(row), reference).item
            if new == old:
                continue
            revision = 1 if last is None else last["revision"] + 1
            common = {name: row[name] for name in (*TIMES, *POSITION) if name != "rated_at"}
            common |= {"revision": revision, "rule_version": RULES, "rated_at": datetime.now(UTC)}
            if old is not None and (new is None or new.root_id != old.root_id):
                fields = {"root_id": old.root_id, "entry_id": old.entry_id, "item_kind": old.item_kind}
                stored = await rated.send({"op": "REMOVE"} | fields | common)
            if new is not None:
                stored = await rated.send({"op": "PUT"} | new.fields() | common)
            last_rated[key] = stored

    async def allocate_roots(stream: Any) -> None:
        async for value in stream:
            record = decoder.decode(value)
            root_id, entry_id = record["root_id"], record["entry_id"]
            terms = reference.terms(root_id)
            alone = terms.is_independent
            touched = {entry_id: books.entry(root_id, entry_id)} if alone else books.root(root_id, entry_id)
            book = touched[entry_id]
            if record["revision"] < book.revision:
                continue
            book.rated, book.revision = value, record["revision"]
            book.item = Item.from_record(record) if record["op"] == "PUT" else None
            if alone:
                target = allocate_item(entry_id, book.item, (), (), terms)
            else:
                present = [each.item for each in touched.values() if each.item is not None]
                target = allocate(present, (), (), terms)
            live = {(e, s): state for e, each in touched.items() for s, state in each.live.items()}
            change = diff(live, target)
            times = {name: record[name] for name in TIMES}
            common = {"rule_version": RULES, "allocated_at": datetime.now(UTC)}
            lineage = times | common | {name: record[name] for name in POSITION}
            for line in change.lines:
                await events.send(line.fields() | lineage)
            changed = {entry_id}
            for (entry, segment), state in change.changed.items():
                shown = state.segment or live[entry, segment].segment
                assert shown is not None
                fields = shown.fields() | times | common
                if state.segment is None:
                    fields |= {"seconds": 0, "amount": None if shown.amount is None else ZERO}
                deleted = state.segment is None
                fields |= {"deleted": deleted, "revision": state.revision, "event_id": state.event_id}
                touched[entry].current[segment] = await current.send(fields)
                touched[entry].live[segment] = state
                changed.add(entry)
            for entry in changed:
                books.write(root_id, entry, touched[entry])

    async def forget(*_: Any, **__: Any) -> None:
        books.forget()

    app.agent(entries)(rate)
    app.agent(items)(allocate_roots)
    app.on_partitions_revoked.connect(forget)
    return app


class Books:
    """Books by root and entry in a table; those of capped roots decoded in memory, too.

    ``members`` lists the entries of each capped root, since tables have no scan by prefix.
    """

    def __init__(self, table: Any, members: Any, decoder: Decoder) -> None:
        self._table = table
        self._members = members
        self._decode = decoder.decode
        self._codec = StateCodec("allocation_state")
        self._roots: dict[str, dict[str, Book]] = {}

    def entry(self, root_id: str, entry_id: str) -> Book:
        """The book of one entry."""
        stored = self._table.get(_key(root_id, entry_id))
        return Book() if stored is None else self._read(stored)

    def root(self, root_id: str, entry_id: str) -> dict[str, Book]:
        """All books of a capped root, with one for the entry at hand."""
        found = self._roots.get(root_id)
        if found is None:
            members = self._members.get(root_id.encode())
            names: Iterable[str] = members.decode().split("\n") if members else ()
            found = self._roots[root_id] = {name: self.entry(root_id, name) for name in names}
        if entry_id not in found:
            found[entry_id] = Book()
            self._members[root_id.encode()] = "\n".join(found).encode()
        return found

    def write(self, root_id: str, entry_id: str, book: Book) -> None:
        """Store a book."""
        state = {"rated": book.rated, "lines": {}, "adjustments": {}, "live": book.current}
        self._table[_key(root_id, entry_id)] = self._codec.encode(state)

    def forget(self) -> None:
        """Drop what is in memory: another process may have the partitions next."""
        self._roots.clear()

    def _read(self, data: bytes) -> Book:
        state = self._codec.decode(data)
        book = Book(state["rated"], current=state["live"])
        if book.rated is not None:
            record = self._decode(book.rated)
            book.revision = record["revision"]
            book.item = Item.from_record(record) if record["op"] == "PUT" else None
        book.live = {s: LiveSegment.from_record(self._decode(v)) for s, v in book.current.items()}
        return book


def _key(root_id: str, entry_id: str) -> bytes:
    return f"{root_id}\0{entry_id}".encode()


def parse_options(arguments: list[str] | None = None) -> PlainOptions:
    """Options of the command line; one JSON object, since only the benchmark starts this program."""
    parser = argparse.ArgumentParser(prog="python -m agents.bench.plain")
    parser.add_argument("options", type=json.loads)
    values = parser.parse_args(arguments).options
    return PlainOptions(**{**values, "folder": Path(values["folder"]), "started": Path(values["started"])})


def main() -> None:
    """Load the reference rows, then run under Faust's own worker until SIGTERM."""
    options = parse_options()
    decoder = Decoder(Registry(options.registry))
    reference = load_reference(options.bootstrap, decoder)
    app = plain_app(options, decoder, reference)
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main()
