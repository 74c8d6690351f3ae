"""A contender's replication slot: when it was made, and taking it away."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import psycopg
from psycopg import sql

from streams.errors import DependencyUnavailable

POLL_S = 0.005
RELEASE_TIMEOUT_S = 60.0  # the server notices within a second that a reader is gone


class SlotWatch:
    """Looks for a slot in a thread: with its creation a snapshot begins, whatever is started before."""

    def __init__(self, dsn: str, slot: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._slot = slot
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slot-watch", daemon=True)
        self.created: float | None = None
        """Unix time at which the slot was first seen."""
        self._failed: psycopg.Error | None = None

    def __enter__(self) -> SlotWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def check(self) -> None:
        """Raise the database's error, if the look has ended with one."""
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        query = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s"
        try:
            while not self._stop.wait(POLL_S):
                if self._connection.execute(query, [self._slot]).fetchone() is not None:
                    self.created = time.time()
                    return
        except psycopg.Error as error:
            self._failed = error


def drop_slot(connection: psycopg.Connection, slot: str) -> None:
    """Drop a slot once its reader is gone, and the publication of the same name; either may be missing."""
    deadline = time.monotonic() + RELEASE_TIMEOUT_S
    query = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"
    while (row := connection.execute(query, [slot]).fetchone()) is not None:
        if not row[0]:
            connection.execute("SELECT pg_drop_replication_slot(%s)", [slot])
        elif time.monotonic() > deadline:
            raise DependencyUnavailable(f"slot {slot} stays active after its reader has ended")
        else:
            time.sleep(POLL_S)
    connection.execute(sql.SQL("DROP PUBLICATION IF EXISTS {}").format(sql.Identifier(slot)))
