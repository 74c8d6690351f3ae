"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket
import threading

from streams.errors import DependencyUnavailable, UsageError

HOST = "127.0.0.1"
# Below the range (from 32768 on Linux) that outgoing connections take their local ports from: a
# server that is stopped and started again must find its port free.
FIRST, LAST = 15000, 32000
TRIES = 200  # of random ports; one is nearly always enough

_taken: set[int] = set()
_lock = threading.Lock()
_random = random.SystemRandom()  # two processes that start together must not draw the same ports


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port with connections in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """A free port that no other call in this process got; ``preferred`` if that one is free."""
    with _lock:
        candidates = [] if preferred is None else [preferred]
        candidates += [_random.randint(FIRST, LAST) for _ in range(TRIES)]
        for port in candidates:
            if port not in _taken and is_free(port):
                _taken.add(port)
                return port
    raise DependencyUnavailable(f"no free TCP port on {HOST} between {FIRST} and {LAST}")


def release(port: int) -> None:
    """Let `free_port` hand the port out again."""
    with _lock:
        _taken.discard(port)


def require_free(server: str, port: int) -> None:
    """Raise `DependencyUnavailable` if something listens on the port that ``server`` is to take."""
    if not 0 < port < 65536:
        raise UsageError(f"{port} is not a TCP port (for {server})")
    if not is_free(port):
        raise DependencyUnavailable(
            f"port {port} for {server} is taken by another program; stop that one or choose another port"
        )
