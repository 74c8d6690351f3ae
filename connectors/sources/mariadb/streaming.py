"""One session's stream: log events to whole source transactions to Kafka transactions."""

from __future__ import annotations

import time

import structlog

from connectors.sources import metrics
from connectors.sources.mariadb import ddl
from connectors.sources.mariadb.binlog import (
    Begin,
    Commit,
    Event,
    Named,
    Prepared,
    Rotate,
    Rows,
    Statement,
    TableMap,
)
from connectors.sources.mariadb.cells import read_rows
from connectors.sources.mariadb.config import MariadbConfig
from connectors.sources.mariadb.position import Progress
from connectors.sources.mariadb.prepared import PreparedTransactions
from connectors.sources.mariadb.publishing import Publishing
from connectors.sources.mariadb.rereading import Rereading
from connectors.sources.mariadb.server import Identity, Server
from connectors.sources.mariadb.stream import LogStream
from connectors.sources.mariadb.tables import LoggedTable, Tables
from connectors.sources.mariadb.transactions import TransactionBuffer
from connectors.sources.publisher import Publisher
from connectors.sources.running import StopSignal
from connectors.sources.spill import SpillArea
from connectors.sources.topics import Topics
from streams.errors import ContractViolation, PoisonRecord

log = structlog.get_logger()

ADVANCE_S = 10.0  # how often the stored position follows a log that does not concern us
WAIT_S = 1.0  # the longest sleep; what arrives wakes us at once
_REMEDY = "take a new snapshot with `tallystream source resnapshot`"


class Streaming:
    """Publishes from ``progress`` on. Not thread-safe; made anew for each session."""

    def __init__(
        self,
        server: Server,
        identity: Identity,
        config: MariadbConfig,
        publisher: Publisher,
        topics: Topics,
        tables: Tables,
        progress: Progress,
    ) -> None:
        self._name = config.name
        self._server = server
        self._tables = tables
        self._publishing = Publishing(config.name, publisher, topics, progress)
        self._published = server.gtids(progress.gtid)
        self._snapshot = server.gtids(progress.snapshot)
        self._state = server.gtids(progress.gtid if progress.prepared is None else progress.prepared)
        self._stream = LogStream(server, config.replica_id, self._state)
        self._area = SpillArea(config.spill_dir, config.spill_after)
        self._prepared = PreparedTransactions()
        self._decoder = server.decoder(identity.checksum)
        self._log = log.bind(source=config.name)
        # Tables whose snapshot is younger than where the stream starts: see `Progress.tables`.
        self._late = {
            name: snapshot
            for name, snapshot in ((name, server.gtids(text)) for name, text in progress.tables.items())
            if not self._published.reaches(snapshot)
        }
        self._file = progress.file
        self._maps: dict[int, LoggedTable | None] = {}
        self._begin: Begin | None = None
        self._buffer: TransactionBuffer | None = None
        self._rereading = Rereading(config.tables, tables, self._late)

    def close(self) -> None:
        """End the replication connection, and forget what is not published."""
        if self._buffer is not None:
            self._buffer.close()
        self._prepared.close()
        self._stream.close()

    def run(self, stop: StopSignal, *, once: bool = False) -> bool:
        """Publish until ``stop``; with ``once``, until all that the log holds now is published.

        True when the session must begin anew, because tables are to be read again.
        """
        self._log.info("streaming", gtid=str(self._state))
        target = self._server.identify().gtid if once else None
        stream = self._stream
        while True:
            event = stream.read()
            if event is not None:
                for message in self._decoder.decode(event):
                    self._take(message)
                if self._rereading and self._begin is None:
                    self._forget_snapshots()
                    return True
                continue
            self._publishing.flush()
            if self._begin is None:
                if stop.is_set() or (target is not None and self._state.reaches(target)):
                    self._publishing.advance()
                    break
                if time.monotonic() - self._publishing.advanced > ADVANCE_S:
                    metrics.LAG.labels(self._name).set(0)
                    self._publishing.advance()
            elif stop.is_set():
                break  # what was received of it is received again next time
            stream.wait(stop, WAIT_S)
        self._log.info("stopped", gtid=str(self._state))
        return False

    def _take(self, message: Event) -> None:
        if isinstance(message, Rows):
            self._rows(message)
        elif isinstance(message, TableMap):
            self._maps[message.table_id] = self._tables.logged(message.body)
        elif isinstance(message, Begin):
            self._start(message)
        elif isinstance(message, Commit):
            self._finish(message.end, message.timestamp)
        elif isinstance(message, Prepared):
            self._hold(message.end)
        elif isinstance(message, Statement):
            self._statement(message)
        elif isinstance(message, Rotate):
            self._file = message.file
            self._maps.clear()  # a restarted server numbers its tables anew

    def _start(self, begin: Begin) -> None:
        if self._begin is not None:
            raise PoisonRecord(f"binary log: {begin.gtid} begins within {self._begin.gtid}")
        self._begin = begin
        self._buffer = TransactionBuffer(self._area)

    def _rows(self, rows: Rows) -> None:
        try:
            logged = self._maps[rows.table_id]
        except KeyError:
            raise PoisonRecord(
                f"binary log: rows of table {rows.table_id}, which was not described"
            ) from None
        if logged is None:
            return
        assert self._begin is not None, "rows are within a transaction"
        assert self._buffer is not None
        if self._published.covers(self._begin.gtid) and not self._begin.prepared_xa:
            return
        table = logged.table
        if not rows.complete or rows.columns != logged.columns:
            raise ContractViolation(
                f"{table.full_name}: a session logged rows without all of their columns; unset its "
                f"binlog_row_image, and {_REMEDY}"
            )
        self._buffer.rows(table, rows.what, read_rows(logged.read, rows.data, rows.start), rows.position)

    def _statement(self, statement: Statement) -> None:
        word = statement.text.strip().upper()
        if self._begin is None or self._buffer is None:
            return
        if word == "COMMIT":
            self._finish(statement.end, statement.timestamp)
            return
        if word == "ROLLBACK":
            self._buffer.close()
            self._buffer = TransactionBuffer(self._area)
            self._finish(statement.end, statement.timestamp)
            return
        if word.startswith(("XA COMMIT", "XA ROLLBACK")):
            self._end_prepared(self._begin, statement, committed=word.startswith("XA COMMIT"))
            return
        if word.startswith(("BEGIN", "SAVEPOINT", "ROLLBACK TO", "RELEASE", "XA ")):
            return
        if self._published.covers(self._begin.gtid) and not self._begin.prepared_xa:
            if self._begin.standalone:
                self._finish(statement.end, statement.timestamp)
            return
        if ddl.changes_rows(statement.text):
            self._refuse_text(statement)
        self._apply(ddl.effect(statement.text, statement.schema), statement.end)
        self._tables.forget()
        if self._begin.standalone:
            self._finish(statement.end, statement.timestamp)

    def _apply(self, effect: ddl.Effect, end: int) -> None:
        """Empty what a statement emptied. What a younger snapshot has read already is left alone."""
        assert self._buffer is not None
        assert self._begin is not None
        for emptied in self._rereading.take(effect, self._begin.gtid, self._publishing.progress):
            self._buffer.truncate(emptied, end)

    def _refuse_text(self, statement: Statement) -> None:
        """Halt on a change that was logged as text, if it may concern a captured table."""
        words = statement.text.lower()
        for name in self._tables.include:
            schema, _, table = name.partition(".")
            if schema == statement.schema or table.lower() in words:
                begin = self._begin
                raise ContractViolation(
                    f"transaction {begin.gtid if begin else ''} changed rows, perhaps of {name}, that were logged as "
                    "text: a session has set binlog_format to STATEMENT or MIXED, or a table is of another engine than "
                    f"InnoDB; mend that, and {_REMEDY}"
                )

    def _hold(self, end: int) -> None:
        """The open group is prepared: keep it until it is known what becomes of it."""
        begin, buffer, before = self._take_group(end)
        if begin.xid is None:
            buffer.close()
            raise PoisonRecord(f"binary log: transaction {begin.gtid} is prepared without a name")
        self._prepared.add(begin.xid, buffer, before)
        self._pass(begin.gtid, end)

    def _end_prepared(self, begin: Begin, statement: Statement, *, committed: bool) -> None:
        """Put the changes of a prepared transaction in the place of the group that commits it."""
        held = None if begin.xid is None else self._prepared.take(begin.xid)
        if held is None:
            if committed and not (self._published.covers(begin.gtid) or self._snapshot.covers(begin.gtid)):
                raise ContractViolation(
                    f"transaction {begin.gtid} commits an XA transaction that was prepared before the log that this "
                    f"source has read: {_REMEDY}"
                )
        elif committed:
            assert self._buffer is not None
            self._buffer.close()
            self._buffer = held
        else:
            held.close()
        self._finish(statement.end, statement.timestamp)

    def _finish(self, end: int, timestamp: int) -> None:
        """The open group is committed."""
        begin, buffer, _ = self._take_group(end)
        gtid = begin.gtid
        published = self._published.covers(gtid)
        skip = frozenset(name for name, snapshot in self._late.items() if snapshot.covers(gtid))
        try:
            if len(buffer) and not published:
                self._publishing.transaction(gtid, timestamp, self._file, buffer.finish(), skip)
        finally:
            buffer.close()
        self._pass(gtid, end)
        if not self._rereading:  # else with what is to be read again, in one: see `_forget_snapshots`
            self._publishing.commit_if_due()

    def _take_group(self, end: int) -> tuple[Begin, TransactionBuffer, str]:
        """The open group, which ends, its changes, and what was read before it."""
        if self._begin is None or self._buffer is None:
            raise PoisonRecord(f"binary log: a transaction ends at {end} that did not begin")
        begin = self._begin
        if self._state.covers(begin.gtid):
            raise PoisonRecord(f"binary log: transaction {begin.gtid} came again after {self._state}")
        buffer = self._buffer
        self._begin = self._buffer = None
        before = str(self._state)
        self._state.add(begin.gtid)
        return begin, buffer, before

    def _pass(self, gtid: Named, end: int) -> None:
        """The group is behind us: note where the log is to be read from the next time."""
        prepared = self._prepared.before_oldest()
        if not self._published.covers(gtid):
            self._publishing.note(gtid=str(self._state), file=self._file, position=end, partial=None)
        elif prepared is None and not self._state.reaches(self._published):
            prepared = str(self._state)
        self._publishing.note(prepared=prepared)

    def _forget_snapshots(self) -> None:
        """Store that tables are to be read again, with the statement that says so."""
        again = self._rereading
        tables, altered = again.forgotten(self._publishing.progress)
        self._publishing.note(tables=tables, altered=altered)
        self._log.warning(
            "tables_read_again",
            rewritten=sorted(again.rewritten),
            altered=sorted(again.altered),
            gtid=str(self._state),
        )
        self._publishing.commit()
