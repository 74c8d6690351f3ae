"""The polling source on a real PostgreSQL: initial reading, polls, comparisons, restarts and kills."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration.sources.harness import (
    DATABASE,
    assert_no_position_twice,
    assert_positions_grow,
    fold,
    wait_until,
)
from integration.sources_polling.topics import Running, new_name

from streams.errors import ConfigurationError, DependencyUnavailable, TallystreamError
from streams.stack import Stack

LINE = (
    "CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2), note text, "
    "updated_at timestamptz NOT NULL DEFAULT clock_timestamp())"
)
COLUMNS = ("id", "cost", "note")


class Polled(Running):
    """A polling source of a schema of its own."""

    def __init__(self, stack: Stack, folder: Path, **settings: Any) -> None:
        name = new_name()
        self.dsn = stack.postgres.dsn(DATABASE)
        self.sql = psycopg.connect(self.dsn, autocommit=True)
        self.sql.execute(f"CREATE SCHEMA {name}")
        self.sql.execute(f"SET search_path = {name}")
        super().__init__(
            stack,
            folder,
            name,
            {
                "connector": "polling",
                "dsn": self.dsn,
                "tables": [f"{name}.*"],
                "updated_at": "updated_at",
                "interval_s": 0.1,
                "compare_every_s": 0.5,
                "overlap_s": 5,
                "state": str(folder / "rows"),
                **settings,
            },
        )

    def rows(self, table: str, *columns: str) -> dict[Any, tuple[Any, ...]]:
        """The table as it is, by its first column."""
        found = self.sql.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
        return {row[0]: row for row in found}

    def of(self, table: str) -> list[Any]:
        return self.messages(f"{self.name}.{table}")

    def folded(self, table: str, *columns: str) -> dict[Any, tuple[Any, ...]]:
        return fold(self.of(table), *columns)

    def same(self) -> bool:
        return self.folded("line", *COLUMNS) == self.rows("line", *COLUMNS)


@pytest.fixture
def polled(stack: Stack, tmp_path: Path) -> Iterator[Polled]:
    made = Polled(stack, tmp_path)
    made.sql.execute(LINE)
    yield made
    made.sql.execute(f"DROP SCHEMA {made.name} CASCADE")
    made.sql.close()
    made.close()


def test_initial_then_only_what_changed(polled: Polled) -> None:
    """Rows are read once; later runs send an insert, an update and a delete, and nothing else."""
    polled.sql.execute("INSERT INTO line SELECT i, i, 'x' FROM generate_series(1, 2500) i")
    polled.run_once()
    first = polled.of("line")
    assert {m.value["op"] for m in first} == {"r"}
    assert len(first) == 2500
    polled.run_once()
    assert len(polled.of("line")) == 2500
    polled.sql.execute("INSERT INTO line VALUES (5000, 1.25, 'new')")
    polled.sql.execute("UPDATE line SET cost = 99.99, updated_at = clock_timestamp() WHERE id = 1000")
    polled.sql.execute("DELETE FROM line WHERE id = 7")
    polled.run_once()
    later = polled.of("line")[2500:]
    assert sorted((m.value and m.value["op"], m.key["id"]) for m in later if m.value) == [
        ("c", 5000),
        ("d", 7),
        ("u", 1000),
    ]
    assert [m.key["id"] for m in later if m.value is None] == [7]
    assert polled.same()
    update = next(m.value for m in later if m.value and m.value["op"] == "u")
    assert update["before"] is None
    assert update["after"]["cost"] == Decimal("99.99")
    source = update["source"]
    assert (source["connector"], source["schema"], source["table"]) == ("polling", polled.name, "line")
    assert "intermediate states" in source["not_captured"]
    delete = next(m for m in later if m.value and m.value["op"] == "d")
    assert delete.value["before"] == {"id": 7, "cost": None, "note": None, "updated_at": None}
    assert delete.headers["tallystream.absent"] == b'["cost","note","updated_at"]'
    assert_no_position_twice(polled.of("line"))


def test_writers_beside_the_polls(polled: Polled) -> None:
    """Inserts, updates, deletes and changes of keys by three writers, from before the initial reading on."""
    polled.sql.execute("INSERT INTO line SELECT i, i, 'before' FROM generate_series(1, 3000) i")
    stop = threading.Event()
    writers = [threading.Thread(target=write, args=(polled, stop, seed)) for seed in range(3)]
    for writer in writers:
        writer.start()
    try:
        with polled.running():
            time.sleep(8)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    polled.run_once()
    messages = polled.of("line")
    assert {"r", "c", "u", "d"} == {m.value["op"] for m in messages if m.value}
    assert polled.same()
    assert_no_position_twice(messages)
    assert_positions_grow(messages)


def write(polled: Polled, stop: threading.Event, seed: int) -> None:
    """Transactions of some length, so that rows are committed after later ones."""
    choose = random.Random(seed)
    number = seed * 1_000_000 + 10_000
    with psycopg.connect(polled.dsn, autocommit=True, options=f"-c search_path={polled.name}") as sql:
        while not stop.is_set():
            number += 1
            # Keys are apart by writer, so that they can't wait for one another.
            some = choose.randint(1, 999) * 3 + seed
            now = "updated_at = clock_timestamp()"
            with sql.transaction():
                sql.execute("INSERT INTO line VALUES (%s, 0, 'during')", [number])
                sql.execute(f"UPDATE line SET cost = cost + 1, {now} WHERE id = %s", [some])
                if choose.random() < 0.2:
                    time.sleep(choose.random() / 2)
                if choose.random() < 0.3:
                    sql.execute("DELETE FROM line WHERE id = %s", [choose.randint(1, 999) * 3 + seed])
                if choose.random() < 0.2:
                    sql.execute(f"UPDATE line SET id = -id, {now} WHERE id = %s", [number])
            time.sleep(0.005)


def test_a_row_committed_late_within_the_overlap(polled: Polled) -> None:
    """Its updated_at lies before the cursor when it becomes visible; a poll finds it, not a comparison."""
    polled.settings["compare_every_s"] = 1000
    polled.run_once()
    with (
        polled.running(),
        psycopg.connect(polled.dsn, options=f"-c search_path={polled.name}") as late,
    ):
        polled.sql.execute("INSERT INTO line VALUES (1, 1, 'early')")
        late.execute("INSERT INTO line VALUES (2, 2, 'late')")
        time.sleep(0.5)
        polled.sql.execute("INSERT INTO line VALUES (3, 3, 'after')")
        wait_until(lambda: len(polled.of("line")) == 2)
        late.commit()
        wait_until(polled.same)
    assert [m.value["source"]["found_by"] for m in polled.of("line")] == ["poll"] * 3


def test_a_row_committed_too_late_is_found_by_a_comparison(polled: Polled) -> None:
    """Without an overlap a poll misses the row: the comparison of keys does not."""
    polled.settings["overlap_s"] = 0
    polled.sql.execute("INSERT INTO line VALUES (1, 1, 'x')")
    polled.run_once()
    polled.sql.execute("INSERT INTO line VALUES (2, 2, 'late', now() - interval '1 hour')")
    polled.run_once()
    assert [(m.key["id"], m.value["source"]["found_by"]) for m in polled.of("line")] == [
        (1, "initial"),
        (2, "comparison"),
    ]


def test_a_row_dated_ahead_hides_no_later_ones(polled: Polled) -> None:
    """The cursor does not pass the database's clock."""
    polled.settings["compare_every_s"] = 1000
    polled.sql.execute("INSERT INTO line VALUES (1, 1, 'ahead', now() + interval '1 year')")
    with polled.running():
        wait_until(polled.same)
        polled.sql.execute("INSERT INTO line VALUES (2, 2, 'now')")
        wait_until(polled.same)
        polled.sql.execute("UPDATE line SET note = 'again' WHERE id = 1")
        wait_until(polled.same)


def test_comparisons_of_rows_find_what_kept_its_updated_at(polled: Polled) -> None:
    """An update by hand that forgets the column: comparisons of keys miss it, those of rows don't."""
    polled.sql.execute("INSERT INTO line VALUES (1, 1, 'x', now() - interval '1 hour'), (2, 2, 'y', now())")
    polled.run_once()
    polled.sql.execute("UPDATE line SET note = 'silent' WHERE id = 1")
    polled.run_once()
    assert not polled.same()
    polled.settings["compare"] = "rows"
    polled.run_once()
    assert polled.same()


@pytest.mark.parametrize("lost", [False, True])
def test_kills(polled: Polled, tmp_path: Path, lost: bool) -> None:
    """SIGKILL at random moments under writers, the state file kept or lost: no row lost, none doubled."""
    polled.sql.execute("INSERT INTO line SELECT i, i, 'before' FROM generate_series(1, 3000) i")
    choose, stop, log = random.Random(5), threading.Event(), tmp_path / "log"
    writer = threading.Thread(target=write, args=(polled, stop, 1))
    writer.start()
    try:
        for _ in range(3):
            before = len(polled.of("line"))
            source = polled.process(log)
            try:
                wait_until(lambda: len(polled.of("line")) > before)  # noqa: B023 - called in this round
                time.sleep(choose.random() / 2)
            finally:
                source.kill()
                source.wait()
            if lost:
                for file in tmp_path.glob("rows*"):
                    file.unlink()
    finally:
        stop.set()
        writer.join()
    polled.run_once()
    assert polled.same()
    assert_no_position_twice(polled.of("line"))
    assert_unchanged_rows_are_sent_once(polled)
    assert b"Traceback" not in log.read_bytes()


def assert_unchanged_rows_are_sent_once(polled: Polled) -> None:
    """No two records of a key in a row say the same."""
    last: dict[Any, Any] = {}
    for message in polled.of("line"):
        row = message.value and message.value["after"]
        assert row is None or last.get(message.key["id"]) != row, f"{message} was published twice"
        last[message.key["id"]] = row


def test_types(polled: Polled) -> None:
    """Values as the log-reading source has them; what has no form is in a header, not altered."""
    polled.sql.execute("DROP TABLE line")
    polled.sql.execute(
        "CREATE TABLE typed (id uuid PRIMARY KEY, n numeric, m numeric(10,2), d date, t timestamp, z timestamptz, "
        "j jsonb, a int[], b bytea, f real, g double precision, h time, big bigint, version bigint)"
    )
    polled.sql.execute(
        "INSERT INTO typed VALUES ('00000000-0000-0000-0000-00000000000a', 1.23456789012345678901, 5, "
        "'2024-02-29', '2024-02-29 12:00:00.000001', '2024-02-29 12:00:00+02', '{\"a\": 1.10}', '{1,2}', "
        "'\\x00ff', 0.1, 0.1, '23:59:59.5', 9223372036854775807, 1), "
        "('00000000-0000-0000-0000-00000000000b', 'NaN', 'NaN', 'infinity', '-infinity', '0044-03-15 BC', "
        "NULL, NULL, NULL, 'NaN', 'Infinity', '24:00', -1, 2)"
    )
    del polled.settings["updated_at"]
    polled.settings["version"] = "version"
    polled.run_once()
    polled.run_once()
    first, second = polled.of("typed")
    row = first.value["after"]
    assert row["n"] == {"scale": 20, "value": (123456789012345678901).to_bytes(9, "big")}
    assert row["m"] == Decimal("5.00")
    assert (row["d"], row["t"]) == (19782, 1709208000000001)
    assert row["z"] == "2024-02-29T10:00:00.000000Z"
    assert (row["j"], row["a"], row["b"]) == ('{"a": 1.10}', "{1,2}", b"\x00\xff")
    assert (row["g"], row["h"], row["big"]) == (0.1, 86399500000, 2**63 - 1)
    assert row["f"] == pytest.approx(0.1, rel=1e-7)
    special = json.loads(second.headers["tallystream.special"])
    assert special["after.n"] == special["after.m"] == "NaN"
    assert (special["after.d"], special["after.t"]) == ("infinity", "-infinity")
    assert special["after.z"] == "0044-03-15 00:00:00+00 BC"
    assert special["after.h"] == "24:00:00"


def refused(polled: Polled, kind: type[TallystreamError], exit_code: int, *words: str) -> None:
    with pytest.raises(kind) as raised:
        polled.run_once()
    message = str(raised.value)
    for word in words:
        assert word in message
    assert "\n" not in message
    assert raised.value.exit_code == exit_code


def test_what_is_refused(polled: Polled) -> None:
    """Each mistake in one line that names it, without the password."""
    good, name = dict(polled.settings), polled.name
    polled.settings = {**good, "updated_at": "changed"}
    refused(polled, ConfigurationError, 2, f"{name}.line has no column changed")
    polled.settings = {**good, "tables": [f"{name}.none"]}
    refused(polled, ConfigurationError, 2, f"{name}.none: no such table")
    polled.settings = {**good, "tables": ["nowhere.*"]}
    refused(polled, ConfigurationError, 2, "no schema nowhere")
    polled.settings = {key: value for key, value in good.items() if key != "updated_at"}
    refused(polled, ConfigurationError, 2, "name its updated_at or its version column")
    polled.settings = {**good, "updated_at": "note"}
    polled.sql.execute("INSERT INTO line VALUES (1, 1, 'no time')")
    refused(polled, ConfigurationError, 2, "updated_at takes timestamps")
    polled.settings = {**good, "dsn": "postgresql://u:secret@127.0.0.1:1/erp"}
    refused(polled, DependencyUnavailable, 3, "127.0.0.1:1")
    polled.settings = {**good, "dsn": "paper://u:secret@h/erp"}
    refused(polled, ConfigurationError, 2, "no dialect 'paper'")
    polled.settings = {**good, "dsn": "mssql+pyodbc://u:secret@h/erp"}
    refused(polled, ConfigurationError, 2, "pyodbc is missing")
    polled.settings = good
    polled.sql.execute("CREATE TABLE keyless (v int, updated_at timestamptz)")
    refused(polled, ConfigurationError, 2, f"{name}.keyless has no primary key")
    polled.tables = {f"{name}.keyless": {"key": ["v"]}, "other.table": {}}
    refused(polled, ConfigurationError, 2, "'other.table' is not among tables")


def test_a_column_added_is_read_whole(polled: Polled) -> None:
    """Values of a new column are in no poll: the rows are compared once."""
    polled.sql.execute("INSERT INTO line VALUES (1, 1, 'x', now() - interval '1 hour')")
    polled.run_once()
    polled.sql.execute("ALTER TABLE line ADD COLUMN more int DEFAULT 7")
    polled.run_once()
    polled.run_once()
    assert [m.value["op"] for m in polled.of("line")] == ["r", "u"]
    assert polled.of("line")[1].value["after"]["more"] == 7
