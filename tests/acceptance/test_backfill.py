"""Years of entries behind today's, and a new price list for all of them, with what is live measured beside."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HISTORY = 5_000
# On however busy a machine; behind the whole of the history it would be several times this.
LIVE_P50_MS = 2_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_is_live_waits_for_neither_and_all_is_billed_to_the_cent() -> None:
    """Exit code 0 says that the warehouse and the topics are what the oracle makes of the databases."""
    command = [sys.executable, "-m", "streams", "bench", "latency", "--rate", "50", "--seconds", "5"]
    command += ["--history", str(HISTORY), "--rerate", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=290, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads(run.stdout)
    assert figures["history"] == HISTORY
    assert figures["changes_seen"] >= 50 * 5 * 0.5
    assert 0 < figures["commit_to_billing_ms"]["p50"] < LIVE_P50_MS
    assert figures["history_beside_live_per_s"] > 0
    again = figures["rerating"]
    assert again["entries"] > 0.5 * HISTORY
    assert 0 < again["commit_to_billing_ms"]["p50"] < LIVE_P50_MS
