"""Every version of a replaced row, with the time in which the warehouse said so: what was reported on a day.

A row of `<table>_version` held in the warehouse in `[recorded_at, superseded_at)`, by the clock of the database;
null is still. Nothing in it is edited but that end, or deleted. The functions ``billing_as_of``,
``revenue_as_of``, ``utilization_daily_as_of`` and ``utilization_window_as_of`` give the rows as they were reported at
an instant; the tables themselves, and the functions without it, are what is known now. Work date and accounting date
are the other axis, and are columns.

A version is new when revision or deletion are. Of two that arrive in one batch only the second was ever reported.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Column, DateTime, Index, MetaData, Table
from sqlalchemy.dialects import postgresql

_quote = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


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
    name = f"{table.name}_version"
    made = Table(
        name,
        metadata,
        *columns,
        Column("recorded_at", DateTime(timezone=True), primary_key=True, comment="from when it was reported"),
        Column("superseded_at", DateTime(timezone=True), comment="exclusive; null: still reported"),
        comment=f"All versions of the rows of {table.name}.",
    )
    held = made.c.superseded_at.is_(None)
    Index(f"ix_{name}_held", *(made.c[column] for column in key), unique=True, postgresql_where=held)
    return made


def record(
    table: Table, versions: Table, stage: str, fields: Sequence[str], key: Sequence[str]
) -> tuple[str, str]:
    """The statements that follow a merge from ``stage``: end the versions that no longer hold, begin the new ones."""
    fact, held = _quote(table.name), _quote(versions.name)
    staged = " AND ".join(f"staged.{_quote(column)} = fact.{_quote(column)}" for column in key)
    same = " AND ".join(f"held.{_quote(column)} = fact.{_quote(column)}" for column in key)
    return (
        f"UPDATE {held} AS held SET superseded_at = now() FROM {stage} AS staged JOIN {fact} AS fact ON {staged} "
        f"WHERE {same} AND held.superseded_at IS NULL "
        "AND (held.revision, held.deleted) IS DISTINCT FROM (fact.revision, fact.deleted)",
        f"{_begin(table, versions, fields, 'now()')} JOIN {stage} AS staged ON {staged} "
        f"WHERE NOT EXISTS (SELECT 1 FROM {held} AS held WHERE {same} AND held.superseded_at IS NULL)",
    )


def begin_with_what_is_there(table: Table, versions: Table, fields: Sequence[str]) -> str:
    """The statement for a warehouse that was loaded before it kept versions: each row since it was written."""
    nothing_yet = f"WHERE NOT EXISTS (SELECT 1 FROM {_quote(versions.name)})"
    return f"{_begin(table, versions, fields, 'fact.loaded_at')} {nothing_yet}"


def _begin(table: Table, versions: Table, fields: Sequence[str], since: str) -> str:
    into = ", ".join(_quote(field) for field in fields)
    values = ", ".join(f"fact.{_quote(field)}" for field in fields)
    return (
        f"INSERT INTO {_quote(versions.name)} ({into}, recorded_at) SELECT {values}, {since} "
        f"FROM {_quote(table.name)} AS fact"
    )
