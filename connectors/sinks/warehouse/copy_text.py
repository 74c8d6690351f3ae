"""Values in PostgreSQL's COPY text format. Pure.

Written by hand because it decides the sink's throughput: a ledger line has 37 values, and the loop
over them is the one thing done for each of them here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Boolean, Date, DateTime, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

NULL = "\\N"
Encode = Callable[[Any], str]


def encoders(table: Table, columns: Sequence[str]) -> list[Encode]:
    """One encoder for each column, for values that are not null."""
    return [_encoder(table.c[column].type) for column in columns]


def line(values: Sequence[Any], encode: Sequence[Encode]) -> str:
    """One row, with its line end. `ValueError`, `TypeError` or `AttributeError` if a value does not fit."""
    return "\t".join([NULL if v is None else e(v) for v, e in zip(values, encode, strict=True)]) + "\n"


def text(value: str) -> str:
    """A string, escaped."""
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if "\t" in value or "\n" in value or "\r" in value:
        value = value.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    if "\0" in value:
        raise ValueError("text with a NUL character, which PostgreSQL can't store")
    return value


def _encoder(column_type: Any) -> Encode:
    match column_type:
        case Text():
            return text
        case Boolean():
            return _boolean
        case DateTime():
            return _instant
        case Date():
            return _day
        case LargeBinary():
            return _binary
        case ARRAY():
            return _array
    return str


def _boolean(value: bool) -> str:
    return "t" if value else "f"


def _day(value: date) -> str:
    return value.isoformat()


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("a time without a zone")
    return value.isoformat()


def _binary(value: bytes) -> str:
    return "\\\\x" + value.hex()


def _array(value: Sequence[str]) -> str:
    quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in value)
    return text("{" + ",".join(f'"{item}"' for item in quoted) + "}")
