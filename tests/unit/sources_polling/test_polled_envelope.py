"""Envelopes of rows that are Python values: readable by their schemas, and shaped as the log-reading sources'."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any, cast

import pytest
from fastavro import parse_schema, schemaless_reader

from connectors.sources.envelope import CREATE, UPDATE, Record
from connectors.sources.polling import values
from connectors.sources.polling.envelope import EncodedTable, Stamp
from connectors.sources.postgres.tables import envelope as postgres
from connectors.sources.subjects import Subjects
from streams.errors import ContractViolation

STAMP = Stamp(1_700_000_000_123_456, 1_700_000_000_200_001, "false", "poll", 7)
OWN = ["schema", "table", "number", "found_by", "not_captured"]


class Registry:
    """Gives the schemas the numbers 1 (of the key) and 2."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}

    def register(self, subject: str, schema: dict[str, Any], _table: str) -> int:
        self.schemas[subject.rpartition("-")[2]] = schema
        return len(self.schemas)

    def read(self, which: str, data: bytes | None) -> Any:
        assert data is not None
        assert data[:5] == bytes([0, 0, 0, 0, 1 if which == "key" else 2])
        stream = BytesIO(data[5:])
        decoded = schemaless_reader(stream, parse_schema(json.loads(json.dumps(self.schemas[which]))), None)
        assert not stream.read()
        return decoded


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def table(registry: Registry) -> EncodedTable:
    columns = [
        ("note", values.TEXT),
        ("id", values.INT64),
        ("a", values.VARIABLE_DECIMAL),
        ("b", values.VARIABLE_DECIMAL),
        ("sub", values.UUID_TEXT),
    ]
    known = cast(Subjects, registry)
    return EncodedTable("polling", "erp", "erpdb", "public", "line", columns, ("sub", "id"), "much", known)


ROW = {"note": "é", "id": 300, "a": 1.5, "b": float("nan"), "sub": "s"}


def test_a_row_is_read_back(registry: Registry, table: EncodedTable) -> None:
    """With its key in the key's order, and what has no form in a header."""
    record = table.upsert(UPDATE, ROW, table.image(ROW), {"id": 300, "sub": "s"}, STAMP, [])
    assert record.topic == "cdc.erp.public.line"
    assert list(registry.read("key", record.key).items()) == [("sub", "s"), ("id", 300)]
    value = registry.read("value", record.value)
    assert value["before"] == {"note": None, "id": 300, "a": None, "b": None, "sub": "s"}
    assert value["after"] == {**ROW, "a": {"scale": 1, "value": b"\x0f"}, "b": None}
    assert (value["op"], value["ts_ms"], value["ts_us"]) == ("u", 1_700_000_000_200, 1_700_000_000_200_001)
    assert value["ts_ns"] == 1_700_000_000_200_001_000
    source = value["source"]
    assert (source["ts_ms"], source["ts_us"]) == (1_700_000_000_123, 1_700_000_000_123_456)
    assert (source["connector"], source["name"], source["db"]) == ("polling", "cdc.erp", "erpdb")
    assert [source[name] for name in OWN] == ["public", "line", 7, "poll", "much"]
    assert dict(record.headers)["tallystream.special"] == b'{"after.b":"nan"}'


def test_a_delete_by_its_key_alone(registry: Registry, table: EncodedTable) -> None:
    """Is the delete of a row that holds nothing but its key, and a tombstone; a header names the rest."""
    key = table.key_of(ROW)
    records = table.delete_encoded(key, table.image_of_key(key), STAMP, [], whole=False)
    assert records == table.delete({"id": 300, "sub": "s"}, STAMP, [], whole=False)
    delete, tombstone = records
    assert registry.read("value", delete.value)["before"]["id"] == 300
    assert dict(delete.headers)["tallystream.absent"] == b'["note","a","b"]'
    assert tombstone == Record(delete.topic, delete.key, None, delete.headers)


def test_the_shape_is_the_postgresql_sources(registry: Registry, table: EncodedTable) -> None:
    """The same fields in the same order; the source blocks differ in a kind's own fields only."""
    table.upsert(CREATE, ROW, table.image(ROW), None, STAMP, [])
    ours, theirs = registry.schemas["value"], postgres.value_schema("cdc.erp.public.line", [])
    assert [one for one in ours["fields"] if one["name"] not in ("before", "source")] == [
        one for one in theirs["fields"] if one["name"] not in ("before", "source")
    ]
    blocks = [one["fields"][2]["type"]["fields"] for one in (ours, theirs)]
    assert blocks[0][:9] == blocks[1][:9]
    assert [one["name"] for one in blocks[0][9:]] == OWN


def test_no_key_without_a_value(table: EncodedTable) -> None:
    """A null, or what has no form, is refused by the column's name."""
    for sub in (None, 7):
        with pytest.raises(ContractViolation, match="key column sub"):
            table.key_of({**ROW, "sub": sub})
