"""The warehouse as a sink's target: rows and positions in one transaction."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import psycopg2
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values
from sqlalchemy import Engine

from connectors.sinks.messages import Batch, Message, Partition, Positions
from connectors.sinks.target import Applied
from connectors.sinks.warehouse.copy_text import encoders, line
from connectors.sinks.warehouse.history import State, fold
from connectors.sinks.warehouse.rows import MISFITS, RowMaker
from connectors.sinks.warehouse.session import Connection, connect, engine_of, store_errors
from connectors.sinks.warehouse.statements import Statements, select_current, statements
from connectors.sinks.warehouse.tables import Load, Mode, warehouse
from connectors.sinks.warehouse.versions import BEGIN
from streams.contracts.confidential import confidential_topics, withheld
from streams.errors import Fenced, InvalidValue

VALIDITY = ("valid_from", "valid_to", "is_current")
# psycopg2 asks for the text in pieces; one piece for most batches saves taking turns with the reader thread.
COPY_PIECE = 8 << 20


class WarehouseTarget:
    """Writes the published topics into the star schema of `tables`.

    A record that the database refuses (a number too large, a null where none may be) is found by
    halving the batch, and set aside in `sink_dead_letter`; its neighbours are written.
    """

    name = "warehouse"

    def __init__(self, dsn: str) -> None:
        self._engine: Engine = engine_of(dsn)
        self._connection: Connection | None = None
        self._positions: dict[Partition, int] = {}
        self._staged: set[str] = set()
        self._writers = {topic: _Writer(load) for topic, load in warehouse().loads.items()}
        self.topics = tuple(self._writers)

    def open(self) -> Positions:
        """Connect, take the lock, create what is missing, read the positions."""
        self.close()
        self._connection = connect(self._engine, self.name)
        self._staged = set()
        with store_errors(self._engine), self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT topic, partition, next_offset FROM sink_offsets WHERE sink = %s", (self.name,)
            )
            self._positions = {(topic, partition): offset for topic, partition, offset in cursor.fetchall()}
            self._connection.commit()
        return self._positions

    def begin(self, positions: Positions) -> None:
        """Store first positions."""
        rows = [(self.name, topic, partition, offset) for (topic, partition), offset in positions.items()]
        with store_errors(self._engine), self._open_connection().cursor() as cursor:
            execute_values(
                cursor,
                "INSERT INTO sink_offsets (sink, topic, partition, next_offset) VALUES %s",
                rows,
                page_size=1000,
            )
            self._open_connection().commit()
        self._positions.update(positions)

    def apply(self, batch: Batch) -> Applied:
        """Write a batch; the two halves of it if the database refuses one of its records."""
        connection = self._open_connection()
        with store_errors(self._engine):
            try:
                with connection.cursor() as cursor:
                    applied = self._write(cursor, batch)
                connection.commit()
            except (psycopg2.DataError, psycopg2.IntegrityError) as error:
                connection.rollback()
                if all(message.error is not None for message in batch.messages):
                    raise  # dead letters always fit; halving them would never end
                reason = str(error).strip().splitlines()[0]
            else:
                self._positions.update(batch.positions)
                return applied
        if len(batch.messages) == 1:
            return self.apply(batch.refused(InvalidValue(f"refused by the warehouse: {reason}")))
        first, second = batch.halves()
        applied = self.apply(first)
        applied.add(self.apply(second))
        return applied

    def beat(self, lag: Positions) -> None:
        """Nothing: the lock lives as long as the connection."""

    def forget(self, topic: str | None) -> int:
        """Drop positions; loading again changes nothing that is there, since older revisions are stale."""
        with store_errors(self._engine), self._open_connection().cursor() as cursor:
            cursor.execute(
                "DELETE FROM sink_offsets WHERE sink = %s AND (%s::text IS NULL OR topic = %s)",
                (self.name, topic, topic),
            )
            count = cursor.rowcount
            self._open_connection().commit()
        return count

    def close(self) -> None:
        """Close the connection, which releases the lock."""
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def _open_connection(self) -> Connection:
        assert self._connection is not None, "open() first"
        return self._connection

    def _write(self, cursor: Cursor, batch: Batch) -> Applied:
        applied = Applied()
        cursor.execute(BEGIN)
        by_topic: dict[str, list[Message]] = {}
        dead: list[Message] = []
        for message in batch.messages:
            if message.error is not None:
                dead.append(message)
            else:
                by_topic.setdefault(message.topic, []).append(message)
        for topic, messages in by_topic.items():
            writer = self._writers[topic]
            if topic not in self._staged:
                cursor.execute(writer.sql.create_stage)
            dead += writer.write(cursor, messages, applied)
        _write_dead_letters(cursor, self.name, dead, applied)
        self._move(cursor, batch.positions)
        self._staged.update(by_topic)
        return applied

    def _move(self, cursor: Cursor, positions: Positions) -> None:
        """Move positions from where we believe them to be; elsewhere means that somebody else moved them.

        The lock sees to that already, unless a pooler in between gives each transaction another session.
        """
        rows = [(t, p, self._positions[t, p], offset) for (t, p), offset in positions.items()]
        execute_values(
            cursor,
            "UPDATE sink_offsets AS held SET next_offset = moved.upto, updated_at = now() "
            "FROM (VALUES %s) AS moved (topic, partition, since, upto) "
            f"WHERE held.sink = {_literal(cursor, self.name)} AND held.topic = moved.topic "
            "AND held.partition = moved.partition AND held.next_offset = moved.since",
            rows,
            page_size=len(rows),
        )
        if cursor.rowcount != len(rows):
            cursor.connection.rollback()
            raise Fenced(f"positions of sink {self.name} were moved by another instance; stop one of the two")


class _Writer:
    """Writes one topic's messages into its table."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._maker = RowMaker(load)
        self._history = load.mode is Mode.HISTORY
        self._columns = (*self._maker.columns, *VALIDITY) if self._history else self._maker.columns
        self._encoders = encoders(load.table, self._columns)
        self._select_current = select_current(load.table, self._columns)
        self.sql: Statements = statements(load, self._columns)

    def write(self, cursor: Cursor, messages: Sequence[Message], applied: Applied) -> list[Message]:
        """Write them and return the ones that don't fit."""
        if self._history:
            text, count, stale, refused = self._states(cursor, messages)
        else:
            rows = self._maker.rows(messages)
            text, count, stale, refused = rows.text, rows.count, rows.stale, rows.refused
        written = 0
        if count:
            cursor.copy_expert(self.sql.copy, io.StringIO(text), size=COPY_PIECE)
            cursor.execute(self.sql.merge)
            written = cursor.rowcount if self._load.versions is None else _one(cursor)
        applied.count(self._load.table.name, written=written, stale=stale + count - written)
        return refused

    def _states(self, cursor: Cursor, messages: Sequence[Message]) -> tuple[str, int, int, list[Message]]:
        fields = self._maker.fields
        refused, records = [], []
        for message in messages:
            values = self._maker.values(message.record or {})
            try:
                line(values, self._encoders[: len(fields)])
            except MISFITS as error:
                refused.append(
                    message.refused(InvalidValue(f"does not fit {self._load.table.name}: {error}"))
                )
            else:
                records.append(dict(zip(fields, values, strict=True)))
        cursor.execute(self._select_current, ([record["id"] for record in records],))
        current: dict[str, State] = {}
        for row in cursor.fetchall():
            state = dict(zip(self._columns, row, strict=True))
            current[state["id"]] = state
        folded = fold(current, records, self._load.routed_by)
        lines = [line([state[name] for name in self._columns], self._encoders) for state in folded.states]
        return "".join(lines), len(lines), folded.stale, refused


def _write_dead_letters(cursor: Cursor, sink: str, dead: Sequence[Message], applied: Applied) -> None:
    rows = []
    for message in dead:
        assert message.error is not None
        kind = message.error.exception_class
        # The reason may quote the record's own text, and PostgreSQL stores no NUL.
        reason = str(message.error).replace("\0", "\\0")
        raw = message.key, message.value
        if message.topic in confidential_topics():
            reason, raw = withheld(reason), (None, None)
        row = (sink, message.topic, message.partition, message.offset, message.timestamp_ms, kind, reason)
        rows.append((*row, *raw))
        applied.count_dead_letter(message.topic, message.error)
    if rows:
        execute_values(
            cursor,
            'INSERT INTO sink_dead_letter (sink, topic, partition, "offset", timestamp_ms, exception_class, '
            "message, raw_key, raw_value) VALUES %s ON CONFLICT DO NOTHING",
            rows,
        )


def _one(cursor: Cursor) -> int:
    """The number that a statement selected."""
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def _literal(cursor: Cursor, value: str) -> str:
    return bytes(cursor.mogrify("%s", (value,))).decode()
