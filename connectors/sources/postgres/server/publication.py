"""The publication: made where it is missing, widened where the include list has grown, refused where
it would leave changes out without saying so."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import errors, sql

from connectors.sources.postgres.server.catalog import PARTITIONED, CapturedTable
from connectors.sources.postgres.server.connection import Server, identifier, quoted, raw
from streams.errors import ConfigurationError, DependencyUnavailable


@dataclass(frozen=True, slots=True)
class Published:
    """How the publication carries one table: which columns (None: all) and which rows (None: all)."""

    columns: list[str] | None
    row_filter: str | None


def check_publication(
    connection: psycopg.Connection, name: str, tables: list[CapturedTable]
) -> dict[str, Published]:
    """How ``name`` publishes tables now, by full name; empty when there is no such publication.

    `ConfigurationError` says what to alter when it would leave changes of ``tables`` out silently.
    """
    row = connection.execute(
        "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot "
        "FROM pg_publication WHERE pubname = %s",
        [name],
    ).fetchone()
    if row is None:
        return {}
    everything, via_root = row
    if not everything:
        raise ConfigurationError(
            f"publication {name} leaves out some operations; run ALTER PUBLICATION {quoted(name)} "
            "SET (publish = 'insert, update, delete, truncate')"
        )
    if not via_root and any(table.kind == PARTITIONED for table in tables):
        raise ConfigurationError(
            f"publication {name} publishes partitions under their own names; run ALTER PUBLICATION "
            f"{quoted(name)} SET (publish_via_partition_root = true)"
        )
    return _published(connection, name)


def publish(
    server: Server, connection: psycopg.Connection, name: str, tables: list[CapturedTable]
) -> dict[str, Published]:
    """Add ``tables`` to the publication, making it if it is missing; how it publishes then.

    `DependencyUnavailable` says what to grant or run.
    """
    exists = connection.execute("SELECT 1 FROM pg_publication WHERE pubname = %s", [name]).fetchone()
    start, end = "ALTER PUBLICATION {} ADD TABLE {}", ""
    if exists is None:
        start, end = "CREATE PUBLICATION {} FOR TABLE {}", " WITH (publish_via_partition_root = true)"
    if tables:
        names = sql.SQL(", ").join(identifier(table.schema, table.table) for table in tables)
        statement = raw(start + end).format(identifier(name), names)
        try:
            connection.execute(statement)
        except errors.InsufficientPrivilege:
            raise DependencyUnavailable(
                f"role {server.user} may not publish these tables: let their owner run "
                f"{statement.as_string(connection)}; or run GRANT CREATE ON DATABASE "
                f"{quoted(server.database)} TO {server.user} and make it their owner"
            ) from None
    return _published(connection, name)


def _published(connection: psycopg.Connection, name: str) -> dict[str, Published]:
    rows = connection.execute(
        # to_jsonb: column lists and row filters came with PostgreSQL 15
        "SELECT to_jsonb(p) FROM pg_publication_tables p WHERE pubname = %s",
        [name],
    ).fetchall()
    return {
        f"{one['schemaname']}.{one['tablename']}": Published(one.get("attnames"), one.get("rowfilter"))
        for (one,) in rows
    }
