"""PostgreSQL types as Avro: a Debezium-compatible schema, and the wire text compiled to Avro bytes.

`column_type` picks, once a column, the schema and the function that turns each value's text (as
``pgoutput`` and COPY have it under `SESSION_OPTIONS`) into the bytes of that schema. Text that the
schema cannot hold (NaN, ±Infinity, infinite or BC instants beyond it) raises `SpecialValue`: the
caller writes null and keeps the text in a header, so that nothing is lost and nothing stops.

Where this differs from Debezium's defaults: ``timestamp`` is always MicroTimestamp (Debezium takes
milliseconds for precisions up to 3), and types without a faithful Avro form (arrays, intervals,
ranges, money, network addresses …) are strings that name the type in a schema parameter.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from connectors.sources import avro

Schema: TypeAlias = str | dict[str, Any]
Encode: TypeAlias = Callable[[bytes], bytes]

# What the text forms below assume of the session; sent with every connection.
SESSION_OPTIONS = (
    "-c datestyle=ISO,YMD -c timezone=UTC -c intervalstyle=postgres "
    "-c extra_float_digits=3 -c bytea_output=hex -c client_encoding=UTF8"
)

_VARHDRSZ = 4  # added by PostgreSQL to the modifier of numeric
_DAY_US = 86_400_000_000

# Repeated texts (dates, amounts, codes) are encoded once. Enough for a few years of dates or the
# amounts in use; an entry costs some 150 bytes.
_MEMO = 4096


class SpecialValue(Exception):
    """A text without a form in its column's schema; internal, never leaves the encoder of a row."""


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A type as the catalog has it. A domain is described by what it rests on."""

    oid: int
    name: str
    enum_labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column's Avro schema (not yet nullable) and its compiled encoder."""

    schema: Schema
    encode: Encode


def column_type(info: TypeInfo, typmod: int) -> ColumnType:
    """The Avro type of a column of type ``info`` with modifier ``typmod`` (-1: none)."""
    if info.enum_labels:
        parameters = {"allowed": ",".join(info.enum_labels)}
        return ColumnType(_semantic("string", "io.debezium.data.Enum", parameters), avro.data)
    if info.name == "numeric":
        return _numeric(typmod)
    if info.name in _SIMPLE:
        return _SIMPLE[info.name]
    parameters = {"__debezium.source.column.type": info.name.upper()}
    return ColumnType({"type": "string", "connect.parameters": parameters}, avro.data)


def _semantic(base: str, connect_name: str, parameters: dict[str, str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": base, "connect.version": 1}
    if parameters:
        schema["connect.parameters"] = parameters
    schema["connect.name"] = connect_name
    return schema


# --- numbers ---------------------------------------------------------------------------------


@functools.lru_cache(_MEMO)
def _integer(raw: bytes) -> bytes:
    return avro.long(int(raw))


def _unscaled(raw: bytes) -> tuple[int, int]:
    """``-12.50`` → (-1250, 2); `SpecialValue` for NaN and the infinities."""
    whole, _, fraction = raw.partition(b".")
    try:
        return int(whole + fraction), len(fraction)
    except ValueError:
        raise SpecialValue from None


def _numeric(typmod: int) -> ColumnType:
    if typmod < _VARHDRSZ:
        return ColumnType(VARIABLE_SCALE_DECIMAL, _variable_scale)
    precision = (typmod - _VARHDRSZ) >> 16 & 0xFFFF
    scale = ((typmod - _VARHDRSZ & 0x7FF) ^ 1024) - 1024  # eleven bits, signed since PostgreSQL 15
    # Avro knows neither a negative scale nor one above the precision: widen the precision instead.
    precision = max(precision - min(scale, 0), scale)
    scale = max(scale, 0)

    @functools.lru_cache(_MEMO)
    def encode(raw: bytes) -> bytes:
        unscaled, digits = _unscaled(raw)
        if digits != scale:  # a rewrite of the column's scale is under way: exact, or kept aside
            if digits > scale:
                raise SpecialValue
            unscaled *= 10 ** (scale - digits)
        return avro.data(avro.twos_complement(unscaled))

    schema: dict[str, Any] = {
        "type": "bytes",
        "scale": scale,
        "precision": precision,
        "connect.version": 1,
        "connect.parameters": {"scale": str(scale), "connect.decimal.precision": str(precision)},
        "connect.name": "org.apache.kafka.connect.data.Decimal",
        "logicalType": "decimal",
    }
    return ColumnType(schema, encode)


VARIABLE_SCALE_DECIMAL: dict[str, Any] = {
    "type": "record",
    "name": "VariableScaleDecimal",
    "namespace": "io.debezium.data",
    "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
    "connect.doc": "Variable scaled decimal",
    "connect.version": 1,
    "connect.name": "io.debezium.data.VariableScaleDecimal",
}


@functools.lru_cache(_MEMO)
def _variable_scale(raw: bytes) -> bytes:
    unscaled, scale = _unscaled(raw)
    return avro.long(scale) + avro.data(avro.twos_complement(unscaled))


def _boolean(raw: bytes) -> bytes:
    return avro.boolean(raw == b"t")


def _float(raw: bytes) -> bytes:
    return avro.float_(float(raw))


def _double(raw: bytes) -> bytes:
    return avro.double(float(raw))


def _bytea(raw: bytes) -> bytes:
    return avro.data(bytes.fromhex(raw[2:].decode("ascii")))


# --- dates and times -------------------------------------------------------------------------

_DATE = re.compile(rb"(\d{4,7})-(\d\d)-(\d\d)( BC)?")
_TIMESTAMP = re.compile(rb"(\d{4,7}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,6})?)( BC)?")
_TIMESTAMPTZ = re.compile(rb"(\d{4})-(\d\d)-(\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00")


@functools.lru_cache(_MEMO)
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


@functools.lru_cache(_MEMO)
def _date(raw: bytes) -> bytes:
    return avro.long(_days(raw))


def _clock_us(raw: bytes) -> int:
    """``HH:MM:SS[.ffffff]`` as microseconds of the day."""
    seconds = (int(raw[:2]) * 60 + int(raw[3:5])) * 60 + int(raw[6:8])
    return seconds * 1_000_000 + (int(raw[9:].ljust(6, b"0")) if len(raw) > 8 else 0)


def _time(raw: bytes) -> bytes:
    return avro.long(_clock_us(raw))


def _timestamp(raw: bytes) -> bytes:
    if raw[10:11] == b" " and raw[-1] != 67:  # four-digit year, not …BC
        return avro.long(_days(raw[:10]) * _DAY_US + _clock_us(raw[11:]))
    match = _TIMESTAMP.fullmatch(raw)
    if match is None:
        raise SpecialValue
    day = match.group(1) + (match.group(3) or b"")
    return avro.long(_days(day) * _DAY_US + _clock_us(match.group(2)))


def _timestamptz(raw: bytes) -> bytes:
    """ISO 8601 in UTC with six digits always, so that texts compare as instants do."""
    match = _TIMESTAMPTZ.fullmatch(raw)
    if match is None:
        raise SpecialValue  # infinities, BC, and years beyond 9999 have no ISO form readers agree on
    year, month, day, clock, fraction = match.groups()
    return avro.data(b"%b-%b-%bT%b.%bZ" % (year, month, day, clock, (fraction or b"").ljust(6, b"0")))


_STRING = ColumnType("string", avro.data)

_SIMPLE: dict[str, ColumnType] = {
    "bool": ColumnType("boolean", _boolean),
    "int2": ColumnType({"type": "int", "connect.type": "int16"}, _integer),
    "int4": ColumnType("int", _integer),
    "int8": ColumnType("long", _integer),
    "oid": ColumnType("long", _integer),
    "float4": ColumnType("float", _float),
    "float8": ColumnType("double", _double),
    "text": _STRING,
    "varchar": _STRING,
    "bpchar": _STRING,
    "char": _STRING,
    "name": _STRING,
    "citext": _STRING,
    "uuid": ColumnType(_semantic("string", "io.debezium.data.Uuid"), avro.data),
    "json": ColumnType(_semantic("string", "io.debezium.data.Json"), avro.data),
    "jsonb": ColumnType(_semantic("string", "io.debezium.data.Json"), avro.data),
    "xml": ColumnType(_semantic("string", "io.debezium.data.Xml"), avro.data),
    "bytea": ColumnType("bytes", _bytea),
    "date": ColumnType(_semantic("int", "io.debezium.time.Date"), _date),
    "time": ColumnType(_semantic("long", "io.debezium.time.MicroTime"), _time),
    "timestamp": ColumnType(_semantic("long", "io.debezium.time.MicroTimestamp"), _timestamp),
    "timestamptz": ColumnType(_semantic("string", "io.debezium.time.ZonedTimestamp"), _timestamptz),
}
