"""A TCP proxy on loopback whose connections can be reset, or fall silent and heal again."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType

HOST = "127.0.0.1"
BLOCK = 1 << 16
SENT_S = 5.0  # within which a peer takes what is being sent to it
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends RST, not FIN


class Direction:
    """What goes one way, over all connections: forwarded, or held."""

    def __init__(self) -> None:
        self.passed = 0
        """Bytes that were forwarded, since the proxy was made."""
        self.waiting = 0
        """Bytes that have come and are held: what was sent into the silence, or a first part of it."""
        self._changed = threading.Condition()
        self._open = True
        self._sending = 0

    def send(self, sink: socket.socket, data: bytes) -> None:
        """Forward, as soon as nothing is held."""
        with self._changed:
            self.waiting += len(data)
            self._changed.wait_for(lambda: self._open)
            self.waiting -= len(data)
            self._sending += 1
        sent = 0
        try:
            sink.sendall(data)
            sent = len(data)
        finally:
            with self._changed:
                self.passed += sent
                self._sending -= 1
                self._changed.notify_all()

    def wait(self) -> None:
        """Return when nothing is held."""
        with self._changed:
            self._changed.wait_for(lambda: self._open)

    def hold(self, hold: bool) -> None:
        """Hold from now on, when what is being sent is sent; or forward again."""
        with self._changed:
            self._open = not hold
            self._changed.notify_all()
            if hold:
                assert self._changed.wait_for(lambda: not self._sending, SENT_S), "a peer takes nothing"


class Proxy:
    """Forwards to ``port`` from a port of its own. Held bytes are kept, as a network keeps sending
    what was not acknowledged; connections made meanwhile are accepted and hear nothing."""

    def __init__(self, port: int, listen: int = 0) -> None:
        self._target = (HOST, port)
        self.up, self.down = Direction(), Direction()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._listener = socket.create_server((HOST, listen))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """Reset all connections, on both sides; how many there were."""
        with self._lock:
            found = list(self._open)
            self._open.clear()
        for one in found:
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                # Wakes the thread that reads it; `close` alone would leave it, and the socket, as they are.
                one.shutdown(socket.SHUT_RD)
        for one in found:
            one.close()
        return len(found) // 2

    def hold(self, *, up: bool = True, down: bool = True) -> None:
        """Forward nothing to the server (``up``), or nothing from it (``down``), until `heal`."""
        self.up.hold(up)
        self.down.hold(down)

    def heal(self) -> None:
        """Forward again, what was held first."""
        self.hold(up=False, down=False)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._open |= {client, server}
            for pair in ((client, server, self.up), (server, client, self.down)):
                threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, way: Direction) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(BLOCK):
                way.send(sink, data)
        # An end is held like anything else.
        way.wait()
        for one in (source, sink):
            with self._lock:
                if one not in self._open:  # `cut` resets it: an orderly end must not come before
                    continue
                self._open.remove(one)
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.heal()
        self.cut()
