"""The ``pgoutput`` messages that bound transactions: begin and commit, streamed blocks, two-phase. Pure.

Times are microseconds since 1970 in UTC, places in the log 64-bit numbers. `BOUNDS` maps the type byte
to the decoder, for `connectors.sources.postgres.pgoutput.messages.decode`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

# PostgreSQL counts from 2000-01-01, we from 1970-01-01; both in microseconds of UTC.
POSTGRES_EPOCH_US = 946_684_800_000_000


class Garbled(Exception):
    """What is wrong with a message, and where; internal to the decoder."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(offset, reason)
        self.offset = offset
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction starts; it committed at ``commit_lsn``, ``commit_us`` (microseconds since 1970)."""

    commit_lsn: int
    commit_us: int
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The transaction is whole; the log continues at ``end_lsn``."""

    commit_lsn: int
    end_lsn: int
    commit_us: int


@dataclass(frozen=True, slots=True)
class Origin:
    """The transaction was replayed from another server, where it committed at ``lsn``."""

    lsn: int
    name: str


@dataclass(frozen=True, slots=True)
class Message:
    """What ``pg_logical_emit_message`` wrote."""

    transactional: bool
    lsn: int
    prefix: str
    content: bytes


@dataclass(frozen=True, slots=True)
class StreamStart:
    """A block of the transaction ``xid``, which is in progress, follows. ``first``: its first block."""

    xid: int
    first: bool


@dataclass(frozen=True, slots=True)
class StreamStop:
    """The block ends."""


@dataclass(frozen=True, slots=True)
class StreamCommit:
    """The streamed transaction is whole; as `Commit`."""

    xid: int
    commit_lsn: int
    end_lsn: int
    commit_us: int


@dataclass(frozen=True, slots=True)
class StreamAbort:
    """``subxid`` of the streamed transaction ``xid`` was rolled back; all of it where they are equal.

    ``lsn`` and ``us`` are None before version 4.
    """

    xid: int
    subxid: int
    lsn: int | None = None
    us: int | None = None


@dataclass(frozen=True, slots=True)
class BeginPrepare:
    """A transaction starts that was prepared at ``lsn``, ``us``, as ``gid``."""

    lsn: int
    end_lsn: int
    us: int
    xid: int
    gid: str


@dataclass(frozen=True, slots=True)
class Prepare(BeginPrepare):
    """The prepared transaction is whole, and neither committed nor rolled back."""


@dataclass(frozen=True, slots=True)
class StreamPrepare(BeginPrepare):
    """The streamed transaction was prepared."""


@dataclass(frozen=True, slots=True)
class CommitPrepared(BeginPrepare):
    """The prepared transaction was committed at ``lsn``, ``us``."""


@dataclass(frozen=True, slots=True)
class RollbackPrepared:
    """The transaction that was prepared up to ``prepare_end_lsn`` was rolled back."""

    prepare_end_lsn: int
    end_lsn: int
    prepare_us: int
    us: int
    xid: int
    gid: str


Bound: TypeAlias = (
    Begin
    | Commit
    | Origin
    | Message
    | StreamStart
    | StreamStop
    | StreamCommit
    | StreamAbort
    | BeginPrepare
    | RollbackPrepared
)

_BEGIN = struct.Struct(">QqI")
_COMMIT = struct.Struct(">BQQq")
_MESSAGE = struct.Struct(">BQ")
_LSN = struct.Struct(">Q")
_LENGTH = struct.Struct(">I")
_STREAM_START = struct.Struct(">IB")
_STREAM_COMMIT = struct.Struct(">IBQQq")
_STREAM_ABORT = struct.Struct(">II")
_STREAM_ABORT_AT = struct.Struct(">IIQq")
_BEGIN_PREPARE = struct.Struct(">QQqI")
_PREPARE = struct.Struct(">BQQqI")
_ROLLBACK_PREPARED = struct.Struct(">BQQqqI")


def read_string(message: bytes, position: int) -> tuple[str, int]:
    """The zero-terminated string at ``position``, and where the next field starts."""
    end = message.find(0, position)
    if end < 0:
        raise Garbled(position, "a string without an end")
    try:
        return message[position:end].decode(), end + 1
    except UnicodeDecodeError as error:
        raise Garbled(position + error.start, "a string that is not UTF-8") from None


def _ends(message: bytes, position: int) -> None:
    if position != len(message):
        raise Garbled(position, "bytes after the end")


def _begin(message: bytes) -> Begin:
    commit_lsn, commit_us, xid = _BEGIN.unpack_from(message, 1)
    return Begin(commit_lsn, commit_us + POSTGRES_EPOCH_US, xid)


def _commit(message: bytes) -> Commit:
    _flags, commit_lsn, end_lsn, commit_us = _COMMIT.unpack_from(message, 1)
    return Commit(commit_lsn, end_lsn, commit_us + POSTGRES_EPOCH_US)


def _origin(message: bytes) -> Origin:
    (lsn,) = _LSN.unpack_from(message, 1)
    return Origin(lsn, read_string(message, 9)[0])


def _message(message: bytes) -> Message:
    flags, lsn = _MESSAGE.unpack_from(message, 1)
    prefix, position = read_string(message, 10)
    (length,) = _LENGTH.unpack_from(message, position)
    content = message[position + 4 : position + 4 + length]
    if len(content) != length:
        raise Garbled(position + 4, "the content runs past the end")
    return Message(bool(flags & 1), lsn, prefix, content)


def _stream_start(message: bytes) -> StreamStart:
    xid, first = _STREAM_START.unpack_from(message, 1)
    return StreamStart(xid, bool(first))


def _stream_stop(message: bytes) -> StreamStop:
    _ends(message, 1)
    return StreamStop()


def _stream_commit(message: bytes) -> StreamCommit:
    xid, _flags, commit_lsn, end_lsn, commit_us = _STREAM_COMMIT.unpack_from(message, 1)
    return StreamCommit(xid, commit_lsn, end_lsn, commit_us + POSTGRES_EPOCH_US)


def _stream_abort(message: bytes) -> StreamAbort:
    if len(message) == 1 + _STREAM_ABORT.size:
        return StreamAbort(*_STREAM_ABORT.unpack_from(message, 1))
    xid, subxid, lsn, us = _STREAM_ABORT_AT.unpack_from(message, 1)
    _ends(message, 1 + _STREAM_ABORT_AT.size)
    return StreamAbort(xid, subxid, lsn, us + POSTGRES_EPOCH_US)


def _begin_prepare(message: bytes) -> BeginPrepare:
    lsn, end_lsn, us, xid = _BEGIN_PREPARE.unpack_from(message, 1)
    gid, _ = read_string(message, 1 + _BEGIN_PREPARE.size)
    return BeginPrepare(lsn, end_lsn, us + POSTGRES_EPOCH_US, xid, gid)


def _prepared(kind: type[BeginPrepare]) -> Callable[[bytes], BeginPrepare]:
    """The decoder of the three messages that are laid out as Prepare is."""

    def decode(message: bytes) -> BeginPrepare:
        _flags, lsn, end_lsn, us, xid = _PREPARE.unpack_from(message, 1)
        gid, _ = read_string(message, 1 + _PREPARE.size)
        return kind(lsn, end_lsn, us + POSTGRES_EPOCH_US, xid, gid)

    return decode


def _rollback_prepared(message: bytes) -> RollbackPrepared:
    _flags, prepare_end, end, prepare_us, us, xid = _ROLLBACK_PREPARED.unpack_from(message, 1)
    gid, _ = read_string(message, 1 + _ROLLBACK_PREPARED.size)
    return RollbackPrepared(
        prepare_end, end, prepare_us + POSTGRES_EPOCH_US, us + POSTGRES_EPOCH_US, xid, gid
    )


BOUNDS: dict[int, Callable[[bytes], Bound]] = {
    ord("B"): _begin,
    ord("C"): _commit,
    ord("O"): _origin,
    ord("M"): _message,
    ord("S"): _stream_start,
    ord("E"): _stream_stop,
    ord("c"): _stream_commit,
    ord("A"): _stream_abort,
    ord("b"): _begin_prepare,
    ord("P"): _prepared(Prepare),
    ord("K"): _prepared(CommitPrepared),
    ord("r"): _rollback_prepared,
    ord("p"): _prepared(StreamPrepare),
}
