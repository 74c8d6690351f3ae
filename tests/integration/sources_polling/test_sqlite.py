"""The SQLite source on real files: snapshot, changes, schema changes, restarts, kills and refusals."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from integration.sources.running import (
    Running,
    assert_no_position_twice,
    assert_positions_grow,
    fold,
    new_name,
    wait_until,
)

from streams.errors import ConfigurationError, PositionLost, TallystreamError
from streams.stack import Stack

LINE = "CREATE TABLE line (id INTEGER PRIMARY KEY, code TEXT UNIQUE, cost DECIMAL(12,2), note TEXT)"
COLUMNS = ("id", "code", "cost", "note")
KILLS = 5

# A writer as a process of its own: inserts, updates, deletes, changes of keys and REPLACEs.
WRITER = """
import random, sqlite3, sys, time
sql = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
sql.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing by it, and holds the lock for less
choose = random.Random(int(sys.argv[2]))
for number in range(int(sys.argv[3])):
    sql.execute("BEGIN IMMEDIATE")
    for _ in range(choose.randint(1, 8)):
        key, other = choose.randint(1, 200), choose.randint(1, 200)
        text, values = choose.choice([
            ("INSERT OR IGNORE INTO line VALUES (?, ?, 0.1, 'new')", (key, str(other))),
            ("INSERT OR REPLACE INTO line VALUES (?, ?, 12.5, 'replaced')", (key, str(other))),
            ("UPDATE line SET cost = cost + 1, note = ? WHERE id = ?", (str(number), key)),
            ("UPDATE OR REPLACE line SET id = ? WHERE id = ?", (key, other)),
            ("DELETE FROM line WHERE id = ?", (key,)),
        ])
        sql.execute(text, values)
    sql.execute(choose.choice(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]))
    time.sleep(choose.random() / 50)  # those who wait for the lock look for it now and then only
"""


class File(Running):
    """A SQLite source of a file of its own."""

    def __init__(self, stack: Stack, folder: Path, **settings: Any) -> None:
        self.path = folder / "shop.db"
        self.sql = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        settings = {
            "connector": "sqlite",
            "dsn": str(self.path),
            "tables": ["main.*"],
            "interval_s": 0.05,
            **settings,
        }
        super().__init__(stack, folder, new_name("f"), "main", settings)

    def rows(self) -> dict[Any, tuple[Any, ...]]:
        found = self.sql.execute(f"SELECT {', '.join(COLUMNS)} FROM line").fetchall()
        money = COLUMNS.index("cost")
        return {
            row[0]: tuple(Decimal(repr(v)) if n == money and v is not None else v for n, v in enumerate(row))
            for row in found
        }

    def write(self, seed: int, count: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", WRITER, str(self.path), str(seed), str(count)])

    def changes_left(self) -> int:
        found: int = self.sql.execute("SELECT count(*) FROM tallystream_change").fetchone()[0]
        return found


@pytest.fixture(params=["delete", "wal"])
def file(stack: Stack, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[File]:
    made = File(stack, tmp_path)
    made.sql.execute(f"PRAGMA journal_mode = {request.param}")
    made.sql.execute(LINE)
    yield made
    made.sql.close()
    made.close()


def test_snapshot_then_changes(file: File) -> None:
    """Rows, then each change in order with both images; a change of key and a delete as Debezium's."""
    file.sql.execute("INSERT INTO line VALUES (1, 'a', 12.5, 'x'), (2, 'b', NULL, NULL)")
    file.run_once()
    assert [(m.value["op"], m.value["after"]["cost"]) for m in file.messages("line")] == [
        ("r", Decimal("12.50")),
        ("r", None),
    ]
    file.sql.execute("INSERT INTO line VALUES (3, 'c', 7, 'new')")
    file.sql.execute("UPDATE line SET note = 'y' WHERE id = 1")
    file.sql.execute("UPDATE line SET id = 9 WHERE id = 2")
    file.sql.execute("DELETE FROM line WHERE id = 1")
    file.run_once()
    later = file.messages("line")[2:]
    assert [(m.value and m.value["op"], m.key["id"]) for m in later] == [
        ("c", 3),
        ("u", 1),
        ("d", 2),
        (None, 2),
        ("c", 9),
        ("d", 1),
        (None, 1),
    ]
    assert later[1].value["before"]["note"] == "x"
    assert later[1].value["after"]["note"] == "y"
    assert later[5].value["before"] == later[1].value["after"]
    assert "__debezium.newkey" in later[2].headers
    assert "__debezium.oldkey" in later[4].headers
    source = later[0].value["source"]
    assert (source["connector"], source["db"], source["table"]) == ("sqlite", "shop.db", "line")
    assert abs(source["ts_us"] / 1e6 - time.time()) < 60
    assert "transactions" in source["not_captured"]
    assert [m.last for m in later if m.value] == [True, False, True, True, True]
    assert file.changes_left() == 0
    assert file.folded("line", *COLUMNS) == file.rows()
    assert_no_position_twice(file.messages("line"))


def test_writers_beside_the_source(file: File) -> None:
    """Two processes write while a snapshot and the changes are read: the fold is the table."""
    file.sql.executemany("INSERT INTO line VALUES (?, ?, 1.5, 'x')", [(n, f"c{n}") for n in range(1, 200)])
    writers = [file.write(seed, 100_000) for seed in (1, 2)]
    try:
        with file.running():
            wait_until(lambda: len(file.messages("line")) > 1000)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    file.run_once()
    assert file.folded("line", *COLUMNS) == file.rows()
    assert_no_position_twice(file.messages("line"))
    assert_positions_grow(file.messages("line"))


def test_kills_of_the_source_and_of_a_writer(file: File, tmp_path: Path) -> None:
    """SIGKILL at random moments of both: nothing is lost, and nothing is published twice."""
    choose = random.Random(3)
    log = tmp_path / "log"
    for round_ in range(KILLS):
        before = file.end("line")
        writer, source = file.write(round_, 30_000), file.process(log)
        try:
            # One is the end of the transaction that the last kill has left open.
            wait_until(lambda: file.end("line") > before + 1)  # noqa: B023 - called in this round
            time.sleep(choose.random() / 2)
            assert source.poll() is None, "it has ended by itself"
            for victim in choose.sample([writer, source], 2):
                victim.send_signal(signal.SIGKILL)
                time.sleep(choose.random() / 5)
        finally:
            for victim in (writer, source):
                victim.kill()
                victim.wait()
    left = file.changes_left()
    file.run_once()
    assert file.folded("line", *COLUMNS) == file.rows(), f"{left} changes were left by the last kill"
    assert_no_position_twice(file.messages("line"))
    assert b"Traceback" not in log.read_bytes()


def test_a_restart_between_commit_and_clean_up(file: File) -> None:
    """Changes that are published but not yet deleted from the file are not published again."""
    file.run_once()
    file.sql.execute("INSERT INTO line VALUES (1, 'a', 1, 'x')")
    kept = file.sql.execute("SELECT * FROM tallystream_change").fetchall()
    file.run_once()
    file.sql.executemany("INSERT INTO tallystream_change VALUES (?, ?, ?, ?, ?, ?)", kept)
    file.run_once()
    assert file.ops("line") == [("c", 1)]
    assert file.changes_left() == 0


def test_a_column_added_while_running(file: File) -> None:
    """Its values are published, those written before the triggers knew of it too."""
    file.sql.execute("INSERT INTO line VALUES (1, 'a', 1, 'x')")
    with file.running():
        wait_until(lambda: len(file.messages("line")) == 1)
        file.sql.execute("ALTER TABLE line ADD COLUMN more TEXT DEFAULT 'std'")
        file.sql.execute("INSERT INTO line VALUES (2, 'b', 2, 'y', 'z')")
        wait_until(lambda: {m.key["id"] for m in file.messages("line") if has(m)} == {1, 2})
    assert fold([m for m in file.messages("line") if has(m)], "id", "more") == {1: (1, "std"), 2: (2, "z")}


def has(message: Any) -> bool:
    """Whether the change knows the added column."""
    return message.value is not None and bool((message.value["after"] or {}).get("more"))


def test_a_table_made_again_halts_until_it_is_compared(file: File) -> None:
    """Its triggers went with it: the source says so, and a new snapshot finds all, deletes included."""
    file.sql.execute("INSERT INTO line VALUES (1, 'a', 1, 'x'), (2, 'b', 2, 'x'), (3, 'c', 3, 'x')")
    file.run_once()
    file.sql.executescript(
        f"DROP TABLE line; {LINE}; INSERT INTO line VALUES (2, 'b', 2, 'x'), (3, 'c', 4, 'x')"
    )
    refused(file, PositionLost, 1, "triggers of main.line are gone", "source resnapshot")
    file.source().resnapshot()
    file.run_once()
    assert file.ops("line")[3:] == [("u", 3), ("d", 1), (None, 1)]
    assert file.folded("line", *COLUMNS) == file.rows()
    file.sql.execute("INSERT INTO line VALUES (7, 'g', 1, 'x')")
    file.run_once()
    assert file.folded("line", *COLUMNS) == file.rows()
    assert_no_position_twice(file.messages("line"))


def test_an_older_copy_of_the_file_halts(file: File) -> None:
    """A restored backup has fewer changes than are published."""
    file.run_once()
    copy = file.path.with_name("copy")
    file.sql.execute("VACUUM INTO ?", [str(copy)])
    file.sql.execute("INSERT INTO line VALUES (1, 'a', 1, 'x')")
    file.run_once()
    file.sql.close()
    for suffix in ("-wal", "-shm"):
        file.path.with_name(file.path.name + suffix).unlink(missing_ok=True)
    shutil.copy(copy, file.path)
    refused(file, PositionLost, 1, "an older copy")


def test_a_table_added_later_is_snapshotted(file: File) -> None:
    """With main.*, a table that is made while the source is stopped is read whole."""
    file.run_once()
    file.sql.execute("CREATE TABLE other (x TEXT PRIMARY KEY NOT NULL, v BLOB) WITHOUT ROWID")
    file.sql.execute("INSERT INTO other VALUES ('a', x'00ff')")
    file.run_once()
    file.sql.execute("UPDATE other SET v = 1.5")
    file.run_once()
    first, second = file.messages("other")
    assert (first.value["op"], first.value["after"]) == ("r", {"x": "a", "v": b"\x00\xff"})
    assert second.value["after"]["v"] is None
    assert json.loads(second.headers["tallystream.special"]) == {"after.v": "1.5"}


def refused(file: File, kind: type[TallystreamError], exit_code: int, *words: str) -> None:
    with pytest.raises(kind) as raised:
        file.run_once()
    message = str(raised.value)
    for word in words:
        assert word in message
    assert "\n" not in message
    assert raised.value.exit_code == exit_code


def test_what_is_refused(file: File, tmp_path: Path) -> None:
    """Each mistake in one line that names it."""
    good = dict(file.settings)
    file.settings = {**good, "dsn": str(tmp_path / "none.db")}
    refused(file, ConfigurationError, 2, "there is no file")
    file.settings = {**good, "tables": ["main.none"]}
    refused(file, ConfigurationError, 2, "main.none matches no table")
    file.settings = {**good, "tables": ["public.line"]}
    refused(file, ConfigurationError, 2, "the schema of a SQLite file is main")
    file.settings = good
    file.sql.execute("CREATE TABLE keyless (v)")
    refused(file, ConfigurationError, 2, "main.keyless has no primary key")
    file.sql.execute("DROP TABLE keyless")
    file.sql.execute("CREATE UNIQUE INDEX low ON line (lower(code))")
    refused(file, ConfigurationError, 2, "unique index low on an expression")
    file.sql.execute("DROP INDEX low")
    file.run_once()
    file.name = new_name("f")
    refused(file, ConfigurationError, 2, "is captured by source")
    text = tmp_path / "text"
    text.write_text("no database, though of more than a hundred bytes" * 10)
    file.settings = {**good, "dsn": str(text)}
    refused(file, TallystreamError, 3, "not a database")
