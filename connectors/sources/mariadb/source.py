"""The MariaDB source: the binary log's changes into topics, exactly once, from the snapshot on.

A session is: refuse what can't work; open the publisher, which fences a predecessor; read the stored
position and check it against the server's log; snapshot the tables that have none; stream. Any failure
ends the session, nothing in it is patched up: the next one begins from the stored position.
"""

from __future__ import annotations

import time
from dataclasses import replace

import structlog

from connectors.sources import metrics
from connectors.sources.check import FAIL, OK, WARN, Finding
from connectors.sources.config import SourceConfig
from connectors.sources.mariadb import catalog
from connectors.sources.mariadb.catalog import CapturedTable
from connectors.sources.mariadb.config import MariadbConfig
from connectors.sources.mariadb.position import FIRST_EPOCH, Progress
from connectors.sources.mariadb.resume import check_resume
from connectors.sources.mariadb.server import Identity, Server
from connectors.sources.mariadb.snapshot import Snapshot, open_snapshot
from connectors.sources.mariadb.stream import LogStream
from connectors.sources.mariadb.streaming import Streaming
from connectors.sources.mariadb.tables import Tables
from connectors.sources.positions import read_position
from connectors.sources.publisher import SNAPSHOT_TRANSACTION_S, STREAM_TRANSACTION_S, Publisher
from connectors.sources.running import StopSignal, Surroundings
from connectors.sources.sessions import Sessions
from connectors.sources.subjects import Subjects
from connectors.sources.topics import Topics
from streams.errors import ConfigurationError, DependencyUnavailable

log = structlog.get_logger()

PERMISSION_WAIT_S = 5.0  # the server refuses a replica at once, or sends it the log's beginning


class MariadbSource:
    """Runs one source until it is stopped; see the module's text."""

    def __init__(self, config: SourceConfig, surroundings: Surroundings) -> None:
        assert isinstance(config, MariadbConfig)
        self._config = config
        self._around = surroundings
        self._server = Server(config.read_dsn())
        self._log = log.bind(source=config.name)
        self._sessions = Sessions(config.name)

    def run(self, stop: StopSignal, *, once: bool = False) -> None:
        """Publish until ``stop``; with ``once``, until what the log held at the start is published.

        The first session's failure is the caller's. Later, `DependencyUnavailable` is waited out, and
        anything else is raised: `PositionLost`, `ContractViolation`, `Fenced`.
        """
        self._sessions.run(lambda: self._session(stop, once), stop, once=once)

    def resnapshot(self) -> None:
        """Forget the position, so that the next run takes a new snapshot in a new epoch.

        Rows that were deleted in what was missed are not found by it.
        """
        identity = self._identify()
        Topics(self._around.kafka, None, self._around.replication_factor).ensure_positions()
        publisher = self._open_publisher(STREAM_TRANSACTION_S)
        try:
            progress = self._read_progress()
            epoch = FIRST_EPOCH if progress is None else progress.epoch + 1
            publisher.commit(Progress(identity.uid, epoch).to_json())
        finally:
            publisher.close()
        self._log.info("resnapshot_requested", epoch=epoch)

    def check(self) -> list[Finding]:
        """What would go wrong; changes nothing. Stops at the first thing that would."""
        where = self._server.address
        try:
            identity = self._identify()
            captured = catalog.included_tables(self._server, self._config.tables)
            self._require_replication(identity)
        except DependencyUnavailable as error:
            return [Finding(FAIL, where, str(error))]
        except ConfigurationError as error:
            return [Finding(FAIL, "tables", str(error))]
        limits = "XA transactions and changes logged as text (binlog_format of a session) halt the source"
        return [
            Finding(OK, where, f"{identity.version}, settings and rights are as needed"),
            Finding(OK, "tables", f"{len(captured)} to be captured"),
            Finding(WARN, "limits", limits, "leave both out of what writes to captured tables"),
        ]

    def _session(self, stop: StopSignal, once: bool) -> bool:
        """False when the next one is to begin at once."""
        config, server = self._config, self._server
        identity = self._identify()
        captured = catalog.included_tables(server, config.tables)
        self._require_replication(identity)
        topics = Topics(self._around.kafka, config.partitions, self._around.replication_factor)
        topics.ensure_positions()
        # Opened before the position is read: it fences a predecessor and ends what that left open.
        publisher = self._open_publisher(STREAM_TRANSACTION_S)
        with Subjects(self._around.registry_url) as subjects:
            try:
                progress = self._begin()
                tables = Tables(server, config.name, {one.full_name for one in captured}, subjects, topics)
                missing = [one for one in captured if one.full_name not in progress.tables]
                if missing or not progress.snapshot_done:
                    publisher.close()
                    publisher = self._open_publisher(SNAPSHOT_TRANSACTION_S)
                    taken = self._snapshot(publisher, tables, missing, progress, identity, stop)
                    if taken is None:
                        return True
                    self._sessions.got_under_way()
                    progress = taken
                    publisher.close()
                    publisher = self._open_publisher(STREAM_TRANSACTION_S)
                streaming = Streaming(server, identity, config, publisher, topics, tables, progress)
                try:
                    self._sessions.got_under_way()
                    return not streaming.run(stop, once=once)
                finally:
                    streaming.close()
            finally:
                publisher.close()

    def _begin(self) -> Progress:
        """Where to continue, checked."""
        progress = self._read_progress()
        # Looked at after the position: a predecessor that ran until now has moved both on.
        identity = self._server.identify()
        if progress is None or not progress.snapshot_done:
            return Progress(identity.uid, FIRST_EPOCH if progress is None else progress.epoch)
        check_resume(self._config.name, progress, self._server, identity, self._config.failover)
        if progress.server_uid != identity.uid:
            self._log.warning("failed_over", before=progress.server_uid, now=identity.uid, gtid=progress.gtid)
            # The place in the files was the other server's.
            progress = replace(progress, server_uid=identity.uid, file="", position=0)
        return progress

    def _identify(self) -> Identity:
        self._server.require_settings()
        identity = self._server.identify()
        self._log.info(
            "connected",
            server=self._server.address,
            version=identity.version,
            server_id=identity.server_id,
            gtid=str(identity.gtid),
        )
        return identity

    def _require_replication(self, identity: Identity) -> None:
        """Ask for the log's end, to be refused now rather than after the snapshot."""
        stream = LogStream(self._server, self._config.probe_id, identity.gtid)
        stop = StopSignal()
        try:
            deadline = time.monotonic() + PERMISSION_WAIT_S
            while stream.read() is None and time.monotonic() < deadline:
                stream.wait(stop, PERMISSION_WAIT_S)
        finally:
            stop.close()
            stream.close()

    def _open_publisher(self, transaction_timeout_s: int) -> Publisher:
        return Publisher(self._config.name, self._around.kafka, transaction_timeout_s)

    def _read_progress(self) -> Progress | None:
        stored = read_position(self._around.kafka, self._config.name)
        return None if stored is None else Progress.from_json(stored)

    def _snapshot(
        self,
        publisher: Publisher,
        tables: Tables,
        missing: list[CapturedTable],
        progress: Progress,
        identity: Identity,
        stop: StopSignal,
    ) -> Progress | None:
        """Publish the tables as of now, and where in the log that is.

        One Kafka transaction with the position: whoever stops or dies within leaves nothing visible.
        None when a stop was asked for.
        """
        started = time.monotonic()
        number = progress.transactions + 1
        names = [one.full_name for one in missing]
        with open_snapshot(self._server) as opened:
            self._log.info("snapshot_started", tables=names, gtid=str(opened.gtid))
            snapshot = Snapshot(
                self._server, identity.server_id, tables, opened, f"{progress.epoch}/{number}/"
            )
            for record in snapshot.records(missing):
                publisher.send(record.topic, record.key, record.value, record.headers)
                if stop.is_set():
                    return None
            rows = sum(snapshot.rows.values())
            covered = {**progress.tables, **dict.fromkeys(names, str(opened.gtid))}
            taken = replace(progress, transactions=number, ordinal=max(rows - 1, 0), tables=covered)
            if not progress.snapshot_done:
                taken = replace(
                    taken,
                    gtid=str(opened.gtid),
                    file=opened.file,
                    position=opened.position,
                    snapshot_done=True,
                )
            publisher.commit(taken.to_json())
        for name, count in snapshot.rows.items():
            metrics.SNAPSHOT_ROWS.labels(self._config.name, name).inc(count)
        self._log.info("snapshot_done", rows=rows, seconds=round(time.monotonic() - started, 3))
        return taken
