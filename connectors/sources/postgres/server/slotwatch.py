"""Looking after the slot while its stream runs: what the server keeps because of it, and for failovers.

A slot that nobody reads keeps the log for ever, and the disk of the database fills. The policy of
``slot_bytes_limit`` is to say so, in the log and by a metric, and never to drop: what the slot keeps
is what the topics lack. A hard bound is the server's to set, ``max_slot_wal_keep_size``; a slot lost
to it halts the source with the bounds of the gap, and ``tallystream source repair`` closes that.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

import structlog

from connectors.sources import metrics
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.server.connection import Server, SlotState
from streams.errors import DependencyUnavailable

log = structlog.get_logger()

LEAVE_S = 1.0  # a look that hangs on a dead server must not hold the session's end up
WATCH_S = 15.0  # one short query; log grows by gigabytes in minutes, not in seconds
FREE_POLL_S = 0.1
FREE_WAIT_S = 15.0  # the server needs a moment to notice that a killed reader is gone
WAL_STATUSES = ("reserved", "extended", "unreserved", "lost", "missing")


def keep_for_failover(server: Server, config: PostgresConfig) -> None:
    """Make the slot one that standbys keep, or an ordinary one, as configured.

    To be called while nobody reads the slot. `ConfigurationError` before PostgreSQL 17.
    """
    slot = server.slot(config.slot_name)
    if slot is not None and slot.failover != config.failover:
        server.set_failover(slot.name, config.failover)


class SlotWatch:
    """A context manager: while it is open, a thread keeps the slot's metrics current."""

    def __init__(self, server: Server, config: PostgresConfig) -> None:
        self._server = server
        self._config = config
        self._log = log.bind(source=config.name, slot=config.slot_name)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"slot-{config.slot_name}", daemon=True)
        self._over = False

    def __enter__(self) -> SlotWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(LEAVE_S)

    def _run(self) -> None:
        while True:
            try:
                self.note(self._server.slot(self._config.slot_name))
            except DependencyUnavailable as error:
                # The stream notices the same and ends the session; a watch has nothing to add.
                self._log.debug("slot_not_seen", error=str(error))
            if self._end.wait(WATCH_S):
                return

    def note(self, slot: SlotState | None) -> None:
        """Set the metrics from one look at the slot, and say when the limit is passed, either way."""
        name = self._config.name
        status = "missing" if slot is None else "lost" if slot.lost else slot.wal_status or "reserved"
        for one in WAL_STATUSES:
            metrics.SLOT_WAL_STATUS.labels(name, one).set(one == status)
        kept = 0 if slot is None else slot.retained_bytes
        metrics.SLOT_BYTES.labels(name).set(kept)
        metrics.SLOT_LAG_BYTES.labels(name).set(0 if slot is None else slot.lag_bytes)
        limit = self._config.slot_bytes_limit
        over = limit is not None and kept > limit
        metrics.SLOT_OVER_LIMIT.labels(name).set(over)
        if over and not self._over:
            self._log.warning("slot_over_limit", bytes=kept, limit=limit)
        elif self._over and not over:
            self._log.info("slot_within_limit", bytes=kept, limit=limit)
        self._over = over


def wait_until_free(server: Server, name: str) -> None:
    """Wait a little for a predecessor's connection to be gone; `DependencyUnavailable` if it stays."""
    deadline = time.monotonic() + FREE_WAIT_S
    while True:
        slot = server.slot(name)
        if slot is None or slot.active_pid is None:
            return
        if time.monotonic() > deadline:
            raise DependencyUnavailable(
                f"slot {name} is in use by PID {slot.active_pid}; stop that reader first"
            )
        time.sleep(FREE_POLL_S)
