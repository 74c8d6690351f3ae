"""Durations that are no number of hours: intervals of a database, ISO 8601, and clock text, exactly in seconds.

    int          microseconds: a PostgreSQL interval as Debezium's MicroDuration (``interval.handling.mode`` numeric)
    ISO 8601     ``PT7H30M``, ``P0Y0M0DT7H30M0S`` (Debezium's and our own source's Interval), ``P1DT2H``, ``PT0.5S``
    clock text   ``7:30`` and ``07:30:00`` are hours and minutes, and seconds

A day is 24 h, a week 7 days. Years and months are refused: they have no length (Debezium's numeric form has made
them microseconds already, a month of 30.4375 days; a bound of the mapping catches those). A plain number is refused
as text, since it says no unit: hours are `hours_to_seconds`, seconds `integer`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from streams.errors import InvalidValue, SchemaMismatch
from streams.money import EXACT

_WHOLE: Final = r"([+-]?\d{1,12})"
_PART: Final = r"([+-]?\d{1,12}(?:[.,]\d{1,9})?)"
_ISO: Final = re.compile(
    rf"([+-]?)P(?=.)(?:{_WHOLE}Y)?(?:{_WHOLE}M)?(?:{_WHOLE}W)?(?:{_WHOLE}D)?"
    rf"(?:T(?=.)(?:{_WHOLE}H)?(?:{_WHOLE}M)?(?:{_PART}S)?)?",
    re.ASCII,
)
_CLOCK: Final = re.compile(r"([+-]?)(\d{1,12}):([0-5]\d)(?::([0-5]\d(?:\.\d{1,9})?))?", re.ASCII)
_MICROSECONDS: Final = -6
_SECONDS_OF: Final = {"weeks": 604_800, "days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}


def duration_in_seconds(value: Any) -> Decimal:
    """The seconds of a duration in one of its forms, not rounded: ``PT7H30M``, ``7:30`` and 27000000000 are 27000."""
    if type(value) is int:
        return Decimal(value).scaleb(_MICROSECONDS, EXACT)
    if type(value) is not str:
        raise SchemaMismatch(f"{value!r:.40} is no duration: expected microseconds, PT7H30M or 7:30")
    iso = _ISO.fullmatch(value)
    if iso is not None:
        sign, years, months, *parts = iso.groups()
        if int(years or 0) or int(months or 0):
            raise InvalidValue(f"{value!r} has years or months, which have no fixed length in seconds")
    else:
        clock = _CLOCK.fullmatch(value)
        if clock is None:
            raise InvalidValue(f"{value!r:.40} is no duration: expected PT7H30M or 7:30")
        sign, *of_clock = clock.groups()
        parts = [None, None, *of_clock]
    total = Decimal(0)
    for part, seconds in zip(parts, _SECONDS_OF.values(), strict=True):
        if part is not None:
            total = EXACT.add(total, EXACT.multiply(Decimal(part.replace(",", ".")), Decimal(seconds)))
    return -total if sign == "-" else total
