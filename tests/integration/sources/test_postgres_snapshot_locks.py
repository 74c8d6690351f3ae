"""A snapshot and statements that lock its tables: none of them waits for ever."""

from __future__ import annotations

import threading

import psycopg
import pytest
from integration.sources.harness import DEADLINE_S, Capture, assert_no_position_twice, wait_until

from connectors.sources.positions import read_position
from connectors.sources.postgres.chunks import Chunk
from connectors.sources.postgres.snapshot import copying, snapshot
from streams.errors import DependencyUnavailable

ROWS = 3000
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"


def test_a_snapshot_makes_way_for_an_alter_and_goes_on_after_it(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ALTER waits for the snapshot's session, and who reads the table next waits behind the ALTER."""
    monkeypatch.setattr(copying, "LOCK_TIMEOUT_MS", 500)
    monkeypatch.setattr(snapshot, "PROCESSES_FROM_BYTES", 1 << 40)
    capture.settings["snapshot_chunk_pages"] = 4
    for table in ("first", "second"):
        capture.sql.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, note text)")
        capture.sql.execute(f"INSERT INTO {table} SELECT i, 'x' FROM generate_series(1, {ROWS}) i")
    statement = f"ALTER TABLE {capture.name}.second ADD tax int NOT NULL DEFAULT 7"

    def alter() -> None:
        with psycopg.connect(capture.dsn, autocommit=True) as sql:
            sql.execute(statement)

    altering, first = threading.Thread(target=alter), threading.Lock()
    read = copying.Reader.read
    refused: list[str] = []

    def read_while_it_is_altered(self: copying.Reader, chunk: Chunk) -> copying.ChunkRows:
        if chunk.table.endswith(".second") and first.acquire(blocking=False):  # several readers come here
            wait_until(lambda: read_position(capture.surroundings.kafka, capture.name) is not None)
            altering.start()
            wait_until(lambda: capture.sql.execute(WAITING, [f"{statement}%"]).fetchone() == (1,))
        try:
            return read(self, chunk)
        except DependencyUnavailable as error:
            refused.append(str(error))
            raise

    monkeypatch.setattr(copying.Reader, "read", read_while_it_is_altered)
    with capture.running():
        wait_until(lambda: refused != [])
        altering.join(DEADLINE_S)
        assert not altering.is_alive()
        wait_until(lambda: len(capture.folded("second", "id")) == ROWS)
        capture.sql.execute("UPDATE second SET tax = 8 WHERE id = 1")
        wait_until(lambda: "u" in [op for op, _ in capture.ops("second")])
    assert "second is being altered or locked; the snapshot makes way" in refused[0]
    for table, columns in (("first", ("id", "note")), ("second", ("id", "note", "tax"))):
        assert capture.folded(table, *columns) == capture.rows(table, *columns)
        assert_no_position_twice(capture.messages(table))
