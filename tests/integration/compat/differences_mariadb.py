"""What our MariaDB source writes otherwise than Debezium's connector, on purpose. All else is equal.

Read as `integration.compat.differences`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from integration.compat import differences
from integration.compat.differences import Rule

# In every change of the stream.
STREAM: dict[str, Rule] = differences.STREAM
# Besides, in what the snapshot writes.
SNAPSHOT: dict[str, Rule] = {
    **STREAM,
    # Each takes a snapshot at its own time, which Debezium tells in whole seconds.
    "source.ts_ms": lambda ours, theirs: ours != theirs and theirs % 1_000 == 0,
    "source.ts_us": lambda ours, theirs: ours != theirs and theirs % 1_000_000 == 0,
    "source.ts_ns": lambda ours, theirs: ours != theirs and theirs % 1_000_000_000 == 0,
    "source.server_id": lambda ours, theirs: (ours, theirs) == (1, 0),
    "source.snapshot": differences.SNAPSHOT["source.snapshot"],
}


@dataclass(frozen=True)
class Form:
    """A column whose form differs: a value, ours, and Debezium's in the snapshot and in the stream."""

    literal: str
    ours: Any
    snapshot: Any
    stream: Any


_POINT = bytes.fromhex("0101000000000000000000f03f0000000000000040")
_UNDEFINED = "\x81\x8d\x8f\x90\x9d"
_TIME = 1709210096123000

TYPES: dict[str, Form] = {
    # Debezium's long is negative from 2**63 on.
    "bigint unsigned": Form("18446744073709551615", Decimal(2**64 - 1), -1, -1),
    # One form for all precisions, so that a changed precision changes no schema.
    "datetime(3)": Form("'2024-02-29 12:34:56.123'", _TIME, _TIME // 1000, _TIME // 1000),
    "datetime": Form(
        "'2024-02-29 12:34:56'", _TIME // 10**6 * 10**6, _TIME // 10**6 * 10**3, _TIME // 10**6 * 10**3
    ),
    "timestamp(3)": Form(
        "'2024-02-29 12:34:56.120'",
        "2024-02-29T12:34:56.120000Z",
        "2024-02-29T12:34:56.12Z",
        "2024-02-29T12:34:56.120Z",
    ),
    "timestamp": Form(
        "'2024-02-29 12:34:56'",
        "2024-02-29T12:34:56.000000Z",
        "2024-02-29T12:34:56Z",
        "2024-02-29T12:34:56Z",
    ),
    # What SELECT shows of a float has six digits.
    "float": Form("16777217", 16777216.0, 16777200.0, 16777216.0),
    # All bytes of MariaDB's latin1 are characters; in Java some of windows-1252 are not.
    "varchar(9) character set latin1": Form("_latin1 x'818d8f909d'", _UNDEFINED, _UNDEFINED, "\ufffd" * 5),
    # The server's own bytes.
    "point": Form(
        "ST_GeomFromText('POINT(1 2)', 4326)",
        b"\xe6\x10\0\0" + _POINT,
        {"x": 1.0, "y": 2.0, "wkb": _POINT, "srid": 4326},
        {"x": 1.0, "y": 2.0, "wkb": _POINT, "srid": 4326},
    ),
}
# Columns of which the value is the same and the schema is not: ours says that text is JSON, and that a
# number is stored in four bytes.
SCHEMAS: dict[str, tuple[Any, Any]] = {
    "json": (
        {"type": "string", "connect.version": 1, "connect.name": "io.debezium.data.Json"},
        "string",
    ),
    "float(10,3)": ("float", "double"),
}
