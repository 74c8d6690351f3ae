"""Parsing: what is a schema, what is not, and which texts are the same schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.registry import InvalidSchema, parse_schema


def record(*fields: dict[str, Any], **attributes: Any) -> str:
    return json.dumps(
        {"type": "record", "name": "R", "namespace": "a.b", "fields": list(fields), **attributes}
    )


def field(type_: Any, **attributes: Any) -> dict[str, Any]:
    return {"name": "f", "type": type_, **attributes}


def decimal(**attributes: Any) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2, **attributes}


FIXED = {"type": "fixed", "name": "F", "size": 2}
ENUM = {"type": "enum", "name": "E", "symbols": ["X", "Y"]}

VALID = [
    '"string"',
    '{"type":"string"}',
    '["null","int"]',
    record(),
    record(field(["null", "string"], default=None)),
    record(field("long", default=2**63 - 1)),
    record(field("double", default=1)),
    record(field("bytes", default="\u00ff")),
    record(field(FIXED, default="ab")),
    record(field(ENUM, default="X")),
    record(field({"type": "array", "items": "int"}, default=[])),
    record(field({"type": "map", "values": "int"}, default={"a": 1})),
    record(field(decimal(), default="\u0000")),
    record(field(["null", "R"])),
    record(field(["null", "a.b.R"])),
    record(field({"type": "fixed", "name": "D", "size": 8, "logicalType": "decimal", "precision": 18})),
    record(field({"type": "string", "logicalType": "uuid"})),
    record(field({"type": "int", "connect.name": "x"})),
]

INVALID = [
    ("", "not JSON"),
    ("{", "not JSON"),
    ("NaN", "not JSON"),
    ("42", "a schema is"),
    ('"strin"', "no type"),
    ('{"type":"record","name":"R"}', "list of fields"),
    ('{"type":"record","name":"a-b","fields":[]}', "no name"),
    ('{"type":"record","name":"1a","fields":[]}', "no name"),
    ('{"type":"record","name":"R","namespace":"a..b","fields":[]}', "no name"),
    ('{"type":"record","name":"R","aliases":["a-b"],"fields":[]}', "no name"),
    ('{"type":"record","name":"error","fields":[]}', "can't be a type's name"),
    ('{"type":"record","name":"string","fields":[]}', "can't be a type's name"),
    ('{"type":"error","name":"R","fields":[]}', "no type of a schema"),
    ('{"type":"record","name":"R","name":"S","fields":[]}', "given twice"),
    ('{"type":"enum","name":"E","symbols":[]}', "needs symbols"),
    ('{"type":"enum","name":"E","symbols":["A","A"]}', "each once"),
    ('{"type":"enum","name":"E","symbols":["A-B"]}', "no name"),
    ('{"type":"enum","name":"E","symbols":["A"],"default":"B"}', "no symbol"),
    ('{"type":"fixed","name":"F"}', "needs a size"),
    ('{"type":"array"}', "needs items"),
    ('["int","int"]', "twice in the union"),
    ('[["int"]]', "hold a union"),
    (record(field("int"), field("int")), "there twice"),
    (record(field("X")), "no type"),
    (record({"name": "f"}), "name and type"),
    (record({"name": "a.b", "type": "int"}), "no name"),
    (record(field("int", order="up")), "order"),
    (record(field("int", default="1")), "is no int"),
    (record(field("int", default=True)), "is no int"),
    (record(field("int", default=2**31)), "is no int"),
    (record(field("string", default=None)), "is no string"),
    (record(field(["null", "string"], default="x")), "first branch"),
    (record(field("bytes", default="\u0100")), "is no bytes"),
    (record(field(FIXED, default="abc")), "is no fixed"),
    (record(field(ENUM, default="Z")), "is no enum"),
    (record(field({"type": "array", "items": "int"}, default=[1, "2"])), "is no int"),
    (record(field({"type": "map", "values": "int"}, default=[])), "is no map"),
    (record(field({"type": "record", "name": "S", "fields": [field("int")]}, default={})), "lacks f"),
    (record(field(decimal(precision=0))), "precision"),
    (record(field(decimal(precision=None))), "precision"),
    (record(field(decimal(scale=10))), "scale"),
    (record(field(decimal(scale=-1))), "scale"),
    (record(field({**FIXED, "logicalType": "decimal", "precision": 5})), "don't fit"),
    (record(field({"type": "string", "logicalType": "decimal", "precision": 5})), "needs bytes or fixed"),
    (record(field({"type": "string", "logicalType": "date"})), "needs int"),
    ("[" * 100_000, "nested too deeply"),
]


@pytest.mark.parametrize("text", VALID)
def test_a_valid_schema_is_accepted(text: str) -> None:
    """Every construct of the specification that contracts and Debezium use."""
    assert parse_schema(text).identity


@pytest.mark.parametrize(("text", "reason"), INVALID)
def test_an_invalid_schema_is_refused_with_the_reason(text: str, reason: str) -> None:
    """Broken JSON, names, defaults, decimals and unions never get an id."""
    with pytest.raises(InvalidSchema, match=reason):
        parse_schema(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"int"', ' { "type" : "int" } '),
        (
            '{"type":"record","name":"R","namespace":"a","fields":[]}',
            '{"fields":[],"name":"a.R","type":"record"}',
        ),
        (
            record(field(["null", "R"])),
            record(field(["null", "a.b.R"])),
        ),
    ],
)
def test_texts_of_the_same_schema_have_one_identity(one: str, other: str) -> None:
    """Blanks, order of attributes, and ways to write a name don't make another schema."""
    assert parse_schema(one).identity == parse_schema(other).identity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (record(), record(doc="what it is")),
        (record(field("int")), record(field("int", default=0))),
        (record(field(decimal())), record(field(decimal(scale=3)))),
    ],
)
def test_different_schemas_have_different_identities(one: str, other: str) -> None:
    """Documentation, defaults and decimals are part of a schema."""
    assert parse_schema(one).identity != parse_schema(other).identity


def test_the_text_is_kept_as_given_without_blanks() -> None:
    """Readers get their own attributes back, in their order."""
    assert parse_schema('{ "type": "int", "x": [1, 2] }').text == '{"type":"int","x":[1,2]}'
