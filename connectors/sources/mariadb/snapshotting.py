"""A copy of tables that the stream continues without a gap, in chunks, resumed after a kill.

The tables are read in one consistent snapshot, at X in the log, each in the order of its primary key.
Each chunk is one Kafka transaction that also stores the key it came to. A kill loses the snapshot,
which dies with its connection, but not what was published. The next session reads the rest in a later
snapshot, at Y, from the stored key on, and then streams from X all the same. Why what the records fold
to is the table nevertheless:

- Let a row's key be changed by no transaction that committed in [X, Y). It is the same at both, its
  place in the order of keys is too, and it is read once, at X or at Y.
- Let it be changed in [X, Y). Whatever chunks said of it, once, twice or not at all, the stream from X
  on has all its changes in order, and a change says all of the row (binlog_row_image=FULL, or the
  source halts): a consumer that folds by position, or by offset, has at Y what the table has at Y.
  Before that it sees the row as it was at Y, then older states, each one that was committed. Deletes
  of rows that no chunk has seen are harmless, and a change of key is a delete and a create.
- What empties or replaces a table in between is in the stream from X as well, as always.
- Where the key is of a type that can't be compared as it is ordered, the table is read from its
  beginning once more, which repeats rows that fold to the same.

A table that was altered so that its rows have other values is read again at Y, over what is published of it, and
is streamed from X on all the same: what is said above of rows that are changed in [X, Y) holds for it, too.

A table without a key can't be folded: of its rows that changed in [X, Y) a resumed snapshot and the
stream would both tell. So one that was not finished is begun again at Y, behind a truncate event if
anything of it is published, and the stream's changes of it are published from Y on. So is a table that
has another key than before.

XA transactions are logged where they are prepared: one that is open at X would be missing in the
stream from X on, as it is in the snapshot. And a commit of one is logged a moment before others see
it. So where the server has seen any, the stream begins at W, before X: all that was prepared before W
was decided, and seen by all, when X was taken. Its changes in [W, X) come
twice, which is the case of [X, Y) above. Tables without a key are streamed from X on; where there are
any, nothing is committed while X is taken: all tables are locked for that moment. One that was
prepared before W and committed in [W, X) is in the snapshot and not in what the stream has read. While it
was open it kept its rows from others: what the stream has of these in [W, X) came after it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from connectors.sources import metrics
from connectors.sources.envelope import READ, TRUNCATE
from connectors.sources.mariadb import catalog
from connectors.sources.mariadb.catalog import CapturedTable, Shape
from connectors.sources.mariadb.cells import Row
from connectors.sources.mariadb.changes import Change
from connectors.sources.mariadb.config import MariadbConfig
from connectors.sources.mariadb.envelope import Stamp
from connectors.sources.mariadb.position import Progress
from connectors.sources.mariadb.records import Encode, change_records
from connectors.sources.mariadb.server import Server
from connectors.sources.mariadb.snapshot import OpenSnapshot, key_of, key_places, open_snapshot
from connectors.sources.mariadb.snapshotrun import SnapshotRun, TableDone
from connectors.sources.mariadb.tables import Table, Tables
from connectors.sources.mariadb.xa import prepares, wait_for_beginning
from connectors.sources.progress import Steps
from connectors.sources.publisher import Publisher, send
from connectors.sources.running import StopSignal
from connectors.sources.snapshots import take_snapshots
from connectors.sources.topics import Topics

log = structlog.get_logger()

CHUNK_S = 10.0  # rows may be large, and a Kafka transaction has a minute


class Snapshotting:
    """Publishes the tables that a source's position lacks. Made anew for each session."""

    def __init__(
        self,
        server: Server,
        server_id: int,
        config: MariadbConfig,
        publisher: Publisher,
        topics: Topics,
        tables: Tables,
    ) -> None:
        self._server = server
        self._server_id = server_id
        self.config = config
        self.publisher = publisher
        self.topics = topics
        self._tables = tables
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
        started = time.monotonic()
        names = [one.full_name for one in captured]
        resumed = progress.run
        first = not progress.snapshot_done
        beginning = None if resumed else wait_for_beginning(self._server, stop, first=first)
        locked = self._server.locks_snapshots or (prepares(self._server) and self._keyless(captured))
        with open_snapshot(self._server, locked=locked) as opened, Steps().step("snapshot", None) as advance:
            early = beginning is not None and (beginning.needed or prepares(self._server))
            start = beginning if beginning is not None and early else opened
            run = resumed or SnapshotRun(str(start.gtid), start.file, start.position)
            if beginning is not None and first:
                progress = replace(progress, snapshot=str(opened.gtid))
            self._log.info(
                "snapshot_started", tables=names, gtid=str(opened.gtid), resumed=resumed is not None
            )
            run = run.only(names, dict.fromkeys(progress.altered, progress.gtid))
            reading = _Reading(self, replace(progress, run=run), opened, self._server_id, advance)
            for one in captured:
                with self._server.connect() as connection:
                    shape = catalog.current_shape(connection, one)
                    key = catalog.key_signature(connection, shape)
                if not reading.table(shape, key, self._tables.table(shape), stop):
                    return None
            progress = reading.end()
        rows, seconds = reading.rows, round(time.monotonic() - started, 3)
        self._log.info("snapshot_done", tables=names, rows=rows, seconds=seconds)
        return progress

    def _keyless(self, captured: list[CapturedTable]) -> bool:
        """Whether there is a table without a key among them."""
        with self._server.connect() as connection:
            return any(not catalog.current_shape(connection, one).key for one in captured)


@dataclass(slots=True)
class _Open:
    """A table that is being read: how far, and the places of its key in a row that one can go on from."""

    table: Table
    done: TableDone
    places: list[int]


class _Reading:
    """Publishes tables as one open snapshot has them, chunk by chunk."""

    def __init__(
        self,
        of: Snapshotting,
        progress: Progress,
        opened: OpenSnapshot,
        server_id: int,
        advance: Callable[[int], None],
    ) -> None:
        assert progress.run is not None
        self._of = of
        self._progress = progress
        self._opened = opened
        self._advance = advance
        self._tables = dict(progress.run.tables)
        self._ordinal = progress.run.rows
        self._place = f"{progress.epoch}/{progress.transactions + 1}/".encode()
        now = time.time_ns() // 1000
        self._stamp = Stamp(now, now, server_id, None, opened.file, "true")
        self._encoders: dict[int, Encode] = {}
        self._held: tuple[_Open, Row] | None = None  # the last row of all is marked so
        self._sent: tuple[_Open, Row] | None = None
        self._counts: Counter[str] = Counter()  # sent and not committed
        self._chunk_started = time.monotonic()
        self.rows = 0
        """Published by this session."""

    def table(self, shape: Shape, key: tuple[str, ...], table: Table, stop: StopSignal) -> bool:
        """Publish what is missing of a table, but for its last row; False when a stop was asked for."""
        done = self._tables[shape.full_name]
        if done.complete:
            return True
        again = (done.begun and (not key or key != done.key)) or (done.over and not key)
        if again or not key:
            done = TableDone(done.begun, at=str(self._opened.gtid))
        done = replace(done, key=key)
        reading = _Open(table, done, key_places(shape))
        if self._counts:
            self._commit()  # it may take long until there is a first row
        if again:
            self._truncate(reading)
        for row in self._opened.rows(shape, done.after):
            if self._held is not None:
                self._send_held()
            self._held = reading, row
            if stop.is_set():
                return False
        reading.done = replace(reading.done, complete=True, after=())
        if self._held is None or self._held[0] is not reading:
            self._tables[shape.full_name] = reading.done
        return True

    def end(self) -> Progress:
        """Publish the last row, and store that nothing is missing."""
        if self._held is not None:
            self._stamp = replace(self._stamp, snapshot="last")
            self._encoders = {}
            self._send_held(last=True)
        progress, run = self._progress, self._progress.run
        assert run is not None
        run = replace(run, tables=self._tables)
        done = replace(
            progress,
            run=None,
            altered=tuple(name for name in progress.altered if name not in run.tables),
            transactions=progress.transactions + 1,
            tables={**progress.tables, **run.snapshots()},
        )
        if not progress.snapshot_done:
            done = replace(done, gtid=run.gtid, file=run.file, position=run.position, snapshot_done=True)
        self._progress = done
        self._publish()
        return done

    def _truncate(self, reading: _Open) -> None:
        """What is published of the table is not to be folded with what follows."""
        self._send(reading, TRUNCATE, None)
        log.warning("snapshot_begun_again", table=reading.table.full_name)

    def _send_held(self, *, last: bool = False) -> None:
        assert self._held is not None
        self._sent, self._held = self._held, None
        reading, row = self._sent
        self._send(reading, READ, row)
        name = reading.table.full_name
        self._counts[name] += 1
        self.rows += 1
        if reading.done.complete:
            self._tables[name] = reading.done
        enough = self._counts.total() >= self._of.config.snapshot_chunk_rows
        if not last and (enough or time.monotonic() - self._chunk_started > CHUNK_S):
            self._commit()

    def _send(self, reading: _Open, op: str, row: Row | None) -> None:
        position = b"%b%d" % (self._place, self._ordinal)
        change = Change(reading.table, op, None, row, self._opened.position, 0)
        for record in change_records(change, position, 1, self._encoders, self._stamp):
            send(self._of.publisher, self._of.topics, record)
        self._ordinal += 1

    def _commit(self) -> None:
        """End a chunk, with how far it has come."""
        assert self._sent is not None
        reading, row = self._sent
        name = reading.table.full_name
        if not self._tables[name].complete:
            reached = key_of(row, reading.places)
            self._tables[name] = replace(reading.done, begun=True, complete=False, after=reached)
        run = self._progress.run
        assert run is not None
        self._progress = replace(
            self._progress, run=replace(run, rows=self._ordinal, tables=dict(self._tables))
        )
        self._publish()

    def _publish(self) -> None:
        of = self._of
        of.publisher.commit(self._progress.to_json())
        of.under_way = True
        for name, count in self._counts.items():
            metrics.SNAPSHOT_ROWS.labels(of.config.name, name).inc(count)
        self._advance(self._counts.total())
        self._counts.clear()
        self._chunk_started = time.monotonic()
