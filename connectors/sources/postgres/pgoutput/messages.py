"""The ``pgoutput`` replication protocol: bytes in, immutable messages out. No I/O, no state.

Versions 1 to 4 of the protocol, as documented under *Logical Replication Message Formats* in the
PostgreSQL manual. Values arrive in PostgreSQL's text form and stay bytes here; their meaning is a
matter of `connectors.sources.postgres.types.mapping`. Version 2 adds blocks of transactions that are still in
progress: between a `StreamStart` and a `StreamStop` most messages carry a transaction id after their
type, which `split_streamed` takes out. Version 3 adds two-phase commit, version 4 the place and time
of an abort.

The messages of transactions' bounds are in `connectors.sources.postgres.pgoutput.bounds`.

Row messages are named tuples rather than frozen dataclasses: one is made for every row, and a
frozen dataclass costs three times as much to construct.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from connectors.sources.postgres.pgoutput.bounds import BOUNDS, Bound, Garbled, read_string
from streams.errors import PoisonRecord


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


LogMessage: TypeAlias = Bound | Relation | Type | Insert | Update | Delete | Truncate

_INT16 = struct.Struct(">H").unpack_from
_INT32 = struct.Struct(">I").unpack_from
_TUPLE_OF = struct.Struct(">IcH").unpack_from  # relation oid, kind of tuple, number of columns
_RELATION_COLUMN = struct.Struct(">Ii").unpack_from
_TRUNCATE = struct.Struct(">IB")


def decode(message: bytes) -> LogMessage:
    """Decode one message, or raise `PoisonRecord` saying what is wrong with it, and at which offset.

    A message of a streamed block is given as `split_streamed` leaves it.
    """
    try:
        decoder = _DECODERS[message[0]]
    except (IndexError, KeyError):
        raise PoisonRecord(
            f"pgoutput: unknown message {message[:1]!r} of {len(message)} bytes at offset 0"
        ) from None
    try:
        return decoder(message)
    except Garbled as error:
        offset, reason = error.offset, error.reason
    except (IndexError, struct.error):
        offset, reason = len(message), "cut short"
    except (UnicodeDecodeError, ValueError) as error:
        offset, reason = 1, str(error)
    raise PoisonRecord(
        f"pgoutput: message {message[:1]!r} of {len(message)} bytes is garbled at offset {offset}: {reason}"
    )


_WITH_XID = frozenset(b"IUDTRYM")


def split_streamed(message: bytes) -> tuple[int, bytes]:
    """The (sub-)transaction id of a message within a streamed block, and the message without it.

    The id is 0 for the messages that carry none.
    """
    if not message or message[0] not in _WITH_XID:
        return 0, message
    if len(message) < 5:
        raise PoisonRecord(
            f"pgoutput: message {message[:1]!r} of {len(message)} bytes is garbled at offset 1: no transaction id"
        )
    return int(_INT32(message, 1)[0]), message[:1] + message[5:]


def _row(message: bytes, position: int, count: int) -> tuple[Row, int]:
    """The ``count`` cells from ``position``, and where they end."""
    cells: list[Cell] = []
    append = cells.append
    int32 = _INT32
    start = position
    try:
        for _ in range(count):
            start = position
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
                raise Garbled(position, f"cell of kind {chr(kind)!r}")
    except (IndexError, struct.error):
        raise Garbled(start, "the row is cut short") from None
    if position > len(message):
        raise Garbled(start, "a value runs past the end")
    return tuple(cells), position


def _last_row(message: bytes, position: int, count: int) -> Row:
    """The row that ends the message."""
    row, end = _row(message, position, count)
    if end != len(message):
        raise Garbled(end, "bytes after the end")
    return row


def _insert(message: bytes) -> Insert:
    relation, kind, count = _TUPLE_OF(message, 1)
    if kind != b"N":
        raise Garbled(5, f"tuple of kind {kind!r}")
    return Insert(relation, _last_row(message, 8, count))


def _update(message: bytes) -> Update:
    relation, kind, count = _TUPLE_OF(message, 1)
    if kind == b"N":
        return Update(relation, None, False, _last_row(message, 8, count))
    if kind not in (b"K", b"O"):
        raise Garbled(5, f"tuple of kind {kind!r}")
    old, end = _row(message, 8, count)
    if message[end : end + 1] != b"N":
        raise Garbled(end, f"tuple of kind {message[end : end + 1]!r}")
    new = _last_row(message, end + 3, _INT16(message, end + 1)[0])
    return Update(relation, old, kind == b"K", new)


def _delete(message: bytes) -> Delete:
    relation, kind, count = _TUPLE_OF(message, 1)
    if kind not in (b"K", b"O"):
        raise Garbled(5, f"tuple of kind {kind!r}")
    return Delete(relation, _last_row(message, 8, count), kind == b"K")


def _relation(message: bytes) -> Relation:
    oid = _INT32(message, 1)[0]
    schema, position = read_string(message, 5)
    table, position = read_string(message, position)
    identity = chr(message[position])
    count = _INT16(message, position + 1)[0]
    position += 3
    columns = []
    for _ in range(count):
        flags = message[position]
        name, position = read_string(message, position + 1)
        type_oid, typmod = _RELATION_COLUMN(message, position)
        position += 8
        columns.append(Column(name, type_oid, typmod, bool(flags & 1)))
    # An empty namespace is how the server spells pg_catalog.
    return Relation(oid, schema or "pg_catalog", table, identity, tuple(columns))


def _type(message: bytes) -> Type:
    schema, position = read_string(message, 5)
    name, _ = read_string(message, position)
    return Type(_INT32(message, 1)[0], schema or "pg_catalog", name)


def _truncate(message: bytes) -> Truncate:
    count, options = _TRUNCATE.unpack_from(message, 1)
    relations = struct.unpack_from(f">{count}I", message, 6)
    return Truncate(relations, bool(options & 1), bool(options & 2))


_DECODERS: dict[int, Callable[[bytes], LogMessage]] = {
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("R"): _relation,
    ord("Y"): _type,
    ord("T"): _truncate,
    **BOUNDS,
}
