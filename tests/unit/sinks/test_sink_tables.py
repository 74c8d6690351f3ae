"""The star schema against the contracts it is built from."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Date, DateTime, Integer, LargeBinary, Numeric, Text
from sqlalchemy.dialects.postgresql import ARRAY

from connectors.sinks.warehouse import ddl, warehouse
from connectors.sinks.warehouse.avro_columns import sql_type
from connectors.sinks.warehouse.rows import RowMaker
from connectors.sinks.warehouse.tables import RENAMED, Mode
from connectors.sinks.warehouse.views import VIEWS
from tests.unit.sinks.sink_builders import CONTRACTS, record_of, schema_of

TOPICS = sorted(warehouse().loads)
SQL_TYPES = {"string": Text, "long": BigInteger, "int": Integer, "boolean": Boolean, "bytes": LargeBinary}


@pytest.mark.parametrize("topic", TOPICS)
def test_every_field_has_its_column(topic: str) -> None:
    """Each field of a contract is a column of its table, of a type that loses nothing, nullable alike."""
    table = warehouse().loads[topic].table
    for field in schema_of(topic)["fields"]:
        column = table.c[RENAMED.get(field["name"], field["name"])]
        branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
        assert column.nullable == ("null" in branches), column
        (kind,) = [branch for branch in branches if branch != "null"]
        _assert_holds(kind, column.type)


def _assert_holds(kind: Any, column_type: Any) -> None:
    if isinstance(kind, str):
        assert isinstance(column_type, SQL_TYPES[kind])
    elif kind.get("logicalType") == "decimal":
        assert isinstance(column_type, Numeric)
        assert (column_type.precision, column_type.scale) == (kind["precision"], kind["scale"])
    elif kind.get("logicalType") == "date":
        assert isinstance(column_type, Date)
    elif kind.get("logicalType") == "timestamp-micros":
        assert isinstance(column_type, DateTime)
        assert column_type.timezone
    else:
        assert isinstance(column_type, ARRAY)


@pytest.mark.parametrize("topic", TOPICS)
def test_keys_are_the_contracts_keys(topic: str) -> None:
    """A table's key is the topic's key, plus the start of validity where history is kept. There what only decides the
    partition is none of it."""
    load = warehouse().loads[topic]
    key = (CONTRACTS.topics[topic].key or "").split("|")
    if load.mode is Mode.HISTORY:
        key = [part for part in key if part != load.routed_by]
    expected = {RENAMED.get(part, part) for part in key}
    if load.mode is Mode.HISTORY:
        expected |= {"valid_from"}
    assert {column.name for column in load.table.primary_key} == expected
    if load.mode is Mode.REPLACE:
        assert load.guard in load.columns.values()


def test_float_types_are_refused() -> None:
    """A contract that would bring a float into the warehouse is refused."""
    for kind in ("double", "float"):
        with pytest.raises(ValueError, match="no column type"):
            sql_type(kind)


def test_columns_are_documented() -> None:
    """What the contract says of a field is the column's comment in the database."""
    table = warehouse().loads["billing.events"].table
    assert table.c.amount.comment == "null: not priced (parked)"
    assert all(table.comment for table in warehouse().metadata.tables.values())


def test_ddl_creates_tables_before_the_views_on_them() -> None:
    """The printed statements can be run from top to bottom."""
    text = ddl()
    created = re.findall(r"CREATE (?:TABLE|VIEW) (\w+)", text)
    assert set(created) == set(warehouse().metadata.tables) | set(VIEWS)
    for name in VIEWS:
        own = {"LATERAL", *re.findall(r"^(?:WITH )?(\w+) AS \($", VIEWS[name], re.MULTILINE)}
        used = set(re.findall(r"(?:FROM|JOIN) (\w+)", VIEWS[name])) - own
        assert all(created.index(table) < created.index(name) for table in used)


def test_a_field_unknown_to_an_older_writer_takes_its_default() -> None:
    """A record of an older schema loads with the default that the contract gives."""
    maker = RowMaker(warehouse().loads["billing.events"])
    record = record_of("billing.events")
    whole = maker.values(record)
    del record["fx_rate"]
    record["field_of_a_newer_writer"] = Decimal(1)
    assert list(maker.values(record)) == list(whole)
