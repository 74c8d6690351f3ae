"""MySQL's binary form of JSON as the text that SELECT gives for it. Pure.

MariaDB keeps JSON as text; only MySQL's log has this form. Keys are in the server's order, which is by
length. What JSON has no words for (dates, decimals, bytes) is kept in it as the server's own types, and
is text here as it is there.
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable
from decimal import Decimal

from connectors.sources.mariadb import tablemap
from connectors.sources.mariadb.numbers import decimal_form

_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY, _LITERAL = 0, 1, 2, 3, 4
_STRING, _OPAQUE = 12, 15
_LITERALS = {0: "null", 1: "true", 2: "false"}
# Type → (bytes, how to read them).
_NUMBERS = {
    5: struct.Struct("<h"),
    6: struct.Struct("<H"),
    7: struct.Struct("<i"),
    8: struct.Struct("<I"),
    9: struct.Struct("<q"),
    10: struct.Struct("<Q"),
}
_DOUBLE_TYPE, _DOUBLE = 11, struct.Struct("<d")
_DEEPEST = 100  # the server nests no further
_FIXED_DIGITS = 15  # numbers with the point further away from their digits are written with an exponent
_LINE = 76  # the server breaks Base64 after so many characters


def document(data: bytes) -> bytes:
    """The text of a document; `ValueError`, `IndexError` or `struct.error` when it is malformed."""
    if not data:  # what a column that was made NOT NULL has in old rows
        return b"null"
    return _value(data[0], data, 1, 0).encode()


def _value(kind: int, data: bytes, at: int, depth: int) -> str:
    if kind <= _LARGE_ARRAY:
        return _container(kind, data, at, depth + 1)
    if kind == _LITERAL:
        return _literal(data[at])
    if kind in _NUMBERS:
        return str(_NUMBERS[kind].unpack_from(data, at)[0])
    if kind == _DOUBLE_TYPE:
        return _double(_DOUBLE.unpack_from(data, at)[0])
    if kind == _STRING:
        return _quoted(_sized(data, at).decode())
    if kind == _OPAQUE:
        return _opaque(data[at], _sized(data, at + 1))
    raise ValueError(f"JSON value of type {kind}")


def _container(kind: int, data: bytes, start: int, depth: int) -> str:
    """Sizes and offsets have two bytes in a small one, four in a large one; values that fit in their
    entry are in it."""
    if depth > _DEEPEST:
        raise ValueError("a JSON document is nested too deeply")
    large = kind in (_LARGE_OBJECT, _LARGE_ARRAY)
    width = 4 if large else 2

    def number(at: int) -> int:
        if at + width > len(data):
            raise IndexError("a JSON document is cut short")
        return int.from_bytes(data[at : at + width], "little")

    count = number(start)
    at = start + 2 * width
    keys: list[str] = []
    if kind in (_SMALL_OBJECT, _LARGE_OBJECT):
        for _ in range(count):
            key = start + number(at)
            size = int.from_bytes(data[at + width : at + width + 2], "little")
            keys.append(_quoted(data[key : key + size].decode()))
            at += width + 2
    values = []
    for _ in range(count):
        one = data[at]
        inlined = one in (_LITERAL, 5, 6) or (large and one in (7, 8))
        values.append(_value(one, data, at + 1 if inlined else start + number(at + 1), depth))
        at += 1 + width
    if kind in (_SMALL_ARRAY, _LARGE_ARRAY):
        return f"[{', '.join(values)}]"
    return f"{{{', '.join(f'{key}: {value}' for key, value in zip(keys, values, strict=True))}}}"


def _sized(data: bytes, at: int) -> bytes:
    """Bytes with their length before them, seven bits a byte, the lowest first."""
    size = shift = 0
    while True:
        part = data[at]
        at += 1
        size |= (part & 0x7F) << shift
        if part < 0x80:
            break
        shift += 7
    if at + size > len(data):
        raise IndexError("a JSON string is cut short")
    return data[at : at + size]


def _literal(value: int) -> str:
    if value not in _LITERALS:
        raise ValueError(f"JSON literal {value}")
    return _LITERALS[value]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _double(value: float) -> str:
    """The shortest digits that read back as the same number, in the server's notation."""
    if not math.isfinite(value):
        raise ValueError(f"JSON number {value}")
    sign, figures, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    point = len(figures) + exponent  # where it is among the digits
    digits = "".join(map(str, figures)).rstrip("0") or "0"
    if value and not -_FIXED_DIGITS < point <= max(_FIXED_DIGITS, len(digits) - 1):
        text = f"{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{point - 1}"
    elif point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        text = f"{digits[:point].ljust(point, '0')}.{digits[point:] or '0'}"
    return f"-{text}" if sign else text


def _opaque(kind: int, data: bytes) -> str:
    if kind == tablemap.NEWDECIMAL:
        size, decode = decimal_form(data[0], data[1])
        return decode(data[2 : 2 + size]).decode()
    if kind in _CLOCKS:
        return f'"{_CLOCKS[kind](int.from_bytes(data[:8], "little", signed=True))}"'
    encoded = base64.b64encode(data).decode()
    lines = [encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)]
    return _quoted(f"base64:type{kind}:" + "\n".join(lines))


def _date(packed: int) -> str:
    month = packed >> 46
    return f"{month // 13:04d}-{month % 13:02d}-{packed >> 41 & 31:02d}"


def _clock(packed: int) -> str:
    seconds = packed >> 24
    return f"{seconds >> 12 & 31:02d}:{seconds >> 6 & 63:02d}:{seconds & 63:02d}.{packed & 0xFFFFFF:06d}"


def _time(packed: int) -> str:
    sign, packed = ("-", -packed) if packed < 0 else ("", packed)
    seconds = packed >> 24
    return (
        f"{sign}{seconds >> 12 & 0x3FF:02d}:{seconds >> 6 & 63:02d}:{seconds & 63:02d}."
        f"{packed & 0xFFFFFF:06d}"
    )


_CLOCKS: dict[int, Callable[[int], str]] = {
    tablemap.DATE: _date,
    tablemap.TIME: _time,
    tablemap.DATETIME: lambda packed: f"{_date(packed)} {_clock(packed)}",
    tablemap.TIMESTAMP: lambda packed: f"{_date(packed)} {_clock(packed)}",
}
