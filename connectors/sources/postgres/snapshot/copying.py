"""Reading one chunk of a snapshot: COPY's text to encoded records. Runs in reader threads or processes.

The copy is driven through libpq itself: a call a row instead of psycopg's generator a row.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import psycopg
from psycopg import errors, pq, sql

from connectors.sources.envelope import header_json
from connectors.sources.postgres.chunks import PAGES_END, Chunk
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.pgoutput.messages import Row
from connectors.sources.postgres.pgoutput.transactions import READ
from connectors.sources.postgres.server import catalog
from connectors.sources.postgres.server.catalog import CapturedTable
from connectors.sources.postgres.server.connection import Server, identifier, raw
from connectors.sources.postgres.server.publication import Published
from connectors.sources.postgres.snapshot.leaves import may_not_read
from connectors.sources.postgres.snapshot.lines import parse_line
from connectors.sources.postgres.tables.envelope import NeedsOptional, Stamp
from connectors.sources.postgres.tables.table import Table
from connectors.sources.postgres.tables.tables import Tables
from connectors.sources.running import Surroundings
from connectors.sources.subjects import Subjects
from connectors.sources.topics import Topics
from streams.errors import DependencyUnavailable

_ROW = b"\xff<row>\xff"  # stands for a row's bytes; text around it is UTF-8, which has no such byte


@dataclass(frozen=True, slots=True)
class ReaderSetup:
    """All that a reader needs to know, wherever it runs. ``lsn`` is that of the rows' source block."""

    config: PostgresConfig
    around: Surroundings
    captured: tuple[CapturedTable, ...]
    published: dict[str, Published]
    snapshot: str
    lsn: int


@dataclass(slots=True)
class ChunkRows:
    """A chunk's rows, encoded. ``last_value`` is the last row's value if no other row follows it;
    ``special`` has, by index, the header of values that the schema can't hold."""

    chunk: Chunk
    topic: str
    keys: list[bytes | None]
    values: list[bytes]
    special: dict[int, bytes]
    last_value: bytes | None


# An ALTER TABLE waits for the lock that the snapshot's own session holds, and readers wait behind it: one has
# to give way, or both wait for ever.
LOCK_TIMEOUT_MS = 10_000


class Reader:
    """Reads chunks in one exported snapshot, over a connection of its own. Not thread-safe."""

    def __init__(self, setup: ReaderSetup) -> None:
        config, around = setup.config, setup.around
        self._setup = setup
        self._server = Server(config.read_dsn(), f"tallystream source {config.name} snapshot")
        self._subjects = Subjects(around.registry_url)
        topics = Topics(around.kafka, config.partitions, around.replication_factor)
        include = {one.full_name for one in setup.captured}
        self._tables = Tables(self._server, config, include, self._subjects, topics)
        self._oids = {one.full_name: one.oid for one in setup.captured}
        self._known: dict[str, Table] = {}
        self._open = self._server.connect()
        self._connection = self._open.__enter__()
        self._connection.execute(sql.SQL("SET lock_timeout = {}").format(LOCK_TIMEOUT_MS))
        adopt(self._connection, setup.snapshot)

    def close(self) -> None:
        """End the connections."""
        self._connection.close()  # first: what was left in the middle of a COPY can't be committed
        self._open.__exit__(None, None, None)
        self._subjects.__exit__(None, None, None)

    def read(self, chunk: Chunk) -> ChunkRows:
        """All rows of ``chunk``; errors as in `Server.connect`, and `DependencyUnavailable` with the GRANT
        for a table that may not be read."""
        try:
            return self._read(chunk, self._table(chunk.table))
        except errors.InsufficientPrivilege:
            raise may_not_read(self._server.user, chunk.leaf.schema, chunk.leaf.table) from None
        except errors.LockNotAvailable:
            raise DependencyUnavailable(
                f"{chunk.leaf.schema}.{chunk.leaf.table} is being altered or locked; the snapshot makes way, "
                "and goes on after it"
            ) from None
        except psycopg.Error as error:
            self._server.refuse(error)

    def _table(self, name: str) -> Table:
        table = self._known.get(name)
        if table is None:
            relation = catalog.current_relation(
                self._connection, self._oids[name], self._setup.published[name].columns
            )
            table = self._tables.table(relation)
            assert table is not None
            self._known[name] = table
        return table

    def _read(self, chunk: Chunk, table: Table) -> ChunkRows:
        lines = copied(self._connection, self._query(chunk, table))
        rows = encoded(table, map(parse_line, lines), self._setup.lsn, ("true", "last"))
        return ChunkRows(chunk, table.snapshot_topic, *rows)

    def _query(self, chunk: Chunk, table: Table) -> bytes:
        leaf, (first, end) = chunk.leaf, chunk.pages
        row_filter = self._setup.published[chunk.table].row_filter
        conditions = [f"({row_filter})"] if row_filter else []
        if first:
            conditions.append(f"ctid >= '({first},0)'::tid")
        if end < PAGES_END:
            conditions.append(f"ctid < '({end},0)'::tid")
        if chunk.changed_since is not None:
            # Ages are counted from one and the same id: a younger row was written by a later id.
            conditions.append(f"age(xmin) <= age('{chunk.changed_since % (1 << 32)}'::xid)")
        return (
            sql.SQL("COPY (SELECT {} FROM ONLY {}{}) TO STDOUT")
            .format(
                sql.SQL(", ").join(identifier(column.name) for column in table.relation.columns),
                identifier(leaf.schema, leaf.table),
                raw(f" WHERE {' AND '.join(conditions)}" if conditions else ""),
            )
            .as_bytes(self._connection)
        )


class EncodedRows(NamedTuple):
    """Rows as records: see `ChunkRows`."""

    keys: list[bytes | None]
    values: list[bytes]
    special: dict[int, bytes]
    last_value: bytes | None


def encoded(table: Table, rows: Iterable[Row], lsn: int, marks: tuple[str, str]) -> EncodedRows:
    """The rows' keys and values. ``marks``: what ``source.snapshot`` says, and says if the row is the last."""
    taken_us = time.time_ns() // 1000
    stamp, last_stamp = (Stamp(taken_us, taken_us, None, None, mark) for mark in marks)
    keys: list[bytes | None] = []
    values: list[bytes] = []
    special: dict[int, bytes] = {}
    encode_row, encode_key = table.rows.encode, table.encode_key
    head, tail = _around_row(table, stamp, lsn)
    row: Row | None = None
    for row in rows:
        while True:
            try:
                after, aside = encode_row(row)
                keys.append(None if encode_key is None else encode_key(row))
                break
            except NeedsOptional as need:
                table.widen(need.column)
                encode_row, encode_key = table.rows.encode, table.encode_key
                head, tail = _around_row(table, stamp, lsn)
        if aside:
            special[len(values)] = header_json({f"after.{name}": text for name, text in aside.items()})
        values.append(head + after + tail)
    if row is None:
        return EncodedRows(keys, values, special, None)
    last = table.envelope.begin(last_stamp)
    return EncodedRows(keys, values, special, last(READ, None, table.rows.encode(row)[0], lsn))


def _around_row(table: Table, stamp: Stamp, lsn: int) -> tuple[bytes, bytes]:
    """What is before and behind the row in each envelope: of one snapshot they differ in nothing else."""
    head, _, tail = table.envelope.begin(stamp)(READ, None, _ROW, lsn).partition(_ROW)
    return head, tail


def copied(connection: psycopg.Connection, query: bytes) -> Iterator[bytes]:
    """The lines of a COPY … TO STDOUT."""
    libpq = connection.pgconn
    result = libpq.exec_(query)
    if result.status != pq.ExecStatus.COPY_OUT:
        raise errors.error_from_result(result)
    get = libpq.get_copy_data
    while True:
        length, line = get(0)
        if length < 0:
            break
        yield bytes(line)
    while (end := libpq.get_result()) is not None:
        if end.status != pq.ExecStatus.COMMAND_OK:
            raise errors.error_from_result(end)


def adopt(connection: psycopg.Connection, snapshot: str) -> None:
    """Begin a transaction on an autocommit connection that sees what ``snapshot`` does.

    `DependencyUnavailable` when the snapshot is gone, which is when its exporter's connection is.
    """
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
    except (errors.UndefinedObject, errors.InvalidParameterValue):
        raise DependencyUnavailable("the snapshot's connection to PostgreSQL was lost") from None
