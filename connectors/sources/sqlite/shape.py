"""The tables of a SQLite file as they are now."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from streams.errors import ConfigurationError

OURS = "tallystream_"  # what we make in the file; never captured
MAX_KEY = 8  # columns; what a replaced row is found by has as many


@dataclass(frozen=True, slots=True)
class Unique:
    """What else than the key tells rows apart: columns with the collations they are compared by."""

    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """A table: columns with their declared types, key, and other unique constraints.

    ``hidden_rowid``: rows have a rowid that is not their key, by which a REPLACE may find them too.
    """

    table: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    uniques: tuple[Unique, ...]
    hidden_rowid: bool

    @property
    def full_name(self) -> str:
        """``main.table``."""
        return f"main.{self.table}"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(name for name, _ in self.columns)


def shapes(connection: sqlite3.Connection, include: Iterable[str]) -> list[Shape]:
    """The tables that ``main.table`` and ``main.*`` name; `ConfigurationError` names what can't be."""
    known = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "AND sql NOT LIKE 'CREATE VIRTUAL%'"
        )
        if not name.startswith(OURS)
    }
    found: dict[str, Shape] = {}
    for entry in include:
        _, _, wanted = entry.partition(".")
        names = sorted(known) if wanted == "*" else [wanted]
        if not names or (wanted != "*" and wanted not in known):
            raise ConfigurationError(f"tables: {entry} matches no table of the file; correct the list")
        for name in names:
            found[name] = _shape(connection, name)
    return list(found.values())


def _shape(connection: sqlite3.Connection, table: str) -> Shape:
    # Generated columns are computed from the others: like PostgreSQL's log, we leave them out.
    rows = [
        row
        for row in connection.execute(
            "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid", [table]
        )
        if row[3] == 0
    ]
    key = tuple(name for name, _, place, _ in sorted(rows, key=lambda row: row[2]) if place)
    if not key:
        raise ConfigurationError(f"main.{table} has no primary key, by which its rows could be told apart")
    if len(key) > MAX_KEY:
        raise ConfigurationError(
            f"main.{table} has a key of {len(key)} columns; at most {MAX_KEY} can be followed"
        )
    uniques = []
    has_key_index = False
    for index, origin in connection.execute(
        'SELECT name, origin FROM pragma_index_list(?) WHERE "unique"', [table]
    ).fetchall():
        has_key_index = has_key_index or origin == "pk"
        if origin == "pk":
            continue
        parts = connection.execute(
            "SELECT name, coll FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno", [index]
        ).fetchall()
        if any(name is None for name, _ in parts):
            raise ConfigurationError(
                f"main.{table} has the unique index {index} on an expression: rows that a REPLACE removes "
                "by it can't be followed; leave the table out, or drop the index"
            )
        uniques.append(Unique(tuple((name, coll) for name, coll in parts)))
    (without_rowid,) = connection.execute(
        "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", [table]
    ).fetchone()
    names = {name.lower() for name, *_ in rows}
    hidden_rowid = has_key_index and not without_rowid and "rowid" not in names
    return Shape(table, tuple((row[0], row[1]) for row in rows), key, tuple(uniques), hidden_rowid)
