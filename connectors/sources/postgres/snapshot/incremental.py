"""Snapshots of tables while their changes are streamed: incremental, or asked for by a signal.

A chunk is read by another thread, in a snapshot at Y that is exact in the log, and published when the
stream stands between two source transactions, at F: everything that committed before F is published,
nothing after. Its rows stand at (epoch, F - 1, ordinal), before all that the stream brings next.

- F > Y: a row whose key a published transaction of [Y, F) has touched is left out: the stream wins. So a
  row that was deleted meanwhile does not come back. The keys are noted while chunks are being read;
  where they were too many to be kept, the chunk is left alone and read again, later than all of them.
- F < Y: changes of [F, Y) come after the chunk, which has them already. Each says all of its row but
  for values outside the heap that it left as they were, which the chunk or an earlier record has; from
  Y on the records fold to the table.

A chunk and the key that it ends at are one Kafka transaction: after a kill the next one begins there.
"""

from __future__ import annotations

import queue
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import structlog

from connectors.sources import metrics
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.pgoutput.transactions import Transaction
from connectors.sources.postgres.position import PendingTable, Progress
from connectors.sources.postgres.snapshot.keychunks import KeyChunk, KeyReader, Requested
from connectors.sources.postgres.snapshot.signals import message_tables
from connectors.sources.postgres.snapshot.touched import Touched
from connectors.sources.postgres.tables.records import snapshot_headers
from connectors.sources.postgres.tables.table import Table
from connectors.sources.publisher import Publisher

log = structlog.get_logger()

# Ordinals at one F go on from chunk to chunk. The first F may be where the first snapshot's rows stand.
FIRST_ORDINAL = 1 << 40
SHOWN = 200  # bytes of a mistaken signal that the log shows


def with_pending(progress: Progress, tables: Iterable[str]) -> Progress:
    """With ``tables`` to be read after all that are."""
    return replace(progress, incremental=(*progress.incremental, *(PendingTable(name) for name in tables)))


def log_read_again(source: str, tables: Iterable[str]) -> None:
    """Say that tables are read again by themselves."""
    log.info(
        "tables_read_again",
        source=source,
        tables=list(tables),
        reason="a column is published that rows in the topic lack, or have in another form",
    )


class Incremental:
    """Publishes chunks and takes signals, between source transactions. Not thread-safe."""

    def __init__(self, config: PostgresConfig, reader: KeyReader, publisher: Publisher, progress: Progress):
        self._name = config.name
        self._reader = reader
        self._publisher = publisher
        self._touched = Touched()
        self._attempts: Counter[str] = Counter()
        self._acknowledged: tuple[str, ...] = ()
        self._log = log.bind(source=config.name)
        for pending in progress.incremental:
            self._watch(pending)

    @property
    def active(self) -> bool:
        """Chunks are being read."""
        return bool(self._touched.tables)

    def saw(self, transaction: Transaction[Table]) -> None:
        """A transaction was published."""
        if self.active:
            self._touched.saw(transaction)

    def heard(self, signals: tuple[bytes, ...], progress: Progress) -> Progress:
        """Take signals that came as messages; the position to commit with their transaction."""
        for signal in signals:
            try:
                progress = self.request(message_tables(signal, self._name), progress)
            except ValueError as error:
                self._ignore(f"{signal[:SHOWN]!r}: {error}")
        return progress

    def step(self, progress: Progress) -> Progress:
        """Send what was found, if anything was; the position to commit with it."""
        if not self._reader.running:
            return progress
        try:
            item = self._reader.found.get_nowait()
        except queue.Empty:
            return progress
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Requested):
            self._acknowledged += item.ids
            for reason in item.ignored:
                self._ignore(reason)
            return self.request(item.tables, progress)
        if item.attempt != self._attempts[item.table]:
            return progress  # it follows a chunk that is read again
        if item.refused is None and self._touched.unknown(item.table, item.lsn):
            self._repeat(item.table, progress)
            return progress
        return self._publish(item, progress)

    def committed(self) -> None:
        """The position of the last step is durable."""
        self._reader.handled(self._acknowledged)
        self._acknowledged = ()

    def request(self, tables: Iterable[str], progress: Progress) -> Progress:
        """Read these tables, unless they are being read; the position that is to be committed with it."""
        known = {pending.table for pending in progress.incremental}
        added = [name for name in dict.fromkeys(tables) if name not in known]
        if added:
            self._log.info("incremental_snapshot_requested", tables=added)
        return self._reading(added, progress)

    def read_again(self, tables: Sequence[str], progress: Progress) -> Progress:
        """Read these tables, of which published rows lack a column, wholly from now on, even if they are
        being read; the position that is to be committed with it."""
        if tables:
            log_read_again(self._name, tables)
        return self._reading(tables, progress)

    def _reading(self, tables: Iterable[str], progress: Progress) -> Progress:
        after = with_pending(progress, tables)
        for pending in after.incremental[len(progress.incremental) :]:
            self._watch(pending)
        return after

    def _ignore(self, reason: str) -> None:
        self._log.warning("signal_ignored", reason=reason)

    def _watch(self, pending: PendingTable) -> None:
        # Watched before it is read: no change after a chunk's snapshot goes unnoticed.
        self._touched.tables.add(pending.table)
        self._reader.add(pending.table, pending.after)

    def _repeat(self, table: str, progress: Progress) -> None:
        self._log.info(
            "incremental_chunk_read_again", table=table, reason="a large transaction changed the table"
        )
        self._attempts[table] += 1
        after = [pending.after for pending in progress.incremental if pending.table == table]
        self._reader.repeat(table, after, self._attempts[table])

    def _publish(self, chunk: KeyChunk, progress: Progress) -> Progress:
        place = f"{progress.epoch}/{progress.flushed_lsn - 1}/".encode()
        ordinal = FIRST_ORDINAL + progress.incremental_rows
        rows, sent = chunk.rows, 0
        for index, identity in enumerate(chunk.identities):
            if self._touched.since(chunk.table, identity, chunk.lsn):
                continue
            headers = snapshot_headers(place, ordinal + sent, rows.special.get(index))
            self._publisher.send(chunk.topic, rows.keys[index], rows.values[index], headers)
            sent += 1
        self._touched.forget(chunk.lsn)
        metrics.SNAPSHOT_ROWS.labels(self._name, chunk.table).inc(sent)
        if chunk.refused:
            self._log.warning("incremental_snapshot_refused", table=chunk.table, reason=chunk.refused)
        # A table may be there twice: it is then read again after it is read.
        at = next(at for at, pending in enumerate(progress.incremental) if pending.table == chunk.table)
        left = progress.incremental[:at] + progress.incremental[at + 1 :]
        if chunk.end is not None:
            left = (PendingTable(chunk.table, chunk.end), *left)
        elif all(pending.table != chunk.table for pending in left):
            self._touched.tables.discard(chunk.table)
            self._log.info("incremental_snapshot_done", table=chunk.table)
        return replace(progress, incremental=left, incremental_rows=progress.incremental_rows + sent)
