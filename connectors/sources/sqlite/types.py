"""SQLite's columns as Avro, by their affinity: lossless for every value a column may hold.

SQLite types values, not columns. A value of another storage class than its column's affinity says
(a text in an INTEGER column) goes to the header of special values as the literal that SQLite's
``quote`` would write.

    affinity or declared type      Avro
    INTEGER                        long
    REAL                           double
    TEXT                           string
    BLOB                           bytes
    DECIMAL(p,s), NUMERIC(p,s)     Connect's Decimal; a stored real by its shortest decimal text
    NUMERIC otherwise              VariableScaleDecimal
    BOOLEAN                        boolean
    DATE, TIME, DATETIME …         string that names the type: SQLite has no such type, only texts and numbers
    none, ANY                      string, the literal of the value
"""

from __future__ import annotations

import re
from typing import Any

from connectors.sources import avro
from connectors.sources.polling.values import (
    BINARY,
    BOOLEAN,
    DOUBLE,
    INT64,
    TEXT,
    VARIABLE_DECIMAL,
    Form,
    NoForm,
    decimal,
    named_text,
)

_DECIMAL = re.compile(r"(?:DEC|NUM)[A-Z ]*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")


def form_of(declared: str) -> Form:
    """The form of a column by its declared type."""
    name = declared.upper().strip()
    if name in ("", "ANY"):
        return Form(named_text("any").schema, lambda value: avro.text(literal(value)))
    form = _by_affinity(name)

    def encode(value: Any) -> bytes:
        try:
            return form.encode(value)
        except NoForm:
            raise NoForm(literal(value)) from None

    return Form(form.schema, encode)


def _by_affinity(name: str) -> Form:
    """The rules of SQLite's documentation, in their order."""
    if "INT" in name:
        return INT64
    if any(part in name for part in ("CHAR", "CLOB", "TEXT")):
        return TEXT
    if "BLOB" in name:
        return BINARY
    if any(part in name for part in ("REAL", "FLOA", "DOUB")):
        return DOUBLE
    if "BOOL" in name:
        return BOOLEAN
    if "DATE" in name or "TIME" in name:
        text = named_text(name)
        # Numeric affinity turns texts that are numbers into numbers: writing them as text is no loss.
        return Form(
            text.schema,
            lambda value: text.encode(repr(value) if isinstance(value, int | float) else value),
        )
    match = _DECIMAL.match(name)
    return VARIABLE_DECIMAL if match is None else decimal(int(match.group(1)), int(match.group(2) or 0))


def literal(value: Any) -> str:
    """The value as SQL: ``5``, ``0.1``, ``'text'``, ``x'00ff'``, or a cast of bytes that are no UTF-8."""
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"CAST(x'{value.encode(errors='surrogateescape').hex()}' AS TEXT)"
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def decode_text(raw: bytes) -> str:
    """A text as SQLite has it: bytes that are no UTF-8 are kept, as lone surrogates."""
    return raw.decode(errors="surrogateescape")
