"""Whether a server answers, asked in its own protocol, mostly with the standard library only.

Clients would answer the same question, but importing them costs more than starting the servers.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct

TIMEOUT_S = 2.0  # a healthy loopback server answers within milliseconds, a paused one never
API_METADATA = 3
METADATA_VERSION = 1  # the oldest that both Apache Kafka 4 and the embedded broker speak
MAX_RESPONSE = 64 * 2**20


def kafka_brokers(host: str, port: int, timeout_s: float = TIMEOUT_S) -> int:
    """How many brokers a Kafka-protocol server says the cluster has; 0 if it doesn't answer."""
    no_topics = struct.pack(">i", 0)
    client = b"tallystream-probe"
    request = struct.pack(">hhih", API_METADATA, METADATA_VERSION, 1, len(client)) + client + no_topics
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size,) = struct.unpack(">i", _read(connection, 4))
            if not 8 <= size <= MAX_RESPONSE:
                return 0
            _correlation, brokers = struct.unpack(">ii", _read(connection, 8))
    except (OSError, EOFError):
        return 0
    return max(0, int(brokers))


def redis_answers(host: str, port: int, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether Redis says PONG; while it loads its data it says LOADING instead."""
    with (
        contextlib.suppress(OSError, EOFError),
        socket.create_connection((host, port), timeout_s) as connection,
    ):
        connection.settimeout(timeout_s)
        connection.sendall(b"PING\r\n")
        return _read(connection, 7) == b"+PONG\r\n"
    return False


def http_answers(host: str, port: int, path: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether ``GET path`` is answered with 200."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def postgres_answers(dsn: str) -> bool:
    """Whether PostgreSQL lets the DSN's user in."""
    import psycopg2  # at the call: not every stack has a PostgreSQL

    try:
        psycopg2.connect(dsn, connect_timeout=int(TIMEOUT_S)).close()
    except (psycopg2.OperationalError, OSError):
        return False
    return True


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data
