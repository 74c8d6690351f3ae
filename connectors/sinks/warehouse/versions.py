"""Every version of a replaced row, with the time in which the warehouse said so: what was reported on a day.

A row of `<table>_version` held in the warehouse in `[recorded_at, superseded_at)`, by the clock of the database;
null is still. Nothing else in it changes when a newer one comes. The functions ``billing_as_of``,
``revenue_as_of``, ``utilization_daily_as_of``, ``utilization_window_as_of``, ``utilization_group_as_of`` and
``utilization_plan_as_of`` give the rows as they were reported at an instant; the tables themselves, and the functions
without it, are what is known now. Work date and accounting date are the other axis, and are columns.

A version is new when revision or deletion are. Of two that arrive in one batch only the second was ever reported.
What was reported at an instant does not change later. A batch holds a lock from before the instant that its versions
are of until it is committed, and the functions wait for it, a fraction of a second; they take no instant that is to
come, and no transaction of REPEATABLE READ, which would not see what they waited for. Ask the primary: a standby does
not know the lock.

Where the same revision comes with other content, the open version is corrected with the row, as no other version.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, DateTime, Index, MetaData, Table
from sqlalchemy.dialects import postgresql

_quote = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]

# The number of the advisory lock of a batch.
WRITING = "hashtextextended('tallystream versions', 0)"
_BATCH = "current_setting('tallystream.recorded_at')::timestamptz"
# The first statements of a transaction that writes versions: all of them are of the instant after the lock.
BEGIN = (
    f"SELECT pg_advisory_xact_lock({WRITING}); "
    "SELECT set_config('tallystream.recorded_at', clock_timestamp()::text, true)"
)


def version_table(metadata: MetaData, table: Table, fields: Sequence[str], key: Sequence[str]) -> Table:
    """The table of all versions of a table's rows."""
    columns = [
        Column(
            column.name,
            column.type,
            nullable=column.nullable,
            comment=column.comment,
            primary_key=column.name in key,
        )
        for column in (table.c[name] for name in fields)
    ]
    versions = Table(
        f"{table.name}_version",
        metadata,
        *columns,
        Column("recorded_at", DateTime(timezone=True), primary_key=True, comment="from when it was reported"),
        Column("superseded_at", DateTime(timezone=True), comment="exclusive; null: still reported"),
        comment=f"All versions of the rows of {table.name}.",
    )
    Index(
        f"ix_{versions.name}_open",
        *(versions.c[name] for name in key),
        unique=True,
        postgresql_where=versions.c.superseded_at.is_(None),
    )
    return versions


def recording(merge: str, table: Table, versions: Table, fields: Sequence[str], key: Sequence[str]) -> str:
    """A merge (its target named ``held``) that ends the versions it replaces and begins new ones, and corrects those
    of the same revision; it selects how many rows it wrote.

    Its parts see the versions as they were before it. A join with the table itself would cost as much as that holds.
    New versions begin after the old ones ended, for a row has one open version.
    """
    named = _quote(versions.name)
    same = " AND ".join(f"open.{_quote(column)} = merged.{_quote(column)}" for column in key)
    is_same_version = "(open.revision, open.deleted) = (merged.revision, merged.deleted)"
    into = ", ".join(_quote(field) for field in fields)
    returned = ", ".join(f"held.{_quote(field)}" for field in fields)
    content = [_quote(field) for field in fields if field not in key]
    corrections = ", ".join(f"{field} = merged.{field}" for field in content)
    here, there = (", ".join(f"{side}.{field}" for field in content) for side in ("open", "merged"))
    return (
        f"WITH merged AS ({merge} RETURNING {returned}), "
        f"ended AS (UPDATE {named} AS open SET superseded_at = {_BATCH} FROM merged "
        f"WHERE {same} AND open.superseded_at IS NULL AND NOT {is_same_version} RETURNING 1), "
        f"corrected AS (UPDATE {named} AS open SET {corrections} FROM merged "
        f"WHERE {same} AND open.superseded_at IS NULL AND {is_same_version} "
        f"AND ROW({here}) IS DISTINCT FROM ROW({there})), "
        f"begun AS (INSERT INTO {named} ({into}, recorded_at) SELECT {into}, {_BATCH} FROM merged "
        f"WHERE (SELECT count(*) FROM ended) >= 0 AND NOT EXISTS (SELECT 1 FROM {named} AS open "
        f"WHERE {same} AND open.superseded_at IS NULL AND {is_same_version})) "
        "SELECT count(*) FROM merged"
    )


def begin_with_what_is_there(table: Table, versions: Table, fields: Sequence[str]) -> str:
    """The statement for a warehouse that was loaded before it kept versions: each row since it was written."""
    named, into = _quote(versions.name), ", ".join(_quote(field) for field in fields)
    return (
        f"INSERT INTO {named} ({into}, recorded_at) SELECT {into}, loaded_at FROM {_quote(table.name)} "
        f"WHERE NOT EXISTS (SELECT 1 FROM {named})"
    )
