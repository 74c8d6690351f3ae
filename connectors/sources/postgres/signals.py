"""Asking a running source for a snapshot: a row in its signal table."""

from __future__ import annotations

import json
import uuid

from psycopg import errors, sql

from connectors.sources.postgres import catalog
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.keychunks import EXECUTE, signal_table_refused
from connectors.sources.postgres.server import Server, identifier
from streams.errors import ConfigurationError


def request_snapshot(config: PostgresConfig, tables: list[str]) -> None:
    """Have the source, which may be running or not, read ``tables`` (``schema.table``) again.

    `ConfigurationError` when it has no signal table, or a table is not one that it captures.
    """
    if config.signal_table is None:
        raise ConfigurationError(
            f'source {config.name} has no signal table; set signal_table = "public.{config.name}_signal" and run '
            f"CREATE TABLE public.{config.name}_signal (id text PRIMARY KEY, type text NOT NULL, data text)"
        )
    server = Server(config.read_dsn(), f"tallystream source {config.name} snapshot")
    with server.connect() as connection:
        captured = [one.full_name for one in catalog.included_tables(connection, config.tables)]
        for table in tables:
            if table not in captured:
                raise ConfigurationError(
                    f"--table {table}: source {config.name} does not capture it; it captures {', '.join(captured)}"
                )
        data = json.dumps({"data-collections": tables, "type": "incremental"})
        try:
            connection.execute(
                sql.SQL("INSERT INTO {} (id, type, data) VALUES (%s, %s, %s)").format(
                    identifier(*config.signal_table.split(".", 1))
                ),
                [str(uuid.uuid4()), EXECUTE, data],
            )
        except (errors.UndefinedTable, errors.UndefinedColumn, errors.InsufficientPrivilege) as error:
            raise signal_table_refused(config.signal_table, error) from None
