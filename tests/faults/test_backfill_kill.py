"""SIGKILL of the worker and of the source within a backfill, while entries are corrected: nothing lost or twice."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from pathlib import Path

import psycopg
import pytest
from support.pipelines import running_firm

from connectors.bench.corrections import write_corrections
from connectors.bench.history import HistoryProgress
from connectors.reference.firm import FirmSettings

HISTORY = 12_000
VICTIMS = ("source-time", "worker", "worker", "source-time", "worker", "worker")
CORRECTIONS_A_SECOND, SECONDS = 30, 25


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_kills_within_a_backfill_change_nothing(tmp_path: Path) -> None:
    """The history is snapshotted, published apart, and applied behind corrections of the same entries; each
    process is killed in the midst of it. The oracle finds no difference."""
    seed = random.SystemRandom().randrange(1_000_000)
    rng = random.Random(seed)
    print(f"seed {seed}")
    firm = FirmSettings(seed=2, consultants=10, days=14)
    with (
        running_firm(tmp_path, "embedded", firm, history=HISTORY) as running,
        contextlib.closing(HistoryProgress(running.stack.broker.bootstrap)) as progress,
        psycopg.connect(running.environment["TALLYSTREAM_TIME_DSN"], autocommit=True) as times,
    ):
        load = threading.Thread(
            target=write_corrections, args=(times, CORRECTIONS_A_SECOND, SECONDS, seed), daemon=True
        )
        load.start()
        within = 0
        for victim in VICTIMS:
            time.sleep(rng.uniform(0.2, 2.0))
            within += progress.applied() < HISTORY
            running.pipeline.kill(victim)
            running.pipeline.start(victim)
            running.pipeline.wait_worker_ready()
        load.join(timeout=4 * SECONDS)
        assert not load.is_alive()
        assert within >= 3, "the backfill was over too soon"
        running.assert_exact(HISTORY, f"seed {seed}")
