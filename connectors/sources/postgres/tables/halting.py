"""Halting one table whose changes can't be published any more, while the others flow on.

The table is taken out of the source's publication before the position moves past the change that
can't be published. A table that is not in the publication has, for the next start, changes that the
stream lacks: it is published again and gets a new snapshot. So the halt outlives a kill, and nothing
but the publication has to remember it. A publication that was named in the configuration may be
somebody else's too, and is left alone: then the source stops as a whole, before that change.
"""

from __future__ import annotations

import psycopg
import structlog
from prometheus_client import Gauge
from psycopg import sql

from connectors.sources.postgres.pgoutput.messages import Relation
from connectors.sources.postgres.server.connection import Server, identifier
from streams.errors import ConfigurationError, ContractViolation

log = structlog.get_logger()

HALTED = Gauge(
    "tallystream_source_table_halted", "1 while a table is halted, the others flow", ["source", "table"]
)

CHOICES = (
    "the other tables flow on; make the change undone or accept it under a new topic (rename the table), or "
    "leave the column out with columns_exclude, or the table out of tables; then restart: the table gets a "
    "new snapshot"
)


def halt(
    server: Server,
    source: str,
    publication: str | None,
    relation: Relation,
    error: ContractViolation | ConfigurationError,
) -> None:
    """Take the table out of ``publication`` and say so; raise ``error`` where that is not possible."""
    if publication is None:
        raise error
    with server.connect() as connection:
        row = connection.execute(
            # as it is called now: the log may be older
            "SELECT n.nspname, c.relname, EXISTS (SELECT FROM pg_publication_rel r "
            "JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = c.oid AND p.pubname = %s), "
            "EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = %s "
            "AND t.schemaname = n.nspname AND t.tablename = c.relname) "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s",
            [publication, publication, relation.oid],
        ).fetchone()
        if row is not None:  # a table that was dropped left by itself
            schema, table, listed, carried = row
            if listed:
                statement = sql.SQL("ALTER PUBLICATION {} DROP TABLE {}").format(
                    identifier(publication), identifier(schema, table)
                )
                try:
                    connection.execute(statement)
                except psycopg.errors.InsufficientPrivilege:
                    raise error from None
            elif carried:  # by FOR ALL TABLES or FOR TABLES IN SCHEMA
                raise error
    HALTED.labels(source, relation.full_name).set(1)
    log.error("table_halted", source=source, table=relation.full_name, reason=str(error), choices=CHOICES)
