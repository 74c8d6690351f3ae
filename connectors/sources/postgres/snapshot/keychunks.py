"""A thread that reads tables in chunks by key while their changes are streamed, and signals for it.

Each chunk has a snapshot of its own, exported by a temporary slot: it is exact in the log, which the
server's list of running transactions is not, and it is held as long as its chunk is read. Making such a
slot waits for the transactions that write at that moment; the stream does not wait with us.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import psycopg
from psycopg import errors, sql

from connectors.sources.postgres.pgoutput.messages import Row
from connectors.sources.postgres.server import catalog
from connectors.sources.postgres.server.connection import Server, identifier, raw
from connectors.sources.postgres.server.publication import check_publication
from connectors.sources.postgres.snapshot.copying import EncodedRows, ReaderSetup, adopt, copied, encoded
from connectors.sources.postgres.snapshot.leaves import may_not_read
from connectors.sources.postgres.snapshot.lines import parse_line
from connectors.sources.postgres.snapshot.signals import EXECUTE, row_tables, signal_table_refused
from connectors.sources.postgres.snapshot.slotmaking import create_slot, passing_slot
from connectors.sources.postgres.tables.table import Table
from connectors.sources.postgres.tables.tables import Tables
from connectors.sources.subjects import Subjects
from connectors.sources.topics import Topics

POLL_S = 1.0  # how soon a signal is seen
CLOSE_S = 5.0  # the thread ends with the process in any case
AHEAD = 2  # chunks that may wait for the stream

Key: TypeAlias = tuple[str, ...]
"""The key's cells as text, in the key's order."""


@dataclass(frozen=True, slots=True)
class Requested:
    """Signals that ask for tables (full names). ``ids`` are those of the rows to delete; ``ignored`` says
    what is wrong with some of them."""

    ids: tuple[str, ...]
    tables: tuple[str, ...]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyChunk:
    """Rows of ``table`` behind the last chunk's, as of ``lsn``: what committed before it is in them.

    ``identities`` are the rows' keys as `Table.key_of` gives them. ``end`` is the last row's key, None
    when no more rows follow. ``refused``: why the table can't be read in chunks. ``attempt``: how often
    the table was to be read again from an earlier key, before this.
    """

    table: str
    topic: str
    lsn: int
    rows: EncodedRows
    identities: list[Hashable]
    end: Key | None
    refused: str | None = None
    attempt: int = 0


class KeyReader:
    """The thread, and its queue. ``start`` it, take from ``found``, ``close`` it."""

    def __init__(self, setup: ReaderSetup) -> None:
        self.found: queue.Queue[Requested | KeyChunk | BaseException] = queue.Queue(AHEAD)
        self._setup = setup
        self._asked: deque[tuple[str, Sequence[Key | None], int]] = deque()
        self._work: deque[tuple[str, Key | None]] = deque()  # the thread's own
        self._attempts: Counter[str] = Counter()  # the thread's own
        self._handled: deque[str] = deque()
        self._may_run = False
        self.running = False
        """The thread was started: something may be found."""
        self._seen: set[str] = set()
        self._closing = threading.Event()
        self._server = Server(setup.config.read_dsn(), f"tallystream source {setup.config.name} incremental")
        self._captured = {one.full_name: one for one in setup.captured}
        self._thread = threading.Thread(target=self._run, name="incremental", daemon=True)

    def start(self) -> None:
        """Begin, or wait for the first `add` where there is no table to look for signals in."""
        self._may_run = True
        self._run_if_needed()

    def add(self, table: str, after: Key | None) -> None:
        """Read ``table`` from behind the key ``after`` on."""
        self._asked.append((table, [after], 0))
        self._run_if_needed()

    def repeat(self, table: str, after: Sequence[Key | None], attempt: int) -> None:
        """Read ``table`` from behind each of these keys on, instead of what is left of it; next of all."""
        self._asked.append((table, after, attempt))

    def _run_if_needed(self) -> None:
        if self._may_run and not self.running and (self._asked or self._setup.config.signal_table):
            self.running = True
            self._thread.start()

    def handled(self, ids: tuple[str, ...]) -> None:
        """These signals are stored: their rows may be deleted."""
        self._handled.extend(ids)

    def close(self) -> None:
        """Stop after the chunk that is being read; a slot that waits for a transaction is not waited for."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        try:
            with Subjects(self._setup.around.registry_url) as subjects:
                around, config = self._setup.around, self._setup.config
                topics = Topics(around.kafka, config.partitions, around.replication_factor)
                tables = Tables(self._server, config, set(self._captured), subjects, topics)
                while not self._closing.is_set():
                    self._signals()
                    self._take_asked()
                    if not self._work:
                        self._closing.wait(POLL_S)
                        continue
                    name, after = self._work[0]
                    chunk = self._chunk(tables, name, after)
                    self._work.popleft()
                    if chunk.end is not None:
                        self._work.appendleft((name, chunk.end))
                    self._put(replace(chunk, attempt=self._attempts[name]))
        except BaseException as error:
            self._put(error)

    def _take_asked(self) -> None:
        while self._asked:
            table, after, attempt = self._asked.popleft()
            work = [(table, key) for key in after]
            if attempt:
                self._attempts[table] = attempt
                self._work = deque([*work, *(one for one in self._work if one[0] != table)])
            else:
                self._work.extend(work)

    def _put(self, item: Requested | KeyChunk | BaseException) -> None:
        while not self._closing.is_set():
            try:
                self.found.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def _signals(self) -> None:
        """Delete the handled signals, find new ones."""
        name = self._setup.config.signal_table
        if name is None:
            return
        table = identifier(*name.split(".", 1))
        with self._server.connect() as connection:
            try:
                done = [self._handled.popleft() for _ in range(len(self._handled))]
                if done:
                    connection.execute(sql.SQL("DELETE FROM {} WHERE id = ANY (%s)").format(table), [done])
                rows = connection.execute(
                    sql.SQL("SELECT id, data FROM {} WHERE type = %s ORDER BY id").format(table), [EXECUTE]
                ).fetchall()
            except (errors.UndefinedTable, errors.UndefinedColumn, errors.InsufficientPrivilege) as error:
                raise signal_table_refused(name, error) from None
        new = [(key, data) for key, data in rows if key not in self._seen]
        if new:
            self._seen.update(key for key, _ in new)
            self._put(_requested(new))

    def _chunk(self, tables: Tables, name: str, after: Key | None) -> KeyChunk:
        nothing = EncodedRows([], [], {}, None)
        one = self._captured.get(name)
        if one is None:
            return KeyChunk(name, "", 0, nothing, [], None, "it is not captured")
        config = self._setup.config
        with (
            create_slot(self._server, passing_slot(config.slot_name), temporary=True) as exported,
            self._server.connect() as connection,
        ):
            adopt(connection, exported.name)
            # As it is now: the table may have got a column since the session began.
            published = check_publication(connection, config.publication_name, [one]).get(name)
            if published is None:
                return KeyChunk(name, "", 0, nothing, [], None, "it is not in the publication")
            table = tables.table(catalog.current_relation(connection, one.oid, published.columns))
            assert table is not None
            columns = key_column_names(table)
            if table.key_of is None:
                return KeyChunk(name, "", 0, nothing, [], None, "it has no key")
            lsn, most = exported.consistent_lsn, config.incremental_chunk_rows
            query = self._query(connection, table, columns, published.row_filter, after, most)
            try:
                rows: list[Row] = [parse_line(line) for line in copied(connection, query)]
            except errors.InsufficientPrivilege:
                raise may_not_read(self._server.user, one.schema, one.table) from None
        places = [[c.name for c in table.relation.columns].index(column) for column in columns]
        end = None
        if len(rows) == most:
            last = [rows[-1][place] for place in places]  # a key's cells are never null
            end = tuple(cell.decode() for cell in last if isinstance(cell, bytes))
        key_of = table.key_of
        found = encoded(table, rows, lsn, ("incremental", "incremental"))
        return KeyChunk(name, table.snapshot_topic, lsn, found, [key_of(row) for row in rows], end)

    def _query(
        self,
        connection: psycopg.Connection,
        table: Table,
        key: list[str],
        row_filter: str | None,
        after: Key | None,
        most: int,
    ) -> bytes:
        relation = table.relation
        order = sql.SQL(", ").join(identifier(column) for column in key)
        conditions = [raw(f"({row_filter})")] if row_filter else []
        condition: sql.Composable = sql.SQL(" AND ").join(conditions)
        if after is not None:
            # Literals without a type take the columns' types.
            behind = sql.SQL("({}) > ({})").format(
                order, sql.SQL(", ").join(sql.Literal(cell) for cell in after)
            )
            condition = sql.SQL("{} AND {}").format(condition, behind) if conditions else behind
        where = sql.SQL(" WHERE {}").format(condition) if conditions or after is not None else sql.SQL("")
        partitioned = self._captured[relation.full_name].kind == catalog.PARTITIONED
        return (
            sql.SQL("COPY (SELECT {} FROM {}{}{} ORDER BY {} LIMIT {}) TO STDOUT")
            .format(
                sql.SQL(", ").join(identifier(column.name) for column in relation.columns),
                sql.SQL("" if partitioned else "ONLY "),
                identifier(relation.schema, relation.table),
                where,
                order,
                sql.Literal(most),
            )
            .as_bytes(connection)
        )


def _requested(rows: list[tuple[str, str | None]]) -> Requested:
    tables: list[str] = []
    ignored = []
    for key, data in rows:
        try:
            tables += row_tables(data)
        except ValueError as error:
            ignored.append(f"{key}: {error}")
    return Requested(tuple(key for key, _ in rows), tuple(tables), tuple(ignored))


def key_column_names(table: Table) -> list[str]:
    """The key's columns, in its order; empty when the table has none."""
    if table.key_of is None:
        return []
    columns = table.relation.columns
    found = table.key_of(tuple(column.name.encode() for column in columns))
    return [name.decode() for name in (found if isinstance(found, tuple) else (found,))]
