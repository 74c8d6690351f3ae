"""The MariaDB source: the binary log's changes into topics, exactly once, from the snapshot on.

A session is: refuse what can't work; open the publisher, which fences a predecessor; read the stored
position and check it against the server's log; snapshot the tables that have none; stream. Any failure
ends the session, nothing in it is patched up: the next one begins from the stored position.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import ClassVar

import structlog

from connectors.sources.check import FAIL, OK, WARN, Finding
from connectors.sources.config import SourceConfig
from connectors.sources.mariadb import catalog
from connectors.sources.mariadb.config import MariadbConfig
from connectors.sources.mariadb.position import FIRST_EPOCH, Gtids, Progress
from connectors.sources.mariadb.resume import check_resume
from connectors.sources.mariadb.server import Identity, Server
from connectors.sources.mariadb.snapshotting import Snapshotting
from connectors.sources.mariadb.stream import LogStream
from connectors.sources.mariadb.streaming import Streaming
from connectors.sources.mariadb.tables import Tables
from connectors.sources.positions import read_position
from connectors.sources.publisher import STREAM_TRANSACTION_S, Publisher
from connectors.sources.running import StopSignal, Surroundings
from connectors.sources.sessions import Sessions
from connectors.sources.subjects import Subjects
from connectors.sources.topics import Topics
from streams.errors import ConfigurationError, DependencyUnavailable

log = structlog.get_logger()

PERMISSION_WAIT_S = 5.0  # the server refuses a replica at once, or sends it the log's beginning


class MariadbSource:
    """Runs one source until it is stopped; see the module's text."""

    server: ClassVar[type[Server]] = Server

    def __init__(self, config: SourceConfig, surroundings: Surroundings) -> None:
        assert isinstance(config, MariadbConfig)
        self._config = config
        self._around = surroundings
        self._server = self.server(config.read_dsn())
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
        publisher = self._open_publisher()
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
            self._require_replication(identity.gtid)
        except DependencyUnavailable as error:
            return [Finding(FAIL, where, str(error))]
        except ConfigurationError as error:
            return [Finding(FAIL, "tables", str(error))]
        waiting = sorted(self._server.prepared())
        limits = "changes logged as text (binlog_format of a session) halt the source"
        return [
            Finding(OK, where, f"{identity.version}, settings and rights are as needed"),
            Finding(OK, "tables", f"{len(captured)} to be captured"),
            Finding(WARN, "limits", limits, "leave them out of what writes to captured tables"),
            *(
                Finding(
                    WARN,
                    f"XA transaction {name}",
                    "is prepared: no first snapshot begins, and a stream keeps the log from before it",
                    f"XA COMMIT {name}, or XA ROLLBACK {name}, unless its coordinator is about to",
                )
                for name in waiting
            ),
        ]

    def _session(self, stop: StopSignal, once: bool) -> bool:
        """False when the next one is to begin at once."""
        config, server = self._config, self._server
        identity = self._identify()
        captured = catalog.included_tables(server, config.tables)
        self._require_replication(identity.gtid)
        topics = Topics(self._around.kafka, config.partitions, self._around.replication_factor)
        topics.ensure_positions()
        # Opened before the position is read: it fences a predecessor and ends what that left open.
        publisher = self._open_publisher()
        with Subjects(self._around.registry_url) as subjects:
            try:
                progress = self._begin()
                tables = Tables(server, config.name, {one.full_name for one in captured}, subjects, topics)
                snapshotting = Snapshotting(server, identity.server_id, config, publisher, topics, tables)
                try:
                    taken = snapshotting.run(progress, captured, stop)
                finally:
                    if snapshotting.under_way:
                        self._sessions.got_under_way()
                if taken is None:
                    return True
                streaming = Streaming(server, identity, config, publisher, topics, tables, taken)
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
        if progress is None or not (progress.snapshot_done or progress.run):
            return Progress(identity.uid, FIRST_EPOCH if progress is None else progress.epoch)
        run = progress.run
        if run is not None and not progress.snapshot_done:
            progress = replace(progress, gtid=run.gtid, file=run.file, position=run.position)
        check_resume(self._config.name, progress, self._server, identity, self._config.failover)
        if run is not None:
            # Sooner than after the rest of the snapshot.
            self._require_replication(self._server.gtids(progress.gtid))
        if progress.server_uid != identity.uid:
            self._log.warning("failed_over", before=progress.server_uid, now=identity.uid, gtid=progress.gtid)
            # The places in the files were the other server's. A transaction that was published in part is
            # published anew, under the same positions.
            run = replace(run, file="", position=0) if run is not None else None
            progress = replace(progress, server_uid=identity.uid, file="", position=0, partial=None, run=run)
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

    def _require_replication(self, start: Gtids) -> None:
        """Ask for the log from ``start`` on, to be refused now rather than after the snapshot."""
        stream = LogStream(self._server, self._config.probe_id, start)
        stop = StopSignal()
        try:
            deadline = time.monotonic() + PERMISSION_WAIT_S
            while stream.read() is None and time.monotonic() < deadline:
                stream.wait(stop, PERMISSION_WAIT_S)
        finally:
            stop.close()
            stream.close()

    def _open_publisher(self) -> Publisher:
        return Publisher(self._config.name, self._around.kafka, STREAM_TRANSACTION_S)

    def _read_progress(self) -> Progress | None:
        stored = read_position(self._around.kafka, self._config.name)
        return None if stored is None else Progress.from_json(stored, self._server.gtids)
