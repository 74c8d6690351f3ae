"""An incremental snapshot killed with SIGKILL, several times, under writers: row by row what the tables have."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from faults.conftest import FULL
from integration.sources.harness import wait_until
from support.faults.load import TABLES
from support.faults.supervisor import Supervised
from support.faults.world import RECOVERY_S, World

from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.position import PendingTable
from connectors.sources.postgres.snapshot.signals import request_snapshot

ROWS = 60_000  # it must last longer than the kills do
KILLS = 5 if FULL else 3


@pytest.mark.slow
def test_kills_within_an_incremental_snapshot(world: World) -> None:
    """Asked for by a message, of three tables that writers change meanwhile: each kill comes after another
    chunk was stored, and in the end every row that nobody touched was read once."""
    capture = world.capture
    capture.sql.execute("INSERT INTO line SELECT i, i, 'old' FROM generate_series(1, %s::int) i", [ROWS])
    capture.sql.execute("INSERT INTO wide SELECT i, 'old', repeat('o', 9000) FROM generate_series(1, 300) i")
    capture.sql.execute("INSERT INTO bulk SELECT i, i FROM generate_series(1, 3000) i")
    capture.sql.execute("INSERT INTO tally VALUES ('a', 1)")
    commands = world.commands(incremental_chunk_rows=200)
    assert commands.run("run", "--once").code == 0
    asked = [f"{capture.name}.{table}" for table in ("line", "wide", "bulk")]
    with world.load(old=ROWS), Supervised(commands) as source:
        config = PostgresConfig(name=capture.name, dsn=world.dsn, **capture.settings)
        request_snapshot(config, asked)
        seen: tuple[PendingTable, ...] = ()
        for _ in range(KILLS):
            wait_until(lambda seen=seen: pending(world) not in ((), seen), RECOVERY_S)
            seen = pending(world)
            world.pause(0.3)
            source.kill()
            ended = time.monotonic()
            seen = pending(world)
            wait_until(lambda seen=seen: pending(world) != seen, RECOVERY_S)
            world.recovered(time.monotonic() - ended)
        assert pending(world), "the snapshot was too short to be killed within"
        wait_until(lambda: not pending(world), RECOVERY_S)
    assert source.starts >= KILLS
    verdict = world.judge("source SIGKILLed, incremental snapshot", commands, TABLES)
    again = Counter(
        (table, m.key["id"])
        for table, messages in verdict.messages.items()
        for m in messages
        if m.value and m.value["source"]["snapshot"] == "incremental"
    )
    assert max(again.values()) == 1
    untouched = {("line", i) for i in range(1, ROWS + 1) if i % 3}
    untouched |= {("wide", i) for i in range(1, 301)} | {("bulk", i) for i in range(1, 3001)}
    assert untouched <= again.keys()


@pytest.mark.slow
def test_a_message_is_heard_once(world: World) -> None:
    """SIGKILL around the moment in which a request is passed: each is followed by one reading, no two."""
    capture, rows = world.capture, 200
    capture.sql.execute("INSERT INTO bulk SELECT i, i FROM generate_series(1, %s::int) i", [rows])
    commands = world.commands()
    assert commands.run("run", "--once").code == 0
    config = PostgresConfig(name=capture.name, dsn=world.dsn, **capture.settings)
    with Supervised(commands) as source:
        for number in range(1, KILLS + 1):
            wait_until(capture.streaming, RECOVERY_S)
            world.pause(0.3)
            request_snapshot(config, [f"{capture.name}.bulk"])
            world.pause(0.15)
            source.kill()
            ended = time.monotonic()
            wait_until(lambda number=number: readings(world).total() >= number * rows, RECOVERY_S)
            wait_until(lambda: not pending(world), RECOVERY_S)
            world.recovered(time.monotonic() - ended)
            assert set(readings(world).values()) == {number}
    verdict = world.judge("source SIGKILLed, message for a snapshot", commands, ("bulk",))
    assert verdict.rows == rows
    assert set(readings(world).values()) == {KILLS}


def readings(world: World) -> Counter[int]:
    """How often each row of the table was read by incremental snapshots."""
    return Counter(
        m.key["id"]
        for m in world.capture.messages("bulk")
        if m.value and m.value["source"]["snapshot"] == "incremental"
    )


def pending(world: World) -> tuple[PendingTable, ...]:
    """What is left of the snapshot, as stored."""
    return world.capture.progress().incremental
