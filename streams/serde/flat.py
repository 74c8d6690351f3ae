"""What a flat Avro schema is, and what its writers and readers share.

Our records are flat: strings, integers, booleans, bytes, dates, timestamps and decimals, lists of
strings, maps of bytes and records of the same, each perhaps a union with null. Most values come again
and again (ids, days, currencies, prices, the times of one change), so what was encoded or decoded lately
is remembered: a look-up instead of a conversion. Bytes and values are exactly those of the general
codec, which serves all other schemas.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
# Values remembered per kind; then the memory is emptied, which costs less than to keep count of their use.
REMEMBERED: Final = 16_384


def as_decoded(schema: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """From a record that is encoded to what a reader decodes: all fields, and decimals in the schema's scale."""
    fields = fields_of(schema)
    defaults = {field["name"]: field.get("default") for field in fields}
    exponents = {}
    for field in fields:
        _, kind = split_union(field["type"])
        if name_of(kind) == "decimal":
            exponents[field["name"]] = Decimal(1).scaleb(-kind.get("scale", 0))

    def complete(record: dict[str, Any]) -> dict[str, Any]:
        whole = {**defaults, **record}
        for name, exponent in exponents.items():
            value = whole[name]
            if value is not None and not value.same_quantum(exponent):
                whole[name] = value.quantize(exponent)
        return whole

    return complete


def fields_of(schema: Any) -> list[dict[str, Any]]:
    """The fields of a record schema; none for anything else."""
    return list(schema["fields"]) if isinstance(schema, dict) and schema.get("type") == "record" else []


def split_union(kind: Any) -> tuple[bool, Any]:
    """Whether it is a union of null and something, and the something."""
    if isinstance(kind, list):
        return (True, kind[1]) if len(kind) == 2 and kind[0] == "null" else (False, None)
    return False, kind


def name_of(kind: Any) -> str | None:
    """A name of what we know, None for what we don't."""
    if isinstance(kind, dict):
        base, logical = kind["type"], kind.get("logicalType")
        if base == "array":
            return "strings" if kind.get("items") == "string" else None
        if base == "map":
            return "map" if kind.get("values") == "bytes" else None
        if base == "record":
            return "record"
        if logical is not None:
            known = {("int", "date"), ("long", "timestamp-micros"), ("bytes", "decimal")}
            return str(logical) if (base, logical) in known else None
        kind = base
    return kind if kind in ("string", "int", "long", "boolean", "bytes") else None
