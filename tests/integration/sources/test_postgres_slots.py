"""The slot of a source: kept for a failover, and watched."""

from __future__ import annotations

import pytest
from integration.sources.harness import Capture, gauge, wait_until

from connectors.sources.postgres.server.connection import Server


@pytest.fixture
def line(capture: Capture) -> Capture:
    """A captured table of one row."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, amount int)")
    capture.sql.execute("INSERT INTO line VALUES (1, 1)")
    return capture


def test_slots_that_follow_a_failover(line: Capture) -> None:
    """The option makes a new slot, and turns an existing one into, a slot that standbys keep; and back."""
    server = Server(line.dsn, "test")

    def failover() -> bool:
        slot = server.slot(line.slot())
        assert slot is not None
        return slot.failover

    line.run_once(failover=True)
    assert failover()
    line.run_once()
    assert not failover()
    line.run_once(failover=True)
    assert failover()


def test_the_slot_is_watched(line: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a source runs its slot's bytes and status are metrics; over the limit is one, and is healed."""
    monkeypatch.setattr("connectors.sources.postgres.server.slotwatch.WATCH_S", 0.1)
    line.run_once()
    line.sql.execute("CREATE TABLE IF NOT EXISTS line_filler (id int PRIMARY KEY, body text)")
    line.sql.execute("INSERT INTO line_filler SELECT i, repeat('x', 900) FROM generate_series(1, 5000) i")
    with line.running(slot_bytes_limit=1):
        wait_until(lambda: gauge("tallystream_source_slot_over_limit", source=line.name) == 1)
        wait_until(lambda: (gauge("tallystream_source_slot_bytes", source=line.name) or 0) > 0)
        assert gauge("tallystream_source_slot_wal_status", source=line.name, status="reserved") == 1
        assert gauge("tallystream_source_slot_lag_bytes", source=line.name) is not None
    with line.running(slot_bytes_limit=10**12):
        wait_until(lambda: gauge("tallystream_source_slot_over_limit", source=line.name) == 0)
