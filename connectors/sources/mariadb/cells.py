"""Cells of logged rows as the text that SELECT gives for them. Pure.

Snapshot and stream thus meet in one form before anything is encoded: what one of them reads, the
other reads alike. `reader` compiles a column to a function (data, place) → (cell, next place).
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import TypeAlias

from connectors.sources.mariadb import clocks, tablemap
from connectors.sources.mariadb.clocks import Read
from connectors.sources.mariadb.tablemap import LogColumn
from streams.errors import ContractViolation, PoisonRecord

Cell: TypeAlias = bytes | None
Row: TypeAlias = tuple[Cell, ...]
ReadRow: TypeAlias = Callable[[bytes, int], tuple[Row, int]]

BINARY = "binary"
_AS_UTF8 = frozenset({"utf8mb3", "utf8mb4", "utf8", "ascii"})
# MariaDB's name → Python's, where the two agree on every character that the server can hold.
_CODECS = {
    "ucs2": "utf-16-be",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
    "latin2": "iso8859-2",
    "latin5": "iso8859-9",
    "greek": "iso8859-7",
    "hebrew": "iso8859-8",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "koi8r": "koi8-r",
}
_MEMO = 4096  # repeated values (dates, amounts, codes) are read once
_FLOAT = struct.Struct("<f").unpack_from
_DOUBLE = struct.Struct("<d").unpack_from


def reader(column: LogColumn, kind: str, charsets: Mapping[int, str], where: str) -> Read:
    """How to read a column's cells. ``kind`` is its type as in `connectors.sources.mariadb.types`.

    `ContractViolation` names a column that can't be read, and says what to do.
    """
    if column.type in _INTEGERS:
        return _integer(_INTEGERS[column.type], not column.unsigned)
    if column.type in _FIXED:
        return _FIXED[column.type]
    if column.type in (tablemap.STRING, tablemap.VAR_STRING):
        return _string(column, kind, charsets, where)
    if column.type == tablemap.VARCHAR:
        return _sized(1 if column.meta < 256 else 2, _to_utf8(column, charsets, where))
    if column.type == tablemap.VARCHAR_COMPRESSED:
        return _compressed(1 if column.meta < 256 else 2, _to_utf8(column, charsets, where))
    if column.type == tablemap.BLOB:
        return _sized(column.meta, _to_utf8(column, charsets, where))
    if column.type == tablemap.BLOB_COMPRESSED:
        return _compressed(column.meta, _to_utf8(column, charsets, where))
    if column.type == tablemap.GEOMETRY:
        return _sized(column.meta, None)
    if column.type == tablemap.NEWDECIMAL:
        return _decimal(column.meta >> 8, column.meta & 0xFF)
    if column.type == tablemap.BIT:
        return _raw((column.meta + 7) // 8)
    if column.type in (tablemap.ENUM, tablemap.SET):
        return _labelled(column, charsets, where)
    if column.type in _CLOCKS:
        return _CLOCKS[column.type](column.meta)
    raise ContractViolation(
        f"{where}: column {column.name} is stored in a form (type {column.type}) that can't be read from the "
        "log; temporal columns of old servers are rewritten by SET GLOBAL mysql56_temporal_format = ON and "
        "ALTER TABLE ... FORCE"
    )


def row_reader(reads: list[Read]) -> ReadRow:
    """A function that reads one row image of these columns: (data, place) → (row, next place)."""
    null_bytes = (len(reads) + 7) // 8
    indexed = list(enumerate(reads))

    def read(data: bytes, at: int) -> tuple[Row, int]:
        nulls = int.from_bytes(data[at : at + null_bytes], "little")
        at += null_bytes
        cells: list[Cell] = []
        if not nulls:
            for read_cell in reads:
                cell, at = read_cell(data, at)
                cells.append(cell)
            return tuple(cells), at
        for index, read_cell in indexed:
            if nulls >> index & 1:
                cells.append(None)
            else:
                cell, at = read_cell(data, at)
                cells.append(cell)
        return tuple(cells), at

    return read


def read_rows(read: ReadRow, data: bytes, at: int) -> list[Row]:
    """All row images of an event; `PoisonRecord` when they do not end where the event does."""
    rows = []
    end = len(data)
    try:
        while at < end:
            row, at = read(data, at)
            rows.append(row)
    except (IndexError, struct.error, zlib.error, ValueError) as error:
        raise PoisonRecord(f"binary log: a row can't be read ({error})") from None
    if at != end:
        raise PoisonRecord("binary log: a row is longer than its event")
    return rows


# --- numbers ---------------------------------------------------------------------------------


def _integer(size: int, signed: bool) -> Read:
    def read(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        return b"%d" % int.from_bytes(data[at:end], "little", signed=signed), end

    return read


_INTEGERS = {tablemap.TINY: 1, tablemap.SHORT: 2, tablemap.INT24: 3, tablemap.LONG: 4, tablemap.LONGLONG: 8}


def _float(data: bytes, at: int) -> tuple[bytes, int]:
    return repr(_FLOAT(data, at)[0]).encode(), at + 4


def _double(data: bytes, at: int) -> tuple[bytes, int]:
    return repr(_DOUBLE(data, at)[0]).encode(), at + 8


_BYTES_OF_DIGITS = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)


def _decimal(precision: int, scale: int) -> Read:
    """Nine digits to four bytes, the odd ones before the first and after the last of those; the first
    bit is set for a positive number, and all bits of a negative one are turned over."""
    whole = precision - scale
    head, heads = whole % 9, whole // 9
    tails, tail = scale // 9, scale % 9
    sizes = [(head, _BYTES_OF_DIGITS[head]), *[(9, 4)] * heads]
    fraction = [*[(9, 4)] * tails, (tail, _BYTES_OF_DIGITS[tail])]
    size = sum(bytes_ for _, bytes_ in sizes + fraction)
    bits = 8 * size

    @functools.lru_cache(_MEMO)
    def decode(raw: bytes) -> bytes:
        number = int.from_bytes(raw, "big")
        negative = not number >> bits - 1
        if negative:
            number ^= (1 << bits) - 1
        packed = (number & (1 << bits - 1) - 1).to_bytes(size, "big")
        at = 0
        parts = []
        for group in (sizes, fraction):
            digits = ""
            for count, bytes_ in group:
                if count:
                    digits += f"{int.from_bytes(packed[at : at + bytes_], 'big'):0{count}d}"
                at += bytes_
            parts.append(digits)
        text = (parts[0].lstrip("0") or "0") + (f".{parts[1]}" if scale else "")
        return (f"-{text}" if negative else text).encode()

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        return decode(data[at:end]), end

    return read


def _raw(size: int) -> Read:
    def read(data: bytes, at: int) -> tuple[bytes, int]:
        return data[at : at + size], at + size

    return read


# --- strings ---------------------------------------------------------------------------------


def _to_utf8(column: LogColumn, charsets: Mapping[int, str], where: str) -> Callable[[bytes], bytes] | None:
    """The conversion of a column's text, None when its bytes are right as they are."""
    charset = BINARY if column.collation is None else charsets.get(column.collation, str(column.collation))
    if charset == BINARY or charset in _AS_UTF8:
        return None
    if charset == "latin1":
        return _latin1
    codec = _CODECS.get(charset)
    if codec is None:
        raise ContractViolation(
            f"{where}: column {column.name} is in character set {charset}, which can't be read from the log; run "
            "ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4, or leave the table out"
        )

    def convert(raw: bytes) -> bytes:
        try:
            return raw.decode(codec).encode()
        except UnicodeError:
            raise ContractViolation(
                f"{where}: column {column.name} holds bytes that are no {charset} text: {raw[:40].hex()}; correct "
                "the row, and take a new snapshot with `tallystream source resnapshot`"
            ) from None

    return convert


# MariaDB's latin1 is Windows-1252 with the five holes filled by the control characters of Latin-1.
_LATIN1 = [bytes((n,)).decode("cp1252", "replace") for n in range(256)]
_LATIN1 = [chr(n) if c == "\ufffd" else c for n, c in enumerate(_LATIN1)]
_LATIN1_TABLE = {n: c for n, c in enumerate(_LATIN1) if ord(c) != n}


def _latin1(raw: bytes) -> bytes:
    if raw.isascii():
        return raw
    return raw.decode("latin-1").translate(_LATIN1_TABLE).encode()


def _sized(digits: int, convert: Callable[[bytes], bytes] | None) -> Read:
    """A length of ``digits`` bytes, then the value."""

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        start = at + digits
        end = start + int.from_bytes(data[at:start], "little")
        return data[start:end], end

    def read_one(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + 1 + data[at]
        return data[at + 1 : end], end

    plain = read_one if digits == 1 else read
    if convert is None:
        return plain
    return _converted(plain, convert)


def _converted(plain: Read, convert: Callable[[bytes], bytes]) -> Read:
    def read(data: bytes, at: int) -> tuple[bytes, int]:
        raw, end = plain(data, at)
        return convert(raw), end

    return read


def _compressed(digits: int, convert: Callable[[bytes], bytes] | None) -> Read:
    """Columns declared COMPRESSED: empty, or a byte that says how, the length, and the data."""

    def uncompress(raw: bytes) -> bytes:
        if not raw:
            return raw
        method, header = raw[0] >> 4, raw[0] & 7
        if method == 0:
            data = raw[1:]
        elif method == 8:
            data = zlib.decompress(raw[1 + header :], wbits=-15 if raw[0] & 8 else 15)
            if len(data) != int.from_bytes(raw[1 : 1 + header], "big"):
                raise PoisonRecord("binary log: a compressed column is not as long as it says")
        else:
            raise PoisonRecord(f"binary log: a column compressed by method {method}, which we can't read")
        return data if convert is None else convert(data)

    return _converted(_sized(digits, None), uncompress)


def _string(column: LogColumn, kind: str, charsets: Mapping[int, str], where: str) -> Read:
    """CHAR and BINARY, which are logged without what they are padded with at their end."""
    digits = 1 if column.meta < 256 else 2
    convert = _to_utf8(column, charsets, where)
    binary = column.collation is None or charsets.get(column.collation) == BINARY
    if not binary:
        return _sized(digits, convert)
    size = column.meta
    order = _memory_order if kind == "uuid" else None

    def pad(raw: bytes) -> bytes:
        raw = raw.ljust(size, b"\0")
        return raw if order is None else order(raw)

    return _converted(_sized(digits, None), pad)


def _memory_order(raw: bytes) -> bytes:
    """A UUID as written from one as stored: versions 1 to 5 are stored with their groups turned round, so
    that time-based ones are in the order of time."""
    if raw[6] & 0x80 and 0 < raw[8] < 0x60:
        return raw[12:16] + raw[10:12] + raw[8:10] + raw[6:8] + raw[0:6]
    return raw


def label_text(column: LogColumn, charsets: Mapping[int, str], where: str) -> tuple[str, ...]:
    """The labels of an enum or set as text; errors as in `reader`."""
    convert = _to_utf8(column, charsets, where) if column.labels else None
    return tuple((label if convert is None else convert(label)).decode() for label in column.labels)


def _labelled(column: LogColumn, charsets: Mapping[int, str], where: str) -> Read:
    labels = [label.encode() for label in label_text(column, charsets, where)]
    size = column.meta
    if column.type == tablemap.ENUM:
        values = [b"", *labels]  # 0 stands for what was refused, and reads as ''

        def read_enum(data: bytes, at: int) -> tuple[bytes, int]:
            end = at + size
            return values[int.from_bytes(data[at:end], "little")], end

        return read_enum

    @functools.lru_cache(_MEMO)
    def joined(bits: int) -> bytes:
        return b",".join(label for place, label in enumerate(labels) if bits >> place & 1)

    def read_set(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        return joined(int.from_bytes(data[at:end], "little")), end

    return read_set


_FIXED: dict[int, Read] = {
    tablemap.FLOAT: _float,
    tablemap.DOUBLE: _double,
    tablemap.DATE: clocks.date,
    tablemap.YEAR: clocks.year,
}
_CLOCKS: dict[int, Callable[[int], Read]] = {
    tablemap.DATETIME2: clocks.datetime,
    tablemap.TIMESTAMP2: clocks.timestamp,
    tablemap.TIME2: clocks.time,
}
