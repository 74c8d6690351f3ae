"""What the PostgreSQL source's tests share: servers, and a source of a schema of its own for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from integration.sources.running import (
    DEADLINE_S,
    Message,
    Running,
    assert_no_position_twice,
    assert_positions_grow,
    fold,
    new_name,
    read_topic,
    wait_until,
)
from prometheus_client import REGISTRY

from connectors.sources.postgres import PostgresConfig, PostgresSource, Progress
from connectors.sources.postgres.repair.repair import Repair, Repaired
from connectors.sources.progress import Steps
from streams.stack import Stack

__all__ = [
    "DATABASE",
    "DEADLINE_S",
    "Capture",
    "Message",
    "assert_no_position_twice",
    "assert_positions_grow",
    "fold",
    "gauge",
    "read_topic",
    "running_stack",
    "wait_until",
]

DATABASE = "erp"


@contextlib.contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """PostgreSQL, the embedded broker and a registry."""
    stack = Stack(folder, services=("postgres", "broker", "registry"))
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


class Capture(Running):
    """One test's source: a schema of its own, a name of its own, and what it has published."""

    def __init__(self, stack: Stack, folder: Path, **config: Any) -> None:
        name = new_name("s")
        self.dsn = stack.postgres.dsn(DATABASE)
        self.sql = psycopg.connect(self.dsn, autocommit=True)
        self.sql.execute(f"CREATE SCHEMA {name}")
        self.sql.execute(f"SET search_path = {name}")
        settings = {"tables": [f"{name}.*"], "partitions": 2, **config}
        super().__init__(stack, folder, name, name, settings)

    def source(self, **changes: Any) -> PostgresSource:
        """The source with ``changes`` to its settings."""
        return PostgresSource(self.config(**changes), self.surroundings)

    def config(self, **changes: Any) -> PostgresConfig:
        """Its configuration, with ``changes`` to its settings."""
        return PostgresConfig(**{"name": self.name, "dsn": self.dsn, **self.settings, **changes})

    def repair(self, *, force: bool = False, **changes: Any) -> Repaired | None:
        """What `tallystream source repair` does; None where nothing was lost."""
        return Repair(self.config(**changes), self.surroundings).run(Steps(), force=force)

    def config_file(self, **changes: Any) -> Path:
        """Its settings, with ``changes``, as TOML."""
        return super().config_file(**{"dsn": self.dsn, **changes})

    def progress(self) -> Progress:
        return Progress.from_json(self.stored())

    def rows(self, table: str, *columns: str) -> dict[Any, tuple[Any, ...]]:
        """The table as it is, by its first column."""
        found = self.sql.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
        return {row[0]: row for row in found}

    def slot(self) -> str:
        return f"tallystream_{self.name}"

    def slots(self) -> list[str]:
        """The slots there are for this source."""
        found = self.sql.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE %s", [f"%{self.name}%"]
        )
        return [name for (name,) in found.fetchall()]

    def drop_slot(self) -> None:
        """Drop the slot once the server has noticed that its reader is gone."""
        wait_until(lambda: not self.slot_active())
        self.sql.execute("SELECT pg_drop_replication_slot(%s)", [self.slot()])

    def close(self) -> None:
        """Leave nothing behind in the shared server."""
        super().close()
        with contextlib.suppress(psycopg.Error):
            wait_until(lambda: not self.slot_active())
            self.sql.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE %s",
                [f"%{self.name}%"],
            )
            self.sql.execute(f"DROP PUBLICATION IF EXISTS {self.slot()}")
            self.sql.execute(f"DROP SCHEMA {self.name} CASCADE")
        self.sql.close()

    def streaming(self) -> bool:
        """Whether a session reads the log and has caught up: its tables are known, its snapshot is done."""
        found = self.sql.execute(
            "SELECT 1 FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'",
            [f"tallystream source {self.name}"],
        )
        return found.fetchone() is not None

    def slot_active(self) -> bool:
        """Whether a session uses the slot, or one of its snapshots' slots; also while it makes it."""
        found = self.sql.execute(
            "SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE %s AND active", [f"%{self.name}%"]
        )
        return found.fetchone() is not None


def gauge(name: str, **labels: str) -> float | None:
    """A metric of this process."""
    return REGISTRY.get_sample_value(name, labels)
