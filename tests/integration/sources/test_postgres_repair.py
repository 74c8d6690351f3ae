"""Repairing a source whose slot was lost: the difference is published, and streaming goes on."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest
from integration.sources.harness import (
    Capture,
    Message,
    assert_no_position_twice,
    assert_positions_grow,
    fold,
    wait_until,
)

from streams.errors import ConfigurationError, PositionLost

COLUMNS = ("id", "cost", "note")
LINE = "CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text)"


def since(messages: list[Message], epoch: int) -> list[Message]:
    return sorted(
        (m for m in messages if m.position[0] >= epoch), key=lambda m: (m.position, m.value is None)
    )


@pytest.fixture
def line(capture: Capture) -> Capture:
    """A captured table of 300 rows, under the given replica identity."""
    capture.sql.execute(LINE)
    capture.sql.execute("ALTER TABLE line REPLICA IDENTITY FULL")
    capture.sql.execute("INSERT INTO line SELECT i, i, 'old' FROM generate_series(1, 300) i")
    capture.run_once()
    return capture


def lose(capture: Capture, how: str) -> None:
    """The slot is gone, made again, or advanced, after changes that nobody has read."""
    if how == "advanced":
        wait_until(lambda: not capture.slot_active())
        capture.sql.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", [capture.slot()])
        return
    capture.drop_slot()
    if how == "recreated":
        capture.sql.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [capture.slot()])


@pytest.mark.parametrize("how", ["dropped", "recreated", "advanced"])
def test_only_the_difference_is_published(line: Capture, how: str) -> None:
    """Rows changed, inserted, deleted and given another key while nobody listened; the others not at all."""
    line.sql.execute("UPDATE line SET cost = 7 WHERE id = 1")
    line.sql.execute("INSERT INTO line VALUES (1000, 1, 'new')")
    line.sql.execute("DELETE FROM line WHERE id = 2")
    line.sql.execute("UPDATE line SET id = -3 WHERE id = 3")
    lose(line, how)
    with pytest.raises(PositionLost, match="source repair"):
        line.run_once()
    repaired = line.repair()
    assert repaired is not None
    assert repaired.tables[f"{line.name}.line"] == {"rows": 300, "c": 2, "u": 1, "d": 2}
    messages = line.messages("line")
    found = since(messages, 2)
    changes = {(m.value["op"], m.key["id"]) for m in found if m.value is not None}
    assert changes == {("u", 1), ("c", 1000), ("c", -3), ("d", 2), ("d", 3)}
    assert {m.key["id"] for m in found if m.value is None} == {2, 3}
    assert {m.value["source"]["snapshot"] for m in found if m.value} == {"incremental"}
    (update,) = (m for m in found if m.value and m.value["op"] == "u")
    assert (str(update.value["before"]["cost"]), str(update.value["after"]["cost"])) == ("1.00", "7.00")
    (delete,) = (m for m in found if m.value and m.value["op"] == "d" and m.key["id"] == 2)
    assert delete.value["before"]["note"] == "old"
    assert delete.value["after"] is None
    assert fold(messages, *COLUMNS) == line.rows("line", *COLUMNS)
    assert_positions_grow(messages)
    assert_no_position_twice(messages)
    # and the stream goes on
    line.sql.execute("UPDATE line SET note = 'later' WHERE id = 5")
    line.run_once()
    messages = line.messages("line")
    assert since(messages, 2)[-1].key["id"] == 5
    assert fold(messages, *COLUMNS) == line.rows("line", *COLUMNS)


def test_without_a_gap_nothing_is_done(line: Capture) -> None:
    """No record, the slot and the position as they were; with force a difference of nothing."""
    before, slot = line.progress(), line.slots()
    assert line.repair() is None
    assert (line.progress(), line.slots()) == (before, slot)
    forced = line.repair(force=True)
    assert forced is not None
    assert forced.tables[f"{line.name}.line"] == {"rows": 300, "c": 0, "u": 0, "d": 0}
    assert line.progress().epoch == before.epoch + 1
    line.sql.execute("INSERT INTO line VALUES (1000, 1, 'new')")
    line.run_once()
    assert line.folded("line", *COLUMNS) == line.rows("line", *COLUMNS)


def test_before_a_first_snapshot_there_is_nothing_to_repair(capture: Capture) -> None:
    """One line that says what to run."""
    capture.sql.execute(LINE)
    with pytest.raises(ConfigurationError, match="tallystream source run"):
        capture.repair()


def test_values_that_avro_cannot_hold_are_compared_too(capture: Capture) -> None:
    """NaN and infinities are texts in a header: equal ones are no difference, changed ones are."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, at timestamptz)")
    capture.sql.execute("ALTER TABLE line REPLICA IDENTITY FULL")
    capture.sql.execute(
        "INSERT INTO line VALUES (1, 'NaN', 'infinity'), (2, 5, 'infinity'), (3, 'NaN', now())"
    )
    capture.run_once()
    capture.sql.execute("UPDATE line SET at = '-infinity' WHERE id = 2")
    capture.sql.execute("UPDATE line SET cost = 3 WHERE id = 3")
    capture.sql.execute("INSERT INTO line VALUES (4, 'NaN', NULL)")
    capture.drop_slot()
    repaired = capture.repair()
    assert repaired is not None
    assert repaired.tables[f"{capture.name}.line"] == {"rows": 4, "c": 1, "u": 2, "d": 0}
    special = {m.key["id"]: m.headers.get("tallystream.special") for m in since(capture.messages("line"), 2)}
    assert special[2] == b'{"after.at": "-infinity", "before.at": "infinity"}'
    assert special[3] == b'{"before.cost": "NaN"}'
    assert special[4] == b'{"after.cost": "NaN"}'
    again = capture.repair(force=True)
    assert again is not None
    assert again.tables[f"{capture.name}.line"] == {"rows": 4, "c": 0, "u": 0, "d": 0}


def test_large_values_that_the_log_left_out_are_known(capture: Capture) -> None:
    """Under REPLICA IDENTITY DEFAULT an update omits unchanged TOASTed values: no difference by itself."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, note text, big text)")
    capture.sql.execute("ALTER TABLE line ALTER big SET STORAGE EXTERNAL")
    capture.sql.execute("INSERT INTO line SELECT i, 'a', repeat(i::text, 9000) FROM generate_series(1, 4) i")
    capture.run_once()
    capture.sql.execute("UPDATE line SET note = 'b' WHERE id < 4")
    capture.run_once()
    capture.sql.execute("UPDATE line SET big = repeat('z', 9000) WHERE id = 2")
    capture.drop_slot()
    repaired = capture.repair()
    assert repaired is not None
    assert repaired.tables[f"{capture.name}.line"] == {"rows": 4, "c": 0, "u": 1, "d": 0}


def test_a_truncate_that_was_missed(line: Capture) -> None:
    """And one that was not: what the topic held before it does not come back."""
    line.sql.execute("TRUNCATE line")
    line.sql.execute("INSERT INTO line VALUES (1, 1, 'old'), (2, 9, 'new')")
    line.run_once()
    line.sql.execute("TRUNCATE line")
    line.sql.execute("INSERT INTO line VALUES (2, 9, 'new')")
    line.drop_slot()
    repaired = line.repair()
    assert repaired is not None
    assert repaired.tables[f"{line.name}.line"] == {"rows": 1, "c": 0, "u": 0, "d": 1}
    assert line.folded("line", *COLUMNS) == line.rows("line", *COLUMNS)


def test_a_table_without_a_key_is_counted(capture: Capture) -> None:
    """Equal rows are counted: as many creates and deletes as are missing or too many."""
    capture.sql.execute("CREATE TABLE tally (kind text, amount int)")
    capture.sql.execute("ALTER TABLE tally REPLICA IDENTITY FULL")
    capture.sql.execute("INSERT INTO tally VALUES ('a', 1), ('a', 1), ('a', 1), ('b', 2), (NULL, NULL)")
    capture.run_once()
    capture.sql.execute("UPDATE tally SET amount = 3 WHERE kind = 'b'")
    capture.run_once()
    capture.sql.execute("DELETE FROM tally WHERE ctid IN (SELECT ctid FROM tally WHERE kind = 'a' LIMIT 2)")
    capture.sql.execute("INSERT INTO tally VALUES ('b', 3), ('c', 4)")
    capture.drop_slot()
    repaired = capture.repair()
    assert repaired is not None
    assert repaired.tables[f"{capture.name}.tally"] == {"rows": 5, "c": 2, "u": 0, "d": 2}
    again = capture.repair(force=True)
    assert again is not None
    assert again.tables[f"{capture.name}.tally"] == {"rows": 5, "c": 0, "u": 0, "d": 0}


def test_a_schema_that_changed_in_the_gap(capture: Capture) -> None:
    """A wider integer is no difference, a new column is one where it has a value, a dropped one is none."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, amount int, gone text)")
    capture.sql.execute("ALTER TABLE line REPLICA IDENTITY FULL")
    capture.sql.execute("INSERT INTO line VALUES (1, 10, 'x'), (2, 20, 'y')")
    capture.run_once()
    capture.sql.execute("ALTER TABLE line ALTER amount TYPE bigint, DROP gone, ADD note text")
    capture.sql.execute("UPDATE line SET note = 'given' WHERE id = 2")
    capture.drop_slot()
    repaired = capture.repair()
    assert repaired is not None
    assert repaired.tables[f"{capture.name}.line"] == {"rows": 2, "c": 0, "u": 1, "d": 0}
    (update,) = since(capture.messages("line"), 2)
    assert update.value["before"] == {"id": 2, "amount": 20, "note": None}
    assert update.value["after"] == {"id": 2, "amount": 20, "note": "given"}


def test_columns_left_out_and_hashed_are_compared_as_published(capture: Capture, monkeypatch: Any) -> None:
    """A column that is not published is no difference, a hashed one never appears in clear."""
    monkeypatch.setenv("REPAIR_HASH_KEY", "a key of some length")
    table = f"{capture.name}.line"
    capture.settings["columns_exclude"] = [f"{table}.secret"]
    capture.settings["hash"] = [f"{table}.email"]
    capture.settings["hash_key_env"] = "REPAIR_HASH_KEY"
    capture.sql.execute("CREATE TABLE line (secret text, id int PRIMARY KEY, email text)")
    capture.sql.execute("ALTER TABLE line REPLICA IDENTITY FULL")
    capture.sql.execute("INSERT INTO line VALUES ('a', 1, 'one@x'), ('b', 2, 'two@x')")
    capture.run_once()
    capture.sql.execute("UPDATE line SET secret = 'c'")
    capture.sql.execute("UPDATE line SET email = 'three@x' WHERE id = 2")
    capture.drop_slot()
    repaired = capture.repair()
    assert repaired is not None
    assert repaired.tables[table] == {"rows": 2, "c": 0, "u": 1, "d": 0}
    (update,) = since(capture.messages("line"), 2)
    assert set(update.value["after"]) == {"id", "email"}
    assert "three@x" not in str(update.value)
    assert update.value["before"]["email"] is None
    assert update.headers["tallystream.absent"] == b'["email"]'


def test_what_was_once_published_in_clear_is_not_said_again(capture: Capture, monkeypatch: Any) -> None:
    """Hashing a column from now on: the repair brings the hashes, and no clear value in `before`."""
    monkeypatch.setenv("REPAIR_HASH_KEY", "a key of some length")
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, email text)")
    capture.sql.execute("ALTER TABLE line REPLICA IDENTITY FULL")
    capture.sql.execute("INSERT INTO line VALUES (1, 'one@x'), (2, 'two@x')")
    capture.run_once()
    capture.sql.execute("DELETE FROM line WHERE id = 2")
    capture.drop_slot()
    capture.settings["hash"] = [f"{capture.name}.line.email"]
    capture.settings["hash_key_env"] = "REPAIR_HASH_KEY"
    repaired = capture.repair()
    assert repaired is not None
    assert repaired.tables[f"{capture.name}.line"] == {"rows": 1, "c": 0, "u": 1, "d": 1}
    assert "@x" not in str([m.value for m in since(capture.messages("line"), 2)])


def test_writers_go_on_while_it_repairs(line: Capture) -> None:
    """What is written during the repair is in the table's copy or in the stream: nothing between."""
    line.sql.execute("INSERT INTO line SELECT i, i, 'bulk' FROM generate_series(1001, 20000) i")
    line.drop_slot()
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(line.dsn, autocommit=True, options=f"-c search_path={line.name}") as sql:
            number = 100_000
            while not stop.is_set():
                sql.execute("INSERT INTO line VALUES (%s, 0, 'during')", [number])
                sql.execute("UPDATE line SET cost = cost + 1 WHERE id IN (%s, %s)", [number, number % 20_000])
                sql.execute("DELETE FROM line WHERE id = %s", [number % 19_000 + 1])
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert line.repair() is not None
        time.sleep(0.3)
    finally:
        stop.set()
        writer.join()
    line.run_once()
    messages = line.messages("line")
    assert fold(messages, *COLUMNS) == line.rows("line", *COLUMNS)
    assert_positions_grow(messages)
    assert_no_position_twice(messages)
