"""Servers that end while the PostgreSQL source uses them: the broker, the database, the registry."""

from __future__ import annotations

import os
import signal
import time

import psycopg
import pytest
from faults.conftest import FULL
from support.faults.supervisor import said
from support.faults.world import World

DOWN_S = 30.0  # a broker's restart, and longer
TIMES = 5 if FULL else 1

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
only_full = pytest.mark.skipif(not FULL, reason="takes minutes: `make faults` runs it")


@only_full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_the_broker_is_down(world: World, how: str) -> None:
    """For half a minute, twice; the source waits, and goes on by itself."""
    commands, broker = world.commands(), world.stack.kafka

    def mend() -> None:
        time.sleep(DOWN_S)
        broker.start()

    with world.streaming(commands) as (source, tail):
        for _ in range(2):
            world.fault(tail, broker.stop if how == "SIGTERM" else broker.kill, mend)
            world.pause(5)
    assert source.starts == 1
    world.judge(f"{how} of the broker, down for {DOWN_S:.0f} s", commands)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["fast", pytest.param("immediate", marks=only_full)])
def test_the_database_restarts(world: World, how: str) -> None:
    """As `pg_ctl -m fast` and `-m immediate` do it, the second one a crash: no restart of the source."""
    commands, postgres = world.commands(), world.stack.postgres

    def end() -> None:
        assert postgres.child.pid is not None
        os.kill(postgres.child.pid, signal.SIGINT if how == "fast" else signal.SIGQUIT)
        deadline = time.monotonic() + 30
        while postgres.running:
            assert time.monotonic() < deadline, "it does not end"
            time.sleep(0.05)

    with world.streaming(commands) as (source, tail):
        for _ in range(TIMES):
            world.pause()
            world.fault(tail, end, postgres.start)
    assert source.starts == 1
    world.judge(f"PostgreSQL restarted ({how})", commands)


@only_full
@pytest.mark.timeout(600)
def test_the_registry_is_down_at_a_change_of_schema(world: World) -> None:
    """Of two tables, three times: one line says so, and the source goes on when the registry is back."""
    commands, registry = world.commands(), world.stack.registry
    with world.streaming(commands) as (source, tail):
        for number in range(3):

            def change(number: int = number) -> None:
                registry.kill()
                with psycopg.connect(
                    world.dsn, autocommit=True, options=f"-c search_path={world.capture.name}"
                ) as sql:
                    # Without a default, which would give rows a value that the log does not tell.
                    sql.execute(f"ALTER TABLE line ADD COLUMN more_{number} int")
                    sql.execute(f"UPDATE line SET more_{number} = {number} WHERE id % 7 = 0")
                    sql.execute(f"ALTER TABLE bulk ADD COLUMN more_{number} text")
                    sql.execute(f"INSERT INTO bulk (id, more_{number}) VALUES ({number + 1}, 'new')")
                time.sleep(5)

            world.fault(tail, change, registry.start)
    said_so = said(commands.lines(), "schema registry", "session_failed")
    assert said_so
    assert source.starts == 1
    world.judge("registry down while columns are added", commands)
