"""Asking a running source for a snapshot: a row in its signal table, or without one a message in the log.

A message is written by ``pg_logical_emit_message(true, 'tallystream.signal', content)``, by this
module or by anybody who may connect; a table can only be written by those who were granted it. Its
content is ``{"id": "...", "type": "execute-snapshot", "data": {"data-collections": ["schema.table"]}}``;
``source`` may name the one source that it is for.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping

import psycopg
from psycopg import errors, sql

from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.log.between import SIGNALS
from connectors.sources.postgres.log.stream import MESSAGES_SINCE
from connectors.sources.postgres.server import catalog
from connectors.sources.postgres.server.connection import Server, identifier
from streams.errors import ConfigurationError

EXECUTE = "execute-snapshot"  # the type of a signal, as Debezium's


def request_snapshot(config: PostgresConfig, tables: list[str]) -> None:
    """Have the source, which may be running or not, read ``tables`` (``schema.table``) again.

    `ConfigurationError` when a table is not one that it captures, and before PostgreSQL 14, whose
    replication leaves messages out, when it has no signal table.
    """
    server = Server(config.read_dsn(), f"tallystream source {config.name} snapshot")
    with server.connect() as connection:
        captured = [one.full_name for one in catalog.included_tables(connection, config.tables)]
        for table in tables:
            if table not in captured:
                raise ConfigurationError(
                    f"--table {table}: source {config.name} does not capture it; it captures {', '.join(captured)}"
                )
        number, data = str(uuid.uuid4()), {"data-collections": tables, "type": "incremental"}
        if config.signal_table is None:
            signal = {"id": number, "source": config.name, "type": EXECUTE, "data": data}
            _emit(connection, config, signal)
        else:
            _insert(connection, config.signal_table, [number, EXECUTE, json.dumps(data)])


def _emit(connection: psycopg.Connection, config: PostgresConfig, signal: Mapping[str, object]) -> None:
    if connection.info.server_version < MESSAGES_SINCE:
        raise ConfigurationError(
            f"source {config.name} has no signal table, and before PostgreSQL 14 it hears no messages; set "
            f'signal_table = "public.{config.name}_signal" and run '
            f"{_create(f'public.{config.name}_signal')}"
        )
    connection.execute("SELECT pg_logical_emit_message(true, %s, %s)", [SIGNALS, json.dumps(signal)])


def _insert(connection: psycopg.Connection, table: str, row: list[str]) -> None:
    try:
        connection.execute(
            sql.SQL("INSERT INTO {} (id, type, data) VALUES (%s, %s, %s)").format(
                identifier(*table.split(".", 1))
            ),
            row,
        )
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.InsufficientPrivilege) as error:
        raise signal_table_refused(table, error) from None


def message_tables(content: bytes, source: str) -> list[str]:
    """The tables that a message asks ``source`` for; none where it names another source, as all sources
    of a database hear it. `ValueError`, saying why, when it is no such signal.
    """
    try:
        signal = json.loads(content)
    except (ValueError, RecursionError):  # also of text that is not UTF-8, or nested too deeply
        raise ValueError("it is not JSON") from None
    if not isinstance(signal, dict):
        raise ValueError("it is not a JSON object")
    if signal.get("source", source) != source:
        return []
    if signal.get("type") != EXECUTE:
        raise ValueError(f"its type is not {EXECUTE}")
    return _named(signal.get("data"))


def row_tables(data: str | None) -> list[str]:
    """The tables that the ``data`` of a signal table's row ask for; `ValueError` as in `message_tables`."""
    try:
        return _named(json.loads(data or "null"))
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("its data are not JSON") from None


def _named(data: object) -> list[str]:
    named = data.get("data-collections") if isinstance(data, dict) else None
    if not isinstance(named, list) or not named or not all(isinstance(name, str) for name in named):
        raise ValueError('its data are not {"data-collections": ["schema.table", ...]}')
    return named


def signal_table_refused(name: str, error: psycopg.Error) -> ConfigurationError:
    """The error for a signal table that is missing, has other columns, or may not be used."""
    reason = str(error).strip().splitlines()[0]
    return ConfigurationError(
        f"signal_table: {name} can't be used ({reason}); run {_create(name)}, and grant SELECT, INSERT and "
        "DELETE on it"
    )


def _create(table: str) -> str:
    return f"CREATE TABLE {table} (id text PRIMARY KEY, type text NOT NULL, data text)"
