"""A consistent copy of tables as of a point of the binary log, without a lock.

START TRANSACTION WITH CONSISTENT SNAPSHOT notes where in the log the snapshot stands: every
transaction logged before is in the copy, every later one comes through the stream.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from connectors.sources.mariadb import catalog
from connectors.sources.mariadb.catalog import CapturedTable
from connectors.sources.mariadb.cells import Row
from connectors.sources.mariadb.driver import pymysql
from connectors.sources.mariadb.envelope import Stamp
from connectors.sources.mariadb.position import GtidState
from connectors.sources.mariadb.records import Encode, snapshot_record
from connectors.sources.mariadb.server import Server, quoted
from connectors.sources.mariadb.tables import Table, Tables
from connectors.sources.mariadb.types import Column
from connectors.sources.postgres.records import Record
from streams.errors import DependencyUnavailable

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
    gtid: GtidState


@contextmanager
def open_snapshot(server: Server) -> Iterator[OpenSnapshot]:
    """Hold a consistent snapshot open."""
    with server.raw() as connection:
        with connection.cursor() as cursor:
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            cursor.execute("SHOW STATUS LIKE 'binlog_snapshot_%'")
            status = {name.decode().lower(): value.decode() for name, value in cursor.fetchall()}
        file, position = status["binlog_snapshot_file"], int(status["binlog_snapshot_position"])
        gtid = server.gtid_at(file, position)
        if gtid is None:
            raise DependencyUnavailable(
                f"MariaDB at {server.address} removed log file {file} while a snapshot began; start again"
            )
        yield OpenSnapshot(connection, file, position, gtid)


class Snapshot:
    """The rows of tables in an open snapshot, as records at the position ``place`` + ordinal."""

    def __init__(
        self, server: Server, server_id: int, tables: Tables, opened: OpenSnapshot, place: str
    ) -> None:
        self._server = server
        self._server_id = server_id
        self._tables = tables
        self._opened = opened
        self._place = place
        self.rows: dict[str, int] = {}
        """Rows by table, so far."""

    def records(self, captured: list[CapturedTable]) -> Iterator[Record]:
        """All rows of the tables, one record each; the last one says so in ``source.snapshot``."""
        taken_us = time.time_ns() // 1000
        encoders: dict[int, Encode] = {}
        stamp = Stamp(taken_us, taken_us, self._server_id, None, self._opened.file, "true")
        pending: tuple[Table, Row] | None = None
        ordinal = 0
        for table, row in self._all_rows(captured):
            if pending is not None:
                yield self._record(*pending, encoders, stamp, ordinal)
                ordinal += 1
            pending = table, row
        if pending is not None:
            last = Stamp(taken_us, taken_us, self._server_id, None, self._opened.file, "last")
            yield self._record(*pending, {}, last, ordinal)

    def _record(
        self, table: Table, row: Row, encoders: dict[int, Encode], stamp: Stamp, ordinal: int
    ) -> Record:
        return snapshot_record(table, row, encoders, stamp, self._place, ordinal, self._opened.position)

    def _all_rows(self, captured: list[CapturedTable]) -> Iterator[tuple[Table, Row]]:
        for one in captured:
            with self._server.connect() as connection:
                shape = catalog.current_shape(connection, one)
            table = self._tables.table(shape)
            self.rows[one.full_name] = 0
            columns = ", ".join(_selected(column) for column in shape.columns)
            with self._opened.connection.cursor() as cursor:
                cursor.execute(f"SELECT {columns} FROM {quoted(one.schema, one.table)}")
                for row in cursor:
                    self.rows[one.full_name] += 1
                    yield table, row


def _selected(column: Column) -> str:
    return _AS.get(column.type, "{}").format(quoted(column.name))
