"""Numbers of logged rows, read as the text that SELECT gives for them. Pure."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable

from connectors.sources.mariadb.clocks import Read

_MEMO = 4096  # repeated amounts are read once
_FLOAT = struct.Struct("<f").unpack_from
_DOUBLE = struct.Struct("<d").unpack_from


def integer(size: int, signed: bool) -> Read:
    """An integer of ``size`` bytes."""

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        return b"%d" % int.from_bytes(data[at:end], "little", signed=signed), end

    return read


def float_(data: bytes, at: int) -> tuple[bytes, int]:
    """FLOAT, with all digits of what is stored."""
    return repr(_FLOAT(data, at)[0]).encode(), at + 4


def double(data: bytes, at: int) -> tuple[bytes, int]:
    """DOUBLE."""
    return repr(_DOUBLE(data, at)[0]).encode(), at + 8


_BYTES_OF_DIGITS = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)


@functools.lru_cache(_MEMO)
def decimal_form(precision: int, scale: int) -> tuple[int, Callable[[bytes], bytes]]:
    """How many bytes a DECIMAL takes, and what makes a text of them.

    Nine digits to four bytes, the odd ones before the first and after the last of those; the first
    bit is set for a positive number, and all bits of a negative one are turned over.
    """
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

    return size, decode


def decimal(precision: int, scale: int) -> Read:
    """DECIMAL."""
    size, decode = decimal_form(precision, scale)

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        return decode(data[at:end]), end

    return read


def raw(size: int) -> Read:
    """BIT: its bytes, the highest bits first."""

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        return data[at : at + size], at + size

    return read
