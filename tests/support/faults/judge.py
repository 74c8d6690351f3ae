"""The judge: a table and its topic, folded by key, compared row by row; and repeats counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from integration.sources.harness import Capture, Message, assert_positions_grow

UNCHANGED = "tallystream.unchanged"
Row = tuple[Any, ...]


@dataclass
class Verdict:
    """What a comparison of all tables found."""

    rows: int = 0
    """Of the tables, all of them compared."""
    different: int = 0
    """Rows that only one side has, or that differ."""
    records: int = 0
    repeats: int = 0
    """Records whose position another record has, too."""
    messages: dict[str, list[Message]] = field(default_factory=dict)

    def assert_exact(self) -> None:
        """Nothing lost, nothing altered, nothing twice: of rows that there are."""
        assert self.rows > 0
        assert (self.different, self.repeats) == (0, 0)


def compare(capture: Capture, tables: tuple[str, ...]) -> Verdict:
    """Compare each table with what the committed records of its topic make of it."""
    verdict = Verdict()
    seen: Counter[Row] = Counter()
    with psycopg.connect(capture.dsn, options=f"-c search_path={capture.name}") as sql:
        for table in tables:
            cursor = sql.execute(f"SELECT * FROM {table}")
            columns = [one.name for one in cursor.description or ()]
            expected = Counter(cursor.fetchall())
            messages = verdict.messages[table] = capture.messages(table)
            found = fold(messages, columns)
            verdict.rows += expected.total()
            verdict.different += difference(expected, found)
            verdict.records += len(messages)
            seen.update(positions(messages))
            assert_positions_grow(messages)
    verdict.repeats = seen.total() - len(seen)
    return verdict


def difference(expected: Counter[Row], found: Counter[Row]) -> int:
    """Rows that are missing, too many or altered; an altered one is both, and counted once."""
    return max((expected - found).total(), (found - expected).total())


def positions(messages: list[Message]) -> Iterator[Row]:
    """Of each change; its tombstone shares it, and a truncate is in each partition."""
    for message in messages:
        if message.value is not None:
            yield (*message.position, message.partition if message.value["op"] == "t" else None)


def fold(messages: list[Message], columns: list[str]) -> Counter[Row]:
    """The rows that a consumer holds in the end: by key, or counted where there is none.

    A value that an update left out is what the row had before.
    """
    keyed: dict[str, dict[str, Any]] = {}
    counted: Counter[Row] = Counter()
    # Records without a key are on any partition, in the order of their positions.
    for message in sorted(messages, key=lambda one: (one.position if one.key is None else (), one.offset)):
        if message.value is None:
            continue
        before, after = message.value["before"], message.value["after"]
        if message.value["op"] == "t":
            assert not keyed  # in the loads only a table without a key is truncated: by its snapshot
            counted.clear()
        elif message.key is None:
            counted.update([_row(after, columns)] if after is not None else [])
            counted.subtract([_row(before, columns)] if before is not None else [])
        elif after is None:
            keyed.pop(str(message.key), None)
        else:
            kept = json.loads(message.headers.get(UNCHANGED, b"[]"))
            known = keyed.get(str(message.key), {})
            keyed[str(message.key)] = {**after, **{one: known[one] for one in kept if after[one] is None}}
    assert all(count >= 0 for count in counted.values()), "a row went that was not there"
    return +counted + Counter(_row(row, columns) for row in keyed.values())


def _row(row: dict[str, Any], columns: list[str]) -> Row:
    """In the order of ``columns``; a time with its zone is a text in records."""
    return tuple(
        datetime.fromisoformat(row[one]) if one == "at" and row.get(one) is not None else row.get(one)
        for one in columns
    )
