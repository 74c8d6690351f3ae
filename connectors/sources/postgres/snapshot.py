"""A consistent copy of tables as of the very point where a slot's stream starts.

Creating a slot exports the database snapshot of its consistent point X: every transaction whose
commit record starts before X is in the copy, every later one comes through the stream. The copy's
records stand at (epoch, X - 1, ordinal): before all of the stream's, whose first may stand at X.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import errors, sql

from connectors.sources.postgres import catalog
from connectors.sources.postgres.catalog import PARTITIONED, CapturedTable
from connectors.sources.postgres.envelope import Stamp
from connectors.sources.postgres.pgoutput import Row
from connectors.sources.postgres.position import lsn_value
from connectors.sources.postgres.publication import Published
from connectors.sources.postgres.records import Encode, Record, snapshot_record
from connectors.sources.postgres.resume import PLUGIN
from connectors.sources.postgres.server import Server, identifier, quoted, raw
from connectors.sources.postgres.tables import Table, Tables
from streams.errors import DependencyUnavailable

_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ExportedSnapshot:
    """A snapshot that other connections can adopt while the exporting one stays open."""

    name: str
    consistent_lsn: int


@contextmanager
def create_slot(server: Server, slot: str, temporary: bool) -> Iterator[ExportedSnapshot]:
    """Create ``slot`` and hold its exported snapshot open. A temporary one is gone at the end."""
    connection = server.replication()
    kind = "TEMPORARY " if temporary else ""
    try:
        row = server.command(
            connection, f"CREATE_REPLICATION_SLOT {quoted(slot)} {kind}LOGICAL {PLUGIN} EXPORT_SNAPSHOT"
        )
        assert row[1] is not None
        assert row[2] is not None
        yield ExportedSnapshot(row[2], lsn_value(row[1]))
    finally:
        connection.finish()


class Snapshot:
    """The rows of ``tables`` in an exported snapshot, as records."""

    def __init__(
        self,
        server: Server,
        tables: Tables,
        published: dict[str, Published],
        epoch: int,
        exported: ExportedSnapshot,
    ) -> None:
        self._server = server
        self._tables = tables
        self._published = published
        self._exported = exported
        self._place = f"{epoch}/{self.lsn}/".encode()
        self.rows: dict[str, int] = {}
        """Rows by table, so far."""

    @property
    def lsn(self) -> int:
        """Of the position of its records."""
        return self._exported.consistent_lsn - 1

    def records(self, captured: list[CapturedTable]) -> Iterator[Record]:
        """All rows of the tables, one record each; the last one says so in ``source.snapshot``."""
        with self._server.connect() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute(
                sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(self._exported.name))
            )
            taken_us = time.time_ns() // 1000
            encoders: dict[int, Encode] = {}
            stamp = Stamp(taken_us, taken_us, None, None, "true")
            pending: tuple[Table, Row] | None = None
            ordinal = 0
            for table, row in self._all_rows(connection, captured):
                if pending is not None:
                    yield self._record(*pending, encoders, stamp, ordinal)
                    ordinal += 1
                pending = table, row
            if pending is not None:
                yield self._record(*pending, {}, Stamp(taken_us, taken_us, None, None, "last"), ordinal)

    def _record(
        self, table: Table, row: Row, encoders: dict[int, Encode], stamp: Stamp, ordinal: int
    ) -> Record:
        return snapshot_record(
            table, row, encoders, stamp, self._place, ordinal, self._exported.consistent_lsn
        )

    def _all_rows(
        self, connection: psycopg.Connection, captured: list[CapturedTable]
    ) -> Iterator[tuple[Table, Row]]:
        for one in captured:
            published = self._published[one.full_name]
            relation = catalog.current_relation(connection, one.oid, published.columns)
            table = self._tables.table(relation)
            assert table is not None
            self.rows[one.full_name] = 0
            columns = sql.SQL(", ").join(identifier(column.name) for column in relation.columns)
            query = sql.SQL("COPY (SELECT {} FROM {}{}{}) TO STDOUT").format(
                columns,
                sql.SQL("" if one.kind == PARTITIONED else "ONLY "),
                identifier(one.schema, one.table),
                raw(f" WHERE {published.row_filter}" if published.row_filter else ""),
            )
            try:
                with connection.cursor() as cursor, cursor.copy(query) as copy:
                    for line in copy:
                        self.rows[one.full_name] += 1
                        yield table, parse_line(bytes(line))
            except errors.InsufficientPrivilege:
                raise DependencyUnavailable(
                    f"role {self._server.user} may not read {one.full_name}; run GRANT SELECT ON "
                    f"{quoted(one.schema, one.table)} TO {self._server.user}"
                ) from None


def parse_line(line: bytes) -> Row:
    """The cells of one line of COPY's text format."""
    cells = line.rstrip(b"\n").split(b"\t")
    if b"\\" not in line:
        return tuple(cells)
    return tuple(None if cell == b"\\N" else _unescape(cell) for cell in cells)


def _unescape(cell: bytes) -> bytes:
    if b"\\" not in cell:
        return cell
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match.group(1), match.group(1)), cell)
