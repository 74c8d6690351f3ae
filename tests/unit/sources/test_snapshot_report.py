"""How far a snapshot is: the bar, the metric, the log line."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from connectors.sources.postgres.snapshot import reporting
from connectors.sources.postgres.snapshot.reporting import REMAINING, SnapshotReport


def remaining(source: str) -> float:
    (metric,) = REMAINING.collect()
    return next(sample.value for sample in metric.samples if sample.labels == {"source": source})


def test_a_bar_on_a_terminal() -> None:
    """Rows of the estimate, the rate and the time left."""
    written = io.StringIO()
    with SnapshotReport("bar", 1000, Console(file=written, force_terminal=True, width=120)) as report:
        report.advance(240, 250)
    text = written.getvalue()
    assert "240/990" in text, "the total follows what the chunks turn out to have"
    assert "rows/s" in text
    assert "left" in text


def test_the_metric_and_the_log_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bar; what remains is a gauge, which a snapshot's end, or failure, sets to 0."""
    monkeypatch.setattr(reporting, "LOG_EVERY_S", 0.0)
    written = io.StringIO()
    with (
        capture_logs() as logs,
        SnapshotReport("plain", 1000, Console(file=written, force_terminal=False)) as report,
    ):
        assert report.seconds_left is None
        report.advance(500, 400)
        assert remaining("plain") == 600
        assert report.seconds_left is not None
    assert written.getvalue() == ""
    assert remaining("plain") == 0
    (line,) = logs
    assert (line["event"], line["rows"], line["estimated_rows"]) == ("snapshot_progress", 500, 1100)
    assert {"rows_per_s", "seconds_left"} <= line.keys()
