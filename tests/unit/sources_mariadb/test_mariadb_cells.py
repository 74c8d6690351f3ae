"""Cells of logged rows as text, and texts as Avro, against independent ways to the same."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.mariadb import tablemap
from connectors.sources.mariadb.cells import read_rows, reader, row_reader
from connectors.sources.mariadb.tablemap import LogColumn
from connectors.sources.mariadb.types import Column, column_type
from connectors.sources.postgres.types.mapping import SpecialValue
from streams.errors import ContractViolation, PoisonRecord

EARLIEST = datetime.fromisoformat("1000-01-01")
CHARSETS = {45: "utf8mb4", 8: "latin1", 63: "binary", 10: "swe7", 35: "ucs2"}


def cell(data: bytes, type_: int, meta: int = 0, kind: str = "", **more: Any) -> bytes:
    """Read one cell, which must end where the data do."""
    read = reader(LogColumn("c", type_, meta, True, **more), kind, CHARSETS, "s.t")
    found, end = read(b"??" + data, 2)
    assert end == 2 + len(data)
    return found


def avro(column: Column, text: bytes) -> Any:
    """What a reader of the column's schema makes of the text's bytes."""
    made = column_type(column)
    stream = BytesIO(made.encode(text))
    decoded = schemaless_reader(stream, parse_schema(made.schema), None)
    assert not stream.read()
    return decoded


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers(number: int) -> None:
    """64 bits, signed, through text and Avro."""
    text = cell(struct.pack("<q", number), tablemap.LONGLONG)
    assert avro(Column("c", "bigint", True), text) == number


@given(st.integers(0, 2**64 - 1))
def test_unsigned_bigints_never_turn_negative(number: int) -> None:
    """The upper half of 64 bits is a decimal."""
    text = cell(struct.pack("<Q", number), tablemap.LONGLONG, unsigned=True)
    assert avro(Column("c", "bigint", True, unsigned=True), text) == Decimal(number)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats(number: float) -> None:
    """Exactly the 32 bits that are stored."""
    text = cell(struct.pack("<f", number), tablemap.FLOAT)
    assert struct.pack("<f", avro(Column("c", "float", True), text)) == struct.pack("<f", number)


def packed_decimal(number: Decimal, precision: int, scale: int) -> bytes:
    """MariaDB's form of a decimal, digit group by digit group."""
    digits = f"{number.copy_abs():f}"
    whole, _, fraction = digits.partition(".")
    whole = whole.zfill(precision - scale)[-(precision - scale) :] if precision > scale else ""
    sizes = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
    head = len(whole) % 9
    groups = [whole[:head], *(whole[at : at + 9] for at in range(head, len(whole), 9))]
    groups += [fraction[at : at + 9] for at in range(0, len(fraction), 9)]
    raw = bytearray(b"".join(int(group).to_bytes(sizes[len(group)], "big") for group in groups if group))
    raw[0] ^= 0x80
    if number < 0:
        raw = bytearray(byte ^ 0xFF for byte in raw)
    return bytes(raw)


@given(st.data())
def test_decimals(data: st.DataObject) -> None:
    """All precisions and scales: from the log's form to Avro, digit by digit."""
    precision = data.draw(st.integers(1, 65))
    scale = data.draw(st.integers(0, min(precision, 38)))
    unscaled = data.draw(st.integers(-(10**precision) + 1, 10**precision - 1))
    number = Decimal((unscaled < 0, tuple(int(d) for d in str(abs(unscaled))), -scale))
    text = cell(packed_decimal(number, precision, scale), tablemap.NEWDECIMAL, precision << 8 | scale)
    assert avro(Column("c", "decimal", True, False, precision, scale), text) == number


@given(st.dates(min_value=date(1000, 1, 1)))
def test_dates(day: date) -> None:
    """Days since 1970."""
    raw = (day.year << 9 | day.month << 5 | day.day).to_bytes(3, "little")
    assert avro(Column("c", "date", True), cell(raw, tablemap.DATE)) == (day - date(1970, 1, 1)).days


@given(st.datetimes(min_value=EARLIEST), st.integers(0, 6))
def test_datetimes(moment: datetime, digits: int) -> None:
    """All precisions, microseconds since 1970 without a zone."""
    unit = 10 ** (6 - digits)
    moment = moment.replace(microsecond=moment.microsecond // unit * unit)
    packed = (moment.year * 13 + moment.month) << 22 | moment.day << 17
    packed |= moment.hour << 12 | moment.minute << 6 | moment.second
    size = (digits + 1) // 2
    fraction = moment.microsecond // 10 ** (6 - 2 * size)
    raw = (packed + 0x8000000000).to_bytes(5, "big") + fraction.to_bytes(size, "big")
    text = cell(raw, tablemap.DATETIME2, digits)
    assert len(text) == 19 + bool(digits) + digits
    expected = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert avro(Column("c", "datetime", True), text) == expected


@given(st.integers(1, 2**31 - 1), st.integers(0, 999_999))
def test_timestamps(seconds: int, micros: int) -> None:
    """An instant in UTC, always with six digits."""
    text = cell(seconds.to_bytes(4, "big") + micros.to_bytes(3, "big"), tablemap.TIMESTAMP2, 6)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    assert avro(Column("c", "timestamp", True), text) == moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@given(st.integers(-(838 * 3600 + 3599), 838 * 3600 + 3599), st.integers(0, 999_999), st.integers(0, 6))
def test_times(seconds: int, micros: int, digits: int) -> None:
    """Up to 838 hours and below zero, in all precisions."""
    unit = 10 ** (6 - digits)
    micros = micros // unit * unit
    sign = -1 if seconds < 0 else 1
    hours, rest = divmod(abs(seconds), 3600)
    size = (digits + 1) // 2
    clock = hours << 12 | rest // 60 << 6 | rest % 60
    packed = sign * (clock << 8 * size | micros // 10 ** (6 - 2 * size))
    raw = (packed + (0x800000 << 8 * size)).to_bytes(3 + size, "big")
    text = cell(raw, tablemap.TIME2, digits)
    assert avro(Column("c", "time", True), text) == sign * (abs(seconds) * 1_000_000 + micros)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("date", b"0000-00-00"),
        ("date", b"2023-02-29"),
        ("date", b"2024-00-10"),
        ("datetime", b"0000-00-00 00:00:00"),
        ("datetime", b"2024-04-31 00:00:00.000000"),
        ("timestamp", b"0000-00-00 00:00:00.00"),
    ],
)
def test_dates_that_no_calendar_has_are_special(kind: str, text: bytes) -> None:
    """They are kept aside as text, not moved to another day."""
    with pytest.raises(SpecialValue):
        column_type(Column("c", kind, True)).encode(text)


def test_zero_dates_as_the_log_has_them() -> None:
    """The same texts that SELECT gives."""
    assert cell(b"\0\0\0", tablemap.DATE) == b"0000-00-00"
    assert cell(b"\x80\0\0\0\0", tablemap.DATETIME2) == b"0000-00-00 00:00:00"
    assert cell(b"\0\0\0\0\0\0", tablemap.TIMESTAMP2, 3) == b"0000-00-00 00:00:00.000"
    assert cell(b"\0", tablemap.YEAR) == b"0000"


def test_latin1_is_what_the_server_means_by_it() -> None:
    """Windows-1252, its holes filled: each byte is one character, none is lost."""
    every = bytes(range(256))
    text = cell(len(every).to_bytes(2, "little") + every, tablemap.VARCHAR, 300, collation=8).decode()
    assert len(set(text)) == 256
    assert text[0x80] == "€"
    assert text[0x81] == "\x81"
    assert text[0xE9] == "é"


def test_what_char_and_binary_are_padded_with() -> None:
    """The log leaves it out: spaces stay out, as SELECT has it; zeros are put back."""
    assert cell(b"\x01a", tablemap.STRING, 20, collation=45) == b"a"
    assert cell(b"\x01a", tablemap.STRING, 4, collation=63) == b"a\0\0\0"


def test_enums_and_sets() -> None:
    """By number and by bit, in the order of the definition; 0 is the empty string."""
    labels = (b"c", b"\xe9", b"a")
    assert cell(b"\x02", tablemap.ENUM, 1, labels=labels, collation=8) == "é".encode()
    assert cell(b"\x00", tablemap.ENUM, 1, labels=labels, collation=8) == b""
    assert cell(b"\x05", tablemap.SET, 1, labels=labels, collation=8) == b"c,a"
    assert cell(b"\x00", tablemap.SET, 1, labels=labels, collation=8) == b""


@pytest.mark.parametrize(
    ("type_", "collation"), [(tablemap.VARCHAR, 10), (tablemap.DATETIME, None), (200, None)]
)
def test_columns_that_cannot_be_read_are_named(type_: int, collation: int | None) -> None:
    """An unknown character set, a temporal type of old servers, a type that does not exist."""
    with pytest.raises(ContractViolation, match=r"s\.t: column c "):
        cell(b"", type_, collation=collation)


def test_text_that_is_none_halts() -> None:
    """Half a character of UCS-2: halted by name, not replaced."""
    with pytest.raises(ContractViolation, match=r"s\.t: column c holds"):
        cell(b"\x01a", tablemap.VARCHAR, 20, collation=35)


def test_rows_end_where_their_event_does() -> None:
    """Nulls take no place; a byte too few or too many is no row."""
    reads = [reader(LogColumn(n, tablemap.LONG, 0, True), "int", CHARSETS, "s.t") for n in "ab"]
    read = row_reader(reads)
    one = b"\xfc" + struct.pack("<ii", 1, -2)
    two = one + b"\xfe" + struct.pack("<i", 7)
    assert read_rows(read, two, 0) == [(b"1", b"-2"), (b"7", None)]
    for wrong in (one[:-1], one + b"\xfc"):
        with pytest.raises(PoisonRecord):
            read_rows(read, wrong, 0)
