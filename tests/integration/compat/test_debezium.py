"""Our PostgreSQL source beside a real Debezium: the same tables, the same statements, record by record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from integration.compat.both import FRAMING, Both, Raw
from integration.compat.differences import (
    ONLY_THEIRS,
    OUR_HEADERS,
    SNAPSHOT,
    STREAM,
    THEIR_HEADERS,
    TYPES,
    Rule,
)

from streams.stack.connect_jars import connect_available

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.skipif(not connect_available(), reason="needs Java and Maven"),
]

# The types whose form is the same, each with a value that would show another one.
COLUMNS: dict[str, str] = {
    "code varchar(20)": "'Ärger'",
    "note text": "'line\nbreak\tand \\ slash'",
    "fixed char(4)": "'ab'",
    "cost numeric(12,2)": "-12.50",
    "ratio numeric": "1.234",
    "small smallint": "-1",
    "whole int": "2147483647",
    "big bigint": "-9000000000",
    "score double precision": "0.1",
    "part real": "0.1",
    "paid boolean": "true",
    "day date": "'1969-12-31'",
    "at time": "'23:59:59.999999'",
    "made timestamp": "'1969-12-31 23:59:59.123456'",
    "seen timestamptz": "'2024-02-29 12:34:56.123456+02'",
    "ident uuid": "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "doc json": """'{"a":  1}'""",
    "docb jsonb": """'{"a":  1}'""",
    "raw bytea": "'\\x00deadbeef'",
    "mood mood": "'bad'",
}
NAMES = [declared.split()[0] for declared in COLUMNS]
TABLE = f"CREATE TABLE line (id bigint PRIMARY KEY, {', '.join(COLUMNS)})"
WHOLE = f"INSERT INTO line VALUES (%s, {', '.join(COLUMNS.values()).replace('%', '%%')})"
EMPTY = "INSERT INTO line (id) VALUES (%s)"
SNAPSHOT_ROWS = 3


@pytest.fixture(params=["DEFAULT", "FULL"])
def line(both: Both, request: pytest.FixtureRequest) -> Both:
    """A table with two whole rows and an empty one."""
    both.sql.execute("CREATE TYPE mood AS ENUM ('ok', 'bad')")
    both.sql.execute(TABLE)
    both.sql.execute(f"ALTER TABLE line REPLICA IDENTITY {request.param}")
    for number in (1, 2):
        both.sql.execute(WHOLE, [number])
    both.sql.execute(EMPTY, [3])
    return both


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The places of an envelope: its own fields and the source block's. A row counts as one, column by
    column."""
    for name, field in value.items():
        if isinstance(field, dict):
            yield from leaves(field, f"{path}{name}.")
        else:
            yield f"{path}{name}", field


def assert_same(ours: Raw, theirs: Raw, rules: Mapping[str, Rule]) -> None:
    """Key and envelope are equal, apart from ``rules``; each of these holds."""
    assert (ours.key_bytes or b"")[FRAMING:] == (theirs.key_bytes or b"")[FRAMING:]
    if ours.value is None or theirs.value is None:
        assert ours.value is theirs.value
        return
    ours_at, theirs_at = dict(leaves(ours.value)), dict(leaves(theirs.value))
    assert theirs_at.keys() - ours_at.keys() == ONLY_THEIRS
    assert ours_at.keys() <= theirs_at.keys()
    for path, value in ours_at.items():
        rule = rules.get(path)
        if rule is None:
            assert (path, value) == (path, theirs_at[path])
        else:
            assert rule(value, theirs_at[path]), (path, value, theirs_at[path])
    assert all(theirs_at[path] is None for path in ONLY_THEIRS)


def test_envelopes_and_keys_are_equal(line: Both) -> None:
    """Snapshot, inserts, updates, deletes, a change of key, several changes of a row in a transaction."""
    sql = line.sql
    with line.running({"line": SNAPSHOT_ROWS}):
        sql.execute(WHOLE, [4])
        sql.execute(EMPTY, [5])
        sql.execute("UPDATE line SET cost = cost + 1, note = NULL WHERE id < 3")
        sql.execute("UPDATE line SET id = 10 WHERE id = 2")
        with sql.transaction():
            sql.execute(WHOLE, [6])
            sql.execute("UPDATE line SET whole = 0 WHERE id = 6")
            sql.execute("DELETE FROM line WHERE id = 5")
        sql.execute("DELETE FROM line WHERE id = 1")
        expected = ["r", "r", "r", "c", "c", "u", "u", "d", None, "c", "c", "u", "d", None, "d", None]
        line.wait({"line": len(expected)})
    ours, theirs = line.records("line")
    assert [record.value and record.value["op"] for record in ours] == expected
    assert [record.value and record.value["op"] for record in theirs] == expected
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert_same(one, other, SNAPSHOT if number < SNAPSHOT_ROWS else STREAM)
        assert list(one.value or ()) == list(other.value or ()), "order of the fields"
    our_marks, their_marks = (
        [record.value["source"]["snapshot"] for record in records[:SNAPSHOT_ROWS]]
        for records in (ours, theirs)
    )
    assert set(our_marks[:-1]) == {"true"}
    assert their_marks[0].startswith("first")
    assert their_marks[-1].startswith("last")
    moved = [number for number, record in enumerate(theirs) if "__debezium.newkey" in record.headers]
    assert [expected[number] for number in moved] == ["d", None]
    for one, other in zip(ours, theirs, strict=True):
        own = {name for name in one.headers if not name.startswith(OUR_HEADERS)}
        assert own == {name for name in other.headers if not name.startswith(THEIR_HEADERS)}
    assert json.loads(theirs[moved[0]].headers["__debezium.newkey"]) == {"id": 10}
    assert ours[moved[0]].headers["__debezium.newkey"] == ours[moved[-1] + 1].key_bytes


def test_schemas_are_equal(line: Both) -> None:
    """Names, order, types and attributes of the row's and the envelope's fields, in the same namespace."""
    with line.running({"line": SNAPSHOT_ROWS}):
        pass
    ours, theirs = line.schemas("line", "key")
    assert ours == theirs
    ours, theirs = line.schemas("line", "value")
    our_source, their_source = (_take_source(schema) for schema in (ours, theirs))
    assert ours == theirs
    their_fields = {field["name"]: field["type"] for field in their_source["fields"]}
    for field in our_source["fields"]:
        # Debezium's is an Enum of its marks that "false" stands for; ours is a string, null by default.
        if field["name"] != "snapshot":
            assert field["type"] == their_fields[field["name"]]
    assert our_source["fields"][4]["type"] == ["null", "string"]
    assert their_fields["snapshot"][0]["connect.name"] == "io.debezium.data.Enum"
    missing = their_fields.keys() - {field["name"] for field in our_source["fields"]}
    assert {f"source.{name}" for name in missing} == ONLY_THEIRS
    assert [our_source["name"], our_source["namespace"]] == [their_source["name"], their_source["namespace"]]


def _take_source(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the source block, taken out of the envelope's."""
    (field,) = (field for field in schema["fields"] if field["name"] == "source")
    source: dict[str, Any] = field.pop("type")
    return source


def row_field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """A field of the row record in an envelope's schema."""
    row = schema["fields"][0]["type"][1]
    found: dict[str, Any] = next(field for field in row["fields"] if field["name"] == name)
    return found


def test_debezium_can_be_replaced_on_its_own_topics(line: Both) -> None:
    """Our schemas under its subjects: the key's is the very same, the value's a version that readers of
    the old one and of the new one can live with."""
    with line.running({"line": SNAPSHOT_ROWS}):
        pass
    ours, theirs = (topic for topic in line.topics("line"))
    with SchemaRegistryClient({"url": line.capture.stack.registry.url}) as registry:
        for part, same in (("key", True), ("value", False)):
            subject = f"{theirs}-{part}"
            latest = registry.get_latest_version(f"{ours}-{part}").schema.schema_str
            schema = Schema(str(latest).replace(ours, theirs), "AVRO")
            before = registry.get_latest_version(subject)
            assert registry.test_compatibility(subject, schema)
            assert (registry.register_schema(subject, schema) == before.schema_id) is same


def test_keys_of_several_columns_are_equal_byte_for_byte(both: Both) -> None:
    """In the primary key's order, which is not the table's."""
    both.sql.execute(
        "CREATE TABLE part (a int, b text, c numeric(10,2), d uuid, e date, f boolean, "
        "PRIMARY KEY (e, b, a, d, c))"
    )
    insert = "INSERT INTO part VALUES (%s, 'x', 2.5, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2024-02-29')"
    both.sql.execute(insert, [1])
    with both.running({"part": 1}):
        both.sql.execute(insert, [2])
        both.sql.execute("DELETE FROM part WHERE a = 1")
        both.wait({"part": 4})
    ours, theirs = both.records("part")
    keys = [(record.key_bytes or b"")[FRAMING:] for record in ours]
    assert keys == [(record.key_bytes or b"")[FRAMING:] for record in theirs]
    assert len(keys) == 4
    assert keys[0] != keys[1]
    assert keys[0]
    key_schemas = both.schemas("part", "key")
    assert key_schemas[0] == key_schemas[1]


def test_absent_columns_of_before_are_null_here(both: Both) -> None:
    """Under the default identity a delete's log has the key only: Debezium makes zeros of the rest."""
    both.sql.execute("CREATE TABLE line (id int PRIMARY KEY, cost numeric(8,2) NOT NULL, day date NOT NULL)")
    with both.running({}):
        both.sql.execute("INSERT INTO line VALUES (1, 5, '2024-01-01')")
        both.sql.execute("DELETE FROM line")
        both.wait({"line": 3})
    ours, theirs = both.records("line")
    assert ours[1].value["before"] == {"id": 1, "cost": None, "day": None}
    assert json.loads(ours[1].headers["tallystream.absent"]) == ["cost", "day"]
    assert theirs[1].value["before"] == {"id": 1, "cost": 0, "day": 0}
    assert ours[0].value["after"] == theirs[0].value["after"]
    for schema, optional in zip(both.schemas("line", "value"), (True, False), strict=True):
        assert isinstance(row_field(schema, "cost")["type"], list) is optional


def test_nulls_of_columns_with_a_default_stay_null_here(both: Both) -> None:
    """A column's default says what the database writes. Debezium makes it the default of the field, and
    so its converter writes the default where the row has null."""
    both.sql.execute("CREATE TABLE line (id int PRIMARY KEY, note text DEFAULT 'none')")
    both.sql.execute("INSERT INTO line VALUES (1), (2)")
    with both.running({"line": 2}):
        both.sql.execute("UPDATE line SET note = NULL WHERE id = 2")
        both.wait({"line": 3})
    our_field, their_field = (row_field(schema, "note") for schema in both.schemas("line", "value"))
    assert our_field == {"name": "note", "type": ["null", "string"], "default": None}
    assert their_field["default"] == "none"
    ours, theirs = both.records("line")
    assert [record.value["after"]["note"] for record in ours] == ["none", "none", None]
    assert [record.value["after"]["note"] for record in theirs] == ["none", "none", "none"]


def test_truncates_are_captured_here(both: Both) -> None:
    """Debezium skips them by default."""
    both.sql.execute("CREATE TABLE line (id int PRIMARY KEY)")
    with both.running({}):
        both.sql.execute("INSERT INTO line VALUES (1)")
        both.sql.execute("TRUNCATE line")
        both.sql.execute("INSERT INTO line VALUES (2)")
        both.wait({"line": 2})
    ours, theirs = both.records("line")
    assert [record.value["op"] for record in ours] == ["c", "t", "c"]
    assert [record.value["op"] for record in theirs] == ["c", "c"]


def test_forms_that_lose_nothing(both: Both) -> None:
    """The types whose form differs: ours and Debezium's, as listed."""
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(TYPES))
    both.sql.execute(f"CREATE TABLE line (id int PRIMARY KEY, {columns})")
    values = ", ".join(f"'{literal}'" for literal, _, _ in TYPES.values())
    with both.running({}):
        both.sql.execute(f"INSERT INTO line VALUES (1, {values})")
        both.wait({"line": 1})
    ours, theirs = both.records("line")
    found = {
        kind: (ours[0].value["after"][f"c{number}"], theirs[0].value["after"][f"c{number}"])
        for number, kind in enumerate(TYPES)
    }
    assert found == {kind: (our, their) for kind, (_, our, their) in TYPES.items()}
