"""How far a snapshot is: a bar on a terminal, log lines elsewhere, a metric everywhere."""

from __future__ import annotations

import time
from types import TracebackType

import structlog
from prometheus_client import Gauge
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = structlog.get_logger()

LOG_EVERY_S = 10.0

REMAINING = Gauge(
    "tallystream_source_snapshot_remaining_rows",
    "Rows that the snapshot under way has yet to publish, by the planner's estimate; 0 when none is",
    ["source"],
)


class SnapshotReport:
    """A context manager, for one session's part of a snapshot of about ``expected`` rows."""

    def __init__(self, source: str, expected: int, console: Console | None = None) -> None:
        self.rows = 0
        """Published in this session."""
        self._source = source
        self._expected = expected
        self._covered = 0  # of the estimate: what the finished chunks were taken for
        self._started = self._logged = time.monotonic()
        console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("snapshot"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rows, {task.fields[rate]:,.0f} rows/s,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("snapshot", total=expected or None, rate=0.0)

    def __enter__(self) -> SnapshotReport:
        self._bar.start()
        REMAINING.labels(self._source).set(self._expected)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        REMAINING.labels(self._source).set(0)

    @property
    def rows_per_s(self) -> float:
        """On average since the start."""
        return self.rows / max(time.monotonic() - self._started, 1e-6)

    @property
    def seconds_left(self) -> float | None:
        """By what the finished chunks were estimated at; None before the first."""
        if not self._covered:
            return None
        elapsed = time.monotonic() - self._started
        return elapsed * (self._expected - self._covered) / self._covered

    def advance(self, rows: int, estimated: int) -> None:
        """A chunk of ``rows``, taken for ``estimated`` before, is published."""
        self.rows += rows
        self._covered += estimated
        remaining = max(self._expected - self._covered, 0)
        REMAINING.labels(self._source).set(remaining)
        # The total follows what the chunks turn out to have, so that the bar ends where the rows do.
        self._bar.update(self._task, completed=self.rows, total=self.rows + remaining, rate=self.rows_per_s)
        now = time.monotonic()
        if now - self._logged > LOG_EVERY_S:
            self._logged = now
            left = self.seconds_left
            log.info(
                "snapshot_progress",
                source=self._source,
                rows=self.rows,
                estimated_rows=self.rows + remaining,
                rows_per_s=round(self.rows_per_s),
                seconds_left=None if left is None else round(left),
            )
