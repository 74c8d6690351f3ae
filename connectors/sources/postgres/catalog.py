"""What the system catalog says of captured tables: which there are, their shape, keys and types.

The catalog is read as it is now, the log tells of how it was: columns and types come from relation
messages where there are any, and the catalog adds what those lack (nullability, enum labels, the
primary key under REPLICA IDENTITY FULL).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from connectors.sources.postgres.pgoutput import Column, Relation
from connectors.sources.postgres.types import TypeInfo
from streams.errors import ConfigurationError

PARTITIONED = "p"


@dataclass(frozen=True, slots=True)
class CapturedTable:
    """A table of the include list as it is now. ``kind``: r(egular) or p(artitioned)."""

    oid: int
    schema: str
    table: str
    kind: str

    @property
    def full_name(self) -> str:
        """``schema.table``."""
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a relation message lacks. A table that is gone has none of either."""

    primary_key: tuple[str, ...]
    not_null: frozenset[str]


def included_tables(connection: psycopg.Connection, include: Iterable[str]) -> list[CapturedTable]:
    """The tables that ``schema.table`` and ``schema.*`` name, in that order, each once.

    Partitions are left to their partitioned table. `ConfigurationError` names an entry that matches
    nothing.
    """
    found: dict[int, CapturedTable] = {}
    for entry in include:
        schema, _, table = entry.partition(".")
        rows = connection.execute(
            "SELECT c.oid, n.nspname, c.relname, c.relkind "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND (c.relname = %s OR %s = '*') AND c.relkind IN ('r', 'p') "
            "AND c.relpersistence = 'p' AND (NOT c.relispartition OR %s <> '*') ORDER BY c.relname",
            [schema, table, table, table],
        ).fetchall()
        if not rows:
            raise ConfigurationError(
                f"tables: {entry} matches no table of the database; correct the include list"
            )
        for row in rows:
            captured = CapturedTable(*row)
            found[captured.oid] = captured
    return list(found.values())


def current_relation(connection: psycopg.Connection, oid: int, columns: list[str] | None) -> Relation:
    """The table as a relation message would describe it now, for snapshots, which have none.

    ``columns`` limits it to those that the publication lists; None means all. Generated columns
    are never in the log.
    """
    schema, table, identity = connection.execute(
        "SELECT n.nspname, c.relname, c.relreplident FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s",
        [oid],
    ).fetchone() or ("", "", "")
    rows = connection.execute(
        """
        SELECT a.attname, a.atttypid, a.atttypmod, c.relreplident = 'f' OR EXISTS (
            SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND a.attnum = ANY (i.indkey::int2[])
            AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
        ORDER BY a.attnum
        """,
        [oid],
    ).fetchall()
    described = (Column(*row) for row in rows)
    return Relation(
        oid,
        schema,
        table,
        identity,
        tuple(one for one in described if columns is None or one.name in columns),
    )


def facts(connection: psycopg.Connection, oid: int) -> Facts:
    """Primary key and NOT NULL columns of a table as it is now."""
    key = connection.execute(
        "SELECT a.attname FROM pg_index i "
        "CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place) "
        "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum "
        "WHERE i.indrelid = %s AND i.indisprimary ORDER BY k.place",
        [oid],
    ).fetchall()
    required = connection.execute(
        "SELECT attname FROM pg_attribute "
        "WHERE attrelid = %s AND attnum > 0 AND attnotnull AND NOT attisdropped",
        [oid],
    ).fetchall()
    return Facts(tuple(name for (name,) in key), frozenset(name for (name,) in required))


def types(
    connection: psycopg.Connection, columns: Iterable[Column], announced: Mapping[int, str]
) -> dict[Column, tuple[TypeInfo, int]]:
    """Type and modifier of each column, domains seen through to what they rest on.

    ``announced``: names from type messages, for types that the catalog no longer has.
    """
    result: dict[Column, tuple[TypeInfo, int]] = {}
    for column in columns:
        oid, typmod = column.type_oid, column.typmod
        while True:
            row = connection.execute(
                "SELECT n.nspname, t.typname, t.typtype, t.typbasetype, t.typtypmod, "
                "(SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e "
                "WHERE e.enumtypid = t.oid) "
                "FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = %s",
                [oid],
            ).fetchone()
            if row is None:
                result[column] = (TypeInfo(oid, announced.get(oid, f"type {oid}")), typmod)
                break
            schema, name, kind, base, base_typmod, labels = row
            if kind == "d":
                oid, typmod = base, base_typmod if typmod == -1 else typmod
                continue
            # Another schema's type may have a built-in type's name; citext lives where it was put.
            known = name if schema == "pg_catalog" or name == "citext" else f"{schema}.{name}"
            result[column] = (TypeInfo(oid, known, tuple(labels or ())), typmod)
            break
    return result
