"""What our PostgreSQL source writes otherwise than Debezium's connector, on purpose. All else is equal.

A path names a place in the envelope; a rule says what the two values are to each other. The tests
apply a rule instead of an equality, so an entry that is no longer true fails as well as a missing one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Rule = Callable[[Any, Any], bool]  # ours, Debezium's


def _json(text: str) -> list[str | None]:
    parsed = json.loads(text)
    assert isinstance(parsed, list)
    return parsed


# In every change of the stream.
STREAM: dict[str, Rule] = {
    # The version of the writer: each has its own.
    "source.version": lambda ours, theirs: ours != theirs and theirs.startswith("3."),
    # The prefix of the topics, of which the tests give each its own.
    "source.name": lambda ours, theirs: theirs == f"{ours}_dbz",
    # When each connector saw the change.
    **{
        name: lambda ours, theirs: 0 < abs(ours - theirs) < 120 * 10**9
        for name in ("ts_ms", "ts_us", "ts_ns")
    },
}
# Besides, in what the snapshot writes.
SNAPSHOT: dict[str, Rule] = {
    **STREAM,
    # Each takes a snapshot of its own, at its own time and place of the log.
    **{
        name: lambda ours, theirs: ours != theirs for name in ("source.ts_ms", "source.ts_us", "source.ts_ns")
    },
    "source.lsn": lambda ours, theirs: ours != theirs,
    "source.sequence": lambda ours, theirs: _json(ours)[0] is None and _json(theirs)[0] is None,
    # Debezium names the transaction that was the newest; a snapshot is of none.
    "source.txId": lambda ours, theirs: ours is None and theirs is not None,
    # Debezium marks the first and the last row of each table as well; we the last of all only.
    "source.snapshot": lambda ours, theirs: ours in ("true", "last") and theirs in _SNAPSHOT_MARKS,
}
_SNAPSHOT_MARKS = ("true", "first", "first_in_data_collection", "last_in_data_collection", "last")

# Fields of the source block that only Debezium has; null unless the change was replicated to there.
ONLY_THEIRS = {"source.origin", "source.origin_lsn"}

# Headers that each adds; a change of key names the other key in the same header: we as the framed
# key, Debezium as JSON.
OUR_HEADERS = "tallystream."
THEIR_HEADERS = "__debezium.context."

# Types of which ours keeps what Debezium's form loses: column type → literal, ours, Debezium's.
TYPES: dict[str, tuple[str, Any, Any]] = {
    # One form for all precisions, so that a changed precision changes no schema.
    "timestamp(3)": ("2024-02-29 12:34:56.123", 1709210096123000, 1709210096123),
    # Months are not days: Debezium counts 30.4375 of them for one.
    "interval": ("1 mon 2 hours", "P1MT2H", 2_637_000_000_000),
    # Zeros at the end say how exact a number is: Debezium cuts them off.
    "numeric": ("1.2340", {"scale": 4, "value": b"\x30\x34"}, {"scale": 3, "value": b"\x04\xd2"}),
    # The offset is a part of the value: Debezium moves the time to UTC.
    "time with time zone": ("12:00:00+02", "12:00:00+02", "10:00:00Z"),
}
