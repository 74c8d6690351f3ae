"""The SQLite source: a file's row changes into topics, exactly once, from the snapshot on.

A session is: read the stored position and check it against the file; install the change table and
the triggers; snapshot the tables that have none; send what the change table gets. The position, the
number of the last change, is stored in the Kafka transaction of the changes; the change table's rows
are deleted after it. A snapshot is compared with what the topic has: of a table that was captured
before, only the differences are sent, deletes among them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from connectors.sources import metrics
from connectors.sources.check import FAIL, OK, UNREACHABLE, Finding
from connectors.sources.polling.envelope import EncodedTable, Stamp
from connectors.sources.polling.published import Published
from connectors.sources.positions import read_position
from connectors.sources.publisher import SNAPSHOT_TRANSACTION_S, STREAM_TRANSACTION_S, Publisher
from connectors.sources.running import StopSignal, Surroundings
from connectors.sources.sessions import Sessions
from connectors.sources.sqlite.changes import Batch, ChangeTable
from connectors.sources.sqlite.config import SqliteConfig
from connectors.sources.sqlite.progress import Progress
from connectors.sources.sqlite.records import Differences, change_records, touched
from connectors.sources.sqlite.shape import Shape
from connectors.sources.sqlite.types import form_of
from connectors.sources.subjects import Subjects
from connectors.sources.topics import Topics
from streams.errors import ConfigurationError, DependencyUnavailable, PositionLost

log = structlog.get_logger()

CONNECTOR = "sqlite"
NOT_CAPTURED = "commit times, source transactions, writes with triggers off"

LIMITS = (
    "the source writes to the file: a change table, and triggers that add to each write of a captured table",
    "source times are those of the statements; when they were committed is not known",
    "changes are in order, but not grouped by transactions: one of more than 10,000 changes may be sent in parts",
    "writes of a connection that has triggers switched off, and edits of the schema tables, are not seen",
    "a table that is dropped and made again loses its triggers: the source halts and asks for a new snapshot",
    "ALTER TABLE … DROP COLUMN is refused by SQLite while a trigger names the column: drop the triggers of "
    "that table first, and take a new snapshot",
    "a REPLACE of a row with the same key is a create without a before image",
)


class SqliteSource:
    """Runs one source until it is stopped; see the module's text."""

    def __init__(self, config: SqliteConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._around = surroundings
        self._path = config.database_file()
        self._log = log.bind(source=config.name)
        self._sessions = Sessions(config.name)

    def describe(self) -> list[str]:
        """What a source of this kind does to the file and cannot see, a sentence each."""
        return list(LIMITS)

    def check(self) -> list[Finding]:
        """Whether the file can be read and its tables followed. Changes nothing in it."""
        try:
            table = ChangeTable(self._path, self._config.name)
            try:
                table.identity()
                shapes = table.shapes(self._config.tables)
                current = table.up_to_date(shapes)
            finally:
                table.close()
        except DependencyUnavailable as error:
            return [Finding(UNREACHABLE, "file", str(error))]
        except ConfigurationError as error:
            return [Finding(FAIL, "tables", str(error), "correct the configuration or the table")]
        triggers = "are there" if current else "will be made by the first run"
        found = [Finding(OK, one.full_name, f"key {', '.join(one.key)}") for one in shapes]
        return [*found, Finding(OK, "triggers", triggers)]

    def run(self, stop: StopSignal, *, once: bool = False) -> None:
        """Publish until ``stop``; with ``once``, until what the change table holds is published."""
        self._sessions.run(lambda: self._session(stop, once), stop, once=once)

    def resnapshot(self) -> None:
        """Forget the position: the next run compares all tables with the topics and sends what differs."""
        Topics(self._around.kafka, None, self._around.replication_factor).ensure_positions()
        publisher = self._open_publisher(STREAM_TRANSACTION_S)
        try:
            epoch = (self._read_progress() or Progress(epoch=0)).epoch + 1
            publisher.commit(Progress(epoch).to_json())
        finally:
            publisher.close()
        self._log.info("resnapshot_requested", epoch=epoch)

    def _session(self, stop: StopSignal, once: bool) -> bool:
        config = self._config
        table = ChangeTable(self._path, config.name)
        try:
            table.identity()  # refuses a file that is another source's, before we fence anybody
            shapes = table.shapes(config.tables)
            self._log.info("connected", file=str(self._path), tables=[one.full_name for one in shapes])
            topics = Topics(self._around.kafka, config.partitions, self._around.replication_factor)
            topics.ensure_positions()
            # Opened before the position is read: it fences a predecessor and ends what that left open.
            publisher = self._open_publisher(STREAM_TRANSACTION_S)
            try:
                progress = self._begin(publisher, table, shapes)
                # Before the shapes that are encoded by, so that a later change of them is noticed.
                version = table.schema_version
                shapes = table.shapes(config.tables)
                if not table.up_to_date(shapes):
                    return False
                with Subjects(self._around.registry_url) as subjects:
                    encoded = {one.table: self._encoded(one, subjects) for one in shapes}
                counts = {one.topic: topics.ensure_changes(one.topic) for one in encoded.values()}
                missing = [one for one in shapes if one.full_name not in progress.tables]
                if missing:
                    publisher.close()
                    publisher = self._open_publisher(SNAPSHOT_TRANSACTION_S)
                    taken = self._snapshot(publisher, table, missing, encoded, counts, progress, stop)
                    if taken is None:
                        return True
                    progress = taken
                    publisher.close()
                    publisher = self._open_publisher(STREAM_TRANSACTION_S)
                self._sessions.got_under_way()
                return self._stream(publisher, table, encoded, progress, version, stop, once)
            finally:
                publisher.close()
        finally:
            table.close()

    def _begin(self, publisher: Publisher, table: ChangeTable, shapes: Sequence[Shape]) -> Progress:
        """Where to continue, checked and stored, with the triggers in place."""
        name = self._config.name
        progress = self._read_progress() or Progress()
        captured = {one.full_name for one in shapes}
        if progress.tables:
            lost = self._lost(table, progress, shapes)
            if lost:
                raise PositionLost(
                    f"{self._path}: {lost}; what was written since is not recorded: run tallystream source "
                    f"resnapshot with the configuration of {name}, which finds it by comparing"
                )
            if progress.tables.keys() - captured:
                # Their triggers are about to go: if they come back, they need a snapshot.
                kept = {one: number for one, number in progress.tables.items() if one in captured}
                progress = replace(progress, tables=kept)
                publisher.commit(progress.to_json())
            table.forget(progress.number)
        identity = table.install(shapes)
        if progress.identity != identity:
            progress = replace(progress, identity=identity, number=0)
        return progress

    def _lost(self, table: ChangeTable, progress: Progress, shapes: Sequence[Shape]) -> str | None:
        identity = table.identity()
        if identity is None:
            return "the change table is gone"
        if identity != progress.identity:
            return "this is another file than the one that was captured, or its change table was made again"
        last = table.last_number()
        if last < progress.number:
            return f"its last change is number {last}, but {progress.number} is published: an older copy"
        gone = table.unfollowed([one for one in shapes if one.full_name in progress.tables])
        return f"the triggers of {', '.join(gone)} are gone" if gone else None

    def _snapshot(
        self,
        publisher: Publisher,
        table: ChangeTable,
        missing: Sequence[Shape],
        encoded: dict[str, EncodedTable],
        counts: dict[str, int],
        progress: Progress,
        stop: StopSignal,
    ) -> Progress | None:
        """Send what the tables hold and their topics don't, in one Kafka transaction; None when stopped."""
        started = time.monotonic()
        wanted = {encoded[one.table].topic: counts[encoded[one.table].topic] for one in missing}
        with tempfile.TemporaryDirectory() as folder:
            published = Published(Path(folder) / "rows", self._around.kafka)
            try:
                published.catch_up(wanted)
                with table.snapshot() as snapshot:
                    ordinal = 0
                    for shape in missing:
                        one = encoded[shape.table]
                        sending = Differences(
                            publisher, published, one, progress.epoch, snapshot.number, ordinal
                        )
                        sending.send(snapshot.rows(shape), stop)
                        ordinal = sending.ordinal
                        if stop.is_set():
                            return None
                        rows = published.count(one.topic)
                        metrics.SNAPSHOT_ROWS.labels(self._config.name, shape.full_name).inc(rows)
                    number = snapshot.number
            finally:
                published.close()
        tables = {**progress.tables, **{one.full_name: number for one in missing}}
        first = not progress.tables
        progress = replace(progress, tables=tables, number=number if first else progress.number)
        publisher.commit(progress.to_json())
        self._log.info("snapshot_done", records=ordinal, seconds=round(time.monotonic() - started, 3))
        return progress

    def _stream(
        self,
        publisher: Publisher,
        table: ChangeTable,
        encoded: dict[str, EncodedTable],
        progress: Progress,
        version: int,
        stop: StopSignal,
        once: bool,
    ) -> bool:
        """Whether the source is done; False where the file's schema has changed: begin again."""
        while not stop.is_set():
            batch = table.read(progress.number, version)
            if batch is None:
                self._log.info("schema_changed", action="begins again")
                return False
            if batch.changes:
                self._send(publisher, batch, encoded, progress)
                progress = replace(progress, number=batch.changes[-1].seq)
                publisher.commit(progress.to_json())
                table.forget(progress.number)
                metrics.TRANSACTIONS.labels(self._config.name).inc()
                metrics.LAG.labels(self._config.name).set(time.time() - batch.changes[-1].at_ms / 1000)
            if batch.ahead:
                continue
            if once:
                return True
            metrics.LAG.labels(self._config.name).set(0)
            stop.wait(self._config.interval_s)
        return True

    def _send(
        self, publisher: Publisher, batch: Batch, encoded: dict[str, EncodedTable], progress: Progress
    ) -> None:
        captured_us = time.time_ns() // 1000
        later = {place for change in batch.ahead for place in touched(change, encoded)}
        last = bytearray(len(batch.changes))
        for index in range(len(batch.changes) - 1, -1, -1):
            places = touched(batch.changes[index], encoded)
            last[index] = not places or places[-1] not in later
            later.update(places)
        for change, is_last in zip(batch.changes, last, strict=True):
            one = encoded.get(change.table)
            if one is None or change.seq <= progress.tables[one.full_name]:
                continue
            stamp = Stamp(change.at_ms * 1000, captured_us, "false", "trigger", change.seq)
            metrics.CHANGES.labels(self._config.name, one.full_name, change.op).inc()
            for record in change_records(change, one, stamp, progress.epoch, bool(is_last)):
                publisher.send(record.topic, record.key, record.value, record.headers)

    def _encoded(self, shape: Shape, subjects: Subjects) -> EncodedTable:
        return EncodedTable(
            CONNECTOR,
            self._config.name,
            self._path.name,
            "main",
            shape.table,
            [(name, form_of(declared)) for name, declared in shape.columns],
            shape.key,
            NOT_CAPTURED,
            subjects,
        )

    def _open_publisher(self, transaction_timeout_s: int) -> Publisher:
        return Publisher(self._config.name, self._around.kafka, transaction_timeout_s)

    def _read_progress(self) -> Progress | None:
        stored = read_position(self._around.kafka, self._config.name)
        return None if stored is None else Progress.from_json(stored)
