"""What MySQL's binary log has of its own: GTIDs, compressed transactions, XA as text. Pure.

A group begins with its GTID; what begins it, and whether it is more than one statement, is known from
the first statement that follows.
"""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Sequence

import cramjam

from connectors.sources.mariadb.binlog import HEADER, Begin, Decoder, Event, Head, Statement
from connectors.sources.mariadb.tablemap import length
from connectors.sources.mysql.gtids import MysqlGtid
from streams.errors import PoisonRecord

_GTID, _ANONYMOUS, _PREVIOUS, _CONTEXT, _VIEW, _PARTIAL_ROWS = 33, 34, 35, 36, 37, 39
_PAYLOAD, _HEARTBEAT, _TAGGED = 40, 41, 42
_SILENT = frozenset({_PREVIOUS, _CONTEXT, _VIEW, _HEARTBEAT})
_GTID_BODY = struct.Struct("<B16sQ").unpack_from
_EVENT = struct.Struct("<IBIIIH").unpack_from
# Fields of a compressed transaction's header, and the one method there is.
_END, _SIZE, _METHOD, _UNCOMPRESSED = 0, 1, 2, 3
_ZSTD, _STORED = 0, 255
_XA = re.compile(r"XA\s+(START|COMMIT|ROLLBACK)\s+(.*)", re.IGNORECASE | re.DOTALL)
_ROWS_FOLLOW = re.compile(r"CREATE\b.*\bSTART\s+TRANSACTION\s*$", re.IGNORECASE | re.DOTALL)


class MysqlDecoder(Decoder):
    """Reads MySQL's events; remembers the GTID of a group that has not begun."""

    def __init__(self, checksum: bool) -> None:
        super().__init__(checksum)
        self._named: tuple[MysqlGtid, int] | None = None

    def _events(self, head: Head, body: bytes) -> Sequence[Event]:
        if head.kind in _SILENT:
            return ()
        if head.kind == _GTID:
            _, source, number = _GTID_BODY(body, HEADER)
            if self._named is not None:
                raise PoisonRecord(f"binary log: nothing of transaction {self._named[0]} follows its GTID")
            self._named = MysqlGtid(str(uuid.UUID(bytes=source)), number, head.server), head.timestamp
            return ()
        if head.kind == _PAYLOAD:
            return self._payload(head, body)
        if head.kind in _REFUSED:
            raise PoisonRecord(f"binary log: the event that ends at {head.end} {_REFUSED[head.kind]}")
        event = self._event(head, body)
        if event is None:
            return ()
        if self._named is not None and isinstance(event, Statement):
            return self._begun(event)
        return (event,)

    def _begun(self, statement: Statement) -> Sequence[Event]:
        """The statement that a group begins with: BEGIN, the start or the end of an XA transaction, or DDL."""
        assert self._named is not None
        gtid, timestamp = self._named
        self._named = None
        text = statement.text.strip()
        if text.upper() == "BEGIN":
            return (Begin(gtid, False, False, timestamp),)
        if match := _XA.match(text):
            xid = "".join(match.group(2).split()).encode()
            if match.group(1).upper() == "START":
                return (Begin(gtid, False, True, timestamp, xid),)
            return Begin(gtid, True, False, timestamp, xid), statement
        return Begin(gtid, _ROWS_FOLLOW.match(text) is None, False, timestamp), statement

    def _payload(self, head: Head, body: bytes) -> Sequence[Event]:
        """The events of a compressed transaction. Their places are counted in what is uncompressed, from
        where the transaction begins; the last ends where the whole of it does."""
        start = head.end - head.size
        events: list[Event] = []
        data, at = _uncompressed(body), 0
        while at < len(data):
            inner = Head(*_EVENT(data, at))
            if inner.size < HEADER or at + inner.size > len(data):
                raise IndexError("an event of a compressed transaction is cut short")
            end = at + inner.size
            placed = inner._replace(end=head.end if end == len(data) else start + end)
            if placed.end == head.end:
                placed = placed._replace(size=head.end - start - at)
            events += self._events(placed, data[at:end])
            at = end
        return events


_REFUSED = {
    _ANONYMOUS: "begins a transaction without a GTID; set gtid_mode = ON, and take a new snapshot with "
    "`tallystream source resnapshot`",
    _PARTIAL_ROWS: "has parts of JSON columns only: a session has set binlog_row_value_options; unset it, and take a "
    "new snapshot with `tallystream source resnapshot`",
    _TAGGED: "has a GTID with a tag, which we can't read; commit without tags (gtid_next = AUTOMATIC), and take a new "
    "snapshot with `tallystream source resnapshot`",
}


def _uncompressed(body: bytes) -> bytes:
    """Numbered fields with their lengths, an end mark, and the payload."""
    at, size, method, whole = HEADER, -1, _ZSTD, -1
    while True:
        field, at = length(body, at)
        if field == _END:
            break
        width, at = length(body, at)
        value, _ = length(body, at)
        if field == _SIZE:
            size = value
        elif field == _METHOD:
            method = value
        elif field == _UNCOMPRESSED:
            whole = value
        at += width
    payload = body[at : at + size] if size >= 0 else body[at:]
    if method == _STORED:
        return payload
    if method != _ZSTD:
        raise PoisonRecord(f"binary log: a transaction compressed by method {method}, which we can't read")
    try:
        data = bytes(cramjam.zstd.decompress(payload))
    except cramjam.DecompressionError as error:
        raise PoisonRecord(f"binary log: a compressed transaction can't be read ({error})") from None
    if len(data) != whole:
        raise PoisonRecord("binary log: a compressed transaction is not as long as it says")
    return data
