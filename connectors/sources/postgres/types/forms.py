"""Arrays, bit strings, points, bytes and hstore, from PostgreSQL's text to Avro bytes."""

from __future__ import annotations

import json
import re
import struct
from typing import Any

from connectors.sources import avro
from connectors.sources.avro import NULL, SOME, long
from connectors.sources.postgres.types.numbers import boolean
from connectors.sources.postgres.types.values import ColumnType, SpecialValue, semantic

_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_QUOTED = rb'"((?:[^"\\]|\\.)*)"'
_PAIR = re.compile(_QUOTED + rb"=>(?:" + _QUOTED + rb"|NULL)(?:, |$)", re.DOTALL)

_POINT = re.compile(rb"\(([^,]+),([^,]+)\)")
_WKB_POINT = struct.Struct("<BIdd").pack
_LITTLE_ENDIAN, _WKB_KIND = 1, 1

POINT: dict[str, Any] = {
    "type": "record",
    "name": "Point",
    "namespace": "io.debezium.data.geometry",
    "fields": [
        {"name": "x", "type": "double"},
        {"name": "y", "type": "double"},
        {"name": "wkb", **avro.optional("bytes")},
        {"name": "srid", **avro.optional("int")},
    ],
    "connect.doc": "Geometry (POINT)",
    "connect.version": 1,
    "connect.name": "io.debezium.data.geometry.Point",
}


def array(element: ColumnType, delimiter: str) -> ColumnType:
    """An array of nullable elements.

    Arrays of several dimensions, and those that do not count from 1, are `SpecialValue`: flattened
    they would be other values. So is an array with an element that is special.
    """
    mark = delimiter.encode()
    token = re.compile(
        rb'(?:"((?:[^"\\]|\\.)*)"|([^"' + re.escape(mark) + rb"]+))(?:" + re.escape(mark) + rb"|$)", re.DOTALL
    )
    encode_element = element.encode

    def encode(raw: bytes) -> bytes:
        if raw[:1] != b"{" or raw[:2] == b"{{":
            raise SpecialValue
        inside = raw[1:-1]
        if not inside:
            return NULL
        if b'"' not in inside:
            parts = [NULL if one == b"NULL" else SOME + encode_element(one) for one in inside.split(mark)]
        else:
            parts = []
            place = 0
            while place < len(inside):
                match = token.match(inside, place)
                if match is None:
                    raise SpecialValue
                quoted, bare = match.groups()
                if quoted is not None:
                    parts.append(SOME + encode_element(_ESCAPED.sub(rb"\1", quoted)))
                else:
                    parts.append(NULL if bare == b"NULL" else SOME + encode_element(bare))
                place = match.end()
        return long(len(parts)) + b"".join(parts) + NULL  # one block, then the end of the array

    return ColumnType({"type": "array", "items": ["null", element.schema]}, encode, element.labels)


def bits(length: int) -> ColumnType:
    """bit(1) as a boolean, bit(n) as bytes of the number it spells, lowest byte first."""
    if length == 1:

        def encode_one(raw: bytes) -> bytes:
            if len(raw) != 1:  # the column's length is being altered
                raise SpecialValue
            return boolean(b"t" if raw == b"1" else b"f")

        return ColumnType("boolean", encode_one)
    size = (length + 7) // 8

    def encode(raw: bytes) -> bytes:
        if len(raw) != length:
            raise SpecialValue
        return avro.data(int(raw, 2).to_bytes(size, "little"))

    return ColumnType(semantic("bytes", "io.debezium.data.Bits", {"length": str(length)}), encode)


def bytea(raw: bytes) -> bytes:
    r"""``\x`` and hexadecimal digits."""
    return avro.data(bytes.fromhex(raw[2:].decode("ascii")))


def point(raw: bytes) -> bytes:
    """``(x,y)``."""
    match = _POINT.fullmatch(raw)
    if match is None:
        raise SpecialValue
    x, y = float(match.group(1)), float(match.group(2))
    wkb = _WKB_POINT(_LITTLE_ENDIAN, _WKB_KIND, x, y)
    return avro.double(x) + avro.double(y) + SOME + avro.data(wkb) + NULL


def hstore(raw: bytes) -> bytes:
    """``"key"=>"value", "other"=>NULL`` as a JSON object, in that order."""
    found: dict[str, str | None] = {}
    place = 0
    while place < len(raw):
        match = _PAIR.match(raw, place)
        if match is None:
            raise SpecialValue
        key, value = match.groups()
        found[_plain(key)] = None if value is None else _plain(value)
        place = match.end()
    return avro.text(json.dumps(found, ensure_ascii=False))


def _plain(quoted: bytes) -> str:
    return _ESCAPED.sub(rb"\1", quoted).decode()
