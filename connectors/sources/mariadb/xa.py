"""Where a snapshot's stream has to begin, so that no XA transaction falls between the two."""

from __future__ import annotations

import time
from dataclasses import dataclass

from connectors.sources.mariadb.position import Gtids
from connectors.sources.mariadb.server import Server
from connectors.sources.running import StopSignal
from streams.errors import DependencyUnavailable

WAIT_S = 60.0  # for what is prepared to be decided: coordinators take milliseconds
COMMIT_WAIT_S = 2.0
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Beginning:
    """A place in the log. ``needed``: there are XA transactions, so that the stream is to begin at it."""

    gtid: Gtids
    file: str
    position: int
    needed: bool


def wait_for_beginning(server: Server, stop: StopSignal, *, first: bool) -> Beginning:
    """A place in the log; on return, each XA transaction that was prepared before it is decided.

    `DependencyUnavailable` names those that are not, after `WAIT_S`. Where a stream is there already it
    holds those, so that only commits under way are waited for. Returns early at a stop.
    """
    gtid, file, position = server.log_end()
    waiting = server.prepared()
    needed = bool(waiting)
    deadline = time.monotonic() + (WAIT_S if first else COMMIT_WAIT_S)
    while waiting and not stop.wait(POLL_S):
        waiting &= server.prepared()
        if not waiting or time.monotonic() < deadline:
            continue
        if not first:
            break
        raise DependencyUnavailable(
            f"{server.where}: a snapshot can't begin while XA transactions are prepared: "
            f"{', '.join(sorted(waiting))}; run XA COMMIT or XA ROLLBACK for each"
        )
    return Beginning(gtid, file, position, needed)


def prepares(server: Server) -> bool:
    """Whether the server has prepared any since it was started."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Com_xa_prepare'")
        _, count = cursor.fetchone() or ("", 0)
        return int(count) > 0
