"""Columns that were added with a default: rows that are there get a value which the log does not tell."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from integration.sources.harness import Capture, wait_until

ADD = {
    "a constant": "ADD COLUMN more int DEFAULT 7",
    "a new value a row": "ADD COLUMN more int GENERATED ALWAYS AS IDENTITY",
    "computed": "ADD COLUMN more int GENERATED ALWAYS AS (id * 2) STORED",
}


def published(capture: Capture) -> dict[Any, tuple[Any, ...]]:
    """Rows by id as the last record of each tells; records of before the change lack the column."""
    last = {m.key["id"]: m.value["after"] for m in capture.messages("line") if m.value is not None}
    return {key: (row["id"], row["note"], row.get("more")) for key, row in last.items() if row is not None}


def read_again(capture: Capture) -> bool:
    """An incremental snapshot was taken, and is done."""
    return capture.progress().incremental == () and any(
        m.value is not None and m.value["source"]["snapshot"] == "incremental"
        for m in capture.messages("line")
    )


@pytest.mark.parametrize("change", ADD)
@pytest.mark.parametrize("restarted", [False, True])
def test_rows_that_were_there_are_read_again(capture: Capture, change: str, restarted: bool) -> None:
    """By an incremental snapshot of the table, whether the source runs meanwhile or not."""
    generated = change == "computed"  # published from PostgreSQL 18 on only where the publication says so
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, note text)")
    capture.sql.execute("INSERT INTO line SELECT i, 'old' FROM generate_series(1, 500) i")
    capture.run_once()
    if generated:
        capture.sql.execute(f"ALTER PUBLICATION {capture.slot()} SET (publish_generated_columns = stored)")
    if restarted:
        capture.sql.execute(f"ALTER TABLE line {ADD[change]}")
        capture.run_once()
        capture.sql.execute("INSERT INTO line (id, note) VALUES (1001, 'new')")
        capture.run_once()
    else:
        with capture.running():
            wait_until(capture.streaming)
            capture.sql.execute(f"ALTER TABLE line {ADD[change]}")
            capture.sql.execute("INSERT INTO line (id, note) VALUES (1001, 'new')")
            wait_until(lambda: read_again(capture))
    rows = capture.rows("line", "id", "note", "more")
    assert published(capture) == rows
    assert all(more is not None for _, _, more in rows.values())


def test_a_column_without_a_default_reads_nothing_again(capture: Capture) -> None:
    """Rows that were there have null in it, as the topic's readers take it."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, note text)")
    capture.sql.execute("INSERT INTO line VALUES (1, 'old')")
    capture.run_once()
    capture.sql.execute("ALTER TABLE line ADD COLUMN more int")
    capture.sql.execute("INSERT INTO line VALUES (2, 'new', 3)")
    capture.run_once()
    assert sorted(m.key["id"] for m in capture.messages("line")) == [1, 2]


def test_under_writers(capture: Capture) -> None:
    """The stream wins over what is read again."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, note text)")
    capture.sql.execute("INSERT INTO line SELECT i, 'old' FROM generate_series(1, 3000) i")
    capture.settings["incremental_chunk_rows"] = 200
    done = threading.Event()

    def write() -> None:
        with psycopg.connect(capture.dsn, autocommit=True, options=f"-c search_path={capture.name}") as sql:
            number = 0
            while not done.is_set():
                number = number % 3000 + 1
                sql.execute("UPDATE line SET note = note || 'x' WHERE id = %s", [number])
                sql.execute("DELETE FROM line WHERE id = %s", [3001 - number if number % 5 == 0 else 0])
                if number == 300:
                    sql.execute("ALTER TABLE line ADD COLUMN IF NOT EXISTS more int NOT NULL DEFAULT 7")

    writer = threading.Thread(target=write)
    with capture.running():
        wait_until(capture.streaming)
        writer.start()
        try:
            wait_until(lambda: read_again(capture))
        finally:
            done.set()
            writer.join()
    capture.run_once()
    rows = capture.rows("line", "id", "note", "more")
    assert published(capture) == rows
