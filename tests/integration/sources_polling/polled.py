"""A polling source of a schema of its own in PostgreSQL, and a writer beside it."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
from integration.sources.harness import DATABASE
from integration.sources.running import Running, new_name

from streams.stack import Stack

LINE = (
    "CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2), note text, "
    "updated_at timestamptz NOT NULL DEFAULT clock_timestamp())"
)
COLUMNS = ("id", "cost", "note")


def connect(dsn: str, schema: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(dsn, autocommit=True, options=f"-c search_path={schema}")


class Polled(Running):
    """A polling source of a schema of its own."""

    def __init__(self, stack: Stack, folder: Path, **settings: Any) -> None:
        name = new_name("p")
        self.dsn = stack.postgres.dsn(DATABASE)
        self.sql = connect(self.dsn, name)
        self.sql.execute(f"CREATE SCHEMA {name}")
        super().__init__(
            stack,
            folder,
            name,
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

    def same(self) -> bool:
        return self.folded("line", *COLUMNS) == self.rows("line", *COLUMNS)


def write(polled: Polled, stop: threading.Event, seed: int) -> None:
    """Transactions of some length, so that rows are committed after later ones."""
    choose = random.Random(seed)
    number = seed * 1_000_000 + 10_000
    with connect(polled.dsn, polled.name) as sql:
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
