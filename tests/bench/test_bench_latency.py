"""The latency benchmark: how samples become quantiles, its load, and one small run of it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.bench import rerating
from connectors.bench.arrivals import HOPS, quantiles, way_of_each_change
from connectors.bench.corrections import write_corrections
from streams.errors import DependencyUnavailable

START = datetime(2026, 3, 1, tzinfo=UTC)
# Not what it should be, but what only a broken pipeline is slower than, on however busy a machine.
P50_MS = 5_000


def arrival(commit_ms: int, arrived_ms: int, **fields: Any) -> tuple[float, dict[str, Any]]:
    """A record of a change committed then, that took 1, 2 and 3 ms up to its rating."""
    commit = START + timedelta(milliseconds=commit_ms)
    times = {
        "occurred_at": commit,
        "captured_at": commit + timedelta(milliseconds=1),
        "published_at": commit + timedelta(milliseconds=3),
        "rated_at": commit + timedelta(milliseconds=6),
        "snapshot": False,
    }
    return (START + timedelta(milliseconds=arrived_ms)).timestamp(), {**times, **fields}


def test_a_change_has_arrived_with_its_last_record() -> None:
    """Hops add up to the whole way; snapshots, re-evaluations and the warm-up don't count."""
    records = [
        arrival(-5, 10),  # before the start
        arrival(10, 20),
        arrival(10, 30),  # another segment of the same change
        arrival(40, 45, snapshot=True),
    ]
    (way,) = way_of_each_change(records, START)
    assert way == pytest.approx({"source": 1, "canonical": 2, "rated": 3, "current": 14, "total": 20})


def test_quantiles_are_of_each_hop_and_of_the_whole_way() -> None:
    """By nearest rank: of 1 to 100 ms the median is 50 and the 99th percentile 99."""
    ways = [{**dict.fromkeys(HOPS, 0.0), "total": float(ms)} for ms in range(1, 101)]
    found = quantiles(ways)
    assert found["total"] == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    assert set(found) == {"total", *HOPS}


class Entries:
    """A time database in memory that takes the corrections."""

    def __init__(self) -> None:
        self.hours = {1: 1, 2: 32}
        self.unmoved = 0

    def execute(self, statement: str, values: tuple[Decimal, datetime, int] | None = None) -> Entries:
        if values is not None:
            hours, _, entry = values
            self.unmoved += self.hours[entry] == hours * 4
            self.hours[entry] = int(hours * 4)
        return self

    def fetchall(self) -> list[tuple[int, int]]:
        return list(self.hours.items())


def test_each_correction_moves_an_entry_at_its_time() -> None:
    """As many as asked for, none before it is due, none that leaves the hours as they were, all of 1 to 32."""
    entries: Any = Entries()
    late = write_corrections(entries, 200, 1, 1)
    assert len(late) == 200
    assert min(late) >= 0
    assert entries.unmoved == 0
    assert all(1 <= quarters <= 32 for quarters in entries.hours.values())


def test_entries_that_are_rated_again_are_counted_until_there_are_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the worker's metrics, of the rate stage alone; a worker that does not answer is told."""
    monkeypatch.setattr(rerating, "QUIET_S", 0.05)
    monkeypatch.setattr(rerating, "LOOK_S", 0.001)
    counts = iter([7, 7, 10, 30])
    text = """tallystream_lane_events_total{{kind="reevaluated",stage="billing-allocate"}} 99.0
tallystream_lane_events_total{{kind="reevaluated",stage="billing-rate"}} {}.0
tallystream_lane_events_total{{kind="rated",stage="billing-rate"}} 12.0
"""
    watched = rerating.Rerating(lambda: text.format(next(counts, 30)))
    assert watched.look() == 0
    assert watched.look() == 3
    done, took = watched.wait(lambda: None)
    assert done == 23
    assert 0 < took < 5
    assert rerating.Rerating(lambda: "").look() == 0
    with pytest.raises(DependencyUnavailable, match="metrics"):
        rerating.Rerating(lambda: None)
    with pytest.raises(DependencyUnavailable, match="no entry was rated again"):
        rerating.Rerating(lambda: "").wait(lambda: None)


def test_three_embedded_brokers_are_refused() -> None:
    """Exit code 2 and one line that names the option."""
    run = _bench("--brokers", "3")
    assert run.returncode == 2
    assert "--brokers 3" in run.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_small_run_has_all_figures() -> None:
    """A few changes a second through the whole pipeline: quantiles of each hop, and equal to the oracle."""
    run = _bench("--rate", "20", "--seconds", "5", "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads(run.stdout)
    assert figures["changes"] == 20 * (5 + 3)
    assert 50 <= figures["changes_seen"] <= figures["changes"]
    assert 0 < figures["commit_to_billing_ms"]["p50"] <= figures["commit_to_billing_ms"]["p99"]
    assert figures["commit_to_billing_ms"]["p50"] < P50_MS
    assert set(figures["hops_ms"]) == set(HOPS)
    assert set(figures["cpu_share"]) >= {"worker", "source-time"}


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams", "bench", "latency", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=290, check=False)
