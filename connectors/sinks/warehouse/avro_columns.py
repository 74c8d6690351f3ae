"""Columns from Avro fields, so that no type of a contract is written a second time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

_PRIMITIVES: dict[str, type[TypeEngine[Any]]] = {
    "string": Text,
    "long": BigInteger,
    "int": Integer,
    "boolean": Boolean,
    "bytes": LargeBinary,
}


def column_of(field: dict[str, Any], name: str, *, primary_key: bool = False) -> Column[Any]:
    """The column of an Avro field: nullable if and only if the field is a union with null."""
    avro_type = field["type"]
    branches = avro_type if isinstance(avro_type, list) else [avro_type]
    nullable = "null" in branches
    (value_type,) = [branch for branch in branches if branch != "null"]
    return Column(
        name,
        sql_type(value_type),
        nullable=nullable,
        primary_key=primary_key,
        autoincrement=False,
        comment=field.get("doc"),
    )


def sql_type(avro_type: Any) -> TypeEngine[Any]:
    """The SQL type of an Avro type; `ValueError` for a type that published records may not use."""
    match avro_type:
        case str() if avro_type in _PRIMITIVES:
            return _PRIMITIVES[avro_type]()
        case {"logicalType": "decimal", "precision": precision, "scale": scale}:
            return Numeric(int(precision), int(scale))
        case {"logicalType": "date"}:
            return Date()
        case {"logicalType": "timestamp-micros"}:
            return DateTime(timezone=True)
        case {"type": "array", "items": "string"}:
            return ARRAY(Text)
    raise ValueError(f"no column type for Avro type {avro_type!r}")
