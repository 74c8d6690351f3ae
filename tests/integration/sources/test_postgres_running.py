"""A source that runs: its idle slot, how soon a change can be read, how soon a stop is heard."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from integration.sources.harness import (
    Capture,
    wait_until,
)

from connectors.sources.postgres import StopSignal

LINE = "CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text)"
COLUMNS = ("id", "cost", "note")


def make_line(capture: Capture, identity: str = "FULL") -> None:
    capture.sql.execute(LINE)
    capture.sql.execute(f"ALTER TABLE line REPLICA IDENTITY {identity}")


def test_an_idle_slot_follows_the_log(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tables' traffic does not make the server keep its log, and the slot never passes our position."""
    monkeypatch.setattr("connectors.sources.postgres.log.streaming.ADVANCE_S", 0.2)
    make_line(capture)
    capture.sql.execute("CREATE UNLOGGED TABLE unlogged (id int)")
    capture.run_once()
    before = capture.progress().flushed_lsn

    def confirmed() -> int:
        row = capture.sql.execute(
            "SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = %s",
            [capture.slot()],
        ).fetchone()
        assert row is not None
        return int(row[0])

    with capture.running(tables=[f"{capture.name}.line"]):
        capture.sql.execute("CREATE TABLE noise AS SELECT i FROM generate_series(1, 20000) i")
        wait_until(lambda: confirmed() > before + 500_000)
    assert confirmed() <= capture.progress().flushed_lsn


def test_a_change_is_readable_within_milliseconds(capture: Capture) -> None:
    """Commit in the database to a committed record at a reader, on an idle system: median under 20 ms."""
    make_line(capture)
    capture.run_once()
    reader = Consumer(
        {
            "bootstrap.servers": capture.stack.broker.bootstrap,
            "group.id": "latency",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 5,
        }
    )
    reader.assign([TopicPartition(capture.topic("line"), partition, 0) for partition in (0, 1)])
    delays = []
    with capture.running():
        wait_until(capture.streaming)
        for number in range(60):
            capture.sql.execute("INSERT INTO line VALUES (%s, 1, 'x')", [number])
            committed = time.perf_counter()
            message = reader.poll(10)
            assert message is not None
            assert message.error() is None
            delays.append(time.perf_counter() - committed)
            time.sleep(0.02)
    reader.close()
    delays.sort()
    print(
        f"latency ms: p50 {delays[30] * 1000:.1f}, p95 {delays[56] * 1000:.1f}, max {delays[-1] * 1000:.1f}"
    )
    assert delays[30] < 0.02


def test_a_stop_is_heard_while_waiting(capture: Capture) -> None:
    """Stopping an idle source takes no longer than a moment."""
    make_line(capture)
    stop = StopSignal()
    thread = threading.Thread(target=lambda: capture.source().run(stop))
    thread.start()
    wait_until(capture.streaming)
    time.sleep(0.5)
    asked = time.monotonic()
    stop.set()
    thread.join(10)
    stop.close()
    assert not thread.is_alive()
    assert time.monotonic() - asked < 1
