"""What a flat Avro schema is, and what its writers and readers share.

Our records are flat: strings, integers, booleans, bytes, dates, timestamps and decimals, lists of
strings, maps of bytes and records of the same, each perhaps a union with null. Most values come again
and again (ids, days, currencies, prices, the times of one change), so what was encoded or decoded lately
is remembered: a look-up instead of a conversion. Bytes and values are exactly those of the general
codec, which serves all other schemas.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
# Values remembered per kind; then the memory is emptied, which costs less than to keep count of their use.
REMEMBERED: Final = 16_384


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
