"""SIGKILL of the worker while a new price list rates thousands of entries again: none is left at its old price."""

from __future__ import annotations

import contextlib
import random
import threading
from pathlib import Path

import psycopg
import pytest
from support.pipelines import running_firm

from connectors.bench.corrections import write_corrections
from connectors.bench.history import HistoryProgress
from connectors.bench.rerating import Rerating, raise_default_prices
from connectors.demo.pipeline import wait_until
from connectors.reference.firm import FirmSettings

HISTORY = 12_000
# More than the firm has of its own.
OWN_ENTRIES = 1_000
KILLS = 4
CORRECTIONS_A_SECOND, SECONDS = 30, 25
PATIENCE_S = 60.0


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_kills_within_a_rerating_change_nothing(tmp_path: Path) -> None:
    """Each worker is killed after it has rated some entries again, and before it has rated all; entries are
    corrected meanwhile. The oracle finds no difference, and no line of the ledger is there twice. Each worker
    goes on where the one before it was: what was rated again is not rated once more."""
    seed = random.SystemRandom().randrange(1_000_000)
    rng = random.Random(seed)
    print(f"seed {seed}")
    firm = FirmSettings(seed=2, consultants=10, days=14)
    with (
        running_firm(tmp_path, "embedded", firm, history=HISTORY) as running,
        psycopg.connect(running.environment["TALLYSTREAM_TIME_DSN"], autocommit=True) as times,
    ):
        pipeline = running.pipeline
        with contextlib.closing(HistoryProgress(running.stack.broker.bootstrap)) as progress:
            progress.wait_published(HISTORY, pipeline.check)
            progress.wait_applied(pipeline.check)
        load = threading.Thread(
            target=write_corrections, args=(times, CORRECTIONS_A_SECOND, SECONDS, seed), daemon=True
        )
        load.start()
        raise_default_prices(running.environment["TALLYSTREAM_ERP_DSN"])
        rated, done = Rerating(lambda: pipeline.fetch("worker", "/metrics")), []
        for _ in range(KILLS):
            least = rng.randrange(100, 2000)
            assert wait_until(lambda rated=rated, least=least: rated.look() >= least, PATIENCE_S)
            done.append(rated.look())
            pipeline.kill("worker")
            pipeline.start("worker")
            pipeline.wait_worker_ready()
            rated = Rerating(lambda: pipeline.fetch("worker", "/metrics"), before=0)
        done.append(rated.wait(pipeline.check)[0])
        print(f"entries that each worker rated again: {done}")
        assert sum(done) <= HISTORY + OWN_ENTRIES
        load.join(timeout=4 * SECONDS)
        assert not load.is_alive()
        running.assert_exact(HISTORY, f"seed {seed}")
    logged = (tmp_path / "logs" / "worker.log").read_text()
    assert "worker_ready" in logged
    assert "topics_not_checked" not in logged
