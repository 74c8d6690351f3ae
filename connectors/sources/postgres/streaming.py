"""One session's stream: log messages to whole source transactions to Kafka transactions.

A source transaction that does not fit in memory is on disk until its commit, and may span several
Kafka transactions: `connectors.sources.postgres.assembly` and `connectors.sources.postgres.parts`.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import structlog

from connectors.sources import metrics
from connectors.sources.postgres.assembly import Assembler, Shapes, SpilledTransaction
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.envelope import Stamp
from connectors.sources.postgres.metadata import MetadataTopic, Orders, times_length
from connectors.sources.postgres.parts import Parts
from connectors.sources.postgres.pgoutput import Relation
from connectors.sources.postgres.position import Progress, lsn_text
from connectors.sources.postgres.records import Record
from connectors.sources.postgres.server import Server
from connectors.sources.postgres.spill import SpillArea
from connectors.sources.postgres.stream import LogStream
from connectors.sources.postgres.tables import Table, Tables
from connectors.sources.postgres.transactions import Transaction
from connectors.sources.publisher import Publisher
from connectors.sources.running import StopSignal
from connectors.sources.topics import Topics
from streams.errors import ConfigurationError, DependencyUnavailable, PositionLost

log = structlog.get_logger()

# A Kafka transaction holds whole source transactions. It is committed when the socket is empty, so a
# lone change waits for nothing; under load these bound how many are gathered. A commit costs some
# milliseconds on Apache Kafka: a tenth of the time between two is then spent on it.
BATCH_CHANGES = 20_000
BATCH_S = 0.05
ADVANCE_S = 10.0  # how often an idle slot follows a log that grows without concerning us
WAIT_S = 1.0  # the longest sleep; what arrives wakes us at once
KEEP_ALIVE_EVERY = 4096  # records between two looks at the clock within a long transaction
HEARTBEAT = "tallystream.heartbeat"  # the prefix of the messages that an idle source writes to the log


class _Stopped(Exception):
    """A stop was asked for within a large transaction; what is not stored is received again."""


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
        self._area = SpillArea(config.spill_dir, config.spill_after)
        self._assembler: Assembler[Table] = Assembler(
            Shapes(self._table, lambda message: tables.announce_type(message.oid, message.name)), self._area
        )
        self._metadata = (
            MetadataTopic(config.name, tables._registry, topics) if config.transaction_metadata else None
        )
        self._heartbeat_s = config.heartbeat_s
        self._beaten = time.monotonic()
        self._stop: StopSignal | None = None
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
        self._assembler.close()
        self._stream.close()

    def run(self, stop: StopSignal, *, once: bool = False) -> None:
        """Publish until ``stop``; with ``once``, until all that the log holds now is published."""
        self._log.info("streaming", lsn=lsn_text(self._progress.flushed_lsn))
        self._stop = stop
        with contextlib.suppress(_Stopped):
            self._run(stop, once)
        self._log.info("stopped", lsn=lsn_text(self._progress.flushed_lsn))

    def _run(self, stop: StopSignal, once: bool) -> None:
        target = self._mark_end() if once else None
        stream = self._stream
        while True:
            arrived = stream.read()
            if arrived is not None:
                self._take(*arrived)
                continue
            if self._publisher.in_transaction:
                self._commit()
            if not self._assembler.open:
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

    def _mark_end(self) -> int:
        """Write a message to the log, which completes what is before it, and return its LSN."""
        with self._server.connect() as connection:
            row = connection.execute(
                "SELECT pg_logical_emit_message(true, 'tallystream.once', '') - '0/0'::pg_lsn"
            ).fetchone()
        assert row is not None
        return int(row[0])

    def _take(self, lsn: int, payload: bytes) -> None:
        done = self._assembler.feed(payload, lsn)
        if isinstance(done, SpilledTransaction):
            try:
                if done.end_lsn > self._progress.flushed_lsn:
                    self._publish_spilled(done)
            finally:
                done.close()
        elif done is not None and done.end_lsn > self._progress.flushed_lsn:
            # (A slot may fall behind in a crash of the server; what we stored is what counts.)
            left_out = self._left_out(done.commit_lsn)
            self._publish(done if left_out is None else done.without(left_out))

    def _table(self, relation: Relation) -> Table | None:
        table = self._tables.table(relation)
        if table is None and self._half_done and relation.full_name in (self._progress.partial or ()):
            raise ConfigurationError(
                f"the transaction at {lsn_text(self._progress.commit_lsn)} is published in part, and table "
                f"{relation.full_name}, which it changed, is not captured any more; include it until the rest is "
                "published, or take a new snapshot with `tallystream source resnapshot`"
            )
        return table

    @property
    def _half_done(self) -> bool:
        """The transaction at ``commit_lsn`` was published in part."""
        progress = self._progress
        return progress.partial is not None and progress.commit_lsn >= progress.flushed_lsn

    def _left_out(self, commit_lsn: int) -> Callable[[Table], bool] | None:
        """Which tables' changes take no ordinals: those that their snapshot has, or, where ordinals were
        stored before, those that it did not count then."""
        if self._half_done and commit_lsn == self._progress.commit_lsn:
            counted = frozenset(self._progress.partial or ())
            return lambda table: table.full_name not in counted
        late = self._late_for(commit_lsn)
        return (lambda table: table.full_name in late) if late else None

    def _late_for(self, commit_lsn: int) -> frozenset[str]:
        return frozenset(name for name, lsn in self._late.items() if commit_lsn < lsn)

    def _publish_spilled(self, spilled: SpilledTransaction[Table]) -> None:
        """In parts. What was sent before is committed first: the broker gives a transaction a minute."""
        if self._publisher.in_transaction:
            self._commit()
        left_out = self._left_out(spilled.commit_lsn)
        started = time.monotonic()
        transaction = spilled.read(self._area, left_out, self._tick)
        counted = {table.full_name for table in spilled.tables() if left_out is None or not left_out(table)}
        self._publish(transaction, sorted(counted))
        self._log.info(
            "large_transaction",
            xid=transaction.xid,
            changes=transaction.count,
            spilled_bytes=spilled.size,
            seconds=round(time.monotonic() - started, 3),
        )

    def _tick(self) -> None:
        """During long work: tell the server that we live, and hear a stop."""
        self._stream.keep_alive()
        if self._stop is not None and self._stop.is_set():
            raise _Stopped

    def _publish(self, transaction: Transaction[Table], counted: list[str] | None = None) -> None:
        """Send the transaction; ``counted`` are the tables of its ordinals, for one that may be large."""
        progress = self._progress
        first, previous = 0, progress.commit_lsn or None
        skip: frozenset[str] = frozenset()
        if self._half_done:
            if transaction.commit_lsn != progress.commit_lsn:
                raise PositionLost(
                    f"the transaction at {lsn_text(progress.commit_lsn)} is published up to change "
                    f"{progress.ordinal}, and the slot does not deliver the rest; take a new snapshot with "
                    "`tallystream source resnapshot`"
                )
            first, previous, counted = progress.ordinal + 1, None, progress.partial
            skip = self._late_for(transaction.commit_lsn)
        stamp = Stamp(transaction.commit_us, time.time_ns() // 1000, transaction.xid, previous)
        orders = None
        if self._metadata is not None:
            name = f"{transaction.xid}:{transaction.commit_lsn}"
            orders = Orders(name, transaction.commit_us, times_length(stamp.capture_us))
        if not self._publisher.in_transaction:
            self._batch_started = time.monotonic()
        parts = Parts(transaction, progress.epoch, stamp, first, orders, skip)
        if self._metadata is not None and orders is not None and transaction.count and not first:
            self._publisher.send(self._metadata.topic, *self._metadata.begin(orders), [])
        for end, records in parts:
            for sent, record in enumerate(records):
                self._send(record)
                if sent % KEEP_ALIVE_EVERY == KEEP_ALIVE_EVERY - 1:
                    self._stream.keep_alive()
            if end < transaction.count:
                self._progress = replace(
                    self._progress, commit_lsn=transaction.commit_lsn, ordinal=end - 1, partial=counted
                )
                self._counts.update(parts.take_counts())
                self._commit()
                self._tick()
        if self._metadata is not None and orders is not None and transaction.count:
            self._publisher.send(self._metadata.topic, *self._metadata.end(orders), [])
        self._counts.update(parts.take_counts())
        self._transactions += 1
        self._batch += transaction.count - first
        self._last_commit_us = transaction.commit_us
        self._progress = replace(
            self._progress,
            commit_lsn=transaction.commit_lsn,
            ordinal=max(transaction.count - 1, 0),
            flushed_lsn=transaction.end_lsn,
            partial=None,
        )
        if self._batch >= BATCH_CHANGES or time.monotonic() - self._batch_started > BATCH_S:
            self._commit()
        self._stream.listen_again()

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
        if self._heartbeat_s and time.monotonic() - self._beaten > self._heartbeat_s:
            self._beat()

    def _beat(self) -> None:
        """Write a message to the log of our own database, so that the server has a position to send.

        A walsender that passes over other databases' log for long says so seldom, and `restart_lsn`
        follows only where something of ours is read.
        """
        self._beaten = time.monotonic()
        try:
            with self._server.connect() as connection:
                connection.execute("SELECT pg_logical_emit_message(false, %s, '')", [HEARTBEAT])
        except DependencyUnavailable as error:  # a standby can't be written to, a role may not be allowed to
            self._heartbeat_s = 0.0
            self._log.warning("heartbeats_off", reason=str(error))

    def _advance(self) -> None:
        """Store and confirm that nothing up to the server's position concerns us."""
        self._advanced = time.monotonic()
        reached = self._stream.server_lsn
        if reached > self._progress.flushed_lsn:
            self._progress = replace(self._progress, flushed_lsn=reached)
            self._publisher.commit(self._progress.to_json())
            self._stream.confirm(reached)
