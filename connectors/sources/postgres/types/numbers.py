"""Numbers and booleans, from PostgreSQL's text to Avro bytes."""

from __future__ import annotations

import functools
import re
from decimal import Decimal
from typing import Any

from connectors.sources import avro
from connectors.sources.postgres.types.values import MEMO, ColumnType, SpecialValue

_VARHDRSZ = 4  # added by PostgreSQL to the modifier of numeric
_MONEY_PRECISION = 19  # of the 64 bits that money is
_INT_DIGITS = 4000  # `int` refuses texts of more than 4300 digits; numeric has up to 147,455
_NOT_DIGITS = re.compile(rb"[^0-9]+")
_MINUS = (b"-", b"(", "\u2212".encode())


@functools.lru_cache(MEMO)
def integer(raw: bytes) -> bytes:
    """An integer of any size up to 64 bits."""
    return avro.long(int(raw))


def boolean(raw: bytes) -> bytes:
    """``t`` or ``f``."""
    return avro.boolean(raw == b"t")


def float_(raw: bytes) -> bytes:
    """A real; Python reads NaN and Infinity as PostgreSQL writes them."""
    return avro.float_(float(raw))


def double(raw: bytes) -> bytes:
    """A double precision."""
    return avro.double(float(raw))


def _unscaled(raw: bytes) -> tuple[int, int]:
    """``-12.50`` → (-1250, 2); `SpecialValue` for NaN and the infinities."""
    whole, _, fraction = raw.partition(b".")
    digits = whole + fraction
    if len(digits) > _INT_DIGITS:
        return int(Decimal(digits.decode("ascii"))), len(fraction)
    try:
        return int(digits), len(fraction)
    except ValueError:
        raise SpecialValue from None


def _decimal(precision: int, scale: int) -> dict[str, Any]:
    return {
        "type": "bytes",
        "scale": scale,
        "precision": precision,
        "connect.version": 1,
        "connect.parameters": {"scale": str(scale), "connect.decimal.precision": str(precision)},
        "connect.name": "org.apache.kafka.connect.data.Decimal",
        "logicalType": "decimal",
    }


def numeric(typmod: int) -> ColumnType:
    """numeric, with precision and scale where its modifier has them."""
    if typmod < _VARHDRSZ:
        return ColumnType(VARIABLE_SCALE_DECIMAL, _variable_scale)
    precision = (typmod - _VARHDRSZ) >> 16 & 0xFFFF
    scale = ((typmod - _VARHDRSZ & 0x7FF) ^ 1024) - 1024  # eleven bits, signed since PostgreSQL 15
    # Avro knows neither a negative scale nor one above the precision: widen the precision instead.
    precision = max(precision - min(scale, 0), scale)
    scale = max(scale, 0)

    @functools.lru_cache(MEMO)
    def encode(raw: bytes) -> bytes:
        unscaled, digits = _unscaled(raw)
        if digits != scale:  # a rewrite of the column's scale is under way: exact, or kept aside
            if digits > scale:
                raise SpecialValue
            unscaled *= 10 ** (scale - digits)
        return avro.data(avro.twos_complement(unscaled))

    return ColumnType(_decimal(precision, scale), encode)


VARIABLE_SCALE_DECIMAL: dict[str, Any] = {
    "type": "record",
    "name": "VariableScaleDecimal",
    "namespace": "io.debezium.data",
    "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
    "connect.doc": "Variable scaled decimal",
    "connect.version": 1,
    "connect.name": "io.debezium.data.VariableScaleDecimal",
}


@functools.lru_cache(MEMO)
def _variable_scale(raw: bytes) -> bytes:
    unscaled, scale = _unscaled(raw)
    return avro.long(scale) + avro.data(avro.twos_complement(unscaled))


def money(fraction: int) -> ColumnType:
    """money as a decimal with ``fraction`` digits after the point, as many as the server's locale has.

    The text is the locale's: currency, grouping and point vary, but its digits are always those of
    the 64-bit integer behind it, and a minus or a parenthesis marks a negative one.
    """
    return ColumnType(_decimal(_MONEY_PRECISION, fraction), _money)


@functools.lru_cache(MEMO)
def _money(raw: bytes) -> bytes:
    value = int(_NOT_DIGITS.sub(b"", raw))
    return avro.data(avro.twos_complement(-value if any(sign in raw for sign in _MINUS) else value))
