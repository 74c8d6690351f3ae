"""The tables that hold a captured table's rows, pinned for the time of a snapshot."""

from __future__ import annotations

import psycopg
from psycopg import errors, sql

from connectors.sources.postgres.chunks import Leaf
from connectors.sources.postgres.server.catalog import PARTITIONED, CapturedTable
from connectors.sources.postgres.server.connection import identifier, quoted
from streams.errors import DependencyUnavailable

TID_RANGE_SINCE = 140_000  # libpq's form of the version: earlier servers read the whole table for a range
_ROWS_A_PAGE = 60  # assumed of a table that was never analysed

_LEAVES = """
SELECT c.oid, n.nspname, c.relname, c.relfilenode,
    coalesce(pg_relation_filenode(c.oid::regclass), 0),
    CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid::regclass) ELSE 0 END
        / current_setting('block_size')::bigint,
    CASE WHEN c.relkind = 'r' THEN pg_table_size(c.oid::regclass) ELSE 0 END,
    c.reltuples::bigint, c.relkind = 'r' AND a.amname IS NOT DISTINCT FROM 'heap',
    c.reltoastrelid <> 0 AND c.relreplident <> 'f'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam
WHERE c.oid = ANY (%s) ORDER BY c.oid
"""


def pinned_leaves(
    connection: psycopg.Connection, captured: list[CapturedTable], user: str
) -> dict[str, list[Leaf]]:
    """The leaves of each captured table by its full name, locked against being rewritten.

    To be called in a transaction that has adopted a snapshot and stays open while its chunks are read:
    to an old snapshot a rewritten table looks empty. The lock is the one that any SELECT takes, so
    only changes of the tables' shape wait for it. One that was rewritten before we had the lock is told
    by its file, which the snapshot's catalog and the current one then give differently.
    `DependencyUnavailable` in that case, and when the role may not read a table.
    """
    result: dict[str, list[Leaf]] = {}
    for one in captured:
        oids = [one.oid]
        _lock(connection, one.schema, one.table, user, only=False)
        if one.kind == PARTITIONED:
            tree = connection.execute(
                "SELECT relid::oid FROM pg_partition_tree(%s::oid) WHERE isleaf", [one.oid]
            )
            oids = [oid for (oid,) in tree.fetchall()]
        rows = connection.execute(_LEAVES, [oids]).fetchall()
        result[one.full_name] = []
        for oid, schema, table, filenode_then, filenode, pages, size, estimate, heap, toast in rows:
            if one.kind == PARTITIONED:
                _lock(connection, schema, table, user, only=True)
            if filenode_then not in (0, filenode):  # 0: a catalog, which is not captured, or no file
                raise DependencyUnavailable(
                    f"{schema}.{table} was rewritten while the snapshot began; start the source again"
                )
            splittable = heap and connection.info.server_version >= TID_RANGE_SINCE
            result[one.full_name].append(
                Leaf(
                    oid,
                    schema,
                    table,
                    filenode,
                    pages,
                    size,
                    pages * _ROWS_A_PAGE if estimate < 0 else estimate,
                    splittable,
                    toast,
                )
            )
    return result


def _lock(connection: psycopg.Connection, schema: str, table: str, user: str, only: bool) -> None:
    statement = sql.SQL("LOCK TABLE {}{} IN ACCESS SHARE MODE").format(
        sql.SQL("ONLY " if only else ""), identifier(schema, table)
    )
    try:
        connection.execute(statement)
    except errors.InsufficientPrivilege:
        raise may_not_read(user, schema, table) from None
    except errors.WrongObjectType:
        pass  # a foreign table as a partition can't be locked, nor rewritten


def may_not_read(user: str, schema: str, table: str) -> DependencyUnavailable:
    """The error for a table that the role has no right to, with what to run."""
    return DependencyUnavailable(
        f"role {user} may not read {schema}.{table}; run GRANT SELECT ON {quoted(schema, table)} TO {user}"
    )
