"""One session's stream: log messages to whole source transactions to Kafka transactions."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import structlog

from connectors.sources import metrics
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.envelope import Stamp
from connectors.sources.postgres.pgoutput import Relation, Type, decode
from connectors.sources.postgres.position import Progress, lsn_text
from connectors.sources.postgres.records import Record, transaction_records
from connectors.sources.postgres.server import Server
from connectors.sources.postgres.stream import LogStream
from connectors.sources.postgres.tables import Table, Tables
from connectors.sources.postgres.transactions import Transaction, TransactionBuffer
from connectors.sources.publisher import Publisher
from connectors.sources.running import StopSignal
from connectors.sources.topics import Topics

log = structlog.get_logger()

# A Kafka transaction holds whole source transactions. It is committed when the socket is empty, so a
# lone change waits for nothing; under load these bound how many are gathered. A commit costs some
# milliseconds on Apache Kafka: a tenth of the time between two is then spent on it.
BATCH_CHANGES = 20_000
BATCH_S = 0.05
ADVANCE_S = 10.0  # how often an idle slot follows a log that grows without concerning us
WAIT_S = 1.0  # the longest sleep; what arrives wakes us at once
KEEP_ALIVE_EVERY = 4096  # records between two looks at the clock within a long transaction


class Streaming:
    """Publishes from ``progress`` on. Not thread-safe; made anew for each session."""

    def __init__(
        self,
        server: Server,
        config: PostgresConfig,
        publisher: Publisher,
        topics: Topics,
        tables: Tables,
        progress: Progress,
    ) -> None:
        self._name = config.name
        self._server = server
        self._publisher = publisher
        self._topics = topics
        self._tables = tables
        self._progress = progress
        self._buffer: TransactionBuffer[Table] = TransactionBuffer()
        self._stream = LogStream(server, config.slot_name, config.publication_name, progress.flushed_lsn)
        self._log = log.bind(source=config.name)
        # Tables whose snapshot is younger than where the stream starts: see `Progress.tables`.
        self._late = {name: lsn for name, lsn in progress.tables.items() if lsn > progress.flushed_lsn}
        self._batch = 0  # changes sent and not committed
        self._batch_started = 0.0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._transactions = 0
        self._last_commit_us = 0
        self._advanced = time.monotonic()

    @property
    def progress(self) -> Progress:
        """What is published."""
        return self._progress

    def close(self) -> None:
        """End the replication connection."""
        self._stream.close()

    def run(self, stop: StopSignal, *, once: bool = False) -> None:
        """Publish until ``stop``; with ``once``, until all that the log holds now is published."""
        self._log.info("streaming", lsn=lsn_text(self._progress.flushed_lsn))
        target = self._mark_end() if once else None
        stream = self._stream
        while True:
            arrived = stream.read()
            if arrived is not None:
                self._take(*arrived)
                continue
            if self._publisher.in_transaction:
                self._commit()
            if not self._buffer.open:
                if stop.is_set() or (target is not None and stream.server_lsn >= target):
                    self._advance()
                    break
                self._follow_idle_log()
            elif stop.is_set():
                break  # what was received of it is received again next time
            if target is not None:
                stream.ask()
            if stream.reply_wanted:
                stream.confirm(self._progress.flushed_lsn)
            stream.keep_alive()
            stream.wait(stop, WAIT_S)
        self._log.info("stopped", lsn=lsn_text(self._progress.flushed_lsn))

    def _mark_end(self) -> int:
        """Write a message to the log, which completes what is before it, and return its LSN."""
        with self._server.connect() as connection:
            row = connection.execute(
                "SELECT pg_logical_emit_message(true, 'tallystream.once', '') - '0/0'::pg_lsn"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def _take(self, lsn: int, payload: bytes) -> None:
        message = decode(payload)
        if isinstance(message, Relation):
            self._buffer.define(message.oid, self._tables.table(message))
        elif isinstance(message, Type):
            self._tables.announce_type(message.oid, message.name)
        else:
            transaction = self._buffer.feed(message, lsn)
            if transaction is not None:
                self._publish(transaction)

    def _publish(self, transaction: Transaction[Table]) -> None:
        if transaction.end_lsn <= self._progress.flushed_lsn:
            return  # a slot may fall behind in a crash of the server; what we stored is what counts
        stamp = Stamp(
            transaction.commit_us, time.time_ns() // 1000, transaction.xid, self._progress.commit_lsn or None
        )
        if not self._publisher.in_transaction:
            self._batch_started = time.monotonic()
        skip = frozenset(name for name, lsn in self._late.items() if transaction.commit_lsn < lsn)
        for sent, record in enumerate(transaction_records(transaction, self._progress.epoch, stamp, skip)):
            self._send(record)
            if sent % KEEP_ALIVE_EVERY == KEEP_ALIVE_EVERY - 1:
                self._stream.keep_alive()
        self._counts.update((change.table.full_name, change.op) for change in transaction.changes)
        self._transactions += 1
        self._batch += len(transaction.changes)
        self._last_commit_us = transaction.commit_us
        self._progress = replace(
            self._progress,
            commit_lsn=transaction.commit_lsn,
            ordinal=max(len(transaction.changes) - 1, 0),
            flushed_lsn=transaction.end_lsn,
        )
        if self._batch >= BATCH_CHANGES or time.monotonic() - self._batch_started > BATCH_S:
            self._commit()

    def _send(self, record: Record) -> None:
        if record.everywhere:
            for partition in range(self._topics.partitions(record.topic)):
                self._publisher.send(record.topic, record.key, record.value, record.headers, partition)
        else:
            self._publisher.send(record.topic, record.key, record.value, record.headers)

    def _commit(self) -> None:
        """Make the sent changes and the position durable, then let the server forget them."""
        self._publisher.commit(self._progress.to_json())
        self._stream.confirm(self._progress.flushed_lsn)
        self._advanced = time.monotonic()
        self._batch = 0
        for (table, op), count in self._counts.items():
            metrics.CHANGES.labels(self._name, table, op).inc(count)
        self._counts.clear()
        metrics.TRANSACTIONS.labels(self._name).inc(self._transactions)
        self._transactions = 0
        metrics.LAG.labels(self._name).set(max(time.time() - self._last_commit_us / 1e6, 0))

    def _follow_idle_log(self) -> None:
        """Now and then, or when the server asks, let the slot follow a log that does not concern us.

        Without it the server would keep all of that log; and a server that shuts down waits until
        its last position is confirmed.
        """
        due = time.monotonic() - self._advanced > ADVANCE_S
        if due:
            metrics.LAG.labels(self._name).set(0)
        if due or self._stream.reply_wanted:
            self._advance()

    def _advance(self) -> None:
        """Store and confirm that nothing up to the server's position concerns us."""
        self._advanced = time.monotonic()
        reached = self._stream.server_lsn
        if reached > self._progress.flushed_lsn:
            self._progress = replace(self._progress, flushed_lsn=reached)
            self._publisher.commit(self._progress.to_json())
            self._stream.confirm(reached)
