"""Dates and times, from PostgreSQL's text in ISO style and UTC to Avro bytes."""

from __future__ import annotations

import functools
import re

from connectors.sources import avro
from connectors.sources.postgres.types.values import MEMO, SpecialValue

_DAY_US = 86_400_000_000
_LONG_MAX = 2**63 - 1

_DATE = re.compile(rb"(\d{4,7})-(\d\d)-(\d\d)( BC)?")
_TIMESTAMP = re.compile(rb"(\d{4,7}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,6})?)( BC)?")
_TIMESTAMPTZ = re.compile(rb"(\d{4})-(\d\d)-(\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00")


@functools.lru_cache(MEMO)
def _days(raw: bytes) -> int:
    """Days from 1970-01-01 in the proleptic Gregorian calendar, for any year PostgreSQL has.

    Counted in eras of 400 years that start on 1 March, so that the leap day ends its year.
    """
    match = _DATE.fullmatch(raw)
    if match is None:
        raise SpecialValue
    year, month, day = (int(part) for part in match.group(1, 2, 3))
    if match.group(4):
        year = 1 - year  # 1 BC is the year 0
    year -= month <= 2
    era, of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + day_of_year - 719_468


@functools.lru_cache(MEMO)
def date(raw: bytes) -> bytes:
    """Days since 1970; `SpecialValue` for the infinities."""
    return avro.long(_days(raw))


def _clock_us(raw: bytes) -> int:
    """``HH:MM:SS[.ffffff]`` as microseconds of the day."""
    seconds = (int(raw[:2]) * 60 + int(raw[3:5])) * 60 + int(raw[6:8])
    return seconds * 1_000_000 + (int(raw[9:].ljust(6, b"0")) if len(raw) > 8 else 0)


def time(raw: bytes) -> bytes:
    """Microseconds of the day, up to and including 24:00."""
    return avro.long(_clock_us(raw))


def timestamp(raw: bytes) -> bytes:
    """Microseconds since 1970; `SpecialValue` for the infinities, and from 294247-01-10 on."""
    if raw[10:11] == b" " and raw[-1] != 67:  # four-digit year, not …BC
        return avro.long(_days(raw[:10]) * _DAY_US + _clock_us(raw[11:]))
    match = _TIMESTAMP.fullmatch(raw)
    if match is None:
        raise SpecialValue
    day = match.group(1) + (match.group(3) or b"")
    instant = _days(day) * _DAY_US + _clock_us(match.group(2))
    if instant > _LONG_MAX:  # PostgreSQL counts from 2000, so its last thirty years lie beyond
        raise SpecialValue
    return avro.long(instant)


def timestamptz(raw: bytes) -> bytes:
    """ISO 8601 in UTC with six digits always, so that texts compare as instants do."""
    match = _TIMESTAMPTZ.fullmatch(raw)
    if match is None:
        raise SpecialValue  # infinities, BC, and years beyond 9999 have no ISO form readers agree on
    year, month, day, clock, fraction = match.groups()
    return avro.data(b"%b-%b-%bT%b.%bZ" % (year, month, day, clock, (fraction or b"").ljust(6, b"0")))
