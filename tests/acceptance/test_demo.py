"""The demo as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SIZE = ["--days", "14", "--consultants", "10", "--rate", "0"]
FIELDS = {
    "oracle": {"rows_compared", "rows_different", "money_difference"},
    "counts": {
        "cdc",
        "canonical",
        "billing_events",
        "utilization_daily",
        "parked",
        "released",
        "dead_letters",
        "duplicates_dropped",
    },
    "latency_ms": {"commit_to_billing", "commit_to_warehouse"},
}


def run_demo(folder: Path, name: str, *arguments: str) -> dict[str, Any]:
    """Run the command and return its JSON."""
    target = folder / f"{name}.json"
    done = subprocess.run(
        [sys.executable, "-m", "streams", "demo", *SIZE, "--json", str(target), *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Difference to the oracle: 0.00" in " ".join(done.stdout.split())
    result: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    return result


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_demo_twice_gives_the_same_business_rows(tmp_path: Path) -> None:
    """One seed gives the same ids, hours and amounts twice; another seed other ones; JSON is complete."""
    first, second = (run_demo(tmp_path, name, "--seed", "3") for name in ("a", "b"))
    other = run_demo(tmp_path, "c", "--seed", "4")
    assert first["digest"] == second["digest"] != other["digest"]
    for part, names in FIELDS.items():
        assert names <= first[part].keys()
    assert first["oracle"]["rows_compared"] > 1000
    assert first["oracle"]["rows_different"] == 0
    assert first["counts"]["billing_events"] > 100
    assert first["counts"]["released"] > 0
    assert first["counts"]["parked"] > 0
    assert {"duration_s", "broker"} <= first.keys()
