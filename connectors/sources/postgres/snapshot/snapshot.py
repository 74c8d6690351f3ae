"""A copy of tables that the stream continues without a gap, in chunks, resumed after a kill.

Creating a slot exports the database snapshot of its consistent point X: every transaction whose
commit record starts before X is in the copy, every later one comes through the stream. The copy's
records stand at (epoch, X - 1, ordinal): before all of the stream's, whose first may stand at X.
That the slot is made by the log and not by the server's list of running transactions matters: the
latter lags behind the log, and a copy taken by it could lack a transaction that the stream won't bring.

Each chunk is one Kafka transaction that also stores that it is done. A kill loses the exported
snapshot, which dies with its connection, but not what was published. The next session reads the rest
in a later snapshot, at Y, exported by a temporary slot, under the same positions, and then streams
from X all the same. Why what the records fold to is the table nevertheless:

- Let a row's key be changed by no transaction that committed in [X, Y). It is the same at both, it
  stays in its page, and the page is read once, at X or at Y.
- Let it be changed in [X, Y). Whatever chunks said of it, once, twice or not at all, the stream from X
  on has all its changes in order, and a change says all of the row: a consumer that folds by position,
  or by offset, has at Y what the table has at Y. Before that it sees the row as it was at Y, then
  older states, each one that was committed. Deletes of rows that no chunk has seen are harmless.
- The exception: a change that leaves a value outside the heap (TOAST) as it was does not have the
  value. Where such an update moved a row from a page read at Y to one read at X, no chunk has it. So
  in pages that are done, rows written since X are read again: those whose ``xmin`` is not older than
  the oldest transaction that ran at X. (Under REPLICA IDENTITY FULL the log has those values too.)
- A table that was rewritten in between (VACUUM FULL, CLUSTER, TRUNCATE) has other pages, told by its
  file: it is read anew as a whole. While a snapshot is read such commands wait for it.

A table without a key can't be folded: of its rows that changed in [X, Y) a resumed snapshot and the
stream would both tell, and who counts them would be wrong. So one of which anything is missing is begun
again at Y, behind a truncate event if anything of it is published, and the stream's changes of it are
published from Y on.
"""

from __future__ import annotations

import dataclasses
import time

import psycopg
import structlog

from connectors.sources import metrics
from connectors.sources.envelope import Record
from connectors.sources.postgres.chunks import PAGE_BYTES, Leaf, SnapshotRun, plan
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.pgoutput.transactions import TRUNCATE
from connectors.sources.postgres.position import Progress, lsn_text
from connectors.sources.postgres.server import catalog
from connectors.sources.postgres.server.catalog import CapturedTable
from connectors.sources.postgres.server.connection import Server
from connectors.sources.postgres.server.publication import Published
from connectors.sources.postgres.snapshot.copying import ChunkRows, ReaderSetup, adopt
from connectors.sources.postgres.snapshot.leaves import pinned_leaves
from connectors.sources.postgres.snapshot.lines import parse_line
from connectors.sources.postgres.snapshot.readers import Readers
from connectors.sources.postgres.snapshot.reporting import SnapshotReport
from connectors.sources.postgres.snapshot.slotmaking import ExportedSnapshot, create_slot, passing_slot
from connectors.sources.postgres.tables.envelope import Stamp
from connectors.sources.postgres.tables.records import snapshot_headers
from connectors.sources.postgres.tables.table import Table
from connectors.sources.postgres.tables.tables import Tables
from connectors.sources.publisher import Publisher, send
from connectors.sources.running import StopSignal, Surroundings
from connectors.sources.snapshots import take_snapshots
from connectors.sources.topics import Topics

__all__ = ["ExportedSnapshot", "Snapshotting", "create_slot", "parse_line"]

log = structlog.get_logger()

PROCESSES_FROM_BYTES = 16 << 20  # a process costs a second to start, in which a thread encodes as much


class Snapshotting:
    """Publishes the tables that a source's position lacks. Made anew for each session."""

    def __init__(
        self,
        server: Server,
        config: PostgresConfig,
        around: Surroundings,
        publisher: Publisher,
        topics: Topics,
        tables: Tables,
        published: dict[str, Published],
    ) -> None:
        self._server = server
        self._config = config
        self._around = around
        self._publisher = publisher
        self._topics = topics
        self._tables = tables
        self._published = published
        self._log = log.bind(source=config.name)
        self.under_way = False
        """Something was published: a failure is now one to recover from, not one to start with."""

    def run(self, progress: Progress, captured: list[CapturedTable], stop: StopSignal) -> Progress | None:
        """Finish the snapshot that ``progress`` has begun, then snapshot the other tables of
        ``captured`` that it lacks. None when a stop was asked for."""
        return take_snapshots(progress, captured, lambda at, lacking: self._session(at, lacking, stop))

    def _session(
        self, progress: Progress, captured: list[CapturedTable], stop: StopSignal
    ) -> Progress | None:
        slot = self._config.slot_name
        makes_slot = progress.run is None and not progress.snapshot_done
        with (
            create_slot(
                self._server, slot if makes_slot else passing_slot(slot), temporary=not makes_slot
            ) as exported,
            self._server.connect() as connection,
        ):
            adopt(connection, exported.name)
            leaves = pinned_leaves(connection, captured, self._server.user)
            tables: dict[str, Table] = {}
            for one in captured:  # makes topics and registers schemas before the readers ask for them
                columns = self._published[one.full_name].columns
                table = self._tables.table(catalog.current_relation(connection, one.oid, columns))
                assert table is not None
                tables[one.full_name] = table
            resumed = progress.run
            run = (
                resumed.without_rewritten(leaves)
                if resumed is not None
                else SnapshotRun(
                    exported.consistent_lsn,
                    _oldest_xid(connection),
                    tables={one.full_name: {} for one in captured},
                )
            )
            run = run.only(leaves)
            keyless = [name for name, table in tables.items() if table.key_of is None]
            if resumed is not None:
                again = [name for name in keyless if run.unfinished(name, leaves[name])]
                begun = [name for name in again if any(done.pages for done in resumed.tables[name].values())]
                run = run.begun_again(again, exported.consistent_lsn)
            else:
                begun = [name for name in keyless if name in progress.former]
            run = self._truncated(progress.epoch, run, [tables[name] for name in begun])
            former = [name for name in progress.former if name not in tables]
            progress = dataclasses.replace(progress, run=run, former=former)
            if makes_slot:
                progress = dataclasses.replace(progress, flushed_lsn=run.lsn)
            self._publisher.commit(progress.to_json())
            setup = ReaderSetup(
                self._config, self._around, tuple(captured), self._published, exported.name, run.lsn
            )
            return self._publish(progress, setup, leaves, resumed is not None, stop)

    def _truncated(self, epoch: int, run: SnapshotRun, begun: list[Table]) -> SnapshotRun:
        """Say of tables without a key, which are ``begun`` again, that none of their rows is left. To be
        committed with the ``run`` returned."""
        place = f"{epoch}/{run.lsn - 1}/".encode()
        now = time.time_ns() // 1000
        for ordinal, table in enumerate(begun, run.rows):
            value = table.envelope.begin(Stamp(now, now, None, None))(TRUNCATE, None, None, run.lsn)
            headers = snapshot_headers(place, ordinal, None)
            send(self._publisher, self._topics, Record(table.topic, None, value, headers, everywhere=True))
            self._log.warning(
                "snapshot_begun_again", table=table.full_name, reason="it has no key to fold its rows by"
            )
        return dataclasses.replace(run, rows=run.rows + len(begun))

    def _publish(
        self,
        progress: Progress,
        setup: ReaderSetup,
        leaves: dict[str, list[Leaf]],
        again: bool,
        stop: StopSignal,
    ) -> Progress | None:
        """Read and publish what is missing. The last chunk with rows waits until the empty ones behind
        it are read: its last row is marked as the snapshot's."""
        assert progress.run is not None
        started, run = time.monotonic(), progress.run
        most = self._config.snapshot_chunk_pages
        expected = sum(chunk.estimated_rows for chunk in plan(run, leaves, again, most))
        size = sum(leaf.pages * PAGE_BYTES for found in leaves.values() for leaf in found)
        names, threads = list(leaves), self._config.snapshot_threads
        self._log.info(
            "snapshot_started", tables=names, lsn=lsn_text(run.lsn), resumed=again, estimated_rows=expected
        )
        held: list[ChunkRows] = []
        with (
            Readers(setup, threads, size >= PROCESSES_FROM_BYTES) as readers,
            SnapshotReport(self._config.name, expected) as report,
        ):
            for found in readers.read(plan(run, leaves, again, most), stop):
                if found.values and any(one.values for one in held):
                    progress = self._send(progress, held, report, ends=False)
                    held = []
                held.append(found)
            if stop.is_set():
                return None
            progress = self._send(progress, held, report, ends=True)
            self._log.info(
                "snapshot_done", rows=report.rows, seconds=round(time.monotonic() - started, 3), tables=names
            )
        return progress

    def _send(
        self, progress: Progress, chunks: list[ChunkRows], report: SnapshotReport, ends: bool
    ) -> Progress:
        """One Kafka transaction: the chunks, and that they are done; the whole snapshot if it ``ends``."""
        run = progress.run
        assert run is not None
        place = f"{progress.epoch}/{run.lsn - 1}/".encode()
        send = self._publisher.send
        for found in chunks:
            if ends and found.last_value is not None:
                found.values[-1] = found.last_value
            first, special, topic = run.rows, found.special, found.topic
            for index, (key, value) in enumerate(zip(found.keys, found.values, strict=True)):
                send(topic, key, value, snapshot_headers(place, first + index, special.get(index)))
            run = run.with_done(found.chunk, len(found.values))
        progress = dataclasses.replace(progress, run=run)
        if ends:
            progress = ended(progress)
        self._publisher.commit(progress.to_json())
        self.under_way = True
        for found in chunks:
            metrics.SNAPSHOT_ROWS.labels(self._config.name, found.chunk.table).inc(len(found.values))
            report.advance(len(found.values), found.chunk.estimated_rows)
        return progress


def ended(progress: Progress) -> Progress:
    """After the whole of the snapshot under way was published."""
    run = progress.run
    assert run is not None
    if not progress.snapshot_done:
        progress = dataclasses.replace(
            progress, commit_lsn=run.lsn - 1, ordinal=max(run.rows - 1, 0), snapshot_done=True
        )
    tables = {**progress.tables, **dict.fromkeys(run.tables, run.lsn), **run.later}
    return dataclasses.replace(progress, run=None, tables=tables)


def _oldest_xid(connection: psycopg.Connection) -> int:
    row = connection.execute(
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        if connection.info.server_version >= 130_000
        else "SELECT txid_snapshot_xmin(txid_current_snapshot())"
    ).fetchone()
    assert row is not None
    return int(row[0])
