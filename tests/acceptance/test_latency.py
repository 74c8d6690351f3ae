"""Commit to billing event under a steady load."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from support.pipelines import RunningFirm, running_firm

from connectors.reference.firm import FirmSettings

CHANGES_PER_SECOND = 200
SECONDS = 12
WARM_UP_SECONDS = 3
P99_MS = 300.0
# Something else on the same two cores moves the quantiles several times over; a slow pipeline fails each time.
ATTEMPTS = 3
CORRECT = text(
    "UPDATE time_entry SET hours = :hours, version = version + 1, approved_at = :now WHERE id = :id"
)
LATENCIES = text(
    "SELECT extract(epoch FROM allocated_at - occurred_at) * 1000 FROM fact_billing_event "
    "WHERE NOT snapshot AND kind <> 'REVERSAL' AND occurred_at > :start ORDER BY 1"
)


class SteadyLoad:
    """Single-row corrections of approved entries at an even pace."""

    def __init__(self, running: RunningFirm) -> None:
        self._running = running
        self._rng = random.Random(1)
        with running.judge.engines["time"].connect() as connection:
            self._ids = list(connection.scalars(text("SELECT id FROM time_entry WHERE status = 'approved'")))

    def run(self) -> tuple[float, list[float]]:
        """Changes per second reached, and milliseconds of each ledger line after the warm-up, in order."""
        began = time.monotonic()
        start = datetime.now(UTC) + timedelta(seconds=WARM_UP_SECONDS)
        with self._running.judge.engines["time"].connect() as connection:
            for at in range(CHANGES_PER_SECOND * SECONDS):
                pause = began + at / CHANGES_PER_SECOND - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                with connection.begin():
                    hours = self._rng.randrange(4, 33) / 4
                    entry = self._rng.choice(self._ids)
                    connection.execute(CORRECT, {"id": entry, "hours": hours, "now": datetime.now(UTC)})
            rate = CHANGES_PER_SECOND * SECONDS / (time.monotonic() - began)
        warehouse, topics = self._running.settle()
        assert warehouse.equal, warehouse.differences
        assert topics.equal, topics.differences
        with self._running.warehouse.connect() as connection:
            return rate, [float(ms) for ms in connection.scalars(LATENCIES, {"start": start})]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_commit_to_billing_event_under_200_changes_a_second(tmp_path: Path) -> None:
    """Steady single-row transactions at 200/s on the embedded stack: p99 under 300 ms, oracle at 0."""
    with running_firm(tmp_path, "embedded", FirmSettings(seed=2, consultants=10, days=14)) as running:
        running.work(lambda: None)
        warehouse, _ = running.settle()
        assert warehouse.equal, warehouse.differences
        load, reached = SteadyLoad(running), []
        for _ in range(ATTEMPTS):
            rate, samples = load.run()
            assert rate > 0.95 * CHANGES_PER_SECOND
            assert len(samples) > 1000
            p50, p99 = samples[len(samples) // 2], samples[len(samples) * 99 // 100]
            print(f"{len(samples)} ledger lines at {rate:.0f} changes/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
            reached.append(p99)
            if p99 < P99_MS:
                break
    assert min(reached) < P99_MS
