"""The PostgreSQL source: a slot's changes into topics, exactly once, from the snapshot on.

A session is: refuse what can't work; open the publisher, which fences a predecessor; read the stored
position and check it against the slot; snapshot the tables that have none; stream. Any failure ends
the session, nothing in it is patched up: the next one begins from the stored position.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace

import structlog

from connectors.sources.check import Finding
from connectors.sources.positions import columns_key, read_latest
from connectors.sources.postgres.checks.check import PostgresCheck
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.log.streaming import Streaming
from connectors.sources.postgres.position import FIRST_EPOCH, Progress
from connectors.sources.postgres.resume import check_resume, may_drop, must_snapshot
from connectors.sources.postgres.server import catalog
from connectors.sources.postgres.server.connection import Identity, Server, SlotState
from connectors.sources.postgres.server.publication import Published, check_publication, publish
from connectors.sources.postgres.server.slotwatch import SlotWatch, keep_for_failover
from connectors.sources.postgres.snapshot.copying import ReaderSetup
from connectors.sources.postgres.snapshot.incremental import Incremental, log_read_again, with_pending
from connectors.sources.postgres.snapshot.keychunks import KeyReader
from connectors.sources.postgres.snapshot.snapshot import Snapshotting
from connectors.sources.postgres.tables.columns import KnownColumns
from connectors.sources.postgres.tables.tables import Tables
from connectors.sources.publisher import STREAM_TRANSACTION_S, Publisher
from connectors.sources.running import StopSignal, Surroundings
from connectors.sources.sessions import Sessions
from connectors.sources.subjects import Subjects
from connectors.sources.topics import Topics
from streams.errors import ConfigurationError, DependencyUnavailable

log = structlog.get_logger()

SLOT_POLL_S = 0.1
SLOT_WAIT_S = 15.0  # the server needs a moment to notice that a killed predecessor is gone

LEFT_FOR_A_WHILE = (
    "it was not captured, or not in the publication, for a while; if rows were deleted meanwhile, "
    "run `tallystream source repair --force`, which finds them"
)


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
            progress, _ = self._read_stored()
            epoch = FIRST_EPOCH if progress is None else progress.epoch + 1
            publisher.commit(self._about_to_snapshot(identity, epoch, progress).to_json())
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
                progress, columns = self._begin(publisher, captured, published)
                with server.connect() as connection:
                    fresh = [one for one in captured if one.full_name not in published]
                    published = publish(server, connection, config.publication_name, fresh)
                tables = Tables(
                    server, config, {one.full_name for one in captured}, subjects, topics, columns
                )
                progress = self._remember(publisher, progress, tables, progress.begun)
                snapshotting = Snapshotting(
                    server, config, self._around, publisher, topics, tables, published
                )
                had = progress.begun
                try:
                    taken = snapshotting.run(progress, captured, stop)
                finally:
                    if snapshotting.under_way:
                        self._sessions.got_under_way()
                if taken is None:
                    return True
                progress = self._remember(publisher, taken, tables, had)
                keep_for_failover(server, config)
                reader = KeyReader(ReaderSetup(config, self._around, tuple(captured), published, "", 0))
                incremental = Incremental(config, reader, publisher, progress)
                streaming = Streaming(server, config, publisher, topics, tables, progress, incremental)
                try:
                    self._sessions.got_under_way()
                    reader.start()
                    with SlotWatch(server, config):
                        streaming.run(stop, once=once)
                finally:
                    streaming.close()
                    reader.close()
            finally:
                publisher.close()
        return True

    def _begin(
        self,
        publisher: Publisher,
        captured: list[catalog.CapturedTable],
        published: dict[str, Published],
    ) -> tuple[Progress, KnownColumns]:
        """Where to continue, checked and stored; without ``tables`` that are to be snapshotted."""
        progress, columns = self._read_stored()
        # Looked at after the position: a predecessor that ran until now has moved all three on.
        identity, slot = self._server.identify(), self._server.slot(self._config.slot_name)
        if progress is None or (must_snapshot(progress) and progress.run is None):
            return self._prepare_slot(publisher, progress, slot, identity), columns
        check_resume(self._config.name, progress, self._config.slot_name, slot, identity)
        progress = replace(progress, timeline=identity.timeline)
        # A table that is not captured, or that left the publication (dropped and made again, say), has
        # changes that are not published: it is read anew when it is back. Stored before it is published
        # again, so that a kill in between forgets nothing.
        names = {one.full_name for one in captured}
        # One of a transaction that is published in part is not passed over: the stream stops at it.
        passed = progress.known - names - set(progress.partial or ())
        left = progress.without(passed | (names - published.keys()))
        if left != progress:
            progress = left
            publisher.commit(progress.to_json())
        for name in progress.former:
            if name in names:
                self._log.warning("table_read_anew", table=name, reason=LEFT_FOR_A_WHILE)
        return progress, columns

    def _remember(
        self, publisher: Publisher, progress: Progress, tables: Tables, begun: Collection[str]
    ) -> Progress:
        """Store what the tables' columns are now, and with it that those of ``begun`` are read again of
        which published rows lack one."""
        again, anew = ([name for name in found if name in begun] for found in tables.take_gained())
        if again or anew:
            log_read_again(self._config.name, [*again, *anew])
            progress = with_pending(progress.without(anew), again)
        changed = tables.columns.take_changed()
        if changed is not None:
            publisher.commit(progress.to_json(), changed)
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

    def _read_stored(self) -> tuple[Progress | None, KnownColumns]:
        name, beside = self._config.name, columns_key(self._config.name)
        stored = read_latest(self._around.kafka, name, beside)
        progress = Progress.from_json(stored[name]) if name in stored else None
        return progress, KnownColumns(stored.get(beside))

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

    def _about_to_snapshot(self, identity: Identity, epoch: int, before: Progress | None) -> Progress:
        former = [] if before is None else before.without(before.known).former
        return Progress(
            identity.system_identifier, identity.timeline, epoch, self._config.slot_name, former=former
        )

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
        epoch = FIRST_EPOCH if progress is None else progress.epoch
        begun = self._about_to_snapshot(identity, epoch, progress)
        publisher.commit(begun.to_json())
        if slot is not None:
            self._server.drop_slot(slot.name)
            self._log.warning("slot_dropped", slot=slot.name, reason="a snapshot did not come to its end")
        return begun
