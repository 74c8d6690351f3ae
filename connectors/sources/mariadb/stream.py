"""The stream of binary log events that a server sends to a replica. The socket pushes.

The protocol is spoken here rather than through mysql-replication: its reader connects again by itself
where a stream began, skips what it does not know (compressed events among it), and reads zero dates,
empty sets and sets' order as something else than what they are.
"""

from __future__ import annotations

import select
import time
from typing import Any, NoReturn

from connectors.sources.mariadb.driver import pymysql
from connectors.sources.mariadb.position import Gtids
from connectors.sources.mariadb.server import Server
from connectors.sources.running import StopSignal
from streams.errors import DependencyUnavailable, PositionLost

SILENCE_S = 60.0  # a server that gives no sign of life is gone
READ_BYTES = 1 << 18

_WHOLE = 0xFFFFFF  # a packet of this length goes on in the next
_OK, _EOF, _ERROR = 0x00, 0xFE, 0xFF
_PURGED, _DENIED = 1236, 1227
_TWIN = "same server_uuid/server_id"  # said by MySQL under the code of a purged log
_REMEDY = "take a new snapshot with `tallystream source resnapshot`"


class LogStream:
    """Events from after ``start`` on. Not thread-safe."""

    def __init__(self, server: Server, replica_id: int, start: Gtids) -> None:
        self._server = server
        self._start = start
        self._replica_id = replica_id
        self._connection: pymysql.Connection[Any] = server.open()
        try:
            server.request_log(self._connection, replica_id, start)
        except pymysql.Error as error:
            self._connection.close()
            server.refuse(error)
        self._socket: Any = self._connection._sock
        self._data = b""
        self._at = 0
        self._parts: list[bytes] = []
        self._heard = time.monotonic()

    def read(self) -> bytes | None:
        """The next event; None when nothing has arrived. Never blocks.

        `PositionLost` when the server no longer has what was asked for, or never had.
        """
        while True:
            packet = self._packet()
            if packet is None:
                if not self._receive():
                    return None
                continue
            kind = packet[0]
            if kind == _OK:
                return packet[1:]
            if kind == _ERROR:
                self._refused(packet)
            raise DependencyUnavailable(f"{self._server.where} ended the replication stream")

    def wait(self, stop: StopSignal, seconds: float) -> None:
        """Return when the socket has something, a stop is asked for, or the time is over."""
        if self._pending():
            return
        readable, _, _ = select.select([self._socket, stop.fileno()], [], [], seconds)
        if self._socket not in readable and time.monotonic() - self._heard > SILENCE_S:
            raise DependencyUnavailable(f"{self._server.where} fell silent for {SILENCE_S:.0f} s")

    def close(self) -> None:
        """End the connection."""
        self._connection._force_close()

    def _packet(self) -> bytes | None:
        """The next whole packet of what was received."""
        data, at = self._data, self._at
        while len(data) - at >= 4:
            size = int.from_bytes(data[at : at + 3], "little")
            end = at + 4 + size
            if len(data) < end:
                break
            body = data[at + 4 : end]
            self._at = at = end
            if size == _WHOLE or self._parts:
                self._parts.append(body)
                if size == _WHOLE:
                    continue
                body = b"".join(self._parts)
                self._parts = []
            return body
        return None

    def _receive(self) -> bool:
        """Take what the socket has; whether it had something."""
        if not self._pending() and not select.select([self._socket], [], [], 0)[0]:
            return False
        try:
            received = self._socket.recv(READ_BYTES)
        except OSError as error:
            self._lost(str(error))
        if not received:
            self._lost("it was closed by the server")
        self._data = self._data[self._at :] + received
        self._at = 0
        self._heard = time.monotonic()
        return True

    def _pending(self) -> bool:
        """Whether the TLS layer has read ahead of us; then the socket itself may be empty."""
        pending = getattr(self._socket, "pending", None)
        return pending is not None and pending() > 0

    def _refused(self, packet: bytes) -> NoReturn:
        code = int.from_bytes(packet[1:3], "little")
        text = packet[3:]
        if text[:1] == b"#":
            text = text[6:]
        reason = " ".join(text.decode("utf-8", "replace").split())
        if _TWIN in reason:
            raise DependencyUnavailable(
                f"{self._server.where}: another replica has taken our number {self._replica_id}: give this source a "
                "server_id that no replica and no other source has"
            )
        if code == _PURGED:
            raise PositionLost(
                f"{self._server.where} can't go on from GTID {str(self._start) or '(the beginning)'}: "
                f"{reason}; what changed since is lost to the stream: {_REMEDY}"
            )
        if code == _DENIED:
            raise self._server.lacks("REPLICATION SLAVE")
        self._server.refuse(pymysql.OperationalError(code, reason))

    def _lost(self, reason: str) -> NoReturn:
        raise DependencyUnavailable(f"connection to {self._server.where} was lost: {reason}")
