"""Logical types: which ones can be, and when one can be read as another.

PyPI's ``avro`` ignores them when it compares schemas, so a changed scale, which moves the decimal
point of every amount, would count as compatible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

DECIMAL = "decimal"

# Logical types that change what a value means, by the types they may annotate. Others, `uuid` among
# them, are notes about a value that reads the same without them.
BASES: Mapping[str, frozenset[str]] = {
    DECIMAL: frozenset({"bytes", "fixed"}),
    "date": frozenset({"int"}),
    "time-millis": frozenset({"int"}),
    "time-micros": frozenset({"long"}),
    "timestamp-millis": frozenset({"long"}),
    "timestamp-micros": frozenset({"long"}),
    "timestamp-nanos": frozenset({"long"}),
    "local-timestamp-millis": frozenset({"long"}),
    "local-timestamp-micros": frozenset({"long"}),
    "local-timestamp-nanos": frozenset({"long"}),
    "duration": frozenset({"fixed"}),
}
LOG_2 = math.log10(2)  # decimal digits that a bit holds
DURATION_SIZE = 12  # bytes: months, days, milliseconds


def logical_problem(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with the schema's logical type, or None."""
    logical = _logical(schema)
    if logical is None:
        return None
    kind = schema["type"]
    if kind not in BASES[logical]:
        return f"logical type {logical} needs {' or '.join(sorted(BASES[logical]))}, not {kind}"
    if logical == "duration" and schema["size"] != DURATION_SIZE:
        return f"logical type duration needs {DURATION_SIZE} bytes"
    return _decimal_problem(schema) if logical == DECIMAL else None


def misreading(reader: Any, writer: Any) -> str | None:
    """Why a reader would take the writer's values for others, or None.

    Both are schemas without parts (primitive or fixed) that are compatible apart from logical types.
    """
    read, written = _logical(reader), _logical(writer)
    if read != written:
        return f"{written or 'plain ' + _kind(writer)} read as {read or 'plain ' + _kind(reader)}"
    if read != DECIMAL:
        return None
    scales = writer.get("scale", 0), reader.get("scale", 0)
    if scales[0] != scales[1]:
        return f"decimal scale {scales[0]} read as {scales[1]}"
    if reader["precision"] < writer["precision"]:
        return f"decimal precision {writer['precision']} read as {reader['precision']}, which is less"
    return None


def _logical(schema: Any) -> str | None:
    logical = schema.get("logicalType") if isinstance(schema, Mapping) else None
    return logical if isinstance(logical, str) and logical in BASES else None


def _kind(schema: Any) -> str:
    return schema if isinstance(schema, str) else str(schema["type"])


def _decimal_problem(schema: Mapping[str, Any]) -> str | None:
    precision, scale = schema.get("precision"), schema.get("scale", 0)
    if not _is_int(precision) or precision < 1:
        return f"decimal needs a precision of at least 1, not {precision!r}"
    if not _is_int(scale) or not 0 <= scale <= precision:
        return f"decimal scale {scale!r} is not between 0 and the precision {precision}"
    if schema["type"] == "fixed" and precision > int((8 * schema["size"] - 1) * LOG_2):
        return f"{precision} digits don't fit in {schema['size']} bytes"
    return None


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
