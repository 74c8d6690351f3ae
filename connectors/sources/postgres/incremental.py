"""Snapshots of tables while their changes are streamed: incremental, or asked for by a signal.

A chunk is read by another thread, in a snapshot at Y that is exact in the log, and published when the
stream stands between two source transactions, at F: everything that committed before F is published,
nothing after. Its rows stand at (epoch, F - 1, ordinal), before all that the stream brings next.

- F > Y: a row whose key a published transaction of [Y, F) has touched is left out: the stream wins. So a
  row that was deleted meanwhile does not come back. The keys are noted while chunks are being read.
- F < Y: changes of [F, Y) come after the chunk, which has them already. Each says all of its row but
  for values outside the heap that it left as they were, which the chunk or an earlier record has; from
  Y on the records fold to the table.

A chunk and the key that it ends at are one Kafka transaction: after a kill the next one begins there.
"""

from __future__ import annotations

import queue
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import structlog

from connectors.sources import metrics
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.keychunks import KeyChunk, KeyReader, Requested
from connectors.sources.postgres.position import PendingTable, Progress
from connectors.sources.postgres.records import snapshot_headers
from connectors.sources.postgres.streaming import Streaming
from connectors.sources.postgres.tables import Table
from connectors.sources.postgres.transactions import TRUNCATE, Transaction
from connectors.sources.publisher import Publisher
from connectors.sources.running import StopSignal

log = structlog.get_logger()

# Ordinals at one F go on from chunk to chunk. The first F may be where the first snapshot's rows stand.
FIRST_ORDINAL = 1 << 40
CHUNK_POLL_S = 0.02  # how soon a chunk is published when the stream is silent


class Touched:
    """Which keys of watched tables the stream has published, and when they were committed."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self._keys: dict[tuple[str, Hashable], int] = {}
        self._truncated: dict[str, int] = {}

    def saw(self, transaction: Transaction[Table]) -> None:
        """Note a published transaction."""
        for change in transaction.changes:
            table = change.table
            if table.full_name not in self.tables:
                continue
            if change.op == TRUNCATE:
                self._truncated[table.full_name] = transaction.commit_lsn
            elif table.key_of is not None:
                row = change.after if change.after is not None else change.before
                assert row is not None
                self._keys[table.full_name, table.key_of(row)] = transaction.commit_lsn

    def since(self, table: str, key: Hashable, lsn: int) -> bool:
        """Whether a transaction that committed at ``lsn`` or later has touched the row."""
        return max(self._keys.get((table, key), 0), self._truncated.get(table, 0)) >= lsn

    def forget(self, lsn: int) -> None:
        """Drop what committed before ``lsn``: all later chunks have it."""
        self._keys = {key: at for key, at in self._keys.items() if at >= lsn}
        self._truncated = {table: at for table, at in self._truncated.items() if at >= lsn}


class Incremental:
    """Publishes chunks and takes signals, between source transactions. Not thread-safe."""

    def __init__(self, config: PostgresConfig, reader: KeyReader, publisher: Publisher, progress: Progress):
        self._name = config.name
        self._reader = reader
        self._publisher = publisher
        self._touched = Touched()
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

    def step(self, progress: Progress) -> Progress:
        """Send what was found, if anything was; the position to commit with it."""
        try:
            item = self._reader.found.get_nowait()
        except queue.Empty:
            return progress
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Requested):
            self._acknowledged += item.ids
            known = {pending.table for pending in progress.incremental}
            added = tuple(PendingTable(name) for name in dict.fromkeys(item.tables) if name not in known)
            for pending in added:
                self._watch(pending)
            self._log.info("incremental_snapshot_requested", tables=list(item.tables))
            return replace(progress, incremental=(*progress.incremental, *added))
        return self._publish(item, progress)

    def committed(self) -> None:
        """The position of the last step is durable."""
        self._reader.handled(self._acknowledged)
        self._acknowledged = ()

    def _watch(self, pending: PendingTable) -> None:
        # Watched before it is read: no change after a chunk's snapshot goes unnoticed.
        self._touched.tables.add(pending.table)
        self._reader.add(pending.table, pending.after)

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
        others = tuple(pending for pending in progress.incremental if pending.table != chunk.table)
        if chunk.end is None:
            self._touched.tables.discard(chunk.table)
            self._log.info("incremental_snapshot_done", table=chunk.table)
            left = others
        else:
            left = (PendingTable(chunk.table, chunk.end), *others)
        return replace(progress, incremental=left, incremental_rows=progress.incremental_rows + sent)


class InterleavedStreaming(Streaming):
    """A stream with chunks of incremental snapshots in between."""

    def __init__(self, incremental: Incremental, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._incremental = incremental

    def _publish(self, transaction: Transaction[Table], counted: list[str] | None = None) -> None:
        super()._publish(transaction, counted)
        self._incremental.saw(transaction)
        self._interleave()

    def _follow_idle_log(self) -> None:
        """While chunks are awaited, look for them more often than the stream wakes us."""
        super()._follow_idle_log()
        self._interleave()
        while self._incremental.active and not self._stopping():
            arrived = self._stream.read()
            if arrived is not None:
                self._take(*arrived)
                continue
            if self._publisher.in_transaction:
                self._commit()
            if not self._assembler.open:
                super()._follow_idle_log()
                self._interleave()
            self._stream.keep_alive()
            assert self._stop is not None
            self._stream.wait(self._stop, CHUNK_POLL_S)

    def _stopping(self) -> bool:
        stop: StopSignal | None = self._stop
        return stop is not None and stop.is_set()

    def _interleave(self) -> None:
        progress = self._incremental.step(self._progress)
        if progress is not self._progress:
            self._progress = progress
            self._commit()
            self._incremental.committed()
