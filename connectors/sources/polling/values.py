"""Avro forms of values as Python database drivers give them: schemas as the log-reading sources have them.

Each `Form` is a schema and the function that turns one value into that schema's bytes. A value that
the schema cannot hold (NaN in a decimal, an integer beyond 64 bits, a text where a number is due)
raises `NoForm` with its text: the caller writes null and keeps the text in a header, so that nothing
is rounded, nothing is lost and nothing stops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from connectors.sources import avro

Schema: TypeAlias = str | dict[str, Any]
Encode: TypeAlias = Callable[[Any], bytes]

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of timestamps without a time zone
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)


class NoForm(Exception):
    """A value without a form in its column's schema; internal. The argument is its text."""


@dataclass(frozen=True, slots=True)
class Form:
    """A column's Avro schema (not yet nullable) and its encoder."""

    schema: Schema
    encode: Encode


def semantic(base: str, connect_name: str, parameters: dict[str, str] | None = None) -> dict[str, Any]:
    """A schema that carries one of Debezium's semantic types."""
    schema: dict[str, Any] = {"type": base, "connect.version": 1}
    if parameters:
        schema["connect.parameters"] = parameters
    schema["connect.name"] = connect_name
    return schema


def named_text(type_name: str) -> Form:
    """A string that names the column's type, for types without a faithful Avro form."""
    parameters = {"__debezium.source.column.type": type_name.upper()}
    return Form({"type": "string", "connect.parameters": parameters}, _text)


def integer(schema: Schema, bits: int) -> Form:
    """A signed integer of ``bits``."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def encode(value: Any) -> bytes:
        if not isinstance(value, int) or not low <= value <= high:
            raise NoForm(str(value))
        return avro.long(value)

    return Form(schema, encode)


def decimal(precision: int, scale: int) -> Form:
    """Connect's Decimal. Neither Avro nor Connect knows a negative scale: it widens the precision."""
    precision = max(precision - min(scale, 0), scale)
    scale = max(scale, 0)

    def encode(value: Any) -> bytes:
        unscaled, digits = _unscaled(value)
        if digits > scale:
            missing, rest = divmod(unscaled, 10 ** (digits - scale))
            if rest:  # more digits than declared: exact in a header, not rounded here
                raise NoForm(str(value))
            return avro.data(avro.twos_complement(missing))
        return avro.data(avro.twos_complement(unscaled * 10 ** (scale - digits)))

    schema: dict[str, Any] = {
        "type": "bytes",
        "scale": scale,
        "precision": precision,
        "connect.version": 1,
        "connect.parameters": {"scale": str(scale), "connect.decimal.precision": str(precision)},
        "connect.name": "org.apache.kafka.connect.data.Decimal",
        "logicalType": "decimal",
    }
    return Form(schema, encode)


def _unscaled(value: Any) -> tuple[int, int]:
    """``Decimal("-12.50")`` → (-1250, 2). A float is taken by its shortest text, which reads back as it."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise NoForm(str(value))
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise NoForm(str(value))
    unscaled = int("".join(map(str, digits))) * (-1 if sign else 1)
    return (unscaled * 10**exponent, 0) if exponent > 0 else (unscaled, -exponent)


def _variable_scale(value: Any) -> bytes:
    unscaled, scale = _unscaled(value)
    return avro.long(scale) + avro.data(avro.twos_complement(unscaled))


def _boolean(value: Any) -> bytes:
    if value not in (0, 1):
        raise NoForm(str(value))
    return avro.boolean(bool(value))


def _double(value: Any) -> bytes:
    if isinstance(value, bool) or not isinstance(value, int | float) or float(value) != value == value:
        raise NoForm(str(value))
    return avro.double(float(value))


def _float(value: Any) -> bytes:
    # Drivers widen 32 bits to the nearest short decimal: narrowing it gives the column's own bits back.
    if isinstance(value, bool) or not isinstance(value, float):
        raise NoForm(str(value))
    try:
        return avro.float_(value)
    except OverflowError:
        raise NoForm(str(value)) from None


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise NoForm(str(value))
    try:
        return avro.text(value)
    except UnicodeEncodeError:
        raise NoForm(ascii(value)) from None


def _binary(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise NoForm(str(value))
    return avro.data(bytes(value))


def _uuid(value: Any) -> bytes:
    return avro.text(str(value)) if isinstance(value, UUID) else _text(value)


def _date(value: Any) -> bytes:
    if isinstance(value, str):
        value = _parsed(date.fromisoformat, value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise NoForm(str(value))
    return avro.long(value.toordinal() - _EPOCH_DAY)


def _time(value: Any) -> bytes:
    if isinstance(value, str):
        value = _parsed(time.fromisoformat, value)
    if isinstance(value, time) and value.tzinfo is None:
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return avro.long(seconds * 1_000_000 + value.microsecond)
    if isinstance(value, timedelta) and timedelta(0) <= value < _DAY:  # MySQL's drivers
        return avro.long(value // _MICROSECOND)
    raise NoForm(str(value))


def _timestamp(value: Any) -> bytes:
    if isinstance(value, str):
        value = _parsed(datetime.fromisoformat, value)
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise NoForm(str(value))
    return avro.long((value - _EPOCH) // _MICROSECOND)


def _zoned(value: Any) -> bytes:
    """ISO 8601 in UTC with six digits always, so that texts compare as instants do."""
    if isinstance(value, str):
        value = _parsed(datetime.fromisoformat, value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise NoForm(str(value))
    try:
        instant = value.astimezone(UTC)
    except OverflowError:
        raise NoForm(str(value)) from None
    return avro.text(instant.strftime("%Y").zfill(4) + instant.strftime("-%m-%dT%H:%M:%S.%fZ"))


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError:  # infinities, BC, and years beyond 9999
        raise NoForm(text) from None


VARIABLE_SCALE_DECIMAL: dict[str, Any] = {
    "type": "record",
    "name": "VariableScaleDecimal",
    "namespace": "io.debezium.data",
    "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
    "connect.doc": "Variable scaled decimal",
    "connect.version": 1,
    "connect.name": "io.debezium.data.VariableScaleDecimal",
}

BOOLEAN = Form("boolean", _boolean)
INT16 = integer({"type": "int", "connect.type": "int16"}, 16)
INT32 = integer("int", 32)
INT64 = integer("long", 64)
FLOAT = Form("float", _float)
DOUBLE = Form("double", _double)
VARIABLE_DECIMAL = Form(VARIABLE_SCALE_DECIMAL, _variable_scale)
TEXT = Form("string", _text)
BINARY = Form("bytes", _binary)
UUID_TEXT = Form(semantic("string", "io.debezium.data.Uuid"), _uuid)
JSON_TEXT = Form(semantic("string", "io.debezium.data.Json"), _text)
DATE = Form(semantic("int", "io.debezium.time.Date"), _date)
TIME = Form(semantic("long", "io.debezium.time.MicroTime"), _time)
TIMESTAMP = Form(semantic("long", "io.debezium.time.MicroTimestamp"), _timestamp)
ZONED_TIMESTAMP = Form(semantic("string", "io.debezium.time.ZonedTimestamp"), _zoned)


def enum(labels: tuple[str, ...]) -> Form:
    """One of the labels, as text; the schema lists them."""
    return Form(semantic("string", "io.debezium.data.Enum", {"allowed": ",".join(labels)}), _text)
