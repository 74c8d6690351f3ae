"""The binary log as events: bytes in, what they say out. Pure.

Rows are left as they came; `connectors.sources.mariadb.cells` reads them, by the table map that
precedes them. Nothing is guessed: an event that may carry changes and that we can't read halts.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from connectors.sources.mariadb.tablemap import length
from streams.errors import PoisonRecord

HEADER = 19
CHECKSUM = 4  # bytes of CRC32 after each event where the log has them
_HEADER = struct.Struct("<IBIIIH").unpack_from
_UINT16 = struct.Struct("<H").unpack_from
_UINT32 = struct.Struct("<I").unpack_from
_UINT64 = struct.Struct("<Q").unpack_from
_GTID = struct.Struct("<QIB").unpack_from

_QUERY, _ROTATE, _FORMAT, _XID, _TABLE_MAP, _INCIDENT, _XA_PREPARE = 2, 4, 15, 16, 19, 26, 38
_MARIADB_GTID, _QUERY_COMPRESSED = 162, 165
# Say nothing of changes: stop, variables of statements, load files, heartbeat, annotation, checkpoint, GTID list.
_SILENT = frozenset({3, 5, 13, 14, 17, 18, 27, 29, 160, 161, 163, 164})
INSERT, UPDATE, DELETE = "insert", "update", "delete"
# Type → (what, version of the layout, compressed).
_ROWS = {
    23: (INSERT, 1, False),
    24: (UPDATE, 1, False),
    25: (DELETE, 1, False),
    30: (INSERT, 2, False),
    31: (UPDATE, 2, False),
    32: (DELETE, 2, False),
    166: (INSERT, 1, True),
    167: (UPDATE, 1, True),
    168: (DELETE, 1, True),
    169: (INSERT, 2, True),
    170: (UPDATE, 2, True),
    171: (DELETE, 2, True),
}
_STANDALONE, _GROUP_COMMIT, _PREPARED_XA, _COMPLETED_XA = 1, 2, 64, 128
_AFTER_GTID = HEADER + 13
_IGNORABLE = 0x80  # flag of events that readers may skip when they do not know them


class Named(Protocol):
    """A transaction's name, which is its text."""

    @property
    def server(self) -> int:
        """The number of the server that committed it."""


class Gtid(NamedTuple):
    """MariaDB's name of a transaction: unique within a history, growing within its domain."""

    domain: int
    server: int
    number: int

    def __str__(self) -> str:
        return f"{self.domain}-{self.server}-{self.number}"


@dataclass(frozen=True, slots=True)
class Begin:
    """A group begins. ``standalone``: it is the one statement that follows (DDL).

    ``xid`` names an XA transaction: the one that the group prepares, or that its statement ends.
    """

    gtid: Named
    standalone: bool
    prepared_xa: bool
    timestamp: int
    xid: bytes | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement logged as text: DDL, COMMIT, ROLLBACK; or a change that was not logged as rows."""

    schema: str
    text: str
    end: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Commit:
    """A group's end. ``timestamp`` is in seconds since 1970, as all of the log's; ``end``: byte after it."""

    end: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A group's end, whose changes are committed or rolled back by a later one. Fields as in `Commit`."""

    end: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Rotate:
    """What follows is in another file."""

    file: str
    position: int


@dataclass(frozen=True, slots=True)
class TableMap:
    """Describes the table of the rows that follow; ``body`` is for `tablemap.describe`, equal bodies say the same."""

    table_id: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """Changed rows. ``data`` from ``start`` on: one image a row, two (before, after) for updates.

    ``position``: where the event begins in its file.
    """

    table_id: int
    what: str
    columns: int
    complete: bool
    data: bytes
    start: int
    position: int


Event: TypeAlias = Begin | Statement | Commit | Prepared | Rotate | TableMap | Rows


class Head(NamedTuple):
    """What all events begin with. ``end``: the byte after the event, which has ``size``."""

    timestamp: int
    kind: int
    server: int
    size: int
    end: int
    flags: int


class Decoder:
    """Reads events one after the other; remembers whether they end with a checksum."""

    def __init__(self, checksum: bool) -> None:
        self._checksum = checksum

    def decode(self, event: bytes) -> Sequence[Event]:
        """What an event says, nothing when it does not concern changes; `PoisonRecord` when unreadable."""
        try:
            return self._decode(event)
        except (struct.error, IndexError, zlib.error, UnicodeDecodeError) as error:
            raise PoisonRecord(
                f"binary log: an event of type {event[4:5].hex()} is malformed ({error})"
            ) from None

    def _decode(self, event: bytes) -> Sequence[Event]:
        head = Head(*_HEADER(event))
        if head.kind == _FORMAT:
            self._checksum = event[-CHECKSUM - 1] == 1
        body = event
        if self._checksum:
            body = event[:-CHECKSUM]
            if zlib.crc32(body) != _UINT32(event, len(body))[0]:
                raise PoisonRecord(f"binary log: the event that ends at {head.end} has a wrong checksum")
        return self._events(head, body)

    def _events(self, head: Head, body: bytes) -> Sequence[Event]:
        """What a checked event says."""
        event = self._event(head, body)
        return () if event is None else (event,)

    def _event(self, head: Head, body: bytes) -> Event | None:
        timestamp, kind, server, size, end, flags = head
        if kind in _ROWS:
            return _rows(body, kind, end - size)
        if kind == _MARIADB_GTID:
            number, domain, group = _GTID(body, HEADER)
            gtid = Gtid(domain, server, number)
            at = _AFTER_GTID + 8 * bool(group & _GROUP_COMMIT)
            xid = _xid(body, at) if group & (_PREPARED_XA | _COMPLETED_XA) else None
            return Begin(gtid, bool(group & _STANDALONE), bool(group & _PREPARED_XA), timestamp, xid)
        if kind == _TABLE_MAP:
            return TableMap(int.from_bytes(body[HEADER : HEADER + 6], "little"), body[HEADER + 8 :])
        if kind == _XID:
            return Commit(end, timestamp)
        if kind == _XA_PREPARE:
            return Commit(end, timestamp) if body[HEADER] else Prepared(end, timestamp)
        if kind in (_QUERY, _QUERY_COMPRESSED):
            return _statement(body, kind == _QUERY_COMPRESSED, end, timestamp)
        if kind == _ROTATE:
            return Rotate(body[HEADER + 8 :].decode(), _UINT64(body, HEADER)[0])
        if kind == _INCIDENT:
            raise PoisonRecord(f"binary log: the server notes at {end} that changes are missing from its log")
        if kind == _FORMAT or kind in _SILENT or flags & _IGNORABLE:
            return None
        raise PoisonRecord(f"binary log: the event that ends at {end} is of type {kind}, which we can't read")


def _xid(body: bytes, at: int) -> bytes:
    """Format, lengths of both parts, and the parts: equal bytes are the same name."""
    end = at + 6 + body[at + 4] + body[at + 5]
    if end > len(body):
        raise IndexError("the name of an XA transaction is cut short")
    return body[at:end]


def _statement(body: bytes, compressed: bool, end: int, timestamp: int) -> Statement:
    schema_length = body[HEADER + 8]
    variables = _UINT16(body, HEADER + 11)[0]
    at = HEADER + 13 + variables
    text = body[at + schema_length + 1 :]
    if compressed:
        text = _uncompressed(text)
    return Statement(
        body[at : at + schema_length].decode("utf-8", "replace"),
        text.decode("utf-8", "replace"),
        end,
        timestamp,
    )


def _rows(body: bytes, kind: int, position: int) -> Rows:
    what, version, compressed = _ROWS[kind]
    table_id = int.from_bytes(body[HEADER : HEADER + 6], "little")
    at = HEADER + 8
    if version == 2:
        at += _UINT16(body, at)[0]
    columns, at = length(body, at)
    present = (columns + 7) // 8
    images = 2 if what == UPDATE else 1
    everything = (1 << columns) - 1
    complete = True
    for _ in range(images):
        complete &= int.from_bytes(body[at : at + present], "little") & everything == everything
        at += present
    if compressed:
        return Rows(table_id, what, columns, complete, _uncompressed(body[at:]), 0, position)
    return Rows(table_id, what, columns, complete, body, at, position)


def _uncompressed(data: bytes) -> bytes:
    """One byte that says how long the length is, the length, and a zlib stream."""
    head = data[0]
    if head & 0xF0 != 0x80:
        raise PoisonRecord(f"binary log: compressed by method {head >> 4 & 7}, which we can't read")
    digits = head & 7
    size = int.from_bytes(data[1 : 1 + digits], "big")
    result = zlib.decompress(data[1 + digits :])
    if len(result) != size:
        raise PoisonRecord("binary log: a compressed event is not as long as it says")
    return result
