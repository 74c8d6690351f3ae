"""Every type: what SELECT says, what the snapshot publishes and what the stream publishes are one."""

from __future__ import annotations

import random
import uuid
import warnings
from decimal import Decimal
from typing import Any

import pytest
from integration.sources_mariadb.harness import Capture

# Column → (type, [(literal, value in the topic)]).
TYPES: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    "ti": ("tinyint", [("-128", -128), ("127", 127)]),
    "tu": ("tinyint unsigned", [("255", 255), ("0", 0)]),
    "tb": ("boolean", [("true", 1), ("false", 0)]),
    "si": ("smallint", [("-32768", -32768), ("32767", 32767)]),
    "su": ("smallint unsigned zerofill", [("65535", 65535), ("7", 7)]),
    "mi": ("mediumint", [("-8388608", -8388608), ("8388607", 8388607)]),
    "mu": ("mediumint unsigned", [("16777215", 16777215), ("0", 0)]),
    "i": ("int", [("-2147483648", -(2**31)), ("2147483647", 2**31 - 1)]),
    "iu": ("int unsigned", [("4294967295", 2**32 - 1), ("0", 0)]),
    "y": ("year", [("1901", 1901), ("0", 0)]),
    "bi": ("bigint", [("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1)]),
    "bu": ("bigint unsigned", [("18446744073709551615", Decimal(2**64 - 1)), ("0", Decimal(0))]),
    "f": ("float", [("16777217", 16777216.0), ("-1.17549435e-38", -1.1754943508222875e-38)]),
    "f2": ("float(10,3)", [("1234567.891", 1234567.875), ("0.1", 0.10000000149011612)]),
    "d": ("double", [("0.1", 0.1), ("-1.7976931348623157e308", -1.7976931348623157e308)]),
    "n": ("decimal(12,2)", [("-1234567890.12", Decimal("-1234567890.12")), ("0.01", Decimal("0.01"))]),
    "nu": ("decimal(5,0) unsigned", [("99999", Decimal(99999)), ("0", Decimal(0))]),
    "n2": (
        "decimal(65,30)",
        [
            ("-12345678901234567890123456789012345.123456789012345678901234567891",) * 2,
            ("0.000000000000000000000000000001",) * 2,
        ],
    ),
    "n3": ("decimal(4,4)", [("-0.0001", Decimal("-0.0001")), ("0.9999", Decimal("0.9999"))]),
    "c": ("char(5)", [("'a  '", "a"), ("'äöü€😀'", "äöü€😀")]),
    "c300": ("char(255) character set utf8mb4", [("repeat('😀', 255)", "😀" * 255), ("''", "")]),
    "v": ("varchar(20)", [("'a  '", "a  "), ("''", "")]),
    "vl": ("varchar(300) character set latin1", [("'é€\u0081ÿ'", "é€\u0081ÿ"), ("repeat('é', 300)", "é" * 300)]),
    "vu": ("varchar(20) character set ucs2", [("'€ä'", "€ä"), ("''", "")]),
    "v16": ("varchar(20) character set utf16", [("'😀€'", "😀€"), ("'x'", "x")]),
    "vcy": ("varchar(20) character set cp1251", [("'Счёт'", "Счёт"), ("'x'", "x")]),
    "vuca": ("varchar(20) character set utf8mb4 collate uca1400_as_cs", [("'Zürich'", "Zürich"), ("'z'", "z")]),
    "vbin": ("varchar(20) collate utf8mb4_bin", [("'bin'", "bin"), ("'B'", "B")]),
    "vcomp": ("varchar(2000) compressed", [("repeat('ab', 900)", "ab" * 900), ("'short'", "short")]),
    "tcomp": ("text compressed", [("repeat('äb', 9000)", "äb" * 9000), ("''", "")]),
    "tt": ("tinytext", [("'tiny'", "tiny"), ("''", "")]),
    "tx": ("text", [("'tab\\tline\\n \\\\N \\0 é'", "tab\tline\n \\N \0 é"), ("repeat('x', 60000)", "x" * 60000)]),
    "mt": ("mediumtext", [("repeat('y', 70000)", "y" * 70000), ("''", "")]),
    "lt": ("longtext character set latin1", [("'ü'", "ü"), ("''", "")]),
    "e": ("enum('draft','it''s','ß')", [("'it''s'", "it's"), ("'ß'", "ß")]),
    "el": ("enum('é','x') character set latin1", [("'é'", "é"), ("'x'", "x")]),
    "st": ("set('c','b','a')", [("'a,c'", "c,a"), ("''", "")]),
    "st64": (
        "set(" + ",".join(f"'v{n}'" for n in range(64)) + ")",
        [("'v63,v0'", "v0,v63"), ("'v8'", "v8")],
    ),
    "j": ("json", [("'{\"a\": [1, \"é\"]}'", '{"a": [1, "é"]}'), ("'null'", "null")]),
    "b": ("binary(8)", [("x'0001ff0000000000'", b"\0\1\xff\0\0\0\0\0"), ("''", b"\0" * 8)]),
    "vb": ("varbinary(300)", [("x'00ff00'", b"\0\xff\0"), ("''", b"")]),
    "bl": ("blob", [("x'00ff20'", b"\0\xff "), ("''", b"")]),
    "lb": ("longblob", [("repeat(x'ff', 70000)", b"\xff" * 70000), ("''", b"")]),
    "b1": ("bit(1)", [("b'1'", True), ("b'0'", False)]),
    "b5": ("bit(5)", [("b'10101'", b"\x15"), ("b'0'", b"\0")]),
    "b64": ("bit(64)", [("x'0102030405060708'", bytes(range(8, 0, -1))), ("b'1'", b"\1" + b"\0" * 7)]),
    "da": ("date", [("'2024-02-29'", 19782), ("'9999-12-31'", 2932896)]),
    "dt": ("datetime", [("'2024-02-29 23:59:59'", 1709251199000000), ("'1969-12-31 23:59:59'", -1000000)]),
    "dt3": ("datetime(3)", [("'2024-02-29 23:59:59.123'", 1709251199123000), ("'1000-01-01'", -30610224000000000)]),
    "dt6": (
        "datetime(6)",
        [("'1969-12-31 23:59:59.999999'", -1), ("'9999-12-31 23:59:59.999999'", 253402300799999999)],
    ),
    "ts": ("timestamp", [("'2024-02-29 21:59:59'", "2024-02-29T21:59:59.000000Z"), ("'1970-01-01 00:00:01'",
        "1970-01-01T00:00:01.000000Z")]),
    "ts6": ("timestamp(6)", [("'2038-01-19 03:14:07.999999'", "2038-01-19T03:14:07.999999Z"),
        ("'2024-01-01 00:00:00.000001'", "2024-01-01T00:00:00.000001Z")]),
    "tm": ("time", [("'-838:59:59'", -3020399000000), ("'12:34:56'", 45296000000)]),
    "tm1": ("time(1)", [("'-00:00:00.1'", -100000), ("'00:00:00.9'", 900000)]),
    "tm4": ("time(4)", [("'-01:00:00.0001'", -3600000100), ("'00:00:01.2345'", 1234500)]),
    "tm6": ("time(6)", [("'-838:59:59.999999'", -3020399999999), ("'00:00:00.000001'", 1)]),
    "u": ("uuid", [("'6b2f4f7e-0d6f-4d9b-9c0a-3a9d3a1b2c3d'",) * 2, ("'00000000-0000-0000-0000-000000000000'",) * 2]),
    "i6": ("inet6", [("'2001:db8::ff00:42:8329'",) * 2, ("'::ffff:192.0.2.128'",) * 2]),
    "i4": ("inet4", [("'192.0.2.0'",) * 2, ("'0.0.0.0'",) * 2]),
    "g": (
        "point",
        [
            ("ST_GeomFromText('POINT(1 2)', 4326)", bytes.fromhex(
                "e6100000" "0101000000" "000000000000f03f" "0000000000000040")),
            ("ST_GeomFromText('POINT(0 0)')", bytes.fromhex("00000000" "0101000000" + "00" * 16)),
        ],
    ),
    "zu": ("int unsigned", [("4294967295", 2**32 - 1), ("0", 0)]),
    "zs": ("int", [("-1", -1), ("0", 0)]),
    "zl": ("varchar(9) character set latin1", [("'é'", "é"), ("''", "")]),
    "gs": ("int as (i6 is null) stored", []),
}  # fmt: skip
NAMES = [name for name in TYPES if name != "gs"]


def expected(name: str, which: int) -> Any:
    literal, value = TYPES[name][1][which]
    if literal == value:  # written once: text, or a decimal
        return Decimal(value) if name == "n2" else value.strip("'")
    return value


@pytest.mark.parametrize("which", [0, 1])
def test_every_type_is_the_same_in_snapshot_and_stream(capture: Capture, which: int) -> None:
    """One row of all types, read by SELECT, by the log as an insert and as both sides of an update."""
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in TYPES.items())
    capture.execute("SET sql_mode = 'NO_ZERO_IN_DATE'")
    capture.execute(f"CREATE TABLE everything (id int PRIMARY KEY, {columns})")
    values = ", ".join(TYPES[name][1][which][0] for name in NAMES)
    insert = f"INSERT INTO everything (id, {', '.join(NAMES)}) VALUES (%s, {values.replace('%', '%%')})"
    capture.execute("SET time_zone = '+00:00'")
    capture.execute(insert, 1)
    capture.run_once()
    capture.execute(insert, 2)
    capture.execute("UPDATE everything SET id = 3 WHERE id = 2")
    capture.execute("UPDATE everything SET gs = DEFAULT, ti = 5 WHERE id = 3")
    capture.run_once()
    read, streamed, deleted, moved, updated = capture.changes("everything")
    assert streamed.value["op"] == "c"
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
    capture.execute("UPDATE everything SET ts = NULL, ts6 = NULL")
    capture.run_once()
    capture.execute("INSERT INTO everything (id) VALUES (2)")
    capture.run_once()
    read, streamed = capture.changes("everything")
    assert read.value["after"] == {"id": 1, **dict.fromkeys(NAMES)}
    assert streamed.value["after"] == {"id": 2, **dict.fromkeys(NAMES)}


def test_uuids_of_all_versions_come_back_as_they_went_in(capture: Capture) -> None:
    """The server stores versions 1 to 5 in another order: each of thousands, in the snapshot and in the stream."""
    seed = random.Random(7)
    made = [uuid.UUID(int=seed.getrandbits(128)) for _ in range(3000)]
    made += [uuid.UUID(int=seed.getrandbits(128), version=1 + n % 5) for n in range(900)]
    made += [uuid.UUID(int=n << shift) for n in range(1, 11) for shift in range(0, 120, 13)]
    capture.execute("CREATE TABLE ids (id int PRIMARY KEY, u uuid, text varchar(36))")
    rows = ", ".join(f"({number}, '{one}', '{one}')" for number, one in enumerate(made))
    with warnings.catch_warnings(action="ignore"):  # the server refuses some that are of no version
        capture.execute(f"INSERT IGNORE INTO ids VALUES {rows}")
    capture.execute("DELETE FROM ids WHERE u IS NULL OR u <> text")
    ((kept,),) = capture.execute("SELECT count(*) FROM ids")
    assert kept > 2000
    capture.run_once()
    capture.execute(f"INSERT INTO ids SELECT id + {len(made)}, u, text FROM ids")
    capture.run_once()
    after = [m.value["after"] for m in capture.messages("ids")]
    assert len(after) == 2 * kept
    assert [row for row in after if row["u"] != row["text"]] == []


def test_virtual_columns(capture: Capture) -> None:
    """Computed columns that are not stored are captured as the others are."""
    capture.execute("CREATE TABLE v (id int PRIMARY KEY, a int, twice int AS (a * 2) VIRTUAL, z int)")
    capture.execute("INSERT INTO v (id, a, z) VALUES (1, 5, 9)")
    capture.run_once()
    capture.execute("INSERT INTO v (id, a, z) VALUES (2, 6, 9)")
    capture.execute("UPDATE v SET a = 7 WHERE id = 2")
    capture.run_once()
    read, streamed, updated = capture.changes("v")
    assert read.value["after"] == {"id": 1, "a": 5, "twice": 10, "z": 9}
    assert streamed.value["after"] == {"id": 2, "a": 6, "twice": 12, "z": 9}
    assert updated.value["before"] == {"id": 2, "a": 6, "twice": 12, "z": 9}
    assert updated.value["after"] == {"id": 2, "a": 7, "twice": 14, "z": 9}


def test_keys_of_several_columns_and_of_a_prefix(capture: Capture) -> None:
    """The key has the primary key's columns in its own order; a prefix key has whole columns."""
    capture.execute("CREATE TABLE k (a int, b varchar(9), c int, PRIMARY KEY (c, a))")
    capture.execute("CREATE TABLE p (a varchar(200), n int, PRIMARY KEY (a(3)))")
    capture.execute("INSERT INTO k VALUES (1, 'x', 2)")
    capture.execute("INSERT INTO p VALUES ('abcdef', 1)")
    capture.run_once()
    capture.execute("UPDATE k SET b = 'y'")
    capture.execute("UPDATE p SET n = 2")
    capture.run_once()
    assert [list(m.key.items()) for m in capture.messages("k")] == [[("c", 2), ("a", 1)]] * 2
    assert [m.key for m in capture.messages("p")] == [{"a": "abcdef"}] * 2
