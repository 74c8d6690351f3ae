"""What the system catalog says of captured tables: which there are, their shape, keys and types.

The catalog is read as it is now, the log tells of how it was: columns and types come from relation
messages where there are any, and the catalog adds what those lack (nullability, enum labels, the
primary key under REPLICA IDENTITY FULL).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from connectors.sources.postgres.pgoutput.messages import Column, Relation
from connectors.sources.postgres.types.mapping import TypeInfo
from streams.errors import ConfigurationError

PARTITIONED = "p"
_PUBLISHES_GENERATED = 180000  # from then on the publication's list names the generated columns it carries
_BY_NAME = frozenset({"citext", "hstore"})  # extensions whose type we know, named as they are


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
    """What a relation message lacks. A table that is gone has none of it."""

    primary_key: tuple[str, ...]
    not_null: frozenset[str]
    columns: Mapping[str, int]
    """Their numbers by their names: a column that is given another name keeps its number."""
    given: frozenset[str]
    """Columns that rows may have a value of though nobody gave one: with a default, or with one when they
    were added, an identity, generated, or never null."""


@dataclass(frozen=True, slots=True)
class CurrentRelation(Relation):
    """A shape that was read from the catalog, not from the log: by whoever is about to read the rows."""

    def as_logged(self) -> Relation:
        """The same shape as a relation message has it."""
        return Relation(self.oid, self.schema, self.table, self.identity, self.columns)


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


def current_relation(connection: psycopg.Connection, oid: int, columns: list[str] | None) -> CurrentRelation:
    """The table as a relation message would describe it now, for snapshots, which have none.

    ``columns`` limits it to those that the publication lists; None means all. Generated columns
    are in the log only from PostgreSQL 18 on, and where the publication lists them.
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
        WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
        AND (a.attgenerated = '' OR (a.attgenerated = 's' AND %s))
        ORDER BY a.attnum
        """,
        [oid, columns is not None and connection.info.server_version >= _PUBLISHES_GENERATED],
    ).fetchall()
    described = (Column(*row) for row in rows)
    return CurrentRelation(
        oid,
        schema,
        table,
        identity,
        tuple(one for one in described if columns is None or one.name in columns),
    )


def facts(connection: psycopg.Connection, oid: int) -> Facts:
    """A table as it is now."""
    key = connection.execute(
        "SELECT a.attname FROM pg_index i "
        "CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place) "
        "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum "
        "WHERE i.indrelid = %s AND i.indisprimary ORDER BY k.place",
        [oid],
    ).fetchall()
    columns = connection.execute(
        # to_jsonb: defaults kept from ADD COLUMN came with PostgreSQL 11, generated columns with 12
        "SELECT attname, attnum, attnotnull, attnotnull OR atthasdef OR attidentity <> '' "
        "OR coalesce(to_jsonb(a) ->> 'atthasmissing', '') = 'true' "
        "OR coalesce(to_jsonb(a) ->> 'attgenerated', '') <> '' "
        "FROM pg_attribute a WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped",
        [oid],
    ).fetchall()
    return Facts(
        tuple(name for (name,) in key),
        frozenset(name for name, _, required, _ in columns if required),
        {name: number for name, number, _, _ in columns},
        frozenset(name for name, _, _, given in columns if given),
    )


def published_columns(
    connection: psycopg.Connection, publication: str, table: CapturedTable
) -> list[str] | None:
    """The columns that the publication carries of a table; None for all, or when it does not have it."""
    row = connection.execute(
        # to_jsonb: column lists came with PostgreSQL 15
        "SELECT to_jsonb(p) -> 'attnames' FROM pg_publication_tables p "
        "WHERE pubname = %s AND schemaname = %s AND tablename = %s",
        [publication, table.schema, table.table],
    ).fetchone()
    return None if row is None else row[0]


def types(
    connection: psycopg.Connection, columns: Iterable[Column], announced: Mapping[int, str]
) -> dict[Column, tuple[TypeInfo, int]]:
    """Type and modifier of each column, domains seen through to what they rest on.

    ``announced``: names from type messages, for types that the catalog no longer has.
    """
    return {column: _resolve(connection, column.type_oid, column.typmod, announced) for column in columns}


def _resolve(
    connection: psycopg.Connection, oid: int, typmod: int, announced: Mapping[int, str]
) -> tuple[TypeInfo, int]:
    row = connection.execute(
        "SELECT n.nspname, t.typname, t.typtype, t.typbasetype, t.typtypmod, "
        "(SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e "
        "WHERE e.enumtypid = t.oid), "
        # a true array: int2vector and its like have elements too, but not an array's text
        "(SELECT e.oid FROM pg_type e WHERE e.typarray = t.oid), t.typdelim, "
        "(SELECT x.extname FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid "
        "WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e' "
        "AND d.refclassid = 'pg_extension'::regclass) "
        "FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = %s",
        [oid],
    ).fetchone()
    if row is None:
        return TypeInfo(oid, announced.get(oid, f"type {oid}")), typmod
    schema, name, kind, base, base_typmod, labels, element, delimiter, extension = row
    if kind == "d":
        return _resolve(connection, base, base_typmod if typmod == -1 else typmod, announced)
    # Another schema's type may have a built-in type's name; an extension's types live where it was put.
    known = name if schema == "pg_catalog" or (name == extension and name in _BY_NAME) else f"{schema}.{name}"
    if element is not None:
        return TypeInfo(
            oid, known, element=_resolve(connection, element, -1, announced), delimiter=delimiter
        ), typmod
    if known == "money":
        return TypeInfo(oid, known, fraction=_money_digits(connection)), typmod
    return TypeInfo(oid, known, tuple(labels or ())), typmod


def _money_digits(connection: psycopg.Connection) -> int:
    """Digits after the point that money has in the server's locale."""
    row = connection.execute("SELECT scale('1'::money::numeric)").fetchone()
    assert row is not None
    return int(row[0])
