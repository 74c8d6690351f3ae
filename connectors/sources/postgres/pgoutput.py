"""The ``pgoutput`` replication protocol: bytes in, immutable messages out. No I/O, no state.

Version 1 of the protocol, as documented under *Logical Replication Message Formats* in the
PostgreSQL manual. Values arrive in PostgreSQL's text form and stay bytes here; their meaning is a
matter of `connectors.sources.postgres.types`. Later versions add message types, which are entries
in `_DECODERS`, and within streamed blocks a transaction id after the type byte, which is an offset
of the body.

Row messages are named tuples rather than frozen dataclasses: one is made for every row, and a
frozen dataclass costs three times as much to construct.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from streams.errors import PoisonRecord

PROTOCOL_VERSION = 1

# PostgreSQL counts from 2000-01-01, we from 1970-01-01; both in microseconds of UTC.
POSTGRES_EPOCH_US = 946_684_800_000_000


class Unchanged(enum.Enum):
    """A TOASTed value that the update did not touch, and that the log therefore does not hold."""

    TOAST = "unchanged"


UNCHANGED = Unchanged.TOAST
Cell: TypeAlias = bytes | Unchanged | None
Row: TypeAlias = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column as a relation message describes it: ``typmod`` is -1 where the type has no modifier."""

    name: str
    type_oid: int
    typmod: int
    identity: bool  # part of the replica identity; every column is, under REPLICA IDENTITY FULL


@dataclass(frozen=True, slots=True)
class Relation:
    """The shape of a table from here on. ``identity``: d(efault), n(othing), f(ull), i(ndex)."""

    oid: int
    schema: str
    table: str
    identity: str
    columns: tuple[Column, ...]

    @property
    def full_name(self) -> str:
        """``schema.table``, as include lists have it."""
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True)
class Type:
    """The name of a type that is not built in."""

    oid: int
    schema: str
    name: str


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
class Truncate:
    """Tables emptied by one statement."""

    relations: tuple[int, ...]
    cascade: bool
    restart_identity: bool


class Insert(NamedTuple):
    """A row was added."""

    relation: int
    new: Row


class Update(NamedTuple):
    """A row was changed. ``old`` is None when identity did not change under the default identity.

    ``old_is_key``: ``old`` holds the identity's columns only, the others are null for "not known".
    """

    relation: int
    old: Row | None
    old_is_key: bool
    new: Row


class Delete(NamedTuple):
    """A row was removed; ``old_is_key`` as in `Update`."""

    relation: int
    old: Row
    old_is_key: bool


LogMessage: TypeAlias = (
    Begin | Commit | Origin | Message | Relation | Type | Insert | Update | Delete | Truncate
)

_INT16 = struct.Struct(">H").unpack_from
_INT32 = struct.Struct(">I").unpack_from
_TUPLE_OF = struct.Struct(">IcH").unpack_from  # relation oid, kind of tuple, number of columns
_RELATION_COLUMN = struct.Struct(">Ii").unpack_from
_BEGIN = struct.Struct(">QqI")
_COMMIT = struct.Struct(">BQQq")
_MESSAGE = struct.Struct(">BQ")
_TRUNCATE = struct.Struct(">IB")


def decode(message: bytes) -> LogMessage:
    """Decode one message, or raise `PoisonRecord` saying what is wrong with it."""
    try:
        decoder = _DECODERS[message[0]]
    except (IndexError, KeyError):
        raise PoisonRecord(f"pgoutput: unknown message {message[:1]!r} of {len(message)} bytes") from None
    try:
        return decoder(message)
    except (IndexError, struct.error, UnicodeDecodeError, ValueError) as error:
        raise PoisonRecord(f"pgoutput: message {message[:1]!r} is cut short or garbled: {error}") from None


def _row(message: bytes, position: int, count: int) -> tuple[Row, int]:
    """The ``count`` cells from ``position``, and where they end."""
    cells: list[Cell] = []
    append = cells.append
    int32 = _INT32
    for _ in range(count):
        kind = message[position]
        if kind == 116:  # t: text
            start = position + 5
            position = start + int32(message, position + 1)[0]
            append(message[start:position])
        elif kind == 110:  # n: null
            append(None)
            position += 1
        elif kind == 117:  # u: unchanged TOAST
            append(UNCHANGED)
            position += 1
        else:
            raise ValueError(f"cell of kind {chr(kind)!r}")
    if position > len(message):
        raise ValueError("a value runs past the end")
    return tuple(cells), position


def _insert(message: bytes) -> Insert:
    relation, kind, count = _TUPLE_OF(message, 1)
    if kind != b"N":
        raise ValueError(f"tuple of kind {kind!r}")
    return Insert(relation, _row(message, 8, count)[0])


def _update(message: bytes) -> Update:
    relation, kind, count = _TUPLE_OF(message, 1)
    if kind == b"N":
        return Update(relation, None, False, _row(message, 8, count)[0])
    if kind not in (b"K", b"O"):
        raise ValueError(f"tuple of kind {kind!r}")
    old, end = _row(message, 8, count)
    if message[end] != 78:  # N
        raise ValueError(f"tuple of kind {chr(message[end])!r}")
    new, _ = _row(message, end + 3, _INT16(message, end + 1)[0])
    return Update(relation, old, kind == b"K", new)


def _delete(message: bytes) -> Delete:
    relation, kind, count = _TUPLE_OF(message, 1)
    if kind not in (b"K", b"O"):
        raise ValueError(f"tuple of kind {kind!r}")
    return Delete(relation, _row(message, 8, count)[0], kind == b"K")


def _string(message: bytes, position: int) -> tuple[str, int]:
    end = message.index(0, position)
    return message[position:end].decode(), end + 1


def _relation(message: bytes) -> Relation:
    oid = _INT32(message, 1)[0]
    schema, position = _string(message, 5)
    table, position = _string(message, position)
    identity = chr(message[position])
    count = _INT16(message, position + 1)[0]
    position += 3
    columns = []
    for _ in range(count):
        flags = message[position]
        name, position = _string(message, position + 1)
        type_oid, typmod = _RELATION_COLUMN(message, position)
        position += 8
        columns.append(Column(name, type_oid, typmod, bool(flags & 1)))
    # An empty namespace is how the server spells pg_catalog.
    return Relation(oid, schema or "pg_catalog", table, identity, tuple(columns))


def _type(message: bytes) -> Type:
    schema, position = _string(message, 5)
    name, _ = _string(message, position)
    return Type(_INT32(message, 1)[0], schema or "pg_catalog", name)


def _begin(message: bytes) -> Begin:
    commit_lsn, commit_us, xid = _BEGIN.unpack_from(message, 1)
    return Begin(commit_lsn, commit_us + POSTGRES_EPOCH_US, xid)


def _commit(message: bytes) -> Commit:
    _flags, commit_lsn, end_lsn, commit_us = _COMMIT.unpack_from(message, 1)
    return Commit(commit_lsn, end_lsn, commit_us + POSTGRES_EPOCH_US)


def _origin(message: bytes) -> Origin:
    lsn = struct.unpack_from(">Q", message, 1)[0]
    return Origin(lsn, _string(message, 9)[0])


def _message(message: bytes) -> Message:
    flags, lsn = _MESSAGE.unpack_from(message, 1)
    prefix, position = _string(message, 10)
    length = _INT32(message, position)[0]
    content = message[position + 4 : position + 4 + length]
    if len(content) != length:
        raise ValueError("the content runs past the end")
    return Message(bool(flags & 1), lsn, prefix, content)


def _truncate(message: bytes) -> Truncate:
    count, options = _TRUNCATE.unpack_from(message, 1)
    relations = struct.unpack_from(f">{count}I", message, 6)
    return Truncate(relations, bool(options & 1), bool(options & 2))


_DECODERS: dict[int, Callable[[bytes], LogMessage]] = {
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("B"): _begin,
    ord("C"): _commit,
    ord("R"): _relation,
    ord("Y"): _type,
    ord("T"): _truncate,
    ord("O"): _origin,
    ord("M"): _message,
}
