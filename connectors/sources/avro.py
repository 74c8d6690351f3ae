"""Avro's binary primitives, from Python values to bytes, for the compiled encoders of the sources.

A change envelope is assembled from parts that are encoded once (the source block of a transaction,
the tail with the capture time) and from columns that go straight from the text on the wire to Avro
bytes: strings are copied, nothing becomes a dict. Avro's binary form has no alignment and no
offsets, so concatenating encoded parts is encoding the whole. For a row of nine columns this takes
a third of the time of building a dict for ``fastavro.schemaless_writer``; the tests decode every
encoder's output with fastavro, and compare whole envelopes byte for byte.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from streams.errors import ContractViolation

MAGIC = b"\x00"
NULL = b"\x00"  # branch 0 of ["null", T], with the empty encoding of null
SOME = b"\x02"  # branch 1 of ["null", T]

# The bytes of zigzag values below 2**14, whole and as a chunk that others follow: 64 bits need at
# most five look-ups instead of ten rounds of shifting.
_CHUNK = 1 << 14
_LAST = [bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(_CHUNK)]
_MORE = [bytes((n & 127 | 128, n >> 7 | 128)) for n in range(_CHUNK)]

_DOUBLE = struct.Struct("<d").pack
_FLOAT = struct.Struct("<f").pack


def long(value: int) -> bytes:
    """An int or long: zigzag, then seven bits a byte, least significant first."""
    value = (value << 1) ^ (value >> 63)
    if value < _CHUNK:
        return _LAST[value]
    encoded = _MORE[value & 0x3FFF]
    value >>= 14
    while value >= _CHUNK:
        encoded += _MORE[value & 0x3FFF]
        value >>= 14
    return encoded + _LAST[value]


def data(value: bytes) -> bytes:
    """A bytes or (already UTF-8) string value: its length, then itself."""
    return long(len(value)) + value


def text(value: str) -> bytes:
    """A string."""
    return data(value.encode())


def boolean(value: bool) -> bytes:
    """A boolean."""
    return b"\x01" if value else b"\x00"


def float_(value: float) -> bytes:
    """A float: four bytes, little endian."""
    return _FLOAT(value)


def double(value: float) -> bytes:
    """A double: eight bytes, little endian."""
    return _DOUBLE(value)


def twos_complement(value: int) -> bytes:
    """The shortest big-endian two's complement, as Java's BigInteger and Avro's decimal have it."""
    bits = value.bit_length() if value >= 0 else (~value).bit_length()
    return value.to_bytes(bits // 8 + 1, "big", signed=True)


def framing(schema_id: int) -> bytes:
    """The five bytes before a payload in Confluent's wire format."""
    return MAGIC + schema_id.to_bytes(4, "big")


def optional(schema: Any) -> dict[str, Any]:
    """The ``type`` and ``default`` of a field that may be null."""
    return {"type": ["null", schema], "default": None}


def name(proposed: str) -> str:
    """``proposed`` in Avro's alphabet: other characters become ``_``, a leading digit gets one before it."""
    adjusted = re.sub(r"[^A-Za-z0-9_]", "_", proposed)
    return f"_{adjusted}" if not adjusted or adjusted[0].isdigit() else adjusted


def namespace(topic: str) -> str:
    """The namespace of a topic's records: each dotted part of its name adjusted by `name`."""
    return ".".join(name(part) for part in topic.split("."))


def distinct(names: list[str], where: str) -> list[str]:
    """``names`` adjusted, or `ContractViolation` when two columns of ``where`` would become one field."""
    adjusted = [name(one) for one in names]
    for index, one in enumerate(adjusted):
        if one in adjusted[:index]:
            other = names[adjusted.index(one)]
            raise ContractViolation(
                f"{where}: columns {other!r} and {names[index]!r} both become Avro field {one!r}; rename one"
            )
    return adjusted
