"""What a topic's records make of a table, folded on disk behind a cache of bounded size.

SQLite's own temporary database (an empty file name) is one that it unlinks as it opens it, in
``SQLITE_TMPDIR`` or ``TMPDIR``: it is gone with the process, however that ends.

Keyed tables fold by position, not by arrival: a later position wins, and a delete keeps its place so
that an older row can't come back. Tables without a key are counted, row by row: one more for each
row image that came, one fewer for each that went.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from streams.errors import DependencyUnavailable

CACHE_KIB = 8_192  # of SQLite's pages; beyond it they go to the file
UNCOMPARABLE = b""  # a row written under another type of a column: it equals no row, as none is empty
READ_ROWS = 1000  # rows taken from the file at a time

START = bytes(24)  # before every position


def place(epoch: int, lsn: int, ordinal: int) -> bytes:
    """A position whose bytes compare as positions do."""
    return epoch.to_bytes(8, "big") + lsn.to_bytes(8, "big") + ordinal.to_bytes(8, "big")


@dataclass(frozen=True, slots=True)
class Image:
    """A row as both sides spell it: Avro bytes with every field nullable, and as JSON the texts that
    Avro can't hold."""

    row: bytes
    special: bytes


@dataclass(frozen=True, slots=True)
class Gone:
    """A row that the topic has and the table has not. ``key``: framed as in the topic; None without key."""

    key: bytes | None
    image: Image


class Folded(Protocol):
    """A folded topic, compared with a table's rows one at a time."""

    def take(self, key: bytes, image: Image) -> Image | None:
        """What the topic has where the table has ``image``, and out of the state with it; None for nothing."""

    def rest(self) -> Iterator[Gone]:
        """What no row of the table has taken."""


class Database:
    """The temporary database. A context manager; `DependencyUnavailable` when its disk is full."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect("", isolation_level=None)
        for setting in (f"cache_size = -{CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF"):
            self.connection.execute(f"PRAGMA {setting}")
        self.connection.execute("BEGIN")  # one for all: nothing of it is ever to be kept

    def close(self) -> None:
        """Give the space back."""
        self.connection.close()


@contextlib.contextmanager
def temporary_database() -> Iterator[Database]:
    """A database that is gone at the end; the errors of its disk are ours."""
    database = Database()
    try:
        yield database
    except sqlite3.OperationalError as error:
        raise DependencyUnavailable(
            f"the temporary file of the comparison: {error}; make room, or set SQLITE_TMPDIR to a larger disk"
        ) from None
    finally:
        database.close()


class KeyedState:
    """The last image of each key. Keys are compared without their framing, as its id may have changed."""

    def __init__(self, database: Database) -> None:
        self._sql = database.connection
        self._sql.execute(
            "CREATE TABLE state (key BLOB PRIMARY KEY, framed BLOB, part INT, place BLOB, row BLOB, special BLOB) "
            "WITHOUT ROWID"
        )
        self._truncated: dict[int, bytes] = {}

    def put(self, partition: int, at: bytes, framed: bytes, image: Image | None) -> None:
        """A change of a key at position ``at``; None for a delete. Older than what is there: no effect."""
        if at < self._truncated.get(partition, START):
            return
        row, special = (None, None) if image is None else (image.row, image.special)
        self._sql.execute(
            "INSERT INTO state VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET framed = excluded.framed, "
            "part = excluded.part, place = excluded.place, row = excluded.row, special = excluded.special "
            "WHERE excluded.place >= place",
            (framed[5:], framed, partition, at, row, special),
        )

    def get(self, framed: bytes) -> Image | None:
        """The image under a key as folded so far."""
        found = self._sql.execute("SELECT row, special FROM state WHERE key = ?", (framed[5:],)).fetchone()
        return None if found is None or found[0] is None else Image(*found)

    def truncate(self, partition: int, at: bytes) -> None:
        """All that the partition had before ``at`` is gone."""
        self._truncated[partition] = max(at, self._truncated.get(partition, START))
        self._sql.execute(
            "UPDATE state SET row = NULL, special = NULL, place = ?2 WHERE part = ?1 AND place < ?2",
            (partition, at),
        )

    def take(self, key: bytes, image: Image) -> Image | None:
        """As in `Folded`; ``key`` is the table's, framed."""
        found = self._sql.execute(
            "DELETE FROM state WHERE key = ? RETURNING row, special", (key[5:],)
        ).fetchone()
        return None if found is None or found[0] is None else Image(*found)

    def rest(self) -> Iterator[Gone]:
        """As in `Folded`, by key."""
        last = b""
        first = True
        while True:
            rows = self._sql.execute(
                "SELECT key, framed, row, special FROM state WHERE row IS NOT NULL AND (key > ? OR ?) "
                "ORDER BY key LIMIT ?",
                (last, first, READ_ROWS),
            ).fetchall()
            for key, framed, row, special in rows:
                last = key
                yield Gone(framed, Image(row, special))
            if len(rows) < READ_ROWS:
                return
            first = False


class CountedState:
    """How often each row is there, of a table without a key."""

    def __init__(self, database: Database) -> None:
        self._sql = database.connection
        self._sql.execute(
            "CREATE TABLE state (row BLOB, special BLOB, part INT, number INT, PRIMARY KEY (row, special, part)) "
            "WITHOUT ROWID"
        )
        self._truncated: dict[int, bytes] = {}

    def count(self, partition: int, at: bytes, image: Image, by: int) -> None:
        """One more (1) or one fewer (-1) of a row. They come in any order: partitions know not of each other."""
        if at < self._truncated.get(partition, START):
            return
        self._sql.execute(
            "INSERT INTO state VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET number = number + excluded.number",
            (image.row, image.special, partition, by),
        )

    def truncate(self, partition: int, at: bytes) -> None:
        """All that the partition had before ``at`` is gone; each partition has the truncate."""
        self._truncated[partition] = max(at, self._truncated.get(partition, START))
        self._sql.execute("DELETE FROM state WHERE part = ?", (partition,))

    def take(self, key: bytes, image: Image) -> Image | None:
        """As in `Folded`; a row is its own key."""
        found = self._sql.execute(
            "SELECT sum(number) FROM state WHERE row = ? AND special = ?", (image.row, image.special)
        ).fetchone()
        if not found[0] or found[0] < 0:
            return None
        # Partition -1 is ours: what was taken.
        self._sql.execute(
            "INSERT INTO state VALUES (?, ?, -1, -1) ON CONFLICT DO UPDATE SET number = number - 1",
            (image.row, image.special),
        )
        return image

    def rest(self) -> Iterator[Gone]:
        """As in `Folded`; a row that is there twice too often comes twice."""
        for row, special, number in self._sql.execute(
            "SELECT row, special, sum(number) FROM state GROUP BY row, special HAVING sum(number) > 0"
        ):
            for _ in range(number):
                yield Gone(None, Image(row, special))
