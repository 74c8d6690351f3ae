"""The table maps of the binary log: which columns the rows that follow have. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from streams.errors import PoisonRecord

_UINT16 = struct.Struct("<H").unpack_from

TINY, SHORT, LONG, FLOAT, DOUBLE, LONGLONG, INT24 = 1, 2, 3, 4, 5, 8, 9
TIMESTAMP, DATE, TIME, DATETIME, YEAR, VARCHAR, BIT = 7, 10, 11, 12, 13, 15, 16
TIMESTAMP2, DATETIME2, TIME2 = 17, 18, 19
BLOB_COMPRESSED, VARCHAR_COMPRESSED = 140, 141
VECTOR, JSON, NEWDECIMAL, ENUM, SET = 242, 245, 246, 247, 248
BLOB, VAR_STRING, STRING, GEOMETRY = 252, 253, 254, 255

# What is signed or not in table maps, years among it.
_NUMERIC = frozenset({TINY, SHORT, INT24, LONG, LONGLONG, NEWDECIMAL, FLOAT, DOUBLE, YEAR})
# What has a character set in table maps.
_TEXT = frozenset({STRING, VAR_STRING, VARCHAR, BLOB, BLOB_COMPRESSED, VARCHAR_COMPRESSED, VECTOR})
_ONE_BYTE = frozenset(
    {FLOAT, DOUBLE, BLOB, BLOB_COMPRESSED, GEOMETRY, TIMESTAMP2, DATETIME2, TIME2, JSON, VECTOR}
)  # of metadata
_LITTLE = frozenset({VARCHAR, VARCHAR_COMPRESSED})
_BIG = frozenset({STRING, VAR_STRING, NEWDECIMAL})
_SIGNEDNESS, _DEFAULT_CHARSET, _CHARSETS, _NAMES, _SET_LABELS, _ENUM_LABELS = 1, 2, 3, 4, 5, 6
_KEY, _KEY_WITH_PREFIX, _LABELS_DEFAULT_CHARSET, _LABELS_CHARSETS = 8, 9, 10, 11


@dataclass(frozen=True, slots=True)
class LogColumn:
    """A column as the table map has it. ``type`` and ``meta`` are the log's; labels are in their charset."""

    name: str
    type: int
    meta: int
    nullable: bool
    unsigned: bool = False
    collation: int | None = None
    labels: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class LogTable:
    """A table map, read. ``key``: the columns of the primary key, in its order."""

    schema: str
    table: str
    columns: tuple[LogColumn, ...]
    key: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """``schema.table``."""
        return f"{self.schema}.{self.table}"


def length(data: bytes, at: int) -> tuple[int, int]:
    """A length-encoded integer, and where it ends."""
    first = data[at]
    if first < 251:
        return first, at + 1
    size = {252: 2, 253: 3, 254: 8}[first] if first in (252, 253, 254) else 0
    if not size:
        raise PoisonRecord("binary log: a length that is none")
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def describe(body: bytes, *, geometry_is_text: bool = True) -> LogTable:
    """Read a table map. `PoisonRecord` when it lacks names, which binlog_row_metadata=FULL adds.

    ``geometry_is_text``: geometry has a character set in it, as MariaDB has it and MySQL has not.
    """
    try:
        return _describe(body, _TEXT | {GEOMETRY} if geometry_is_text else _TEXT)
    except (struct.error, IndexError, ValueError) as error:
        raise PoisonRecord(f"binary log: a table map is malformed ({error})") from None


def _describe(body: bytes, text: frozenset[int]) -> LogTable:
    schema, at = _string(body, 0, body[0])
    table, at = _string(body, at, body[at])
    count, at = length(body, at)
    types = list(body[at : at + count])
    _size, at = length(body, at + count)
    metas = []
    for index, kind in enumerate(types):
        meta = 0
        if kind in _ONE_BYTE:
            meta, at = body[at], at + 1
        elif kind in _LITTLE:
            meta, at = _UINT16(body, at)[0], at + 2
        elif kind == BIT:
            meta, at = body[at] + 8 * body[at + 1], at + 2
        elif kind in _BIG:
            meta, at = body[at] << 8 | body[at + 1], at + 2
            if kind == STRING:
                types[index], meta = _string_meta(meta)
        metas.append(meta)
    nullable = int.from_bytes(body[at : at + (count + 7) // 8], "little")
    at += (count + 7) // 8
    extra: dict[int, bytes] = {}
    while at < len(body):
        tag = body[at]
        size, at = length(body, at + 1)
        extra[tag] = body[at : at + size]
        at += size
    if _NAMES not in extra:
        raise PoisonRecord(
            f"binary log: {schema}.{table} came without its columns' names; run SET GLOBAL "
            "binlog_row_metadata = 'FULL', then take a new snapshot with `tallystream source resnapshot`"
        )
    names = [name.decode() for name in _strings(extra[_NAMES])]
    unsigned = _unsigned(types, extra.get(_SIGNEDNESS, b""))
    collations = {
        **_collations([i for i, t in enumerate(types) if t in text], extra, _DEFAULT_CHARSET, _CHARSETS),
        **_collations(
            [i for i, t in enumerate(types) if t in (ENUM, SET)],
            extra,
            _LABELS_DEFAULT_CHARSET,
            _LABELS_CHARSETS,
        ),
    }
    labels = {
        **_labels(types, ENUM, extra.get(_ENUM_LABELS, b"")),
        **_labels(types, SET, extra.get(_SET_LABELS, b"")),
    }
    columns = tuple(
        LogColumn(
            names[index],
            types[index],
            metas[index],
            bool(nullable >> index & 1),
            index in unsigned,
            collations.get(index),
            labels.get(index, ()),
        )
        for index in range(count)
    )
    key = _numbers(extra.get(_KEY, b"")) or _numbers(extra.get(_KEY_WITH_PREFIX, b""))[::2]
    return LogTable(schema, table, columns, tuple(names[index] for index in key))


def _string(body: bytes, at: int, size: int) -> tuple[str, int]:
    """A name with its length before and a zero byte after it."""
    return body[at + 1 : at + 1 + size].decode(), at + size + 2


def _string_meta(meta: int) -> tuple[int, int]:
    """Type and length of a CHAR, whose high bits of length hide in its type; also of ENUM and SET."""
    kind, size = meta >> 8, meta & 0xFF
    if kind & 0x30 != 0x30:
        return kind | 0x30, size | (kind & 0x30 ^ 0x30) << 4
    return kind, size


def _strings(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        size, at = length(data, at)
        found.append(data[at : at + size])
        at += size
    return found


def _numbers(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        number, at = length(data, at)
        found.append(number)
    return found


def _unsigned(types: list[int], bits: bytes) -> set[int]:
    numeric = [index for index, kind in enumerate(types) if kind in _NUMERIC]
    if len(bits) != (len(numeric) + 7) // 8:
        raise ValueError(f"{len(numeric)} numbers, {len(bits)} bytes of their signs")
    return {index for place, index in enumerate(numeric) if bits[place // 8] & 0x80 >> place % 8}


def _collations(places: list[int], extra: dict[int, bytes], default: int, each: int) -> dict[int, int]:
    if each in extra:
        return dict(zip(places, _numbers(extra[each]), strict=True))
    if default not in extra:
        return {}
    usual, *others = _numbers(extra[default])
    result = dict.fromkeys(places, usual)
    for place, collation in zip(others[::2], others[1::2], strict=True):
        result[places[place]] = collation
    return result


def _labels(types: list[int], kind: int, data: bytes) -> dict[int, tuple[bytes, ...]]:
    result, at = {}, 0
    for index in (index for index, one in enumerate(types) if one == kind):
        count, at = length(data, at)
        labels = []
        for _ in range(count):
            size, at = length(data, at)
            labels.append(data[at : at + size])
            at += size
        result[index] = tuple(labels)
    return result
