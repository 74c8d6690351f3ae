"""What workers and sinks lean on fails under load on three brokers: disk, registry, Redis, the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from faults.conftest import FULL_ONLY, NewScenario
from support.faults.clock import AHEAD_S, Clock
from support.faults.disk import small_disk
from support.faults.fleet import RECOVERY_S, Fleet

from connectors.sinks.redis import keys

VICTIM = "worker-1"
DISK_BYTES = 256 << 20  # RocksDB reserves some megabytes a lane
AWAY_S = 10.0
UNREACHABLE = 3  # the exit code of a start without the disk, or the registry, that it needs

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900), FULL_ONLY]


def test_the_state_volume_is_full(fleet: Fleet, scenario: NewScenario, tmp_path: Path) -> None:
    """A worker that can't keep its state ends with a line, as often as it is started, until there is room."""
    with (
        small_disk(tmp_path / "state", DISK_BYTES) as disk,
        fleet.crew.settings(VICTIM, {"TALLYSTREAM_DATA_DIR": str(disk.folder)}),
        scenario("disk of a worker's state full", 2) as it,
    ):
        for _ in range(2):
            it.pause()

            def fill() -> None:
                disk.fill()
                try:
                    fleet.crew.ended.clear()
                    fleet.crew.kill_and_start(VICTIM)
                    fleet.crew.wait_end(VICTIM, UNREACHABLE)
                finally:
                    disk.clear()

            it.fault(fill)
            fleet.crew.wait_ready(VICTIM)


def test_the_registry_is_away(fleet: Fleet, scenario: NewScenario) -> None:
    """Those that know the schemas go on; a worker that is started meanwhile says so, and is started again."""
    with scenario("registry down, a worker started meanwhile", 3) as it:
        for _ in range(2):
            it.pause()

            def away() -> None:
                fleet.stack.registry.kill()
                try:
                    it.arrivals.wait_beyond(datetime.now(UTC), RECOVERY_S)
                    fleet.crew.ended.clear()
                    fleet.crew.kill_and_start(VICTIM)
                    fleet.crew.wait_end(VICTIM, UNREACHABLE)
                finally:
                    fleet.stack.registry.start()

            it.fault(away)
            fleet.crew.wait_ready(VICTIM)


def test_redis_is_away(fleet: Fleet, scenario: NewScenario) -> None:
    """The sink waits for it, and shows the newest again; nobody else notices."""

    def shown(moment: datetime) -> None:
        deadline = time.monotonic() + RECOVERY_S
        newest = datetime.min.replace(tzinfo=UTC)
        while newest <= moment:
            assert time.monotonic() < deadline, f"the views are of {newest}, not of later than {moment}"
            found = fleet.redis.hvals(keys.NEWEST)
            newest = max((datetime.fromisoformat(str(one)) for one in found), default=newest)
            time.sleep(0.02)

    with scenario("Redis down", 3) as it:
        for _ in range(2):
            it.pause()

            def away() -> None:
                fleet.stack.redis.kill()
                try:
                    time.sleep(AWAY_S)
                    it.arrivals.wait_beyond(datetime.now(UTC), RECOVERY_S)
                finally:
                    fleet.stack.redis.start()

            it.fault(away, until=shown)


def test_the_clock_is_set(fleet: Fleet, scenario: NewScenario, tmp_path: Path) -> None:
    """Of one worker, forward and back: neither timers nor sessions mind, and no figure depends on it."""
    clock = Clock(tmp_path)
    with (
        fleet.crew.settings(VICTIM, clock.environment),
        scenario("clock of a worker set forward or back by 10 minutes", 2) as it,
    ):
        for ahead in (AHEAD_S, 0, -AHEAD_S, 0):
            it.pause()
            it.fault(partial(clock.step, ahead))
            time.sleep(AWAY_S / 2)
