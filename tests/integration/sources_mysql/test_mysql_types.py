"""Every type of MySQL: what SELECT says, what the snapshot and what the stream publishes are one."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

import pytest
from integration.sources_mariadb import test_mariadb_types as shared
from integration.sources_mariadb.test_mariadb_types import (  # noqa: F401  they run here on MySQL
    test_keys_of_several_columns_and_of_a_prefix,
    test_virtual_columns,
)
from integration.sources_mysql.harness import Capture

# MariaDB's own, and those whose literals MySQL reads as something else.
_NOT_HERE = {"vcomp", "tcomp", "vuca", "u", "i6", "i4", "gs", "j", "g", "tm6"}
TYPES: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    **{name: given for name, given in shared.TYPES.items() if name not in _NOT_HERE},
    "v0900": ("varchar(20) character set utf8mb4 collate utf8mb4_0900_as_cs", [("'Zürich'", "Zürich"), ("'z'", "z")]),
    "j": ("json", [("'{\"bb\": [1, \"é\"], \"a\": null}'", '{"a": null, "bb": [1, "é"]}'), ("'null'", "null")]),
    "vec": ("vector(3)", [("string_to_vector('[1,-2.5,3e5]')", [1.0, -2.5, 3e5]), ("string_to_vector('[0]')", [0.0])]),
    "tm6": ("time(6)", [("'-838:59:58.999999'", -3020398999999), ("'00:00:00.000001'", 1)]),
    "g": (  # latitude first in the text, longitude first in the bytes
        "point srid 4326",
        [
            ("ST_GeomFromText('POINT(1 2)', 4326)", bytes.fromhex("e6100000" "0101000000") + struct.pack("<2d", 2, 1)),
            ("ST_GeomFromText('POINT(0 0)', 4326)", bytes.fromhex("e6100000" "0101000000") + bytes(16)),
        ],
    ),
    "ln": (
        "linestring srid 0",
        [
            (
                "ST_GeomFromText('LINESTRING(0 0, 1 2)')",
                bytes.fromhex("00000000" "0102000000" "02000000") + struct.pack("<4d", 0, 0, 1, 2),
            ),
            ("ST_GeomFromText('LINESTRING(1 1, 0 0)')",
             bytes.fromhex("00000000" "0102000000" "02000000") + struct.pack("<4d", 1, 1, 0, 0)),
        ],
    ),
    "zz": ("varchar(9) character set latin1", [("'é'", "é"), ("''", "")]),
    "jl": ("json", [("json_array()", "[]"), ("json_object()", "{}")]),
    "gs": ("int as (ti is null) stored", []),
}  # fmt: skip
NAMES = [name for name in TYPES if name != "gs"]

# Documents that MySQL's binary form has a case for each; SELECT's own text is what is expected.
DOCUMENTS = [
    "'{}'", "'[]'", "'null'", "'true'", "'false'", "'0'", "'-1'", "'32767'", "'-32768'", "'32768'", "'65535'",
    "'65536'", "'2147483647'", "'-2147483648'", "'2147483648'", "'4294967296'", "'-9223372036854775808'",
    "'9223372036854775807'", "'18446744073709551615'", "'1.0'", "'-0.0'", "'0.1'", "'1e3'", "'1e15'", "'1e16'",
    "'1e17'", "'123456789012345678901234567890'", "'1e-4'", "'1e-5'", "'1.5e-7'", "'1e20'", "'1e21'", "'1e22'",
    "'1e100'", "'1.7976931348623157e308'", "'5e-324'", "'2.2250738585072014e-308'", "'0.00001234'", "'123456.789'",
    "'\"\"'", "'\"é€😀\"'", "'\"\\\\\"\\\\\\\\\\\\/\\\\b\\\\f\\\\n\\\\r\\\\t\\\\u0001\\\\u001f\"'",
    "json_array(1, 2.5, cast(12.3400 as decimal(10,4)), cast(-0.5 as decimal(65,30)))",
    "json_array(cast('2024-02-29' as date), cast('1000-01-01 01:02:03.000004' as datetime(6)))",
    "json_array(cast('-838:59:58.123456' as time(6)), cast('00:00:00' as time), timestamp('2024-02-29 00:00:00'))",
    "json_array(x'00ff', cast('a' as binary), b'101', year(now()) > 0)",
    "json_array(cast(repeat(x'00ff', 100) as binary))",
    "json_array(ST_GeomFromText('POINT(1 2)'))",
    "json_object('a', json_object('b', json_array(1, json_object('c', null))), 'zz', 1, 'é', 2, '', 3)",
    "json_array(repeat('x', 126), repeat('x', 127), repeat('x', 128), repeat('y', 16383), repeat('z', 16384))",
    "json_array(repeat('x', 70000), 1, -1, 70000, -70000, 4294967295, true)",
    "json_object('k', repeat('x', 70000), 'n', 100000, 'm', 1.25)",
    "cast(concat('[', repeat('1,', 40000), '1]') as json)",
    "cast(concat(repeat('[', 99), repeat(']', 99)) as json)",
]  # fmt: skip


def expected(name: str, which: int) -> Any:
    if name in shared.TYPES and name not in _NOT_HERE:
        return shared.expected(name, which)
    return TYPES[name][1][which][1]


@pytest.mark.parametrize("which", [0, 1])
def test_every_type_is_the_same_in_snapshot_and_stream(capture: Capture, which: int) -> None:
    """One row of all types, read by SELECT, by the log as an insert and as both sides of an update."""
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in TYPES.items())
    capture.execute("SET sql_mode = 'NO_ZERO_IN_DATE', time_zone = '+00:00'")
    capture.execute(f"CREATE TABLE everything (id int PRIMARY KEY, {columns})")
    values = ", ".join(TYPES[name][1][which][0] for name in NAMES)
    insert = f"INSERT INTO everything (id, {', '.join(NAMES)}) VALUES (%s, {values.replace('%', '%%')})"
    capture.execute(insert, 1)
    capture.run_once()
    capture.execute(insert, 2)
    capture.execute("UPDATE everything SET id = 3 WHERE id = 2")
    capture.execute("UPDATE everything SET gs = DEFAULT, ti = 5 WHERE id = 3")
    capture.run_once()
    read, streamed, deleted, moved, updated = capture.changes("everything")
    wanted = {"id": 1, **{name: expected(name, which) for name in NAMES}, "gs": 0}
    assert read.value["after"] == wanted
    assert streamed.value["after"] == {**wanted, "id": 2}
    assert deleted.value["before"] == {**wanted, "id": 2}
    assert moved.value["after"] == {**wanted, "id": 3}
    assert updated.value["before"] == {**wanted, "id": 3}
    assert updated.value["after"] == {**wanted, "id": 3, "ti": 5}
    assert len(capture.schema_ids("everything")) == 1
    assert not any("tallystream.special" in m.headers for m in capture.messages("everything"))


def test_nulls_of_every_type(capture: Capture) -> None:
    """A row of nulls, in the snapshot and in the stream."""
    columns = ", ".join(f"{name} {kind} NULL" for name, (kind, _) in TYPES.items() if name != "gs")
    capture.execute(f"CREATE TABLE everything (id int PRIMARY KEY, {columns})")
    capture.execute("INSERT INTO everything (id) VALUES (1)")
    capture.run_once()
    capture.execute("INSERT INTO everything (id) VALUES (2)")
    capture.run_once()
    read, streamed = capture.changes("everything")
    assert read.value["after"] == {"id": 1, **dict.fromkeys(NAMES)}
    assert streamed.value["after"] == {"id": 2, **dict.fromkeys(NAMES)}


def test_binary_json_is_read_as_the_text_that_select_gives(capture: Capture) -> None:
    """Each form of a JSON value, from the log, is the server's text to the letter."""
    capture.execute("CREATE TABLE doc (id int PRIMARY KEY, d json)")
    capture.run_once()
    for number, document in enumerate(DOCUMENTS):
        capture.execute(f"INSERT INTO doc VALUES ({number}, {document})")
    capture.run_once()
    published = {m.key["id"]: m.value["after"]["d"] for m in capture.messages("doc")}
    assert published == dict(capture.execute("SELECT id, CAST(d AS CHAR) FROM doc"))


def test_random_numbers_in_json(capture: Capture) -> None:
    """Doubles of all sizes are written as the server writes them, and read back as the same number."""
    seed = random.Random(5)
    made = [struct.unpack("<d", seed.randbytes(8))[0] for _ in range(2000)]
    made += [seed.uniform(-1, 1) * 10.0 ** seed.randint(-25, 25) for _ in range(2000)]
    made += [sign * float(f"1e{power}") for power in range(-30, 31) for sign in (1, -1)]
    finite = [one for one in made if one == one and abs(one) != float("inf")]
    capture.execute("CREATE TABLE doc (id int PRIMARY KEY, d json)")
    capture.run_once()
    rows = ", ".join(f"({number}, '[{one!r}]')" for number, one in enumerate(finite))
    capture.execute(f"INSERT INTO doc VALUES {rows}")
    capture.run_once()
    published = {m.key["id"]: m.value["after"]["d"] for m in capture.messages("doc")}
    assert {number: json.loads(text)[0] for number, text in published.items()} == dict(enumerate(finite))
    assert published == dict(capture.execute("SELECT id, CAST(d AS CHAR) FROM doc"))


def test_columns_that_nobody_sees(capture: Capture) -> None:
    """A generated key and invisible columns are captured; the hidden column of an index's expression is none."""
    capture.execute("SET sql_generate_invisible_primary_key = ON")
    capture.execute("CREATE TABLE g (a int, b int INVISIBLE DEFAULT 7, KEY twice ((a * 2)))")
    capture.execute("INSERT INTO g (a) VALUES (1)")
    capture.run_once()
    capture.execute("INSERT INTO g (a) VALUES (2)")
    capture.run_once()
    read, streamed = capture.changes("g")
    assert read.value["after"] == {"my_row_id": read.key["my_row_id"], "a": 1, "b": 7}
    assert streamed.value["after"] == {"my_row_id": streamed.key["my_row_id"], "a": 2, "b": 7}
