"""The growth benchmark: what it says, and that a wrong size is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from agents.bench.growth import GrowthSettings, run_growth


def test_rates_of_all_sizes_and_kinds() -> None:
    """A tiny run has a rate for each size and kind of change, all entries of one root among them."""
    figures = run_growth(GrowthSettings([300], [100, 200], 100, 50))
    assert set(figures["by_open_entries"]) == {"300"}
    assert set(figures["by_entries_of_capped_root"]) == {"100", "200"}
    assert set(figures["by_open_entries"]["300"]) == {"corrected", "appended", "reevaluated"}
    rates = [rate for size in figures["by_entries_of_capped_root"].values() for rate in size.values()]
    assert all(rate > 0 for rate in (*rates, *figures["by_open_entries"]["300"].values()))
    assert 0 < figures["slowest_of_fastest_capped"] <= 1


def test_a_run_is_printed_as_json() -> None:
    """Standard output is the result and nothing else."""
    run = _bench("--open-entries", "100", "--entries-of-root", "", "--changes", "100", "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["by_entries_of_capped_root"] == {}


@pytest.mark.parametrize("sizes", ["many", "99", "100,-5"])
def test_a_size_that_is_none_is_refused(sizes: str) -> None:
    """Exit code 2 and one line that names the option."""
    run = _bench("--open-entries", sizes)
    assert run.returncode == 2
    assert "--open-entries" in run.stderr
    assert "Traceback" not in run.stderr


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams", "bench", "growth", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
