"""SIGKILL of the worker, a source and the warehouse sink under load: nothing lost, nothing twice."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from support.pipelines import running_firm

from connectors.reference.firm import FirmSettings
from streams.stack import kafka_available

VICTIMS = ("worker", "source-time", "source-erp", "sink-warehouse")
BROKERS = [
    "embedded",
    pytest.param(
        "kafka", marks=pytest.mark.skipif(not kafka_available(), reason="Java and Maven are not here")
    ),
]


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize("broker", BROKERS)
def test_kills_under_load_change_nothing(tmp_path: Path, broker: str) -> None:
    """Each process is killed three times at random moments under load; the oracle finds no difference."""
    seed = random.SystemRandom().randrange(1_000_000)
    rng = random.Random(seed)
    print(f"seed {seed}")
    kills = [victim for victim in VICTIMS for _ in range(3)]
    rng.shuffle(kills)
    with running_firm(tmp_path, broker, FirmSettings(seed=7, consultants=16, days=28)) as running:

        def kill_all() -> None:
            for victim in kills:
                time.sleep(rng.uniform(0.3, 3.0))
                running.pipeline.kill(victim)
                time.sleep(rng.uniform(0.0, 0.5))
                running.pipeline.start(victim)

        transactions = len(running.firm.plan.transactions)
        running.work(kill_all, pace=transactions / 30)
        running.assert_exact(1000, f"seed {seed}")
