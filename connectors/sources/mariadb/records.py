"""From changes to Kafka records: keys, envelopes, tombstones and headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from connectors.sources.envelope import (
    CREATE,
    DELETE,
    LAST_MARKS,
    NEW_KEY,
    OLD_KEY,
    POSITION,
    SPECIAL,
    TRUNCATE,
    Header,
    Record,
    header_json,
)
from connectors.sources.mariadb.changes import Change, EncodedTable
from connectors.sources.mariadb.envelope import Stamp
from connectors.sources.postgres.tables.envelope import NeedsOptional

Encode: TypeAlias = Callable[[str, "bytes | None", "bytes | None", int, int], bytes]


def change_records(
    change: Change, position: bytes, last: int, encoders: dict[int, Encode], stamp: Stamp, *more: Header
) -> Iterator[Record]:
    """The record of one change; a delete is followed by its tombstone.

    ``encoders`` is the caller's memory of ``stamp``, ``more`` are headers to add.
    """
    return _records(change, [(POSITION, position), LAST_MARKS[last], *more], encoders, stamp)


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
