"""contracts.yaml and its schemas: what is wrong is named by topic and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.cli import contracts as cli
from streams.contracts import Contracts, TopicContract, load_contracts, load_schema
from streams.contracts.topics import contract_topics, key_of, state_topics, topic_config
from streams.errors import ConfigurationError

GOOD: dict[str, Any] = {
    "schema": "canonical/task",
    "key": "id",
    "partitions": 2,
    "cleanup": "compact",
    "retention_days": -1,
    "compatibility": "FULL_TRANSITIVE",
    "owner": "me",
    "sla_seconds": 5,
    "data_class": "operational",
}


def written(tmp_path: Path, topics: object, defaults: object = None) -> Path:
    """A contracts file."""
    path = tmp_path / "contracts.yaml"
    path.write_text(yaml.safe_dump({"defaults": defaults or {}, "topics": topics}), encoding="utf-8")
    return path


def test_the_shipped_contracts_load_and_hold_together() -> None:
    """What we ship has no problem of its own."""
    contracts = load_contracts()
    assert cli.schema_problems(contracts) == []
    assert "billing.events" in contracts.topics
    assert all(contracts.topics[name].partitions == 1 for name in contracts.reference_topics())


def test_defaults_fill_in_and_are_overridden(tmp_path: Path) -> None:
    """A topic says what is its own."""
    path = written(tmp_path, {"a": {"owner": "you"}, "b": None}, GOOD)
    contracts = load_contracts(path)
    assert contracts.topics["a"].owner == "you"
    assert contracts.topics["b"].owner == "me"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"retension_days": 3}, "t: unknown key retension_days; known are"),
        ({"cleanup": "shred"}, "t: cleanup must be one of compact, delete"),
        ({"compatibility": "NONE"}, "t: compatibility must be one of"),
        ({"role": "king"}, "t: role must be one of"),
        ({"data_class": "secret"}, "t: data_class must be one of"),
        ({"partitions": 0}, "t: partitions must be a whole number of at least 1"),
        ({"partitions": "four"}, "t: partitions must be a whole number"),
        ({"sla_seconds": -1}, "t: sla_seconds must be a whole number"),
    ],
)
def test_a_wrong_value_is_named_with_its_topic_and_key(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    """One line says where and what."""
    with pytest.raises(ConfigurationError) as caught:
        load_contracts(written(tmp_path, {"t": {**GOOD, **change}}))
    assert complaint in str(caught.value)
    assert "contracts.yaml" in str(caught.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    """A topic without an owner has nobody to ask."""
    body = {key: value for key, value in GOOD.items() if key != "owner"}
    with pytest.raises(ConfigurationError, match=r"t: .*owner"):
        load_contracts(written(tmp_path, {"t": body}))


def test_topics_read_together_must_agree(tmp_path: Path) -> None:
    """A group with two counts would send keys to different lanes."""
    topics = {"a": {**GOOD, "group": "g"}, "b": {**GOOD, "group": "g", "partitions": 3}}
    with pytest.raises(ConfigurationError, match="b has 3 partitions and a has 2; topics of group g"):
        load_contracts(written(tmp_path, topics))


@pytest.mark.parametrize("text", ["", "[]", "topics: 5", "a: [", "topics: {t: {"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    """Empty, a list, broken YAML: a `ConfigurationError` that names the file."""
    path = tmp_path / "contracts.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"contracts\.yaml"):
        load_contracts(path)


@pytest.mark.parametrize("body", [5, "text", ["partitions"]])
def test_a_topic_that_is_no_mapping_is_refused(tmp_path: Path, body: object) -> None:
    """A slip of indentation is told as one."""
    with pytest.raises(ConfigurationError, match="t"):
        load_contracts(written(tmp_path, {"t": body}))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """By its path."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml"):
        load_contracts(tmp_path / "nowhere.yaml")


def test_an_unknown_schema_is_named() -> None:
    """With the path where it should be."""
    with pytest.raises(ConfigurationError, match="no schema canonical/nothing"):
        load_schema("canonical/nothing")


def contract(**changes: Any) -> TopicContract:
    """One contract."""
    return TopicContract(name="t", **{**GOOD, **changes})


def problems_of(monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], **changes: Any) -> list[str]:
    """What the schema check says of a topic with this schema."""
    monkeypatch.setattr(cli, "load_schema", lambda name: schema)
    return cli.schema_problems(Contracts({"t": contract(**changes)}))


def schema_with(*fields: tuple[str, Any]) -> dict[str, Any]:
    """A documented record with an id and these fields."""
    listed = [{"name": "id", "type": "string"}, *({"name": n, "type": t} for n, t in fields)]
    return {"type": "record", "name": "R", "doc": "d", "fields": listed}


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("double", "uses double"),
        ("float", "uses float"),
        (["null", "double"], "uses double"),
        (["null", "string", "long"], "uses a union of several types"),
        ({"type": "int", "logicalType": "time-millis"}, "uses time-millis"),
        ({"type": "array", "items": "double"}, "uses double"),
        (["null", {"type": "map", "values": "float"}], "uses float"),
        (
            {"type": "record", "name": "Inner", "fields": [{"name": "price", "type": "double"}]},
            "uses double",
        ),
        (
            {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "In",
                    "fields": [{"name": "p", "type": ["null", "float"]}],
                },
            },
            "uses float",
        ),
    ],
)
def test_types_that_lose_money_or_readers_are_found(
    monkeypatch: pytest.MonkeyPatch, kind: Any, complaint: str
) -> None:
    """Also where they hide in an array, a map, or a record inside."""
    found = problems_of(monkeypatch, schema_with(("f", kind)))
    assert len(found) == 1
    assert found[0].startswith("t: field f of canonical/task")
    assert complaint in found[0]


@pytest.mark.parametrize(
    "kind",
    [
        ["null", "string"],
        {"type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4},
        ["null", {"type": "array", "items": "string"}],
        {"type": "long", "logicalType": "timestamp-micros"},
        {"type": "enum", "name": "E", "symbols": ["A"]},
    ],
)
def test_ordinary_types_are_no_problem(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """The check has no false alarms."""
    assert problems_of(monkeypatch, schema_with(("f", kind))) == []


def test_a_key_that_is_no_field_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of a key, and the part that decides the partition."""
    found = problems_of(monkeypatch, schema_with(), key="id|root_id", partition_by="root")
    assert found == [
        "t: key part root_id is no field of canonical/task",
        "t: key part root is no field of canonical/task",
    ]


def test_schemas_without_documentation_or_sense_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """No doc; a type that does not exist."""
    undocumented = schema_with()
    del undocumented["doc"]
    assert problems_of(monkeypatch, undocumented) == ["t: schema canonical/task has no doc"]
    assert "does not parse" in problems_of(monkeypatch, schema_with(("f", "strin")))[0]


def test_keys_are_joined_as_text() -> None:
    """Key parts in the contract's order."""
    assert key_of(contract(key="b|a"), {"a": 1, "b": "x"}) == b"x|1"


def test_parts_of_a_key_that_hold_its_separator_do_not_collide() -> None:
    """Two records of different parts have different keys; a key of one part is left as it is."""
    compound = contract(key="a|b")
    assert key_of(compound, {"a": "x|y", "b": "z"}) == b"x%7Cy|z"
    assert key_of(compound, {"a": "x", "b": "y|z"}) == b"x|y%7Cz"
    assert key_of(compound, {"a": "x%7Cy", "b": "z"}) == b"x%257Cy|z"
    assert key_of(contract(key="a"), {"a": "x|%"}) == b"x|%"


def test_topics_are_configured_by_their_contracts() -> None:
    """Compacted topics keep the latest, others for their days or for ever."""
    assert topic_config("compact", -1)["cleanup.policy"] == "compact"
    assert topic_config("delete", 7) == {"cleanup.policy": "delete", "retention.ms": "604800000"}
    assert topic_config("delete", -1)["retention.ms"] == "-1"


def test_an_override_spreads_only_topics_that_are_spread() -> None:
    """An installation's count leaves the broadcast topics whole."""
    contracts = load_contracts()
    topics = contract_topics(contracts, 7)
    assert topics["canonical.time_entry"][0] == 7
    assert topics["canonical.rate"][0] == 1
    assert state_topics(["s"], {"s": 7})["state.s"][0] == 7


def test_the_list_is_json_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    """Every contract with all its fields."""
    cli.list_contracts(as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert {topic["name"] for topic in listed} == set(load_contracts().topics)
