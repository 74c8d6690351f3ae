"""One session's stream: log messages to whole source transactions to Kafka transactions.

A source transaction that does not fit in memory is on disk until its commit, and may span several
Kafka transactions: `connectors.sources.postgres.log.assembly` and `connectors.sources.postgres.log.parts`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from connectors.sources.envelope import POSITION
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.log.assembly import Assembler
from connectors.sources.postgres.log.between import SIGNALS, Between
from connectors.sources.postgres.log.figures import StreamMetrics
from connectors.sources.postgres.log.heartbeat import Heartbeat
from connectors.sources.postgres.log.metadata import MetadataTopic, Orders, times_length
from connectors.sources.postgres.log.parts import Parts
from connectors.sources.postgres.log.spilled import Shapes, SpilledTransaction
from connectors.sources.postgres.log.stream import LogStream
from connectors.sources.postgres.pgoutput.bounds import Message
from connectors.sources.postgres.pgoutput.messages import Relation, decode
from connectors.sources.postgres.pgoutput.transactions import Transaction
from connectors.sources.postgres.position import Progress, lsn_text
from connectors.sources.postgres.server.connection import Server
from connectors.sources.postgres.tables.envelope import Stamp
from connectors.sources.postgres.tables.table import Table
from connectors.sources.postgres.tables.tables import Tables
from connectors.sources.publisher import Publisher, send
from connectors.sources.running import StopSignal
from connectors.sources.spill import SpillArea
from connectors.sources.topics import Topics
from streams.errors import ConfigurationError, PositionLost

log = structlog.get_logger()

# A Kafka transaction holds whole source transactions. It is committed when the socket is empty, so a
# lone change waits for nothing; under load these bound how many are gathered. A commit costs some
# milliseconds on Apache Kafka: a tenth of the time between two is then spent on it.
BATCH_CHANGES = 20_000
BATCH_S = 0.05
ADVANCE_S = 10.0  # how often an idle slot follows a log that grows without concerning us
WAIT_S = 1.0  # the longest sleep; what arrives wakes us at once
BETWEEN_S = 0.02  # how soon what is awaited from elsewhere is published when the stream is silent
KEEP_ALIVE_EVERY = 4096  # records between two looks at the clock within a long transaction


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
        between: Between,
    ) -> None:
        self._server = server
        self._between = between
        self._publisher = publisher
        self._topics = topics
        self._tables = tables
        self._progress = self._stored = progress
        self._area = SpillArea(config.spill_dir, config.spill_after)
        self._assembler: Assembler[Table] = Assembler(
            Shapes(self._table, lambda message: tables.announce_type(message.oid, message.name)),
            self._area,
            SIGNALS,
        )
        self._metadata = (
            MetadataTopic(config.name, tables.subjects, topics) if config.transaction_metadata else None
        )
        self._heartbeat = Heartbeat(server, config)
        self._stop: StopSignal | None = None
        self._stream = LogStream(server, config.slot_name, config.publication_name, progress.flushed_lsn)
        self._log = log.bind(source=config.name)
        # Tables whose snapshot is younger than where the stream starts: see `Progress.tables`.
        self._late = {name: lsn for name, lsn in progress.tables.items() if lsn > progress.flushed_lsn}
        self._batch = 0  # changes sent and not committed
        self._batch_started = 0.0
        self._metrics = StreamMetrics(config.name)
        self._advanced = time.monotonic()

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
        target = self._server.mark_end() if once else None
        stream = self._stream
        while True:
            arrived = stream.read()
            if arrived is not None:
                self._take(*arrived)
                continue
            if self._publisher.in_transaction:
                self._commit()
            elif self._progress.watermark_us > self._stored.watermark_us:
                self._store()  # no transaction of the source's: it has no lag
            if not self._assembler.open:
                done = target is not None and stream.server_lsn >= target and not self._between.active
                if stop.is_set() or done:
                    self._advance()
                    break
                self._follow_idle_log()
                self._interleave()
            elif stop.is_set():
                break  # what was received of it is received again next time
            if target is not None:
                stream.ask()
            if stream.reply_wanted:
                stream.confirm(self._stored.flushed_lsn)
            stream.keep_alive()
            stream.wait(stop, BETWEEN_S if self._between.active else WAIT_S)

    def _take(self, lsn: int, payload: bytes) -> None:
        if payload[:1] == b"M" and not self._assembler.open:
            message = decode(payload)
            assert isinstance(message, Message)
            self._progress = self._progress.heard_up_to(self._heartbeat.watermark(message))
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
        first, skip = 0, frozenset[str]()
        if self._half_done:
            if transaction.commit_lsn != progress.commit_lsn:
                raise PositionLost(
                    f"the transaction at {lsn_text(progress.commit_lsn)} is published up to change "
                    f"{progress.ordinal}, and the slot does not deliver the rest; take a new snapshot with "
                    "`tallystream source resnapshot`"
                )
            first, counted = progress.ordinal + 1, progress.partial
            skip = self._late_for(transaction.commit_lsn)
        previous = progress.commit_end_lsn or None
        stamp = Stamp(transaction.commit_us, time.time_ns() // 1000, transaction.xid, previous)
        orders = None
        place = [(POSITION, f"{progress.epoch}/{transaction.commit_lsn}/0".encode())]
        if self._metadata is not None:
            name = f"{transaction.xid}:{transaction.commit_lsn}"
            orders = Orders(name, transaction.commit_us, times_length(stamp.capture_us))
        if not self._publisher.in_transaction:
            self._batch_started = time.monotonic()
        parts = Parts(transaction, progress.epoch, stamp, first, orders, skip)
        if self._metadata is not None and orders is not None and transaction.count and not first:
            self._publisher.send(self._metadata.topic, *self._metadata.begin(orders), place)
        for end, records in parts:
            for sent, record in enumerate(records):
                send(self._publisher, self._topics, record)
                if sent % KEEP_ALIVE_EVERY == KEEP_ALIVE_EVERY - 1:
                    self._stream.keep_alive()
            if end < transaction.count:
                self._progress = replace(
                    self._progress, commit_lsn=transaction.commit_lsn, ordinal=end - 1, partial=counted
                )
                self._metrics.count(parts.take_counts())
                self._commit()
                self._tick()
        if self._metadata is not None and orders is not None and transaction.count:
            self._publisher.send(self._metadata.topic, *self._metadata.end(orders), place)
        self._metrics.count(parts.take_counts())
        self._metrics.transaction(transaction.commit_us)
        self._batch += transaction.count - first
        self._progress = replace(
            self._progress,
            commit_lsn=transaction.commit_lsn,
            ordinal=max(transaction.count - 1, 0),
            commit_end_lsn=transaction.end_lsn if transaction.count else progress.commit_end_lsn,
            flushed_lsn=transaction.end_lsn,
            partial=None,
        )
        self._progress = self._between.heard(transaction.messages, self._progress)
        due = self._batch >= BATCH_CHANGES or time.monotonic() - self._batch_started > BATCH_S
        if due or transaction.messages:
            self._commit()
        self._stream.listen_again()
        self._between.saw(transaction)
        self._interleave()

    def _interleave(self) -> None:
        progress = self._between.step(self._progress)
        if progress is not self._progress:
            self._progress = progress
            self._commit()
            self._between.committed()

    def _commit(self) -> None:
        """Make the sent changes and the position durable, then let the server forget them."""
        self._store()
        self._advanced = time.monotonic()
        self._batch = 0
        self._metrics.committed()

    def _store(self) -> None:
        # In one step: what is known of columns, and that rows are read again for it.
        again, anew = self._tables.take_gained()
        if again or anew:
            self._progress = self._between.read_again(again, self._progress).without(anew)
        if anew:
            self._log.warning("restart_to_read_anew", tables=anew, reason="a new column, and no key")
        self._publisher.commit(self._progress.to_json(), self._tables.columns.take_changed())
        self._stored = self._progress
        self._stream.confirm(self._stored.flushed_lsn)

    def _follow_idle_log(self) -> None:
        """Now and then, or when the server asks, let the slot follow a log that does not concern us.

        Without it the server would keep all of that log; and a server that shuts down waits until
        its last position is confirmed.
        """
        due = time.monotonic() - self._advanced > ADVANCE_S
        if due:
            self._metrics.caught_up()
        if due or self._stream.reply_wanted:
            self._advance()
        self._heartbeat.beat_when_due()

    def _advance(self) -> None:
        """Store and confirm that nothing up to the server's position concerns us."""
        self._advanced = time.monotonic()
        reached = self._stream.server_lsn
        if reached > self._stored.flushed_lsn:  # what had nothing to send is not stored yet
            self._progress = replace(self._progress, flushed_lsn=max(reached, self._progress.flushed_lsn))
            self._store()
