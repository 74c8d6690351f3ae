"""Readers of flat Avro records, several times as fast as the general one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final

from streams.serde.flat import EPOCH, EPOCH_DAY, REMEMBERED, fields_of, name_of, split_union

# From bytes and a position to a value and the position after it.
Read = Callable[[bytes, int], tuple[Any, int]]
Reader = Callable[[bytes, int], tuple[dict[str, Any], int]]

# Bytes of a varint that holds a present day, and of one that holds a present time in microseconds.
DAY_BYTES, TIME_BYTES = 3, 8
LONGEST_VARINT: Final = 10


def flat_reader(schema: Any) -> Reader | None:
    """A function of (bytes, position) that gives (record, position after it); None where not flat.

    Bytes that are no such record raise `IndexError`, `ValueError` or `OverflowError`, or give a position
    beyond their end: the caller compares it, which is cheaper than to ask at each value.
    """
    fields: list[tuple[str, Read]] = []
    for field in fields_of(schema):
        read = _field_reader(field["type"])
        if read is None:
            return None
        fields.append((field["name"], read))
    if not fields:
        return None

    def read_record(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        record = {}
        for name, read in fields:
            record[name], at = read(data, at)
        return record, at

    return read_record


def _read_long(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 0x80:  # most numbers are small
        return (byte >> 1) ^ -(byte & 1), at + 1
    number, shift, end = byte & 0x7F, 7, at + LONGEST_VARINT
    while byte >= 0x80:
        at += 1
        if at == end:
            raise ValueError("a number has too many bytes")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), at + 1


def _read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    return data[at] != 0, at + 1


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _read_long(data, at)
    end = at + length
    if length < 0:
        raise ValueError("a length is negative")
    return data[at:end], end


def _read_string(data: bytes, at: int) -> tuple[str, int]:
    byte = data[at]
    if not byte & 0x81:  # shorter than 64 bytes
        at += 1
        end = at + (byte >> 1)
        return data[at:end].decode(), end
    value, at = _read_bytes(data, at)
    return value.decode(), at


def _read_count(data: bytes, at: int) -> tuple[int, int]:
    """How many items the next block of a list or map has; none ends it."""
    count, at = _read_long(data, at)
    if count < 0:  # followed by the size of the block
        _, at = _read_long(data, at)
    return abs(count), at


def _read_strings(data: bytes, at: int) -> tuple[list[str], int]:
    items = []
    count, at = _read_count(data, at)
    while count:
        for _ in range(count):
            item, at = _read_string(data, at)
            items.append(item)
        count, at = _read_count(data, at)
    return items, at


def _read_map(data: bytes, at: int) -> tuple[dict[str, bytes], int]:
    items = {}
    count, at = _read_count(data, at)
    while count:
        for _ in range(count):
            key, at = _read_string(data, at)
            items[key], at = _read_bytes(data, at)
        count, at = _read_count(data, at)
    return items, at


def _read_string_or_null(data: bytes, at: int) -> tuple[str | None, int]:
    """What most fields are, read without a second call where it is short."""
    branch = data[at]
    if branch == 0:
        return None, at + 1
    if branch != 2:
        raise ValueError(f"a union of two has no branch {branch}")
    byte = data[at + 1]
    if not byte & 0x81:
        at += 2
        end = at + (byte >> 1)
        return data[at:end].decode(), end
    return _read_string(data, at + 1)


def _remembering(width: int, convert: Callable[[int], Any]) -> Read:
    """Reads a number and converts it; varints of the usual width are looked up by their bytes."""
    memory: dict[bytes, Any] = {}

    def read(data: bytes, at: int) -> tuple[Any, int]:
        end = at + width
        raw = data[at:end]
        found = memory.get(raw)
        if found is not None:
            return found, end
        number, after = _read_long(data, at)
        value = convert(number)
        if after == end:
            if len(memory) >= REMEMBERED:
                memory.clear()
            memory[raw] = value
        return value, after

    return read


def _to_day(number: int) -> date:
    return date.fromordinal(number + EPOCH_DAY)


def _to_time(number: int) -> datetime:
    return EPOCH + timedelta(microseconds=number)


def _decimal_reader(kind: dict[str, Any]) -> Read:
    scale, context = kind.get("scale", 0), Context(prec=kind["precision"])
    memory: dict[bytes, Decimal] = {}

    def read(data: bytes, at: int) -> tuple[Decimal, int]:
        size = data[at]
        if size & 0x81:  # not the length of some bytes
            raw, end = _read_bytes(data, at)
        else:
            at += 1
            end = at + (size >> 1)
            raw = data[at:end]
        value = memory.get(raw)
        if value is None:
            unscaled = int.from_bytes(raw, "big", signed=True)
            value = context.create_decimal(unscaled).scaleb(-scale, context)
            if len(memory) >= REMEMBERED:
                memory.clear()
            memory[raw] = value
        return value, end

    return read


def _field_reader(kind: Any) -> Read | None:
    nullable, inner = split_union(kind)
    name = name_of(inner)
    read = None if name is None else _type_reader(name, inner)
    if read is None or not nullable:
        return read
    if name == "string":
        return _read_string_or_null
    plain = read

    def read_union(data: bytes, at: int) -> tuple[Any, int]:
        branch = data[at]
        if branch == 0:
            return None, at + 1
        if branch == 2:
            return plain(data, at + 1)
        raise ValueError(f"a union of two has no branch {branch}")

    return read_union


def _type_reader(name: str, kind: Any) -> Read | None:
    if name == "decimal":
        return _decimal_reader(kind)
    if name == "record":
        return flat_reader(kind)
    return _READERS[name]


_READERS: Final[dict[str, Read]] = {
    "string": _read_string,
    "int": _read_long,
    "long": _read_long,
    "boolean": _read_boolean,
    "bytes": _read_bytes,
    "strings": _read_strings,
    "map": _read_map,
    "date": _remembering(DAY_BYTES, _to_day),
    "timestamp-micros": _remembering(TIME_BYTES, _to_time),
}
