"""Our MariaDB source beside a real Debezium: the same tables, the same statements, record by record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from integration.compat.both import FRAMING, Raw
from integration.compat.both_mariadb import BothMariadb
from integration.compat.differences import OUR_HEADERS, THEIR_HEADERS, Rule
from integration.compat.differences_mariadb import SCHEMAS, SNAPSHOT, STREAM, TYPES
from integration.compat.test_debezium import leaves, row_field
from integration.sources_mariadb.harness import Capture, running_mariadb

from streams.errors import DependencyUnavailable
from streams.stack import Stack
from streams.stack.connect import Connect
from streams.stack.connect_jars import connect_available
from streams.stack.mariadb import Mariadb, installed

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.skipif(not connect_available(), reason="needs Java and Maven"),
    pytest.mark.skipif(not installed(), reason="no mariadbd here; apt-get install mariadb-server"),
]

# The types whose form is the same, each with a value that would show another one.
COLUMNS: dict[str, str] = {
    "code varchar(20) NOT NULL": "'Ärger😀'",
    "note text": r"'line\nbreak\tand \\ slash'",
    "fixed char(4)": "'ab  '",
    "latin varchar(20) character set latin1": "'é€'",
    "cost decimal(12,2)": "-12.50",
    "small smallint": "-1",
    "tiny tinyint unsigned": "255",
    "truth boolean": "true",
    "middle mediumint": "-8388608",
    "whole int unsigned": "4294967295",
    "big bigint": "-9000000000",
    "score double": "0.1",
    "part float": "0.5",
    "year year": "2024",
    "day date": "'1969-12-31'",
    "at time(6)": "'23:59:59.999999'",
    "long_time time": "'-838:59:59'",
    "made datetime(6)": "'1969-12-31 23:59:59.123456'",
    "seen timestamp(6) NULL": "'2024-02-29 12:34:56.123456'",
    "ident uuid": "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "doc json": """'{"a":  1}'""",
    "raw varbinary(20)": "x'00deadbeef'",
    "large blob": "x'00ff20'",
    "padded binary(4)": "x'01'",
    "flag bit(1)": "b'1'",
    "bits bit(10)": "b'1000000001'",
    "mood enum('ok','bad')": "'bad'",
    "tags set('a','b','c')": "'c,a'",
}
NAMES = [declared.split()[0] for declared in COLUMNS]
OTHER_SCHEMA = {"doc": "json"}
TABLE = f"CREATE TABLE line (id bigint PRIMARY KEY, {', '.join(COLUMNS)})"
WHOLE = f"INSERT INTO line VALUES (%s, {', '.join(COLUMNS.values())})"
EMPTY = "INSERT INTO line (id, code) VALUES (%s, '')"
SNAPSHOT_ROWS = 3


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Mariadb]:
    with running_mariadb() as server:
        yield server


@pytest.fixture
def both(stack: Stack, connect: Connect, mariadb: Mariadb, tmp_path: Path) -> Iterator[BothMariadb]:
    capture = Capture(stack, mariadb, tmp_path, partitions=1)
    capture.execute("SET time_zone = '+00:00'")
    made = BothMariadb(capture, connect)
    yield made
    made.close()
    capture.close()


@pytest.fixture
def line(both: BothMariadb) -> BothMariadb:
    """A table with two whole rows and one that is as empty as it may be."""
    both.mariadb.execute(TABLE)
    for number in (1, 2):
        both.mariadb.execute(WHOLE, number)
    both.mariadb.execute(EMPTY, 3)
    return both


def assert_same(ours: Raw, theirs: Raw, rules: Mapping[str, Rule]) -> None:
    """Key and envelope are equal, apart from ``rules``; each of these holds."""
    assert (ours.key_bytes or b"")[FRAMING:] == (theirs.key_bytes or b"")[FRAMING:]
    if ours.value is None or theirs.value is None:
        assert ours.value is theirs.value
        return
    ours_at, theirs_at = dict(leaves(ours.value)), dict(leaves(theirs.value))
    assert list(ours_at) == list(theirs_at)
    for path, value in ours_at.items():
        rule = rules.get(path)
        if rule is None:
            assert (path, value) == (path, theirs_at[path])
        else:
            assert rule(value, theirs_at[path]), (path, value, theirs_at[path])


def test_envelopes_and_keys_are_equal(line: BothMariadb) -> None:
    """Snapshot, inserts, updates, deletes, a change of key, several changes of a row in a transaction."""
    sql = line.mariadb
    with line.running({"line": SNAPSHOT_ROWS}):
        sql.execute(WHOLE, 4)
        sql.execute(EMPTY, 5)
        sql.execute("UPDATE line SET cost = cost + 1, note = NULL WHERE id < 3")
        sql.execute("UPDATE line SET id = 10 WHERE id = 2")
        sql.sql.begin()
        sql.execute(WHOLE, 6)
        sql.execute("UPDATE line SET whole = 0 WHERE id = 6")
        sql.execute("DELETE FROM line WHERE id = 5")
        sql.sql.commit()
        sql.execute("DELETE FROM line WHERE id = 1")
        expected = ["r", "r", "r", "c", "c", "u", "u", "d", None, "c", "c", "u", "d", None, "d", None]
        line.wait({"line": len(expected)})
    ours, theirs = line.records("line")
    assert [record.value and record.value["op"] for record in ours] == expected
    assert [record.value and record.value["op"] for record in theirs] == expected
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert_same(one, other, SNAPSHOT if number < SNAPSHOT_ROWS else STREAM)
    assert [one.value["source"]["snapshot"] for one in ours[:SNAPSHOT_ROWS]] == ["true", "true", "last"]
    assert [one.value["source"]["snapshot"] for one in theirs[:SNAPSHOT_ROWS]] == ["first", "true", "last"]
    moved = [number for number, record in enumerate(theirs) if "__debezium.newkey" in record.headers]
    assert [expected[number] for number in moved] == ["d", None]
    for one, other in zip(ours, theirs, strict=True):
        own = {name for name in one.headers if not name.startswith(OUR_HEADERS)}
        assert own == {name for name in other.headers if not name.startswith(THEIR_HEADERS)}
    assert json.loads(theirs[moved[0]].headers["__debezium.newkey"]) == {"id": 10}
    assert ours[moved[0]].headers["__debezium.newkey"] == ours[moved[-1] + 1].key_bytes


def test_schemas_are_equal(line: BothMariadb) -> None:
    """Names, order, types and attributes of all fields, in the same namespace, but for those listed."""
    with line.running({"line": SNAPSHOT_ROWS}):
        pass
    ours, theirs = line.schemas("line", "key")
    assert ours == theirs
    ours, theirs = line.schemas("line", "value")
    for name, kind in OTHER_SCHEMA.items():
        fields = row_field(ours, name), row_field(theirs, name)
        assert tuple(field["type"][1] for field in fields) == SCHEMAS[kind]
        fields[0]["type"] = fields[1]["type"]
    (our_snapshot, their_snapshot) = (_source_field(schema, "snapshot") for schema in (ours, theirs))
    assert our_snapshot["type"] == ["null", "string"]
    assert their_snapshot["type"][0]["connect.name"] == "io.debezium.data.Enum"
    our_snapshot.update(their_snapshot)
    assert ours == theirs


def _source_field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    source = next(field["type"] for field in schema["fields"] if field["name"] == "source")
    found: dict[str, Any] = next(field for field in source["fields"] if field["name"] == name)
    return found


def test_keys_of_several_columns_are_equal_byte_for_byte(both: BothMariadb) -> None:
    """In the primary key's order, which is not the table's."""
    both.mariadb.execute(
        "CREATE TABLE part (a int, b varchar(20), c decimal(10,2), d uuid, e date, f int, "
        "PRIMARY KEY (e, b, a, d, c))"
    )
    insert = "INSERT INTO part VALUES (%s, 'x', 2.5, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2024-02-29', 1)"
    both.mariadb.execute(insert, 1)
    with both.running({"part": 1}):
        both.mariadb.execute(insert, 2)
        both.mariadb.execute("DELETE FROM part WHERE a = 1")
        both.wait({"part": 4})
    ours, theirs = both.records("part")
    keys = [(record.key_bytes or b"")[FRAMING:] for record in ours]
    assert keys == [(record.key_bytes or b"")[FRAMING:] for record in theirs]
    assert len(keys) == 4
    assert keys[0] != keys[1]
    assert keys[0]
    ours_schema, theirs_schema = both.schemas("part", "key")
    assert ours_schema == theirs_schema


def test_nulls_of_columns_with_a_default_stay_null_here(both: BothMariadb) -> None:
    """Debezium makes the column's default the field's, and so its converter writes it for a null."""
    both.mariadb.execute("CREATE TABLE line (id int PRIMARY KEY, note varchar(20) DEFAULT 'none')")
    both.mariadb.execute("INSERT INTO line (id) VALUES (1), (2)")
    with both.running({"line": 2}):
        both.mariadb.execute("UPDATE line SET note = NULL WHERE id = 2")
        both.wait({"line": 3})
    our_field, their_field = (row_field(schema, "note") for schema in both.schemas("line", "value"))
    assert our_field == {"name": "note", "type": ["null", "string"], "default": None}
    assert their_field["default"] == "none"
    ours, theirs = both.records("line")
    assert [record.value["after"]["note"] for record in ours] == ["none", "none", None]
    assert [record.value["after"]["note"] for record in theirs] == ["none", "none", "none"]


def test_truncates_are_captured_here(both: BothMariadb) -> None:
    """Debezium skips them by default."""
    both.mariadb.execute("CREATE TABLE line (id int PRIMARY KEY)")
    both.mariadb.execute("INSERT INTO line VALUES (1)")
    with both.running({"line": 1}):
        both.mariadb.execute("TRUNCATE line")
        both.mariadb.execute("INSERT INTO line VALUES (2)")
        both.wait({"line": 2})
    ours, theirs = both.records("line")
    assert [record.value["op"] for record in ours] == ["r", "t", "c"]
    assert [record.value["op"] for record in theirs] == ["r", "c"]


def test_forms_that_lose_nothing(both: BothMariadb) -> None:
    """The types whose form differs: ours and Debezium's, from the snapshot and from the log, as listed."""
    columns = ", ".join(f"c{number} {kind} NULL" for number, kind in enumerate(TYPES))
    others = ", ".join(f"s{number} {kind}" for number, kind in enumerate(SCHEMAS))
    both.mariadb.execute(f"CREATE TABLE line (id int PRIMARY KEY, {columns}, {others})")
    names = ", ".join(f"c{number}" for number in range(len(TYPES)))
    insert = (
        f"INSERT INTO line (id, {names}) VALUES (%s, {', '.join(form.literal for form in TYPES.values())})"
    )
    both.mariadb.execute(insert, 1)
    with both.running({"line": 1}):
        both.mariadb.execute(insert, 2)
        both.wait({"line": 2})
    ours, theirs = both.records("line")
    for number, (kind, form) in enumerate(TYPES.items()):
        found = [[record.value["after"][f"c{number}"] for record in records] for records in (ours, theirs)]
        assert (kind, found) == (kind, [[form.ours] * 2, [form.snapshot, form.stream]])
    schemas = both.schemas("line", "value")
    for number, (kind, types) in enumerate(SCHEMAS.items()):
        got = tuple(row_field(schema, f"s{number}")["type"][1] for schema in schemas)
        assert (kind, got) == (kind, types)


@pytest.mark.parametrize("kind", ["inet4", "inet6", "text compressed"])
def test_tables_that_debezium_stops_at(both: BothMariadb, kind: str) -> None:
    """Its connector fails, at the table's declaration or at the first logged row; ours goes on."""
    both.mariadb.execute(f"CREATE TABLE line (id int PRIMARY KEY, it {kind})")
    both.mariadb.execute("INSERT INTO line VALUES (1, %s)", "::" if kind == "inet6" else "1.2.3.4")

    def stream() -> None:
        with both.running({"line": 1}):
            both.mariadb.execute("INSERT INTO line VALUES (2, NULL)")
            both.wait({"line": 2})

    with pytest.raises(DependencyUnavailable, match=f"connector {both.name} failed"):
        stream()
    both.mariadb.execute("INSERT INTO line VALUES (3, NULL)")
    both.mariadb.run_once()
    assert both.mariadb.folded("line", "id", "it") == both.mariadb.rows("line", "id", "it")
    assert 3 in both.mariadb.rows("line", "id")
