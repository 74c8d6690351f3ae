"""Messages that an idle source writes to the log of its own database.

A walsender that passes over other databases' log for long says so seldom, and ``restart_lsn`` follows
only where something of ours is read: the message is that.
"""

from __future__ import annotations

import time

import structlog

from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.server.connection import Server
from streams.errors import DependencyUnavailable

log = structlog.get_logger()

PREFIX = "tallystream.heartbeat"


class Heartbeat:
    """Not thread-safe. Goes quiet, with a warning, where messages can't be written: a standby, a role."""

    def __init__(self, server: Server, config: PostgresConfig) -> None:
        self._server = server
        self._every_s = config.heartbeat_s
        self._beaten = time.monotonic()
        self._log = log.bind(source=config.name)

    def beat_when_due(self) -> None:
        """Write one if the last is longer ago than the configuration says."""
        if not self._every_s or time.monotonic() - self._beaten <= self._every_s:
            return
        self._beaten = time.monotonic()
        try:
            with self._server.connect() as connection:
                connection.execute("SELECT pg_logical_emit_message(false, %s, '')", [PREFIX])
        except DependencyUnavailable as error:
            self._every_s = 0.0
            self._log.warning("heartbeats_off", reason=str(error))
