"""One session's stream: log events to whole source transactions to Kafka transactions."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import structlog

from connectors.sources import metrics
from connectors.sources.mariadb import ddl
from connectors.sources.mariadb.binlog import Begin, Commit, Decoder, Rotate, Rows, Statement, TableMap
from connectors.sources.mariadb.cells import read_rows
from connectors.sources.mariadb.config import MariadbConfig
from connectors.sources.mariadb.envelope import Stamp
from connectors.sources.mariadb.position import GtidState, Progress
from connectors.sources.mariadb.records import transaction_records
from connectors.sources.mariadb.server import Identity, Server
from connectors.sources.mariadb.stream import LogStream
from connectors.sources.mariadb.tables import LoggedTable, Tables
from connectors.sources.mariadb.transactions import Transaction, TransactionBuffer
from connectors.sources.postgres.records import Record
from connectors.sources.publisher import Publisher
from connectors.sources.running import StopSignal
from connectors.sources.topics import Topics
from streams.errors import ContractViolation, PoisonRecord

log = structlog.get_logger()

# As in the PostgreSQL source: committed when the socket is empty, and under load by these.
BATCH_CHANGES = 20_000
BATCH_S = 0.05
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
        self._publisher = publisher
        self._topics = topics
        self._tables = tables
        self._progress = progress
        self._state = GtidState(progress.gtid)
        self._stream = LogStream(server, config.replica_id, self._state)
        self._decoder = Decoder(identity.checksum)
        self._log = log.bind(source=config.name)
        # Tables whose snapshot is younger than where the stream starts: see `Progress.tables`.
        self._late = {
            name: snapshot
            for name, snapshot in ((name, GtidState(text)) for name, text in progress.tables.items())
            if not self._state.reaches(snapshot)
        }
        self._file = progress.file
        self._maps: dict[int, LoggedTable | None] = {}
        self._begin: Begin | None = None
        self._buffer: TransactionBuffer | None = None
        self._rewritten: list[str] = []
        self._batch = 0  # changes sent and not committed
        self._batch_started = 0.0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._transactions = 0
        self._last_commit_s = 0
        self._advanced = time.monotonic()
        self._stored = progress

    def close(self) -> None:
        """End the replication connection."""
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
                self._take(event)
                if self._rewritten and self._begin is None:
                    self._forget_rewritten()
                    return True
                continue
            if self._publisher.in_transaction:
                self._commit()
            if self._begin is None:
                if stop.is_set() or (target is not None and self._state.reaches(target)):
                    self._advance()
                    break
                if time.monotonic() - self._advanced > ADVANCE_S:
                    metrics.LAG.labels(self._name).set(0)
                    self._advance()
            elif stop.is_set():
                break  # what was received of it is received again next time
            stream.wait(stop, WAIT_S)
        self._log.info("stopped", gtid=str(self._state))
        return False

    def _take(self, event: bytes) -> None:
        message = self._decoder.decode(event)
        if isinstance(message, Rows):
            self._rows(message)
        elif isinstance(message, TableMap):
            self._maps[message.table_id] = self._tables.logged(message.body)
        elif isinstance(message, Begin):
            self._start(message)
        elif isinstance(message, Commit):
            self._finish(message.end, message.timestamp)
        elif isinstance(message, Statement):
            self._statement(message)
        elif isinstance(message, Rotate):
            self._file = message.file
            self._maps.clear()  # a restarted server numbers its tables anew

    def _start(self, begin: Begin) -> None:
        if self._begin is not None:
            raise PoisonRecord(f"binary log: {begin.gtid} begins within {self._begin.gtid}")
        if begin.prepared_xa:
            raise ContractViolation(
                f"transaction {begin.gtid} is an XA transaction, which this source can't follow; end its use of XA, "
                f"and {_REMEDY}"
            )
        self._begin = begin
        self._buffer = TransactionBuffer(begin.gtid)

    def _rows(self, rows: Rows) -> None:
        try:
            logged = self._maps[rows.table_id]
        except KeyError:
            raise PoisonRecord(
                f"binary log: rows of table {rows.table_id}, which was not described"
            ) from None
        if logged is None:
            return
        table = logged.table
        if not rows.complete or rows.columns != logged.columns:
            raise ContractViolation(
                f"{table.full_name}: a session logged rows without all of their columns; unset its "
                f"binlog_row_image, and {_REMEDY}"
            )
        assert self._buffer is not None, "rows are within a transaction"
        self._buffer.rows(table, rows.what, read_rows(logged.read, rows.data, rows.start), rows.position)

    def _statement(self, statement: Statement) -> None:
        word = statement.text.strip().upper()
        if self._begin is None or self._buffer is None:
            return
        if word == "COMMIT":
            self._finish(statement.end, statement.timestamp)
            return
        if word == "ROLLBACK":
            self._buffer = TransactionBuffer(self._begin.gtid)
            self._finish(statement.end, statement.timestamp)
            return
        if word.startswith(("BEGIN", "SAVEPOINT", "ROLLBACK TO", "RELEASE")):
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
        for pattern in effect.emptied + effect.rewritten:
            for name in sorted(self._tables.include):
                if name != pattern and not (pattern.endswith(".*") and name.startswith(pattern[:-1])):
                    continue
                if name in self._late and self._late[name].covers(self._begin.gtid):
                    continue
                emptied = self._tables.emptied(name)
                if emptied is not None:
                    self._buffer.truncate(emptied, end)
                if pattern in effect.rewritten:
                    self._rewritten.append(name)

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

    def _finish(self, end: int, timestamp: int) -> None:
        if self._begin is None or self._buffer is None:
            raise PoisonRecord(f"binary log: a transaction ends at {end} that did not begin")
        gtid, buffer = self._begin.gtid, self._buffer
        self._begin = self._buffer = None
        if self._state.covers(gtid):
            raise PoisonRecord(f"binary log: transaction {gtid} came again after {self._state}")
        skip = frozenset(name for name, snapshot in self._late.items() if snapshot.covers(gtid))
        self._state.add(gtid)
        self._progress = replace(self._progress, gtid=str(self._state), file=self._file, position=end)
        if len(buffer):
            self._publish(buffer.finish(timestamp), skip)

    def _publish(self, transaction: Transaction, skip: frozenset[str]) -> None:
        gtid = transaction.gtid
        stamp = Stamp(
            transaction.timestamp * 1_000_000, time.time_ns() // 1000, gtid.server, str(gtid), self._file
        )
        if not self._publisher.in_transaction:
            self._batch_started = time.monotonic()
        number = self._progress.transactions + 1
        place = f"{self._progress.epoch}/{number}/"
        for record in transaction_records(transaction, place, stamp, skip):
            self._send(record)
        self._counts.update(
            (change.table.full_name, change.op)
            for change in transaction.changes
            if change.table.full_name not in skip
        )
        self._transactions += 1
        self._batch += len(transaction.changes)
        self._last_commit_s = transaction.timestamp
        self._progress = replace(
            self._progress, transactions=number, ordinal=max(len(transaction.changes) - 1, 0)
        )
        if self._publisher.in_transaction and (
            self._batch >= BATCH_CHANGES or time.monotonic() - self._batch_started > BATCH_S
        ):
            self._commit()

    def _send(self, record: Record) -> None:
        if record.everywhere:
            for partition in range(self._topics.partitions(record.topic)):
                self._publisher.send(record.topic, record.key, record.value, record.headers, partition)
        else:
            self._publisher.send(record.topic, record.key, record.value, record.headers)

    def _commit(self) -> None:
        """Make the sent changes and the position durable."""
        self._publisher.commit(self._progress.to_json())
        self._stored = self._progress
        self._advanced = time.monotonic()
        self._batch = 0
        for (table, op), count in self._counts.items():
            metrics.CHANGES.labels(self._name, table, op).inc(count)
        self._counts.clear()
        metrics.TRANSACTIONS.labels(self._name).inc(self._transactions)
        self._transactions = 0
        metrics.LAG.labels(self._name).set(max(time.time() - self._last_commit_s, 0))

    def _advance(self) -> None:
        """Store that nothing up to here concerns us, so that old log files may be removed."""
        self._advanced = time.monotonic()
        if self._progress != self._stored:
            self._commit()

    def _forget_rewritten(self) -> None:
        """Store that tables are to be read again, with that they were emptied."""
        kept = {name: at for name, at in self._progress.tables.items() if name not in self._rewritten}
        self._progress = replace(self._progress, tables=kept)
        self._log.warning("tables_rewritten", tables=self._rewritten, gtid=str(self._state))
        self._commit()
