"""The change table of a SQLite file: installing it, reading it, and deleting what is published."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from connectors.sources.sqlite.shape import OURS, Shape, shapes
from connectors.sources.sqlite.triggers import CHANGES, SOURCE, TABLES, image, quoted, record, text, triggers
from connectors.sources.sqlite.types import decode_text
from streams.errors import ConfigurationError, DependencyUnavailable

BUSY_WAIT_S = 30.0  # for a writer's transaction to end
# The bounds of one Kafka transaction, and, twice, of what is held in memory.
BATCH_CHANGES = 10_000
BATCH_BYTES = 8_000_000  # of JSON
_SNAPSHOT_ROWS = 1000

Row = dict[str, Any]


class Change(NamedTuple):
    """A row of the change table. ``op`` is c, u or d; an image may lack columns added since."""

    seq: int
    table: str
    op: str
    at_ms: int
    before: Row | None
    after: Row | None


class Batch(NamedTuple):
    """Changes as one read transaction saw them, and some that follow: to be looked at, not to be sent."""

    changes: list[Change]
    ahead: list[Change]


class ChangeTable:
    """One file. Each method is one transaction; `DependencyUnavailable` where the file refuses."""

    def __init__(self, path: Path, source: str) -> None:
        self._path = path
        self._source = source
        with self._refusals():
            # Through a URI, so that a file that is gone is not made anew.
            uri = f"{path.resolve().as_uri()}?mode=rw"
            self._db = sqlite3.connect(uri, uri=True, timeout=BUSY_WAIT_S, isolation_level=None)
            self._db.text_factory = decode_text
            self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def shapes(self, include: Iterable[str]) -> list[Shape]:
        """The tables to capture, as they are now."""
        with self._refusals():
            return shapes(self._db, include)

    @property
    def schema_version(self) -> int:
        """Grows with each change of the file's schema."""
        with self._refusals():
            found: int = self._db.execute("PRAGMA schema_version").fetchone()[0]
            return found

    def identity(self) -> str | None:
        """Of the change table, None where there is none; `ConfigurationError` if another source's."""
        with self._refusals():
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [SOURCE]).fetchone():
                return None
            found = self._db.execute(f"SELECT name, identity FROM {SOURCE}").fetchone()
        if found is None:
            return None
        name, identity = found
        if name != self._source:
            raise ConfigurationError(
                f"{self._path} is captured by source {name}, and a change table has one reader; run that one, "
                f"or, if nobody needs it, run DELETE FROM {SOURCE} in the file"
            )
        return str(identity)

    def last_number(self) -> int:
        """The number of the last change that was ever recorded; 0 if none was."""
        with self._refusals():
            found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", [CHANGES]).fetchone()
            return int(found[0]) if found else 0

    def unfollowed(self, tables: Sequence[Shape]) -> list[str]:
        """Those of the tables that have lost a trigger: what was done to them since is not known."""
        present = self._present()
        return [
            one.full_name for one in tables if {f"{OURS}{op}_{one.table}" for op in _OPS} - present.keys()
        ]

    def up_to_date(self, tables: Sequence[Shape]) -> bool:
        """Whether every table has the triggers that its shape calls for."""
        present = self._present()
        return all(present.get(name) == sql for one in tables for name, sql in triggers(one).items())

    def install(self, tables: Sequence[Shape]) -> str:
        """Make what is missing of the change table and the triggers; the change table's identity.

        After a change of columns, rows that hold something in a column that the triggers did not
        know are recorded as updated: some were written without it.
        """
        with self._refusals(), self._transaction("IMMEDIATE"):
            for statement in TABLES:
                self._db.execute(statement)
            found = self._db.execute(f"SELECT identity FROM {SOURCE}").fetchone()
            identity = str(found[0]) if found else uuid.uuid4().hex
            if not found:
                self._db.execute(f"INSERT INTO {SOURCE} VALUES (?, ?)", [self._source, identity])
            present = self._present()
            for one in tables:
                self._follow(one, present)
            wanted = {name for one in tables for name in triggers(one)}
            for name in present.keys() - wanted:  # of a table that is no longer captured
                self._db.execute(f"DROP TRIGGER IF EXISTS {quoted(name)}")
        return identity

    def _follow(self, shape: Shape, present: dict[str, str]) -> None:
        wanted = triggers(shape)
        before = present.get(f"{OURS}insert_{shape.table}")
        for name, sql in wanted.items():
            if present.get(name) != sql:
                self._db.execute(f"DROP TRIGGER IF EXISTS {quoted(name)}")
                self._db.execute(sql)
        if before is None:
            return
        added = [name for name in shape.names if f"{text(name)}, CASE" not in before]
        if added:
            filled = " OR ".join(f"t.{quoted(name)} IS NOT NULL" for name in added)
            rest = f" FROM {quoted(shape.table)} AS t WHERE {filled}"
            self._db.execute(record(shape, "u", "NULL", image(shape.names, "t"), rest))

    def _present(self) -> dict[str, str]:
        with self._refusals():
            found = self._db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            return {name: sql for name, sql in found if name.startswith(OURS)}

    def read(self, after: int, schema_version: int) -> Batch | None:
        """The changes beyond number ``after``, at most a batch; None when the schema is another by now.

        As many again are looked ahead at, so that what a transaction does later to a row is known.
        """
        changes: list[Change] = []
        ahead: list[Change] = []
        size = 0
        into = changes
        with self._refusals(), self._transaction("DEFERRED"):
            if self._db.execute("PRAGMA schema_version").fetchone()[0] != schema_version:
                return None
            rows = self._db.execute(
                f"SELECT seq, tbl, op, at_ms, before, after FROM {CHANGES} WHERE seq > ? ORDER BY seq",
                [after],
            )
            for seq, table, op, at_ms, before, now in rows:
                if len(into) == BATCH_CHANGES or size > BATCH_BYTES:
                    if into is ahead:
                        break
                    into, size = ahead, 0
                size += len(before or "") + len(now or "")
                into.append(Change(seq, table, op, at_ms, _row(before), _row(now)))
            rows.close()
        return Batch(changes, ahead)

    def forget(self, upto: int) -> None:
        """Delete the changes up to a number: they are published."""
        with self._refusals():
            self._db.execute(f"DELETE FROM {CHANGES} WHERE seq <= ?", [upto])

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The tables and the change table's end at one moment, for as long as it takes to read them.

        Without a write-ahead log a reader keeps writers out: then the moment is held in a copy.
        """
        with self._refusals(), tempfile.TemporaryDirectory() as folder:
            if self._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                with self._transaction("DEFERRED"):
                    yield Snapshot(self._db)
                return
            copy = sqlite3.connect(Path(folder) / "copy", isolation_level=None)
            try:
                copy.text_factory = decode_text
                self._db.backup(copy)
                yield Snapshot(copy)
            finally:
                copy.close()

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        self._db.execute(f"BEGIN {kind}")
        try:
            yield
        except BaseException:
            self._db.rollback()
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._refuse(error)

    def _refuse(self, error: sqlite3.Error) -> NoReturn:
        raise DependencyUnavailable(f"{self._path}: {error}") from None


_OPS = ("insert", "update", "delete")


class Snapshot:
    """A file at one moment."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", [CHANGES]).fetchone()
        self.number = int(found[0]) if found else 0
        """Of the last change that is in it."""

    def rows(self, shape: Shape) -> Iterator[list[Row]]:
        """The table's rows, some at a time."""
        names = ", ".join(quoted(name) for name in shape.names)
        cursor = self._db.execute(f"SELECT {names} FROM {quoted(shape.table)}")
        while rows := cursor.fetchmany(_SNAPSHOT_ROWS):
            yield [dict(zip(shape.names, row, strict=True)) for row in rows]


def _row(stored: str | None) -> Row | None:
    if stored is None:
        return None
    parsed = json.loads(stored)
    objects = parsed if isinstance(parsed, list) else [parsed]
    return {name: _value(value) for one in objects for name, value in one.items()}


def _value(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    kind, rest = value[:1], value[1:]
    if kind == "t":
        return rest
    return float(rest) if kind == "r" else bytes.fromhex(rest)
