"""The polling source: what it says of itself, and its sessions of polls and comparisons."""

from __future__ import annotations

from dataclasses import replace

import structlog

from connectors.sources.check import FAIL, OK, UNREACHABLE, Finding
from connectors.sources.polling.config import PollingConfig
from connectors.sources.polling.database import Database, PolledTable
from connectors.sources.polling.envelope import EncodedTable
from connectors.sources.polling.outbox import Outbox
from connectors.sources.polling.polling import Polling
from connectors.sources.polling.progress import Progress
from connectors.sources.polling.published import Published
from connectors.sources.positions import read_position
from connectors.sources.publisher import SNAPSHOT_TRANSACTION_S, Publisher
from connectors.sources.running import StopSignal, Surroundings
from connectors.sources.sessions import Sessions
from connectors.sources.subjects import Subjects
from connectors.sources.topics import Topics
from streams.errors import ConfigurationError, DependencyUnavailable

log = structlog.get_logger()

CONNECTOR = "polling"
NOT_CAPTURED = "intermediate states, before images, commit times, source transactions"

LIMITS = (
    "a row that changes twice between polls is published once, as it is at the poll",
    "before images are null; of a deleted row only the key is known",
    "source times are those of the reading: when a change was committed is not known",
    "changes are not grouped by the database's transactions",
    "deletes, and rows whose updated_at or version is null or did not grow, are found by comparisons only",
    "comparisons of keys do not find changes of rows that kept their updated_at or version; those of rows do",
    "a row committed later after its updated_at than the overlap is found by comparisons only",
    "a change of key is a delete and a create that do not refer to each other",
)


class PollingSource:
    """Runs one source until it is stopped; see `connectors.sources.polling.polling` for what it does."""

    def __init__(self, config: PollingConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._around = surroundings
        self._database = Database(config.read_dsn())
        self._log = log.bind(source=config.name)
        self._sessions = Sessions(config.name)

    def describe(self) -> list[str]:
        """What a source of this kind cannot see, a sentence each."""
        config = self._config
        return [
            f"polls every {config.interval_s:g} s, compares {config.compare} every "
            f"{config.compare_every_s:g} s",
            *LIMITS,
        ]

    def check(self) -> list[Finding]:
        """Whether the database answers and the tables are fit to be polled."""
        try:
            tables = self._database.tables(self._config)
        except DependencyUnavailable as error:
            return [Finding(UNREACHABLE, "database", str(error))]
        except ConfigurationError as error:
            return [Finding(FAIL, "tables", str(error), "correct the configuration")]
        return [
            Finding(OK, one.full_name, f"key {', '.join(one.key)}; polled by {one.cursor}") for one in tables
        ]

    def run(self, stop: StopSignal, *, once: bool = False) -> None:
        """Publish until ``stop``; with ``once``, what the tables hold now, deletes included."""
        self._sessions.run(lambda: self._session(stop, once), stop, once=once)

    def resnapshot(self) -> None:
        """Forget the cursors: the next run reads all tables whole, and publishes what differs."""
        Topics(self._around.kafka, None, self._around.replication_factor).ensure_positions()
        publisher = self._open_publisher()
        try:
            progress = self._read_progress()
            publisher.commit(replace(progress, number=progress.number + 1, tables={}).to_json())
        finally:
            publisher.close()
        self._log.info("resnapshot_requested")

    def _session(self, stop: StopSignal, once: bool) -> bool:
        config = self._config
        tables = self._database.tables(config)
        self._log.info("connected", server=self._database.address, tables=[one.full_name for one in tables])
        topics = Topics(self._around.kafka, config.partitions, self._around.replication_factor)
        topics.ensure_positions()
        with Subjects(self._around.registry_url) as subjects:
            encoded = {one.full_name: self._encoded(one, subjects) for one in tables}
        counts = {one.topic: topics.ensure_changes(one.topic) for one in encoded.values()}
        # Opened before anything is read: it fences a predecessor and ends what that left open.
        publisher = self._open_publisher()
        try:
            progress = self._read_progress()
            published = Published(config.state_file, self._around.kafka)
            try:
                read = published.catch_up(counts)
                self._log.info("caught_up", records=read)
                outbox = Outbox(publisher, published, counts, progress.epoch, progress.number)
                polling = Polling(config, self._database, tables, encoded, published, outbox, progress)
                self._sessions.got_under_way()
                return polling.run(stop, once=once)
            finally:
                published.close()
        finally:
            publisher.close()

    def _encoded(self, table: PolledTable, subjects: Subjects) -> EncodedTable:
        return EncodedTable(
            CONNECTOR,
            self._config.name,
            self._database.name,
            table.schema,
            table.table,
            [(name, reading.form) for name, reading in table.columns],
            table.key,
            NOT_CAPTURED,
            subjects,
        )

    def _open_publisher(self) -> Publisher:
        # A slow query may keep a transaction open between two rows.
        return Publisher(self._config.name, self._around.kafka, SNAPSHOT_TRANSACTION_S)

    def _read_progress(self) -> Progress:
        stored = read_position(self._around.kafka, self._config.name)
        return Progress() if stored is None else Progress.from_json(stored)
