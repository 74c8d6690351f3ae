"""Creates the warehouse's tables, views and functions, and adds the columns, indexes and checks of a newer version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CheckConstraint, Connection, MetaData, Table, inspect, literal, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable

from connectors.sinks.warehouse.functions import FUNCTIONS, create_function
from connectors.sinks.warehouse.permissions import COST_READERS, confidential, keep_confidential
from connectors.sinks.warehouse.replacing import create_views
from connectors.sinks.warehouse.tables import warehouse
from connectors.sinks.warehouse.versions import begin_with_what_is_there
from connectors.sinks.warehouse.views import VIEWS
from streams.errors import ContractViolation


def create_schema(connection: Connection) -> None:
    """Bring the database's tables, views and functions to this version; does nothing where they are.

    Columns that are missing are added: contracts promise that new fields may be null or have a default, which is
    what rows that are there get. `ContractViolation` names a table that lacks more than that.
    """
    metadata = warehouse().metadata
    metadata.create_all(connection)
    inspector = inspect(connection)
    defaults = _defaults()
    for table in metadata.sorted_tables:
        present = {column["name"] for column in inspector.get_columns(table.name)}
        _add_columns(connection, table, present, defaults.get(table.name, {}))
    _add_indexes(connection, metadata)
    _add_checks(connection, metadata)
    for load in warehouse().loads.values():
        if load.versions is not None:
            fields = tuple(load.columns.values())
            begun = connection.exec_driver_sql(begin_with_what_is_there(load.table, load.versions, fields))
            if begun.rowcount:  # the next batch would be planned for an empty table
                connection.exec_driver_sql(f"ANALYZE {load.versions.name}")
    create_views(connection)
    keep_confidential(connection)


def ddl() -> str:
    """The statements that `create_schema` would run on an empty database."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    parts = []
    for table in warehouse().metadata.sorted_tables:
        parts.append(str(CreateTable(table).compile(dialect=dialect)).strip() + ";")
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        parts += [str(CreateIndex(index).compile(dialect=dialect)).strip() + ";" for index in indexes]
    parts += [f"CREATE VIEW {name} AS{query};" for name, query in VIEWS.items()]
    parts += [f"{create_function(name)};" for name in FUNCTIONS]
    parts += [f"REVOKE ALL ON {name} FROM PUBLIC;  -- for {COST_READERS} only" for name in confidential()]
    return "\n\n".join(parts)


def _defaults() -> dict[str, dict[str, Any]]:
    """What the contracts give to fields that an older writer did not know, by table and column."""
    out = {}
    for load in warehouse().loads.values():
        of_table = {load.columns[field]: value for field, value in load.defaults.items() if value is not None}
        for table in (load.table, load.versions):
            if table is not None:
                out[table.name] = of_table
    return out


def _add_columns(
    connection: Connection, table: Table, present: set[str], defaults: Mapping[str, Any]
) -> None:
    preparer = connection.dialect.identifier_preparer
    for column in table.columns:
        if column.name in present:
            continue
        default = defaults.get(column.name)
        if not column.nullable and default is None:
            raise ContractViolation(
                f"table {table.name} of the warehouse lacks column {column.name}, which can't be filled in "
                f"for the rows there; move the table away, then `tallystream sink reset warehouse`"
            )
        kind = column.type.compile(connection.dialect)
        computed = (
            f" GENERATED ALWAYS AS ({column.computed.sqltext}) STORED" if column.computed is not None else ""
        )
        filled = ""
        if not column.nullable:
            value = literal(default, column.type).compile(
                dialect=connection.dialect, compile_kwargs={"literal_binds": True}
            )
            filled = f" NOT NULL DEFAULT {value}"
        names = preparer.quote(table.name), preparer.quote(column.name)
        connection.exec_driver_sql(f"ALTER TABLE {names[0]} ADD COLUMN {names[1]} {kind}{filled}{computed}")


def _add_indexes(connection: Connection, metadata: MetaData) -> None:
    """The indexes that a newer version brought to tables that are there."""
    present = set(
        connection.scalars(text("SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"))
    )
    for table in metadata.sorted_tables:
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in present:
                index.create(connection)


def _add_checks(connection: Connection, metadata: MetaData) -> None:
    """The checks that a newer version brought to tables that are there."""
    inspector = inspect(connection)
    for table in metadata.sorted_tables:
        wanted = [one for one in table.constraints if isinstance(one, CheckConstraint)]
        present = {one["name"] for one in inspector.get_check_constraints(table.name)} if wanted else set()
        for check in wanted:
            if check.name not in present:
                connection.execute(AddConstraint(check))
