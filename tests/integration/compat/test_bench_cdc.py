"""`tallystream bench cdc`: small runs of it, and that a wrong topic would be noticed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import typer
from typer.testing import CliRunner

from connectors.bench.cli import register
from connectors.bench.measure import different_rows, percentile
from streams.errors import UsageError
from streams.stack.connect_jars import connect_available

FIELDS = ("snapshot_rows_per_s", "streaming_rows_per_s", "peak_rss_mb", "latency_ms", "rows_different")
RATIOS = ("snapshot_vs_debezium", "streaming_vs_debezium", "latency_vs_debezium")


@pytest.fixture(autouse=True)
def sigterm() -> Iterator[None]:
    """The command replaces the handler of SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def bench(*arguments: str) -> dict[str, Any]:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    try:
        result = CliRunner().invoke(app, ["bench", "cdc", "--json", *arguments], catch_exceptions=False)
    finally:
        structlog.reset_defaults()  # the command logs to its standard error, which is gone by now
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def check(figures: dict[str, Any], rows: int, changes: int) -> None:
    """All that was written came through, and every figure is one."""
    assert all(figures[name] > 0 for name in FIELDS[:3])
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]
    assert figures["latency_ms"]["changes"] == changes
    assert figures["rows_different"] == figures["changes_surplus"] == 0
    assert figures["rows_compared"] > rows


@pytest.mark.slow
def test_ours_alone() -> None:
    """Without Java, on the embedded broker; Debezium's figures and the ratios are null, not missing."""
    arguments = ("--rows", "2000", "--seconds", "2", "--per-second", "100")
    figures = bench("--broker", "embedded", "--no-debezium", *arguments)
    check(figures["ours"], 2000, 200)
    assert figures["debezium"] is figures["debezium_poll_1ms"] is None
    assert figures["ratios"] == dict.fromkeys(RATIOS)


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.skipif(not connect_available(), reason="needs Java and Maven")
def test_all_three() -> None:
    """Our source, Debezium, and Debezium that polls each millisecond: the same changes, the same rows."""
    figures = bench("--rows", "3000", "--seconds", "2")
    compared = set()
    for name in ("ours", "debezium", "debezium_poll_1ms"):
        check(figures[name], 3000, 1000)
        compared.add((figures[name]["changes"], figures[name]["rows_compared"]))
    assert len(compared) == 1
    assert all(figures["ratios"][name] > 0 for name in RATIOS)


@pytest.mark.parametrize(
    ("option", "value"), [("--heap", "much"), ("--heap", "0m"), ("--broker", "somewhere")]
)
def test_a_wrong_option_is_refused_before_anything_starts(option: str, value: str) -> None:
    """Exit code 2, naming the option and its value."""
    with pytest.raises(UsageError, match=f"{option} {value}: "):
        bench(option, value)


def test_lost_altered_and_superfluous_rows_count() -> None:
    """Each as one, and equal ones as none."""
    table = {1: (1, "a"), 2: (2, "b"), 3: (3, "c")}
    assert different_rows(table, table) == 0
    assert different_rows({1: (1, "a"), 2: (2, "x"), 4: (4, "d")}, table) == 3


def test_percentiles_are_of_the_nearest_rank() -> None:
    """Of a hundred values, of few, and of one."""
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 50), percentile(values, 99)) == (50.0, 99.0)
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert percentile([7.0], 99) == 7.0
