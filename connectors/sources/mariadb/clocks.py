"""Dates and times as logged, read as the text that SELECT gives for them in UTC. Pure."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

Read: TypeAlias = Callable[[bytes, int], tuple[bytes, int]]
_MEMO = 4096  # dates are read once


def date(data: bytes, at: int) -> tuple[bytes, int]:
    """DATE: three bytes."""
    packed = int.from_bytes(data[at : at + 3], "little")
    return b"%04d-%02d-%02d" % (packed >> 9, packed >> 5 & 15, packed & 31), at + 3


def year(data: bytes, at: int) -> tuple[bytes, int]:
    """YEAR: from 1901 on, or 0000."""
    return b"%04d" % (data[at] and data[at] + 1900), at + 1


def _fraction(raw: bytes, digits: int) -> bytes:
    """``.ffffff`` to ``digits`` places, of a number of microseconds or of multiples of it."""
    return _fraction_text(int.from_bytes(raw, "big"), len(raw), digits)


def _fraction_text(value: int, size: int, digits: int) -> bytes:
    if not digits:
        return b""
    micros = value * (1, 10_000, 100, 1)[size]
    return b"." + (b"%06d" % micros)[:digits]


def datetime(digits: int) -> Read:
    """DATETIME of a precision: no zone, any day from 0000-00-00 on."""
    size = 5 + (digits + 1) // 2

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        packed = int.from_bytes(data[at : at + 5], "big") - 0x8000000000
        day, clock = packed >> 17, packed & 0x1FFFF
        year, month = divmod(day >> 5, 13)
        text = b"%04d-%02d-%02d %02d:%02d:%02d" % (
            year, month, day & 31, clock >> 12, clock >> 6 & 63, clock & 63,
        )  # fmt: skip
        return text + _fraction(data[at + 5 : at + size], digits), at + size

    return read


def timestamp(digits: int) -> Read:
    """TIMESTAMP of a precision: in UTC."""
    size = 4 + (digits + 1) // 2

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        seconds = int.from_bytes(data[at : at + 4], "big")
        fraction = _fraction(data[at + 4 : at + size], digits)
        if not seconds and not fraction.strip(b".0"):
            return b"0000-00-00 00:00:00" + fraction, at + size
        days, clock = divmod(seconds, 86_400)
        text = _day(days) + b" %02d:%02d:%02d" % (clock // 3600, clock // 60 % 60, clock % 60)
        return text + fraction, at + size

    return read


@functools.lru_cache(_MEMO)
def _day(days: int) -> bytes:
    """The date ``days`` after 1970-01-01."""
    days += 719_468
    era, of_era = divmod(days, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month += 3 if month < 10 else -9
    return b"%04d-%02d-%02d" % (year + era * 400 + (month <= 2), month, day)


def time(digits: int) -> Read:
    """TIME of a precision: below zero too, and beyond a day."""
    extra = (digits + 1) // 2
    size = 3 + extra
    offset = 0x800000 << 8 * extra
    mask = (1 << 8 * extra) - 1

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        packed = int.from_bytes(data[at : at + size], "big") - offset
        sign = b"-" if packed < 0 else b""
        packed = abs(packed)
        clock = packed >> 8 * extra
        text = b"%b%02d:%02d:%02d" % (sign, clock >> 12 & 0x3FF, clock >> 6 & 63, clock & 63)
        return text + _fraction_text(packed & mask, extra, digits), at + size

    return read
