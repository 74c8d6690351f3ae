"""From whole source transactions to Kafka records: keys, envelopes, tombstones and headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from connectors.sources.mariadb.cells import Row
from connectors.sources.mariadb.envelope import Stamp
from connectors.sources.mariadb.transactions import Change, EncodedTable, Transaction
from connectors.sources.postgres.envelope import NeedsOptional, header_json
from connectors.sources.postgres.records import (
    LAST_FOR_KEY,
    NEW_KEY,
    OLD_KEY,
    POSITION,
    SPECIAL,
    Header,
    Record,
)
from connectors.sources.postgres.transactions import CREATE, DELETE, READ, TRUNCATE

Encode: TypeAlias = Callable[[str, "bytes | None", "bytes | None", int, int], bytes]
_LAST = ((LAST_FOR_KEY, b"0"), (LAST_FOR_KEY, b"1"))


def transaction_records(
    transaction: Transaction, place: str, stamp: Stamp, skip: frozenset[str] = frozenset()
) -> Iterator[Record]:
    """The records of a transaction, in order. A delete is followed by its tombstone.

    ``place``: ``<epoch>/<transaction>/``. Changes of the tables named in ``skip`` are left out; the
    others keep their ordinals.
    """
    encoders: dict[int, Encode] = {}
    prefix = place.encode()
    last = transaction.last_for_key
    for ordinal, change in enumerate(transaction.changes):
        if skip and change.table.full_name in skip:
            continue
        headers: list[Header] = [(POSITION, b"%b%d" % (prefix, ordinal)), _LAST[last[ordinal]]]
        yield from _records(change, headers, encoders, stamp)


def snapshot_record(
    table: EncodedTable,
    row: Row,
    encoders: dict[int, Encode],
    stamp: Stamp,
    place: str,
    ordinal: int,
    position: int,
) -> Record:
    """The record of one snapshot row; ``encoders`` is the caller's memory of ``stamp``."""
    headers: list[Header] = [(POSITION, f"{place}{ordinal}".encode()), _LAST[1]]
    return next(_records(Change(table, READ, None, row, position, 0), headers, encoders, stamp))


def _records(
    change: Change, headers: list[Header], encoders: dict[int, Encode], stamp: Stamp
) -> Iterator[Record]:
    table = change.table
    while True:
        encode = encoders.get(id(table))
        if encode is None:
            encode = encoders[id(table)] = table.envelope.begin(stamp)
        try:
            key, value, special = _encode(change, table, encode)
            break
        except NeedsOptional as need:
            table.widen(need.column)
            del encoders[id(table)]
    if special:
        headers.append((SPECIAL, header_json(special)))
    if change.moved is not None and table.encode_key is not None:
        headers.append((OLD_KEY if change.op == CREATE else NEW_KEY, table.encode_key(change.moved)))
    yield Record(table.topic, key, value, headers, change.op == TRUNCATE)
    if change.op == DELETE and key is not None:
        yield Record(table.topic, key, None, headers)


def _encode(
    change: Change, table: EncodedTable, encode: Encode
) -> tuple[bytes | None, bytes, dict[str, str] | None]:
    special: dict[str, str] = {}
    before = after = None
    if change.before is not None:
        before, aside = table.rows.encode(change.before)
        if aside:
            special.update({f"before.{name}": text for name, text in aside.items()})
    if change.after is not None:
        after, aside = table.rows.encode(change.after)
        if aside:
            special.update({f"after.{name}": text for name, text in aside.items()})
    row = change.after if change.after is not None else change.before
    key = None if table.encode_key is None or row is None else table.encode_key(row)
    return key, encode(change.op, before, after, change.position, change.row), special
