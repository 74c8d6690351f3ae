"""What the PostgreSQL source needs is taken away: its slot, and the room to spill large transactions."""

from __future__ import annotations

import contextlib
import re
import time
from functools import partial
from pathlib import Path

import psycopg
import pytest
from faults.conftest import FULL
from support.faults.disk import Disk, small_disk
from support.faults.supervisor import Commands, Ended, Supervised, said
from support.faults.tail import Tail
from support.faults.world import RECOVERY_S, World

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.skipif(not FULL, reason="takes minutes: `make faults` runs it"),
]
TIMES = 3
GAP = re.compile(r"changes from [0-9A-F]+/[0-9A-F]+ up to [0-9A-F]+/[0-9A-F]+ are lost.*source repair")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", ["it is stopped", "it runs"])
def test_the_slot_is_dropped(world: World, moment: str) -> None:
    """It halts with the bounds of what is lost, a repair publishes the difference, and it goes on."""
    commands = world.commands()
    with world.load(), Tail(world.capture) as tail:
        for _ in range(TIMES):
            with Supervised(commands) as source:
                tail.behind(world.lsn(), RECOVERY_S)
                world.pause()
                if moment == "it runs":
                    before = len(commands.lines())
                    drop_slot(world)
                    wait_until_halted(source)
                    assert any(GAP.search(line) for line in commands.lines()[before:])
            if moment == "it is stopped":
                world.pause()  # changes that the slot holds and nobody has read
                drop_slot(world)
            world.pause()
            refused = commands.run("run")
            assert_refused(refused)
            began = time.monotonic()
            repaired = commands.run("repair")
            assert repaired.code == 0, repaired.lines
            with Supervised(commands):
                tail.behind(world.lsn(), RECOVERY_S)
            world.recovered(time.monotonic() - began)
    world.judge(f"slot dropped while {moment}, then `source repair`", commands)


def drop_slot(world: World) -> None:
    """Take it from whoever reads it, and drop it."""
    slot = world.capture.slot()
    with psycopg.connect(world.dsn, autocommit=True) as sql:
        deadline = time.monotonic() + 30
        while sql.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", [slot]).fetchone():
            assert time.monotonic() < deadline, "the slot could not be dropped"
            sql.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                "WHERE slot_name = %s AND active_pid IS NOT NULL",
                [slot],
            )
            with contextlib.suppress(psycopg.errors.ObjectInUse):
                sql.execute("SELECT pg_drop_replication_slot(%s)", [slot])


def wait_until_halted(source: Supervised) -> None:
    deadline = time.monotonic() + RECOVERY_S
    while source.halted is None:
        assert time.monotonic() < deadline, "it goes on without its slot"
        time.sleep(0.1)
    assert source.halted == 1


def assert_refused(ended: Ended) -> None:
    """One line, with the bounds of the gap and what to type."""
    assert ended.code == 1, ended.lines
    assert GAP.search(ended.lines[-1]), ended.lines


@pytest.mark.timeout(600)
def test_the_disk_of_the_spill_area_is_full(world: World, tmp_path: Path) -> None:
    """One line names the folder; what came is not acknowledged, and is published when there is room."""
    with small_disk(tmp_path / "spill", 24 << 20) as disk:
        commands = world.commands(spill_dir=str(disk.folder), spill_after=65_536)
        with world.streaming(commands) as (source, tail):
            for number in range(TIMES):
                before = len(commands.lines())
                world.fault(tail, partial(fill, world, disk, commands, number), disk.clear)
                lines = said(commands.lines()[before:], "can't be spilled", str(disk.folder))
                assert lines
        assert source.starts == 1
        world.judge("disk of the spill area full at a large transaction", commands)


def fill(world: World, disk: Disk, commands: Commands, number: int) -> None:
    """Leave no room, and write a transaction that needs some; return when the source has said so."""
    before = len(commands.lines())
    disk.fill()
    with psycopg.connect(world.dsn, options=f"-c search_path={world.capture.name}") as sql:
        sql.execute(
            "INSERT INTO line SELECT %s::int + i, 1, repeat('l', 100) FROM generate_series(1, 40000) i",
            [1 + number * 40_000],
        )
    deadline = time.monotonic() + RECOVERY_S
    while not said(commands.lines()[before:], "can't be spilled"):
        assert time.monotonic() < deadline, "nothing was said"
        time.sleep(0.1)
