"""A stream's metrics, which move when what they count is durable."""

from __future__ import annotations

import time
from collections import Counter

from connectors.sources import metrics


class StreamMetrics:
    """Of one source. Not thread-safe."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._changes: Counter[tuple[str, str]] = Counter()
        self._transactions = 0
        self._last_commit_us = 0

    def count(self, changes: Counter[tuple[str, str]]) -> None:
        """Changes by table and op that were sent."""
        self._changes.update(changes)

    def transaction(self, commit_us: int) -> None:
        """A source transaction was sent whole; when it was committed, in microseconds."""
        self._transactions += 1
        self._last_commit_us = commit_us

    def committed(self) -> None:
        """All that was counted is durable."""
        for (table, op), count in self._changes.items():
            metrics.CHANGES.labels(self._source, table, op).inc(count)
        self._changes.clear()
        metrics.TRANSACTIONS.labels(self._source).inc(self._transactions)
        self._transactions = 0
        metrics.LAG.labels(self._source).set(max(time.time() - self._last_commit_us / 1e6, 0))

    def caught_up(self) -> None:
        """There is nothing in the log that is not published."""
        metrics.LAG.labels(self._source).set(0)
