"""Columns that are left out, masked, hashed, or published as text; and rules that can't be."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from integration.sources.harness import Capture, read_topic, wait_until

from streams.errors import ConfigurationError, ContractViolation


def value_type(capture: Capture, table: str, column: str = "v") -> Any:
    """The registered type of a column, within its optional."""
    capture._registry.clear_latest_caches()
    schema = json.loads(
        str(capture._registry.get_latest_version(f"{capture.topic(table)}-value").schema.schema_str)
    )
    row = schema["fields"][0]["type"][1]
    (found,) = (field["type"] for field in row["fields"] if field["name"] == column)
    return found[1] if isinstance(found, list) else found


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
        wait_until(capture.streaming)
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
