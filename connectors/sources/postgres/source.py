"""The PostgreSQL source: a slot's changes into topics, exactly once, from the snapshot on.

A session is: refuse what can't work; open the publisher, which fences a predecessor; read the stored
position and check it against the slot; snapshot the tables that have none; stream. Any failure ends
the session, nothing in it is patched up: the next one begins from the stored position.
"""

from __future__ import annotations

import time
from dataclasses import replace

import structlog

from connectors.sources.check import Finding
from connectors.sources.positions import read_position
from connectors.sources.postgres import catalog
from connectors.sources.postgres.check import PostgresCheck
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.copying import ReaderSetup
from connectors.sources.postgres.incremental import Incremental, InterleavedStreaming
from connectors.sources.postgres.keychunks import KeyReader
from connectors.sources.postgres.position import FIRST_EPOCH, Progress
from connectors.sources.postgres.publication import Published, check_publication, publish
from connectors.sources.postgres.resume import check_resume, may_drop, must_snapshot
from connectors.sources.postgres.server import Identity, Server, SlotState
from connectors.sources.postgres.slots import SlotWatch, keep_for_failover
from connectors.sources.postgres.snapshot import Snapshotting
from connectors.sources.postgres.streaming import Streaming
from connectors.sources.postgres.tables import Tables
from connectors.sources.publisher import STREAM_TRANSACTION_S, Publisher
from connectors.sources.running import StopSignal, Surroundings
from connectors.sources.sessions import Sessions
from connectors.sources.subjects import Subjects
from connectors.sources.topics import Topics
from streams.errors import ConfigurationError, DependencyUnavailable

log = structlog.get_logger()

SLOT_POLL_S = 0.1
SLOT_WAIT_S = 15.0  # the server needs a moment to notice that a killed predecessor is gone


class PostgresSource:
    """Runs one source until it is stopped; see the module's text."""

    def __init__(self, config: PostgresConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._around = surroundings
        self._server = Server(config.read_dsn(), f"tallystream source {config.name}")
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
        self._free_slot(None)
        publisher = self._open_publisher(STREAM_TRANSACTION_S)
        try:
            progress = self._read_progress()
            epoch = FIRST_EPOCH if progress is None else progress.epoch + 1
            publisher.commit(self._about_to_snapshot(identity, epoch).to_json())
        finally:
            publisher.close()
        self._log.info("resnapshot_requested", epoch=epoch)

    def check(self) -> list[Finding]:
        """What would go wrong; changes nothing."""
        return PostgresCheck(self._config, self._around).findings()

    def _session(self, stop: StopSignal, once: bool) -> bool:
        config, server = self._config, self._server
        self._identify()
        with server.connect() as connection:
            captured = catalog.included_tables(connection, config.tables)
            published = check_publication(connection, config.publication_name, captured)
        self._free_slot(stop)
        topics = Topics(self._around.kafka, config.partitions, self._around.replication_factor)
        topics.ensure_positions()
        # Opened before the position is read: it fences a predecessor and ends what that left open.
        publisher = self._open_publisher(STREAM_TRANSACTION_S)
        with Subjects(self._around.registry_url) as subjects:
            try:
                progress = self._begin(publisher, captured, published)
                with server.connect() as connection:
                    fresh = [one for one in captured if one.full_name not in published]
                    published = publish(server, connection, config.publication_name, fresh)
                tables = Tables(server, config.name, {one.full_name for one in captured}, subjects, topics)
                snapshotting = Snapshotting(server, config, self._around, publisher, tables, published)
                try:
                    taken = snapshotting.run(progress, captured, stop)
                finally:
                    if snapshotting.under_way:
                        self._sessions.got_under_way()
                if taken is None:
                    return True
                progress = taken
                keep_for_failover(server, config)
                everything = (server, config, publisher, topics, tables, progress)
                reader = None
                if config.signal_table is not None or progress.incremental:
                    setup = ReaderSetup(config, self._around, tuple(captured), published, "", 0)
                    reader = KeyReader(setup)
                    incremental = Incremental(config, reader, publisher, progress)
                    streaming: Streaming = InterleavedStreaming(incremental, *everything)
                else:
                    streaming = Streaming(*everything)
                try:
                    self._sessions.got_under_way()
                    if reader is not None:
                        reader.start()
                    with SlotWatch(server, config):
                        streaming.run(stop, once=once)
                finally:
                    streaming.close()
                    if reader is not None:
                        reader.close()
            finally:
                publisher.close()
        return True

    def _begin(
        self,
        publisher: Publisher,
        captured: list[catalog.CapturedTable],
        published: dict[str, Published],
    ) -> Progress:
        """Where to continue, checked and stored; without ``tables`` that are to be snapshotted."""
        progress = self._read_progress()
        # Looked at after the position: a predecessor that ran until now has moved all three on.
        identity, slot = self._server.identify(), self._server.slot(self._config.slot_name)
        if progress is None or (must_snapshot(progress) and progress.run is None):
            return self._prepare_slot(publisher, progress, slot, identity)
        check_resume(self._config.name, progress, self._config.slot_name, slot, identity)
        progress = replace(progress, timeline=identity.timeline)
        # A table that left the publication (dropped and made again, say) has changes that the log
        # stream lacks. Stored before it is published again, so that a kill in between forgets nothing.
        gone = [one.full_name for one in captured if one.full_name not in published]
        run = progress.run
        if any(name in progress.tables or (run is not None and name in run.tables) for name in gone):
            kept = {name: lsn for name, lsn in progress.tables.items() if name not in gone}
            if run is not None:
                run = run.only(name for name in run.tables if name not in gone)
            progress = replace(progress, tables=kept, run=run)
            publisher.commit(progress.to_json())
        return progress

    def _identify(self) -> Identity:
        self._server.require_logical()
        identity = self._server.identify()
        self._log.info(
            "connected",
            server=self._server.address,
            database=identity.database,
            system_identifier=identity.system_identifier,
            timeline=identity.timeline,
        )
        return identity

    def _open_publisher(self, transaction_timeout_s: int) -> Publisher:
        return Publisher(self._config.name, self._around.kafka, transaction_timeout_s)

    def _read_progress(self) -> Progress | None:
        stored = read_position(self._around.kafka, self._config.name)
        return None if stored is None else Progress.from_json(stored)

    def _free_slot(self, stop: StopSignal | None) -> None:
        """Wait a little for a predecessor's connection to be gone; `DependencyUnavailable` if it stays.

        Looked at before the publisher opens: a second start by mistake must not fence the first.
        """
        deadline = time.monotonic() + SLOT_WAIT_S
        while True:
            slot = self._server.slot(self._config.slot_name)
            if slot is None or slot.active_pid is None:
                return
            if (stop is not None and stop.is_set()) or time.monotonic() > deadline:
                raise DependencyUnavailable(
                    f"slot {slot.name} is in use by PID {slot.active_pid}; stop the other reader, or "
                    "give this source its own slot"
                )
            time.sleep(SLOT_POLL_S)

    def _about_to_snapshot(self, identity: Identity, epoch: int) -> Progress:
        return Progress(identity.system_identifier, identity.timeline, epoch, self._config.slot_name)

    def _prepare_slot(
        self, publisher: Publisher, progress: Progress | None, slot: SlotState | None, identity: Identity
    ) -> Progress:
        """Make room for the slot, having stored that we are about to make it."""
        name = self._config.name
        if slot is not None and not may_drop(progress, slot, name):
            raise ConfigurationError(
                f"slot {slot.name} exists, but source {name} has no position in it; if nobody needs it, run "
                f"SELECT pg_drop_replication_slot('{slot.name}'), else set another slot"
            )
        begun = self._about_to_snapshot(identity, FIRST_EPOCH if progress is None else progress.epoch)
        publisher.commit(begun.to_json())
        if slot is not None:
            self._server.drop_slot(slot.name)
            self._log.warning("slot_dropped", slot=slot.name, reason="a snapshot did not come to its end")
        return begun
