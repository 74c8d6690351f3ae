"""What tests of large transactions share."""

from __future__ import annotations

from typing import Any

from integration.sources.harness import (
    Capture,
    Message,
    assert_no_position_twice,
    assert_positions_grow,
    read_topic,
)

LINE = "CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text)"
COLUMNS = ("id", "cost", "note")
FEW = {"spill_after": 1024}


def streamed(capture: Capture, work_mem: str = "64kB") -> str:
    """The DSN of a source to which transactions beyond 64 KB come while they are in progress."""
    return f"{capture.dsn}?options=-c%20logical_decoding_work_mem%3D{work_mem}"


def large(capture: Capture, rows: int = 5000, first: int = 1) -> None:
    """One transaction of inserts, updates of a fifth of them, changes of key and deletes."""
    with capture.sql.transaction():
        capture.sql.execute(
            "INSERT INTO line SELECT %s::int + i, 0, 'note ' || i FROM generate_series(0, %s - 1) i",
            [first, rows],
        )
        capture.sql.execute("UPDATE line SET cost = id WHERE id %% 5 = 0 AND id >= %s", [first])
        capture.sql.execute("UPDATE line SET id = -id WHERE id %% 50 = 1 AND id >= %s", [first])
        capture.sql.execute("DELETE FROM line WHERE id %% 50 = 2 AND id >= %s", [first])


def check(capture: Capture) -> list[Message]:
    """The topic folds to the table, by all changes and by the last ones alone; each change is there once."""
    messages = capture.messages("line")
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)
    states: dict[int, list[Any]] = {}
    for message in messages:
        if message.value is not None and message.last:
            states.setdefault(message.key["id"], []).append(message)
    last = {key: found[-1].value["after"] for key, found in states.items()}
    rows = {key: tuple(row[column] for column in COLUMNS) for key, row in last.items() if row is not None}
    assert rows == capture.rows("line", *COLUMNS)
    return messages


def last_once(messages: list[Message]) -> None:
    """Within a source transaction each key has exactly one last state."""
    seen: set[tuple[int, int]] = set()
    keys: set[tuple[int, int]] = set()
    for message in messages:
        if message.value is not None and message.value["op"] != "r":
            one = (message.position[1], message.key["id"])
            keys.add(one)
            if message.last:
                assert one not in seen, f"{message} is a second last state"
                seen.add(one)
    assert seen == keys


def metadata(capture: Capture) -> list[dict[str, Any]]:
    """The values of the transaction topic, by partition and offset."""
    found = read_topic(capture.stack.broker.bootstrap, f"cdc.{capture.name}.transaction")
    return [capture._decode(message.value()) for message in found]
