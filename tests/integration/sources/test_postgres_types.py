"""PostgreSQL's types, column rules and changes of shape, on a real server: what is decoded from the topic,
given back to the server, is what the table holds."""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Iterator
from decimal import Context
from typing import Any

import pytest
import structlog
import structlog.testing
from integration.sources.harness import Capture, Message, read_topic, wait_until

from connectors.sources.postgres import catalog
from connectors.sources.postgres.halting import HALTED
from connectors.sources.postgres.server import Server
from connectors.sources.postgres.tables import Tables
from connectors.sources.subjects import Subjects
from connectors.sources.topics import Topics
from streams.errors import ConfigurationError, ContractViolation
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


PERSON = (
    "CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL, mail text, born date NOT NULL, "
    "salary numeric(9,2) NOT NULL, note text, kind text)"
)
KEY = "a key of thirty-two characters ok"
CLEAR = (b"Ada Lovelace", b"ada@example.org", b"1815", b"4711.25", b"secret note", b"-56270")


def rules(capture: Capture, **more: Any) -> dict[str, Any]:
    """Each kind of rule on a table of persons."""
    column = f"{capture.name}.person."
    return {
        "mask": {column + "name": "***"},
        "mask_null": [column + "born"],
        "hash": [column + "mail", column + "salary"],
        "columns_exclude": [column + "note"],
        "hash_key_env": "TEST_HASH_KEY",
        **more,
    }


def raw(capture: Capture, table: str) -> bytes:
    """All bytes of a topic: keys, values and headers."""
    parts = []
    for message in read_topic(capture.stack.broker.bootstrap, capture.topic(table)):
        parts += [message.key() or b"", message.value() or b"", str(message.headers()).encode()]
    return b"\n".join(parts)


def test_no_clear_value_reaches_the_topic(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left out, masked and hashed in snapshot and stream, before and after, special values too."""
    monkeypatch.setenv("TEST_HASH_KEY", KEY)
    capture.sql.execute(PERSON)
    capture.sql.execute("ALTER TABLE person REPLICA IDENTITY FULL")
    insert = "INSERT INTO person VALUES (%s, 'Ada Lovelace', 'ada@example.org', '1815-12-10', %s, 'secret note', 'x')"
    capture.sql.execute(insert, [1, "4711.25"])
    capture.run_once(**rules(capture))
    capture.sql.execute(insert, [2, "4711.25"])
    capture.sql.execute(insert, [3, "NaN"])
    capture.sql.execute("UPDATE person SET kind = 'y', mail = NULL WHERE id = 1")
    capture.sql.execute("DELETE FROM person WHERE id = 2")
    capture.run_once(**rules(capture))
    everything = raw(capture, "person")
    for clear in (*CLEAR, b"NaN"):
        assert clear not in everything
    messages = sorted(capture.messages("person"), key=lambda m: m.position)
    read, created, odd, update = (m.value for m in messages[:4])
    assert read["after"].keys() == {"id", "name", "mail", "born", "salary", "kind"}
    assert (read["after"]["name"], read["after"]["born"], read["after"]["kind"]) == ("***", None, "x")
    assert read["after"]["mail"] == hmac.digest(KEY.encode(), b"ada@example.org", "sha256").hex()
    assert {k: v for k, v in created["after"].items() if k != "id"} == {
        k: v for k, v in read["after"].items() if k != "id"
    }
    assert odd["after"]["salary"] == hmac.digest(KEY.encode(), b"NaN", "sha256").hex()
    assert update["before"] == read["after"]
    assert update["after"] == {**read["after"], "kind": "y", "mail": None}
    assert messages[4].value["before"] == created["after"]
    # The same search finds what is not protected.
    assert b"x" in everything
    capture.sql.execute("CREATE TABLE plain AS TABLE person")
    capture.run_once(**rules(capture))
    assert b"Ada Lovelace" in raw(capture, "plain")


def test_hashed_keys_join(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key and the column that refers to it get the same hash; deletes stand under it as well."""
    monkeypatch.setenv("TEST_HASH_KEY", KEY)
    capture.sql.execute("CREATE TABLE a (nr text PRIMARY KEY, v int)")
    capture.sql.execute("CREATE TABLE b (id int PRIMARY KEY, nr text)")
    both = {"hash": [f"{capture.name}.a.nr", f"{capture.name}.b.nr"], "hash_key_env": "TEST_HASH_KEY"}
    capture.sql.execute("INSERT INTO a VALUES ('visible-1', 1)")
    capture.sql.execute("INSERT INTO b VALUES (1, 'visible-1')")
    capture.run_once(**both)
    capture.sql.execute("UPDATE a SET nr = 'visible-2'")
    capture.sql.execute("DELETE FROM a")
    capture.run_once(**both)
    messages = sorted(capture.messages("a"), key=lambda m: m.position)
    assert messages[0].key["nr"] == capture.messages("b")[0].value["after"]["nr"]
    assert [m.value and m.value["op"] for m in messages] == ["r", "d", None, "c", "d", None]
    assert messages[1].key == messages[0].key != messages[3].key == messages[4].key
    assert b"visible" not in raw(capture, "a") + raw(capture, "b")


def test_only_the_listed_columns(capture: Capture) -> None:
    """Of a table with listed columns these and the key, in their order; other tables are whole."""
    capture.sql.execute(PERSON)
    capture.sql.execute("CREATE TABLE other (id int PRIMARY KEY, v int)")
    capture.sql.execute("INSERT INTO person VALUES (1, 'A', 'm', now(), 1, 'n', 'k')")
    capture.sql.execute("INSERT INTO other VALUES (1, 2)")
    only = [f"{capture.name}.person.kind", f"{capture.name}.person.name"]
    capture.run_once(columns_include=only)
    assert capture.messages("person")[0].value["after"] == {"id": 1, "name": "A", "kind": "k"}
    assert capture.messages("other")[0].value["after"] == {"id": 1, "v": 2}


@pytest.mark.parametrize(
    ("option", "column", "said"),
    [
        ("columns_exclude", "id", "columns_exclude: .*person.id is a key column"),
        ("mask_null", "id", "mask_null: .*person.id is a key column"),
        ("mask_null", "nmae", "mask_null: there is no column .*person.nmae"),
        ("as_text", "nothing", "as_text: there is no column"),
    ],
)
def test_rules_that_cannot_be(capture: Capture, option: str, column: str, said: str) -> None:
    """A key column that would be missing, and a slip of the pen, are refused before a row is read."""
    capture.sql.execute(PERSON)
    capture.sql.execute("INSERT INTO person VALUES (1, 'A', 'm', now(), 1, 'n', 'k')")
    with pytest.raises(ConfigurationError, match=said) as raised:
        capture.run_once(**{option: [f"{capture.name}.person.{column}"]})
    assert "\n" not in str(raised.value)
    assert capture.messages("person") == []


def test_a_masked_column_that_is_renamed_halts_its_table(capture: Capture) -> None:
    """Under its new name nothing of it is published; the rest flows."""
    capture.sql.execute(PERSON)
    capture.sql.execute("CREATE TABLE other (id int PRIMARY KEY, v int)")
    with capture.running(mask={f"{capture.name}.person.name": "***"}):
        wait_until(capture.slot_active)
        capture.sql.execute("INSERT INTO person VALUES (1, 'Ada Lovelace', 'm', now(), 1, 'n', 'k')")
        capture.sql.execute("ALTER TABLE person RENAME name TO called")
        capture.sql.execute("INSERT INTO person VALUES (2, 'Ada Lovelace', 'm', now(), 1, 'n', 'k')")
        capture.sql.execute("INSERT INTO other VALUES (1, 2)")
        wait_until(lambda: len(capture.messages("other")) == 1)
    assert b"Ada" not in raw(capture, "person")
    assert [m.key["id"] for m in capture.messages("person")] == [1]
    with pytest.raises(ConfigurationError, match=r"there is no column .*person\.name"):
        capture.run_once(mask={f"{capture.name}.person.name": "***"})
    capture.run_once(mask={f"{capture.name}.person.called": "***"})
    assert sorted(m.key["id"] for m in capture.messages("person")) == [1, 1, 2]
    assert b"Ada" not in raw(capture, "person")


def test_a_type_without_a_faithful_form(capture: Capture) -> None:
    """Refused at the start by the column's name, unless left out or wanted as the text that it has."""
    capture.sql.execute("CREATE TABLE odd (id int PRIMARY KEY, sum gtsvector, sums gtsvector[])")
    capture.sql.execute("INSERT INTO odd VALUES (1)")
    sums = [f"{capture.name}.odd.sum", f"{capture.name}.odd.sums"]
    with pytest.raises(ConfigurationError, match=rf"{sums[0]} \(gtsvector\), {sums[1]} \(_gtsvector\)"):
        capture.run_once()
    assert capture.messages("odd") == []
    capture.run_once(as_text=sums)
    assert capture.messages("odd")[0].value["after"] == {"id": 1, "sum": None, "sums": None}
    assert value_type(capture, "odd", "sum")["connect.parameters"] == {
        "__debezium.source.column.type": "GTSVECTOR"
    }


def test_as_text_lets_an_infinite_key_through(capture: Capture) -> None:
    """A date in a key is a number of days, which infinity has none of; as text it has."""
    capture.sql.execute("CREATE TABLE rate (upto date PRIMARY KEY, v int[])")
    capture.sql.execute("INSERT INTO rate VALUES ('infinity', '{{1}}')")
    with pytest.raises(ContractViolation, match=r"rate: key column upto .*as_text"):
        capture.run_once()
    capture.sql.execute("CREATE TABLE rate2 (upto date PRIMARY KEY, v int[])")
    capture.sql.execute("INSERT INTO rate2 VALUES ('infinity', '{{1}}')")
    text = [f"{capture.name}.rate2.upto", f"{capture.name}.rate2.v"]
    capture.sql.execute("DROP TABLE rate")
    capture.run_once(as_text=text)
    assert capture.messages("rate2")[0].key == {"upto": "infinity"}
    assert capture.messages("rate2")[0].value["after"] == {"upto": "infinity", "v": "{{1}}"}


def test_a_label_added_while_streaming(capture: Capture) -> None:
    """Gets a new version of the schema that lists it, in a column, an array and a key; nothing is lost."""
    capture.sql.execute("CREATE TYPE state AS ENUM ('a', 'b')")
    capture.sql.execute("CREATE TABLE e (st state PRIMARY KEY, v state NOT NULL, w state[])")
    with capture.running():
        wait_until(capture.slot_active)
        capture.sql.execute("INSERT INTO e VALUES ('a', 'b', '{a}')")
        capture.sql.execute("ALTER TYPE state ADD VALUE 'between' BEFORE 'b'")
        capture.sql.execute("INSERT INTO e VALUES ('b', 'between', '{between,NULL}')")
        capture.sql.execute("ALTER TYPE state ADD VALUE 'later'")
        capture.sql.execute("INSERT INTO e VALUES ('later', 'a', '{later}')")
        wait_until(lambda: len(capture.messages("e")) == 3)
    rows = {m.key["st"]: m.value["after"] for m in capture.messages("e")}
    assert rows["b"] == {"st": "b", "v": "between", "w": ["between", None]}
    assert rows["later"] == {"st": "later", "v": "a", "w": ["later"]}
    assert value_type(capture, "e")["connect.parameters"] == {"allowed": "a,b,between"}
    # In the server's order from the next session's first change of the table on.
    capture.sql.execute("INSERT INTO e VALUES ('between', 'later', '{}')")
    capture.run_once()
    assert value_type(capture, "e")["connect.parameters"] == {"allowed": "a,between,b,later"}


def test_an_incompatible_change_halts_its_table_only(capture: Capture) -> None:
    """The rest flows; the log names the choices; undone, the table is read anew at the next start."""
    for table in ("line", "other"):
        capture.sql.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
    full_name = f"{capture.name}.line"
    with structlog.testing.capture_logs() as logs, capture.running():
        wait_until(capture.slot_active)
        capture.sql.execute("INSERT INTO line VALUES (1, 1)")
        capture.sql.execute("ALTER TABLE line ALTER v TYPE text USING 'x' || v")
        with capture.sql.transaction():
            capture.sql.execute("INSERT INTO line VALUES (2, 'text')")
            capture.sql.execute("INSERT INTO other VALUES (1, 1)")
        capture.sql.execute("INSERT INTO line VALUES (3, 'text')")
        capture.sql.execute("INSERT INTO other VALUES (2, 2)")
        wait_until(lambda: len(capture.messages("other")) == 2)
    assert HALTED.labels(capture.name, full_name)._value.get() == 1
    (entry,) = [one for one in logs if one["event"] == "table_halted"]
    assert (entry["table"], entry["log_level"]) == (full_name, "error")
    assert f"{full_name}: column v changed" in entry["reason"]
    assert "columns_exclude" in entry["choices"]
    assert [m.key["id"] for m in capture.messages("line")] == [1]
    with pytest.raises(ContractViolation, match="column v changed"):  # not undone: said again
        capture.run_once()
    capture.sql.execute("ALTER TABLE line ALTER v TYPE int USING 7")
    capture.run_once()
    assert (
        capture.folded("line", "id", "v")
        == capture.rows("line", "id", "v")
        == {1: (1, 7), 2: (2, 7), 3: (3, 7)}
    )
    assert capture.folded("other", "id", "v") == capture.rows("other", "id", "v")


def test_a_snapshot_of_a_table_that_changed_meanwhile_is_refused(capture: Capture) -> None:
    """Nobody reads rows of a shape that can't be published; the publication stays as it is."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, v int)")
    capture.run_once()
    around, full_name = capture.surroundings, f"{capture.name}.line"
    server = Server(capture.dsn, "test")
    with Subjects(around.registry_url) as subjects, server.connect() as connection:
        topics = Topics(around.kafka, 2, 1)
        tables = Tables(server, capture.name, {full_name}, subjects, topics)
        (one,) = catalog.included_tables(connection, [full_name])
        table = tables.table(catalog.current_relation(connection, one.oid, None))
        assert table is not None
        assert tables.table(table.relation) is table  # the log's shape is the same
        connection.execute(f"ALTER TABLE {full_name} ALTER v TYPE text")
        with pytest.raises(ContractViolation, match="column v changed"):
            tables.table(catalog.current_relation(connection, one.oid, None))
        assert tables.table(table.relation) is table
        assert catalog.published_columns(connection, capture.slot(), one) == ["id", "v"]


def test_a_shared_publication_is_left_alone(capture: Capture) -> None:
    """One that the configuration names may be others' too: the source stops before the change instead."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, v int)")
    capture.sql.execute(f"CREATE PUBLICATION {capture.slot()} FOR TABLE line")

    def run() -> None:
        with capture.running(publication=capture.slot()):
            wait_until(capture.slot_active)
            capture.sql.execute("ALTER TABLE line ALTER v TYPE text")
            capture.sql.execute("INSERT INTO line VALUES (2, 'text')")
            wait_until(lambda: not capture.slot_active())

    with pytest.raises(ContractViolation, match="column v changed"):
        run()
    capture.sql.execute("ALTER TABLE line ALTER v TYPE int USING 7")
    found = capture.sql.execute(
        "SELECT tablename FROM pg_publication_tables WHERE pubname = %s", [capture.slot()]
    )
    assert found.fetchall() == [("line",)]


@pytest.mark.parametrize("back", [False, True])
def test_a_renamed_table_loses_nothing(capture: Capture, back: bool) -> None:
    """Changes under the new name are not those of the old topic: read anew at the next start, under
    whichever name it then has."""
    capture.sql.execute("CREATE TABLE line (id int PRIMARY KEY, v int)")
    capture.sql.execute("CREATE TABLE other (id int PRIMARY KEY, v int)")
    with capture.running():
        wait_until(capture.slot_active)
        capture.sql.execute("INSERT INTO line VALUES (1, 1)")
        capture.sql.execute("ALTER TABLE line RENAME TO row")
        capture.sql.execute('INSERT INTO "row" VALUES (2, 2)')
        if back:
            capture.sql.execute('ALTER TABLE "row" RENAME TO line')
            capture.sql.execute("INSERT INTO line VALUES (3, 3)")
        capture.sql.execute("INSERT INTO other VALUES (1, 1)")
        wait_until(lambda: len(capture.messages("other")) == 1)
    capture.run_once()
    name = "line" if back else "row"
    assert len(capture.folded(name, "id", "v")) == (3 if back else 2)
    assert capture.folded(name, "id", "v") == capture.rows(f'"{name}"', "id", "v")


def test_shapes_change_while_streaming(capture: Capture) -> None:
    """Dropped and added again with another type that readers can follow, retyped, generated, partitioned."""
    sql = capture.sql
    sql.execute(
        "CREATE TABLE part (id int PRIMARY KEY, v int, twice int GENERATED ALWAYS AS (v * 2) STORED) "
        "PARTITION BY RANGE (id)"
    )
    sql.execute("CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100)")
    with capture.running():
        wait_until(capture.slot_active)
        sql.execute("INSERT INTO part VALUES (1, 1)")
        sql.execute("ALTER TABLE part DROP v CASCADE")
        sql.execute("INSERT INTO part VALUES (2)")
        sql.execute("ALTER TABLE part ADD v int NOT NULL DEFAULT 5")
        sql.execute("CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (100) TO (200)")
        sql.execute("INSERT INTO part VALUES (103)")
        sql.execute("ALTER TABLE part ALTER v TYPE bigint")
        sql.execute("INSERT INTO part VALUES (4, 9223372036854775807)")
        wait_until(lambda: len(capture.messages("part")) == 4)
    after = {m.key["id"]: m.value["after"] for m in capture.messages("part")}
    assert after == {
        1: {"id": 1, "v": 1},
        2: {"id": 2},
        103: {"id": 103, "v": 5},
        4: {"id": 4, "v": 9223372036854775807},
    }


def test_a_column_made_nullable_stays_so(capture: Capture) -> None:
    """NaN made a NOT NULL column nullable; the versions after it keep that."""
    capture.sql.execute("CREATE TABLE cap (id int PRIMARY KEY, cost numeric(12,2) NOT NULL)")
    capture.sql.execute("ALTER TABLE cap REPLICA IDENTITY FULL")
    capture.run_once()
    with capture.running():
        wait_until(capture.slot_active)
        capture.sql.execute("INSERT INTO cap VALUES (1, 1), (2, 'NaN')")
        capture.sql.execute("ALTER TABLE cap ADD note text")
        capture.sql.execute("INSERT INTO cap VALUES (3, 3, 'x')")
        wait_until(lambda: len(capture.messages("cap")) == 3)
    assert {m.key["id"]: m.value["after"].get("note") for m in capture.messages("cap")} == {
        1: None,
        2: None,
        3: "x",
    }


def test_generated_columns_that_are_published(capture: Capture) -> None:
    """PostgreSQL 18 publishes them where the publication says so: in the snapshot as in the stream."""
    capture.sql.execute("CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)")
    capture.sql.execute(
        f"CREATE PUBLICATION {capture.slot()} FOR TABLE g WITH (publish_generated_columns = stored)"
    )
    capture.sql.execute("INSERT INTO g VALUES (1)")
    capture.run_once()
    capture.sql.execute("INSERT INTO g VALUES (2)")
    capture.run_once()
    assert capture.folded("g", "id", "twice") == {1: (1, 2), 2: (2, 4)}
