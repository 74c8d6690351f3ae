"""The recovery benchmark: one small run of it, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streams.stack import kafka_available


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "streams", "bench", "recovery", *options],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_a_broker_that_keeps_dead_workers_is_refused() -> None:
    """In one line, with the way out."""
    result = bench("--broker", "embedded")
    assert result.returncode == 2
    assert result.stderr == (
        "error: the embedded broker does not put out dead workers: take --broker kafka\n"
    )


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_small_run_recovers_three_times(tmp_path: Path) -> None:
    """A restart and a takeover restore the same state whole; with a standby copy nothing is left to restore,
    and all figures are there."""
    if not kafka_available():
        pytest.skip("Apache Kafka needs Java, and its jars or Maven")
    result = bench("--entries", "500", "--consultants", "20", "--json", str(tmp_path / "recovery.json"))
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "recovery.json").read_text(encoding="utf-8"))
    assert figures["entries"] == 500
    assert figures["state_records"] > 3 * 500
    for how in ("restart", "takeover", "takeover_with_standby"):
        assert figures[how]["ready_s"] > 0
        assert 20 < figures[how]["resident_mb"]["now"] <= figures[how]["resident_mb"]["peak"] < 1_500
    # The cursor is written again where a lane has nothing to do but to tick.
    assert 0 <= figures["takeover"]["records"] - figures["restart"]["records"] < 50
    assert figures["takeover_with_standby"]["records"] < 50
