"""Messages that an idle source writes to the log of its own database.

A walsender that passes over other databases' log for long says so seldom, and ``restart_lsn`` follows
only where something of ours is read: the message is that.

It says when it was written, too. What comes behind it in the log was committed later, so that when it is received the
source has heard of every commit up to then: that is the source's watermark.
"""

from __future__ import annotations

import secrets
import time

import structlog

from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.pgoutput.bounds import Message
from connectors.sources.postgres.server.connection import Server
from streams.errors import DependencyUnavailable

log = structlog.get_logger()

PREFIX = "tallystream.heartbeat"
# A commit takes the time before its place in the log, and may come behind a message that took its own in between.
COMMIT_RACE_US = 1_000_000
_BEAT = (
    "SELECT pg_logical_emit_message(false, %s, "
    "%s || ' ' || (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text)"
)


class Heartbeat:
    """Not thread-safe. Goes quiet, with a warning, where messages can't be written: a standby, a role."""

    def __init__(self, server: Server, config: PostgresConfig) -> None:
        self._server = server
        self._every_s = config.heartbeat_s
        self._beaten = time.monotonic()
        self._log = log.bind(source=config.name)
        # Others may write such messages as well, with whatever in them.
        self._mark = secrets.token_hex(8)

    def beat_when_due(self) -> None:
        """Write one if the last is longer ago than the configuration says."""
        if not self._every_s or time.monotonic() - self._beaten <= self._every_s:
            return
        self._beaten = time.monotonic()
        try:
            with self._server.connect() as connection:
                connection.execute(_BEAT, [PREFIX, self._mark])
        except DependencyUnavailable as error:
            self._every_s = 0.0
            self._log.warning("heartbeats_off", reason=str(error))

    def watermark(self, message: Message) -> int | None:
        """The time, in microseconds, up to which all commits precede a message in the log; None if it is not ours."""
        if message.transactional or message.prefix != PREFIX:
            return None
        mark, _, at = message.content.decode(errors="replace").partition(" ")
        return int(at) - COMMIT_RACE_US if mark == self._mark else None
