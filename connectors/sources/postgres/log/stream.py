"""The replication stream of a slot: log messages out, acknowledgements back. The socket pushes.

Driven through libpq itself (``psycopg.pq``). psycopg2's replication cursor is not used: its
``read_message`` moves the acknowledged position on by itself when keepalives come (its source says
so), so the slot would run ahead of the position stored in Kafka, and a slot that somebody else
advanced could no longer be told from one that we did.
"""

from __future__ import annotations

import select
import struct
import time
from typing import NoReturn

import psycopg
from psycopg import pq

from connectors.sources.postgres.pgoutput.bounds import POSTGRES_EPOCH_US
from connectors.sources.postgres.position import lsn_text
from connectors.sources.postgres.server.connection import Server, quoted
from connectors.sources.running import StopSignal
from streams.errors import DependencyUnavailable, PositionLost

STATUS_S = 10.0  # well within the minute of silence that the server bears (wal_sender_timeout)
SILENCE_S = 60.0  # we ask for an answer with each status: a server that gives none is gone

_REMEDY = "run `tallystream source repair`, which publishes what is missing"
_DATA_HEADER = 25  # type, start, end, send time
_KEEPALIVE = struct.Struct(">QqB").unpack_from
_STATUS = struct.Struct(">cQQQqB").pack
_INT64 = struct.Struct(">Q").unpack_from
_DATA, _ALIVE = ord("w"), ord("k")
# From PostgreSQL 14 on a transaction that outgrows the server's logical_decoding_work_mem comes while it
# is in progress, instead of going to the server's disk first. Two-phase decoding (version 3) is left
# off: a transaction that is prepared then comes with its COMMIT PREPARED, and never if it is rolled back.
# From then on the messages that `pg_logical_emit_message` wrote come too, for they may be signals.
MESSAGES_SINCE = 140_000
_WHOLE = "proto_version '1'"
_IN_PROGRESS = "proto_version '2', streaming 'on', messages 'true'"


class LogStream:
    """Logical replication from ``start_lsn`` on. Not thread-safe."""

    def __init__(self, server: Server, slot: str, publication: str, start_lsn: int) -> None:
        self._server = server
        self._slot = slot
        self._confirmed = start_lsn
        self.server_lsn = 0
        """All that the log holds before this was received, unless a transaction is being received."""
        self.reply_wanted = False
        """The server asks for the position; when it shuts down, it waits until `server_lsn` is confirmed."""
        self._connection = server.replication()
        names = quoted(publication).replace("'", "''")
        protocol = _IN_PROGRESS if self._connection.server_version >= MESSAGES_SINCE else _WHOLE
        try:
            server.command(
                self._connection,
                f"START_REPLICATION SLOT {quoted(slot)} LOGICAL {lsn_text(start_lsn)} "
                f"({protocol}, publication_names '{names}')",
            )
        except BaseException:
            self._connection.finish()
            raise
        self._connection.nonblocking = 1
        self._heard = self._spoke = time.monotonic()

    def read(self) -> tuple[int, bytes] | None:
        """The next message and its LSN; None when nothing has arrived. Never blocks."""
        while True:
            try:
                length, data = self._connection.get_copy_data(1)
                if length == 0:
                    self._connection.consume_input()
                    length, data = self._connection.get_copy_data(1)
                    if length == 0:
                        return None
            except psycopg.Error as error:
                self._lost(error)
            if length < 0:
                self._ended()
            kind = data[0]
            if kind == _DATA:
                return _INT64(data, 1)[0], bytes(data[_DATA_HEADER:])
            self._heard = time.monotonic()
            if kind == _ALIVE:
                lsn, _sent, reply = _KEEPALIVE(data, 1)
                self.server_lsn = max(self.server_lsn, lsn)
                self.reply_wanted = self.reply_wanted or bool(reply)

    def wait(self, stop: StopSignal, seconds: float) -> None:
        """Return when the socket has something, a stop is asked for, or the time is over."""
        socket = self._connection.socket
        readable, _, _ = select.select([socket, stop.fileno()], [], [], seconds)
        now = time.monotonic()
        if socket in readable:
            self._heard = now
        elif now - self._heard > SILENCE_S:
            raise DependencyUnavailable(
                f"PostgreSQL at {self._server.address} fell silent for {SILENCE_S:.0f} s"
            )

    def confirm(self, lsn: int) -> None:
        """Tell the server that everything before ``lsn`` is durable here; also its sign of life."""
        self._confirmed = max(self._confirmed, lsn)
        self._send_status()

    def keep_alive(self) -> None:
        """Send a sign of life when one is due; to be called during long work."""
        if time.monotonic() - self._spoke > STATUS_S:
            self._send_status()

    def listen_again(self) -> None:
        """After long work: that nothing was read meanwhile is no sign of a silent server."""
        self._heard = time.monotonic()

    def ask(self) -> None:
        """Ask the server how far it has come; the answer moves `server_lsn`."""
        self._send_status(ask=True)

    def _send_status(self, ask: bool = False) -> None:
        at = self._confirmed
        clock = time.time_ns() // 1000 - POSTGRES_EPOCH_US
        # Asking for an answer when the last one is old tells a silent server from an idle one.
        ask = ask or time.monotonic() - self._heard > STATUS_S
        try:
            self._connection.put_copy_data(_STATUS(b"r", at, at, at, clock, ask))
            self._connection.flush()
        except psycopg.Error as error:
            self._lost(error)
        self._spoke = time.monotonic()
        self.reply_wanted = False

    def close(self) -> None:
        """End the connection; the slot is free as soon as the server notices."""
        self._connection.finish()

    def _ended(self) -> NoReturn:
        result = self._connection.get_result()
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            error = psycopg.errors.error_from_result(result)
            place = lsn_text(self._confirmed)
            if isinstance(error, psycopg.errors.ObjectNotInPrerequisiteState):
                raise PositionLost(
                    f"slot {self._slot} can't be read from {place} on: {_first_line(error)}; {_REMEDY}"
                )
            if isinstance(error, psycopg.errors.UndefinedObject):
                raise PositionLost(
                    f"the publication was not there when changes from {place} on were made ({_first_line(error)}); "
                    f"{_REMEDY}"
                )
            self._server.refuse(error)
        raise DependencyUnavailable(f"PostgreSQL at {self._server.address} ended the replication stream")

    def _lost(self, error: psycopg.Error) -> NoReturn:
        line = _first_line(error)
        raise DependencyUnavailable(
            f"connection to PostgreSQL at {self._server.address} was lost: {line}"
        ) from None


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
