"""PostgreSQL's types, column rules and changes of shape, on a real server: what is decoded from the topic,
given back to the server, is what the table holds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Context
from typing import Any

import pytest
from integration.sources.harness import Capture, Message

from streams.stack import Stack

DIGITS = "7" * 1000
TEXTS = ["", " ", "NULL", "é😀", 'tab\t "quoted" \\ {brace}, \n line', "x" * 9000]
TIMES = ["1970-01-01 00:00", "1969-12-31 23:59:59.999999", "0001-01-01 00:00", "4713-01-01 00:00 BC",
         "0044-03-15 12:00:00.5 BC", "9999-12-31 23:59:59.999999", "10000-01-01 00:00", "294276-12-31 23:59:59.999999",
         "infinity", "-infinity"]  # fmt: skip
ANY_TIME = "{" + ",".join(f'"{one}"' for one in TIMES[:4]) + ",NULL}"
TYPES: dict[str, list[str]] = {
    "smallint": ["-32768", "0", "32767"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "numeric(12,2)": ["9999999999.99", "-0.01", "0", "NaN"],
    "numeric(1000,500)": ["0." + "1" * 500, "9" * 500 + "." + "9" * 500],
    "numeric(3,-2)": ["12300", "-99900"],
    "numeric(2,4)": ["0.0012", "-0.0099"],
    "numeric": ["NaN", "Infinity", "-Infinity", DIGITS, f"-{DIGITS}.{DIGITS}", "1." + "0" * 16383, "8" * 131072,
                "0.100", "-0"],
    "money": ["92233720368547758.07", "-92233720368547758.08", "-0.01", "1234.5"],
    "real": ["NaN", "Infinity", "-Infinity", "3.4028235e38", "1e-45", "1.1", "-0"],
    "double precision": ["NaN", "Infinity", "-Infinity", "1.7976931348623157e308", "5e-324", "0.1", "-0"],
    "boolean": ["true", "false"],
    "text": TEXTS,
    "varchar(20)": ["", "twenty characters ok"],
    "char(5)": ["", "ab", "é"],
    "name": ["x" * 63],
    '"char"': ["a", "", "\\377"],
    "public.citext": ["MiXed"],
    "bytea": ["", "\\x00ff5c", "\\x" + "ab" * 5000],
    "date": ["1970-01-01", "4713-01-01 BC", "0001-12-31 BC", "5874897-12-31", "10000-01-01", "infinity", "-infinity"],
    "timestamp": TIMES,
    "timestamp(0)": TIMES[:3],
    "timestamptz": [one if "inf" in one else f"{one}+00" if "BC" not in one else one for one in TIMES],
    "time": ["00:00", "24:00", "23:59:59.999999"],
    "timetz": ["00:00+15:59", "24:00-15:59:59", "12:34:56.000001+02"],
    "interval": ["0", "178000000 years", "-178000000 years", "1 year -1 month 3 days -04:05:06.000007", "30 days",
                 "1 month", "infinity", "-infinity", "-0.000001 s"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ['{"b": 1,  "a": 1.0, "a": null}', "null", '"\\u0041"'],
    "jsonb": ['{"b": 12345678901234567890.123456789}', "null"],
    "state": ["draft", "a,b", "it's \"so\""],
    "hours": ["7.25", "NaN"],
    "short_hours": ["7.25"],
    "state_domain": ["a,b"],
    "ints_domain": ["{1,NULL}", "{}"],
    "pair_domain": ['(1,"a b")'],
    "pair": ['(1,"quoted "" and \\\\ , x")', "(,)", '(,"")'],
    "integer[]": ["{}", "{1,NULL,-2147483648}", "{{1,2},{3,4}}", "[0:1]={1,2}", "{{{1}}}"],
    "text[]": ["{}", '{NULL,"NULL","", " ","a,b","{c}","\\"q\\"","back\\\\slash","é😀"}', "{plain,words}", '{"{"}',
               '{{a,"b,c"},{"{",d}}'],
    "numeric[]": ["{1.10,NULL,-0.001}", "{1,NaN}"],
    "numeric(6,2)[]": ["{1.10,2}"],
    "timestamp[]": [ANY_TIME, "{infinity}"],
    "timestamptz[]": ['{"2024-01-01 00:00+00",NULL}'],
    "date[]": ["{2024-02-29,NULL}"],
    "bytea[]": ['{"\\\\x00ff"}'],
    "boolean[]": ["{t,f,NULL}"],
    "jsonb[]": ['{"{\\"a\\": \\"b\\"}"}'],
    "uuid[]": ["{ffffffff-ffff-ffff-ffff-ffffffffffff}"],
    "state[]": ['{"a,b",draft,NULL}'],
    "hours[]": ["{7.25,1}"],
    "pair[]": ['{"(1,\\"a b\\")",NULL}'],
    "box[]": ["{(1,1),(0,0);(3,3),(2,2)}"],
    "interval[]": ['{"1 mon -1 days",NULL}'],
    "public.hstore[]": ['{"\\"a\\"=>\\"1\\"",NULL}'],
    "bit(3)[]": ["{101,NULL}"],
    "point[]": ['{"(1,2)",NULL}'],
    "int4range": ["empty", "[1,2147483647)", "(,)"],
    "numrange": ["(0.10,1.20]", "[NaN,)"],
    "tstzrange": ['["2024-01-01 00:00+00",infinity)'],
    "daterange": ["[2024-01-01,)"],
    "int8range[]": ['{"[1,5)",empty}'],
    "int4multirange": ["{}", "{[1,3),[5,7)}"],
    "datemultirange": ["{[2024-01-01,2024-02-01)}"],
    "inet": ["192.168.0.1/24", "::1", "fe80::1/64"],
    "cidr": ["10.0.0.0/8", "2001:db8::/32"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "bit(1)": ["0", "1"],
    "bit(9)": ["000000001", "100000000", "111111111"],
    "varbit(20)": ["", "0", "0001", "1" * 20],
    "varbit": ["0" * 70],
    "point": ["(0,-0)", "(1.1,-2.5e-300)", "(NaN,Infinity)"],
    "line": ["{1,2,3}"],
    "lseg": ["[(0,0),(0.1,1e300)]"],
    "box": ["(1,1),(0,0)"],
    "path": ["((0,0),(1,1))", "[(0,0),(1,1)]"],
    "polygon": ["((0,0),(1,1),(1,0))"],
    "circle": ["<(0.1,0),5>"],
    "public.hstore": ["", '"a"=>"1", "b"=>NULL, "q\\"k"=>"v\\\\ , => é"', '"NULL"=>"NULL"'],
    "public.ltree": ["top.middle.leaf"],
    "tsvector": ["'fat':2A 'rat':3", ""],
    "tsquery": ["'fat' & !'rat'"],
    "oid": ["0", "4294967295"],
    "regclass": ["pg_class"],
    "regtype": ["integer"],
    "regproc": ["now"],
    "xid": ["4294967295"],
    "xid8": ["18446744073709551615"],
    "tid": ["(4294967295,65535)"],
    "pg_lsn": ["FFFFFFFF/FFFFFFFF", "0/0"],
    "jsonpath": ['$."a"[*]'],
    "int2vector": ["1 2 3"],
}  # fmt: skip
SETUP = """
    CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;
    CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public;
    CREATE EXTENSION IF NOT EXISTS ltree SCHEMA public;
    CREATE TYPE state AS ENUM ('draft', 'a,b', 'it''s "so"');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN hours AS numeric(6,2);
    CREATE DOMAIN short_hours AS hours CHECK (VALUE < 24);
    CREATE DOMAIN state_domain AS state;
    CREATE DOMAIN ints_domain AS int[];
    CREATE DOMAIN pair_domain AS pair;
"""


def days_text(days: int) -> str:
    """A count of days as a date; from days to the calendar by way of the Julian day, unlike the encoder."""
    a = days + 2_440_588 + 32_044
    b = (4 * a + 3) // 146_097
    c = a - 146_097 * b // 4
    d = (4 * c + 3) // 1461
    e = c - 1461 * d // 4
    m = (5 * e + 2) // 153
    year = 100 * b + d - 4800 + m // 10
    text = f"{year if year > 0 else 1 - year:04}-{m + 3 - 12 * (m // 10):02}-{e - (153 * m + 2) // 5 + 1:02}"
    return text + ("" if year > 0 else " BC")


def clock_text(us: int) -> str:
    seconds, us = divmod(us, 1_000_000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{us:06}"


def literal(schema: Any, value: Any) -> str:
    """What one would type to give a decoded value back to the server."""
    if isinstance(schema, dict) and schema["type"] == "array":
        quoted = (
            "NULL"
            if one is None
            else '"{}"'.format(literal(schema["items"][1], one).replace("\\", "\\\\").replace('"', '\\"'))
            for one in value
        )
        return "{" + ",".join(quoted) + "}"
    name = schema.get("connect.name", "") if isinstance(schema, dict) else ""
    base = schema["type"] if isinstance(schema, dict) else schema
    if name == "io.debezium.data.VariableScaleDecimal":
        number = int.from_bytes(value["value"], "big", signed=True)
        exact = Context(prec=200_000)
        return f"{exact.scaleb(exact.create_decimal(number), -value['scale']):f}"
    if name == "io.debezium.data.geometry.Point":
        assert value["wkb"] is not None
        return f"({value['x']!r},{value['y']!r})"
    if name == "io.debezium.data.Bits":
        return f"{int.from_bytes(value, 'little'):0{schema['connect.parameters']['length']}b}"
    if name == "io.debezium.time.Date":
        return days_text(value)
    if name == "io.debezium.time.MicroTime":
        return clock_text(value)
    if name == "io.debezium.time.MicroTimestamp":
        days, us = divmod(value, 86_400_000_000)
        day, _, bc = days_text(days).partition(" ")
        return f"{day} {clock_text(us)} {bc}"
    if isinstance(value, bool):
        return "1" if value else "0"
    if base == "bytes" and name == "":
        return "\\x" + bytes(value).hex()
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(value)
    return f"{value:f}" if base == "bytes" else str(value)


class Published:
    """A table of two columns for each type; half of its values were read by the snapshot."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.tables = {kind: f"t{number}" for number, kind in enumerate(TYPES)}
        sql = capture.sql
        sql.execute(SETUP)
        for kind, table in self.tables.items():
            sql.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v {kind})")
            self.insert(kind, 0)
        capture.run_once()
        for kind in self.tables:
            self.insert(kind, 1)
        capture.run_once()

    def insert(self, kind: str, half: int) -> None:
        for number, value in enumerate([*TYPES[kind], None]):
            self.capture.sql.execute(
                f"INSERT INTO {self.tables[kind]} VALUES (%s, %s::text::{kind})", [number * 2 + half, value]
            )


@pytest.fixture(scope="module")
def published(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    capture = Capture(stack, tmp_path_factory.mktemp("types"), partitions=1)
    try:
        yield Published(capture)
    finally:
        capture.close()


def value_type(capture: Capture, table: str, column: str = "v") -> Any:
    """The registered type of a column, within its optional."""
    capture._registry.clear_latest_caches()
    schema = json.loads(
        str(capture._registry.get_latest_version(f"{capture.topic(table)}-value").schema.schema_str)
    )
    row = schema["fields"][0]["type"][1]
    (found,) = (field["type"] for field in row["fields"] if field["name"] == column)
    return found[1] if isinstance(found, list) else found


@pytest.mark.parametrize("kind", TYPES)
def test_every_value_comes_back(published: Published, kind: str) -> None:
    """By snapshot and by stream, extremes and nulls: given back to the server it is the value it was."""
    capture, table = published.capture, published.tables[kind]
    messages = capture.messages(table)
    assert len(messages) == 2 * (len(TYPES[kind]) + 1)
    assert sorted(m.value["op"] for m in messages) == ["c"] * (len(messages) // 2) + ["r"] * (
        len(messages) // 2
    )
    schema = value_type(capture, table)
    for message in messages:
        row = capture.sql.execute(
            f"SELECT v::text FROM {table} WHERE id = %s", [message.key["id"]]
        ).fetchone()
        assert row is not None
        assert back(capture, kind, schema, message) == row[0]


def back(capture: Capture, kind: str, schema: Any, message: Message) -> str | None:
    value = message.value["after"]["v"]
    special = json.loads(message.headers.get("tallystream.special", b"{}"))
    if special:
        assert value is None
        given = special["after.v"]
    elif value is None:
        return None
    elif kind == "public.hstore":
        pairs = json.loads(value)
        made = capture.sql.execute(
            "SELECT public.hstore(%s::text[], %s::text[])::text", [list(pairs), list(pairs.values())]
        )
        given = made.fetchall()[0][0]
    elif kind == "public.hstore[]":
        assert value == ['{"a": "1"}', None]
        return '{"\\"a\\"=>\\"1\\"",NULL}'
    elif kind == "box[]":
        given = "{" + ";".join(value) + "}"
    else:
        given = literal(schema, value)
    row = capture.sql.execute(f"SELECT (%s::text::{kind})::text", [given]).fetchone()
    assert row is not None
    return str(row[0])
