"""What the information schema says of tables: which there are, their columns, keys and types.

The log describes its tables by itself; the catalog serves snapshots, and tells what the log does not
know: that bytes are a UUID or a network address, and that text is JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from connectors.sources.mariadb.driver import pymysql
from connectors.sources.mariadb.server import Server, is_mariadb, quoted
from connectors.sources.mariadb.strings import BINARY
from connectors.sources.mariadb.types import GEOMETRIES, HINTED, Column
from streams.errors import ConfigurationError, DependencyUnavailable

# Others write to the log outside of transactions, and are not part of a consistent snapshot.
ENGINES = frozenset({"InnoDB", "ROCKSDB"})
_LABEL = re.compile(r"'((?:[^']|'')*)'")
_NO_RIGHT = {1142, 1143}


@dataclass(frozen=True, slots=True)
class CapturedTable:
    """A table of the include list."""

    schema: str
    table: str

    @property
    def full_name(self) -> str:
        """``schema.table``."""
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True)
class Shape:
    """A table's columns, and its primary key in its own order."""

    schema: str
    table: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """``schema.table``."""
        return f"{self.schema}.{self.table}"


def included_tables(server: Server, include: Iterable[str]) -> list[CapturedTable]:
    """The tables that ``schema.table`` and ``schema.*`` name, in that order, each once.

    `ConfigurationError` names an entry that matches nothing or a table that can't be captured,
    `DependencyUnavailable` one that we may not read.
    """
    found: dict[str, CapturedTable] = {}
    with server.connect() as connection, connection.cursor() as cursor:
        for entry in include:
            schema, _, table = entry.partition(".")
            cursor.execute(
                "SELECT table_schema, table_name, engine FROM information_schema.tables WHERE table_schema = %s "
                "AND (table_name = %s OR %s = '*') AND table_type = 'BASE TABLE' ORDER BY table_name",
                [schema, table, table],
            )
            rows = cursor.fetchall()
            if not rows:
                raise ConfigurationError(
                    f"tables: {entry} matches no table that user {server.user} can see; correct the include list, or "
                    f"run GRANT SELECT ON {quoted(schema)}.{'*' if table == '*' else quoted(table)} TO {server.user}"
                )
            for one, name, engine in rows:
                captured = CapturedTable(one, name)
                if engine not in ENGINES:
                    raise ConfigurationError(
                        f"{captured.full_name} is stored by {engine}, which has no transactions; run ALTER TABLE "
                        f"{quoted(one, name)} ENGINE=InnoDB, or leave it out of tables"
                    )
                _require_select(server, cursor, captured)
                found[captured.full_name] = captured
    return list(found.values())


def _require_select(server: Server, cursor: Any, captured: CapturedTable) -> None:
    """All columns must be readable: those that are not would be missing without a word."""
    try:
        cursor.execute(f"SELECT * FROM {quoted(captured.schema, captured.table)} LIMIT 0")
    except pymysql.Error as error:
        if error.args[0] not in _NO_RIGHT:
            raise
        raise server.lacks("SELECT", quoted(captured.schema, captured.table)) from None


def current_shape(connection: pymysql.Connection[Any], captured: CapturedTable) -> Shape:
    """The table as it is now, in the words that `connectors.sources.mariadb.tables` has for the log's."""
    place = [captured.schema, captured.table]
    hints = type_hints(connection, captured.schema, captured.table)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type, column_type, is_nullable, numeric_precision, numeric_scale, "
            "character_set_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s "
            "ORDER BY ordinal_position",
            place,
        )
        columns = tuple(_column(row, hints) for row in cursor.fetchall())
        cursor.execute(
            "SELECT column_name FROM information_schema.key_column_usage WHERE table_schema = %s "
            "AND table_name = %s AND constraint_name = 'PRIMARY' ORDER BY ordinal_position",
            place,
        )
        key = tuple(name for (name,) in cursor.fetchall())
    if not columns:
        raise DependencyUnavailable(f"{captured.full_name} was dropped while it was looked at")
    return Shape(captured.schema, captured.table, columns, key)


def key_signature(connection: pymysql.Connection[Any], shape: Shape) -> tuple[str, ...]:
    """Tells whether the rows of a table are in the same order as before: how its key is declared."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, column_type, collation_name FROM information_schema.columns "
            "WHERE table_schema = %s AND table_name = %s",
            [shape.schema, shape.table],
        )
        declared = {name: f"{name} {kind} {collation}" for name, kind, collation in cursor.fetchall()}
    return tuple(declared.get(name, name) for name in shape.key)


def _column(row: tuple[Any, ...], hints: dict[str, str]) -> Column:
    name, kind, full, nullable, precision, scale, charset = row
    labels: tuple[str, ...] = ()
    unsigned = False
    if kind in ("enum", "set"):
        labels = tuple(label.replace("''", "'") for label in _LABEL.findall(full))
    elif kind in ("tinyint", "smallint", "mediumint", "int", "bigint"):
        unsigned = "unsigned" in full
    if kind not in ("decimal", "bit"):
        precision = scale = 0
    if name in hints:
        kind = hints[name]
    elif kind in GEOMETRIES:
        kind = "geometry"
    elif kind not in _PLAIN:
        kind = "string" if charset not in (None, BINARY) else "bytes"
    return Column(name, kind, nullable == "YES", unsigned, precision or 0, scale or 0, labels)


_PLAIN = frozenset(
    {
        "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "bit",
        "year", "date", "time", "datetime", "timestamp", "enum", "set", "vector",
    }
)  # fmt: skip


def type_hints(connection: pymysql.Connection[Any], schema: str, table: str) -> dict[str, str]:
    """Columns of which the log does not tell what they are, by name: one of `HINTED`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = %s AND table_name = %s",
            [schema, table],
        )
        hints = {name: kind for name, kind in cursor.fetchall() if kind in HINTED}
        if not is_mariadb(connection):
            return hints  # MySQL has a type for JSON, others write it as a check
        cursor.execute(
            "SELECT check_clause FROM information_schema.check_constraints "
            "WHERE constraint_schema = %s AND table_name = %s AND level = 'Column'",
            [schema, table],
        )
        for (clause,) in cursor.fetchall():
            match = re.fullmatch(r"json_valid\(`((?:[^`]|``)+)`\)", clause)
            if match is not None:
                hints[match.group(1).replace("``", "`")] = "json"
    return hints


def charsets(server: Server) -> dict[int, str]:
    """Character sets by the numbers of their collations, which is how the log calls them."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, character_set_name FROM information_schema.collations WHERE id IS NOT NULL"
        )
        known = {int(number): str(name) for number, name in cursor.fetchall()}
        try:
            cursor.execute(
                "SELECT id, character_set_name FROM information_schema.collation_character_set_applicability"
            )
            known.update({int(number): str(name) for number, name in cursor.fetchall()})
        except pymysql.Error:
            pass  # before MariaDB 10.10 it has no numbers, and the other view has them all
    return known
