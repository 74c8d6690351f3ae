"""A consistent view of tables as of a point of the binary log.

Every transaction logged before is in the view, every later one comes through the stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from connectors.sources.mariadb.catalog import Shape
from connectors.sources.mariadb.cells import Row
from connectors.sources.mariadb.driver import pymysql
from connectors.sources.mariadb.position import Gtids
from connectors.sources.mariadb.server import Server, quoted
from connectors.sources.mariadb.types import Column
from streams.errors import DependencyUnavailable

LOCK_WAIT_S = 5  # writers wait meanwhile, behind a statement that runs for longer than it
_LOCK_WAIT = 1205
# A snapshot's cells of these types, written as a literal, compare as their columns are ordered. Enums and
# sets are ordered by number and compared as text, floats are rounded, addresses are bytes here.
_NUMBERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"})
_COMPARED = _NUMBERS | {"string", "bytes", "date", "time", "datetime", "timestamp"}
# SELECT rounds floats to six digits, and has its own ways to write addresses.
_AS = {
    "float": "CAST({} AS DOUBLE)",
    "uuid": "CAST({} AS BINARY(16))",
    "inet6": "CAST({} AS BINARY(16))",
    "inet4": "CAST({} AS BINARY(4))",
}


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """A transaction that sees the database as of ``gtid``, which is at a place in a file of the log."""

    connection: pymysql.Connection[Any]
    file: str
    position: int
    gtid: Gtids

    def rows(self, shape: Shape, after: tuple[str, ...]) -> Iterator[Row]:
        """The table's rows, in the order of its key if it has one, behind the one with the key ``after``."""
        columns = ", ".join(_selected(column) for column in shape.columns)
        statement = f"SELECT {columns} FROM {quoted(shape.schema, shape.table)}"
        if after:
            statement += f" WHERE {_behind(_key_columns(shape), after)}"
        if shape.key:
            statement += f" ORDER BY {', '.join(quoted(name) for name in shape.key)}"
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            yield from cursor


@contextmanager
def open_snapshot(server: Server, *, locked: bool) -> Iterator[OpenSnapshot]:
    """Hold a consistent snapshot open. ``locked``: nothing is committed while it is opened."""
    with server.raw() as connection:
        with _read_lock(server) if locked else nullcontext():
            gtid, file, position = server.begin_snapshot(connection)
        yield OpenSnapshot(connection, file, position, gtid)


@contextmanager
def _read_lock(server: Server) -> Iterator[None]:
    """Lock all tables: for about a millisecond, and before that for as long as a statement runs on."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET SESSION lock_wait_timeout = {LOCK_WAIT_S}")
        try:
            server.try_right(cursor, "FLUSH LOCAL TABLES WITH READ LOCK", "RELOAD")
        except pymysql.Error as error:
            if error.args[0] != _LOCK_WAIT:
                raise
            raise DependencyUnavailable(
                f"{server.where}: a snapshot needs all tables to be locked for a moment, and a statement that runs "
                f"for longer than {LOCK_WAIT_S} s was in the way; start again when it has ended"
            ) from None
        yield
        cursor.execute("UNLOCK TABLES")


def key_places(shape: Shape) -> list[int]:
    """Where in a row the cells of the key are, if the table can be read on from a row."""
    if any(column.type not in _COMPARED for column in _key_columns(shape)):
        return []
    names = [column.name for column in shape.columns]
    return [names.index(name) for name in shape.key]


def key_of(row: Row, places: list[int]) -> tuple[str, ...]:
    """The key for `OpenSnapshot.rows` to go on from: each cell in hexadecimal digits."""
    return tuple((row[place] or b"").hex() for place in places)


def _key_columns(shape: Shape) -> list[Column]:
    named = {column.name: column for column in shape.columns}
    return [named[name] for name in shape.key]


def _behind(columns: list[Column], after: tuple[str, ...]) -> str:
    """In a form that the server reads as a range of the key.

    (a, b) > (x, y) would be read as the whole table: a > x OR (a = x AND b > y).
    """
    alternatives = []
    for place, column in enumerate(columns):
        terms = [
            f"{quoted(one.name)} = {_literal(one, digits)}"
            for one, digits in zip(columns[:place], after, strict=False)
        ]
        terms.append(f"{quoted(column.name)} > {_literal(column, after[place])}")
        alternatives.append(f"({' AND '.join(terms)})")
    return " OR ".join(alternatives)


def _literal(column: Column, digits: str) -> str:
    if column.type in _NUMBERS:
        return bytes.fromhex(digits).decode("ascii")
    return f"X'{digits}'" if column.type == "bytes" else f"_utf8mb4 X'{digits}'"


def _selected(column: Column) -> str:
    return _AS.get(column.type, "{}").format(quoted(column.name))
