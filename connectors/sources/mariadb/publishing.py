"""Whole source transactions into Kafka transactions, with the position that goes with them."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

from connectors.sources import metrics
from connectors.sources.mariadb.binlog import Named
from connectors.sources.mariadb.envelope import Stamp
from connectors.sources.mariadb.parts import Reached, parts
from connectors.sources.mariadb.position import Progress
from connectors.sources.mariadb.transactions import Transaction
from connectors.sources.publisher import Publisher, send
from connectors.sources.topics import Topics

# As in the PostgreSQL source: committed when the socket is empty, and under load by these.
BATCH_CHANGES = 20_000
BATCH_S = 0.05


class Publishing:
    """Sends, and commits now and then. ``progress`` is what the next commit stores."""

    def __init__(self, name: str, publisher: Publisher, topics: Topics, progress: Progress) -> None:
        self._name = name
        self._publisher = publisher
        self._topics = topics
        self.progress = progress
        self._stored = progress
        self._batch = 0  # changes sent and not committed
        self._batch_started = 0.0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._transactions = 0
        self._last_commit_s = 0
        self.advanced = time.monotonic()
        """When the position was stored, or found to be where it was."""

    def note(self, **changed: Any) -> None:
        """Change fields of ``progress``."""
        self.progress = replace(self.progress, **changed)

    def transaction(
        self, gtid: Named, timestamp: int, file: str, transaction: Transaction, skip: frozenset[str]
    ) -> None:
        """Send a transaction that was committed at ``timestamp``, in seconds, without the tables in ``skip``.

        ``progress`` still is what was before it, but for its number. Then, `commit_if_due`.
        """
        stamp = Stamp(timestamp * 1_000_000, time.time_ns() // 1000, gtid.server, str(gtid), file)
        if not self._publisher.in_transaction:
            self._batch_started = time.monotonic()
        progress = self.progress
        number = progress.transactions + 1
        self._last_commit_s = timestamp
        done = None if progress.partial is None else Reached(*progress.partial)
        for part in parts(transaction, f"{progress.epoch}/{number}/", stamp, skip, done):
            if isinstance(part, Reached):
                self.note(partial=part)
                self.commit()
                continue
            change, records = part
            for record in records:
                send(self._publisher, self._topics, record)
            self._counts[change.table.full_name, change.op] += 1
            self._batch += 1
        self._transactions += 1
        self.note(transactions=number, partial=None)

    def commit_if_due(self) -> None:
        """Commit when enough was sent, or long enough ago."""
        if self._publisher.in_transaction and (
            self._batch >= BATCH_CHANGES or time.monotonic() - self._batch_started > BATCH_S
        ):
            self.commit()

    def flush(self) -> None:
        """Commit what was sent, if anything was."""
        if self._publisher.in_transaction:
            self.commit()

    def advance(self) -> None:
        """Store that nothing up to here concerns us, so that old log files may be removed."""
        self.advanced = time.monotonic()
        if self.progress != self._stored:
            self.commit()

    def commit(self) -> None:
        """Make the sent changes and the position durable."""
        self._publisher.commit(self.progress.to_json())
        self._stored = self.progress
        self.advanced = time.monotonic()
        self._batch = 0
        for (table, op), count in self._counts.items():
            metrics.CHANGES.labels(self._name, table, op).inc(count)
        self._counts.clear()
        metrics.TRANSACTIONS.labels(self._name).inc(self._transactions)
        self._transactions = 0
        metrics.LAG.labels(self._name).set(max(time.time() - self._last_commit_s, 0))
