"""The PostgreSQL source killed at random moments, of its snapshot and of its stream."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from faults.conftest import FULL
from support.faults.supervisor import Supervised
from support.faults.tail import Tail
from support.faults.world import RECOVERY_S, World

KILLS = 20 if FULL else 3
OLD = 700_000 if FULL else 200_000  # rows before the snapshot: it must last longer than the kills do

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.mark.timeout(900)
def test_kills_within_the_snapshot(world: World) -> None:
    """Each falls in it, and the next start goes on with the rest: a row that nobody changes is read once."""
    world.capture.sql.execute(
        "INSERT INTO line SELECT i, i %% 97, 'old' FROM generate_series(1, %s::int) i", [OLD]
    )
    world.capture.sql.execute("INSERT INTO tally SELECT 'k' || i % 7, 1 FROM generate_series(1, 5000) i")
    commands = world.commands(snapshot_chunk_pages=16)
    ends = []
    with world.load(old=OLD), Tail(world.capture) as tail, Supervised(commands) as source:
        tail.beyond("line", {0: 0, 1: 0}, RECOVERY_S)
        for _ in range(KILLS):
            world.pause(0.25)
            source.kill()
            killed = time.monotonic()
            ends.append(tail.marks("line"))
            tail.beyond("line", ends[-1], RECOVERY_S)
            world.recovered(time.monotonic() - killed)
        tail.behind(world.lsn(), RECOVERY_S)
    assert source.starts == KILLS + 1
    verdict = world.judge(f"SIGKILL of the source within its snapshot of {OLD:,} rows", commands)
    read = [m for m in verdict.messages["line"] if m.value is not None and m.value["op"] == "r"]
    left = [sum(m.offset >= end[m.partition] for m in read) for end in ends]
    print(f"rows left at each kill: {left} of {len(read)}")
    assert min(left) > 0, "a kill fell behind the snapshot"
    times = Counter(m.key["id"] for m in read)
    untouched = [times[number] for number in range(1, OLD + 1) if number % 3]
    assert set(untouched) == {1}, "the snapshot started over"


@pytest.mark.timeout(900)
def test_kills_while_it_streams(world: World) -> None:
    """Under load, at any moment of a transaction: nothing is lost, nothing is there twice."""
    commands = world.commands()
    with world.streaming(commands) as (source, tail):
        for _ in range(KILLS):
            world.pause()
            world.fault(tail, source.kill)
    assert source.starts == KILLS + 1
    world.judge("SIGKILL of the source while it streams", commands)
