"""Which schema may follow which, at every level."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.registry import Compatibility, check_compatibility, parse_schema
from streams.registry.schemas import AvroSchema

FULL, BACKWARD, FORWARD = Compatibility.FULL, Compatibility.BACKWARD, Compatibility.FORWARD
FULL_TRANSITIVE = Compatibility.FULL_TRANSITIVE
NUMBER = {"name": "n", "type": "int"}
OPTIONAL = {"name": "o", "type": ["null", "string"], "default": None}


def record(*fields: dict[str, Any], name: str = "a.R", **attributes: Any) -> AvroSchema:
    return parse_schema(json.dumps({"type": "record", "name": name, "fields": list(fields), **attributes}))


def of(type_: Any, **attributes: Any) -> AvroSchema:
    return record({"name": "f", "type": type_, **attributes})


def decimal(precision: int, scale: int, **attributes: Any) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale, **attributes}


def logical(type_: str, name: str) -> dict[str, str]:
    return {"type": type_, "logicalType": name}


def enum(*symbols: str, **attributes: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "a.E", "symbols": list(symbols), **attributes}


# old, new, may the new read the old (BACKWARD), may the old read the new (FORWARD)
CASES: dict[str, tuple[AvroSchema, AvroSchema, bool, bool]] = {
    "same": (of("int"), of("int"), True, True),
    "optional field added": (record(NUMBER), record(NUMBER, OPTIONAL), True, True),
    "optional field removed": (record(NUMBER, OPTIONAL), record(NUMBER), True, True),
    "required field added": (record(NUMBER), record(NUMBER, {"name": "x", "type": "int"}), False, True),
    "required field removed": (record(NUMBER, {"name": "x", "type": "int"}), record(NUMBER), True, False),
    "int to long": (of("int"), of("long"), True, False),
    "long to double": (of("long"), of("double"), True, False),
    "string to bytes": (of("string"), of("bytes"), True, True),
    "int to string": (of("int"), of("string"), False, False),
    "made nullable": (of("int"), of(["null", "int"]), True, False),
    "enum symbol added": (of(enum("A")), of(enum("A", "B")), True, False),
    "enum symbol added, default": (
        of(enum("A", default="A")),
        of(enum("A", "B", default="A")),
        True,
        True,
    ),
    "record renamed": (record(NUMBER), record(NUMBER, name="a.S"), False, False),
    "record renamed, alias": (record(NUMBER), record(NUMBER, name="a.S", aliases=["a.R"]), True, False),
    "field renamed, alias": (
        record(NUMBER),
        record({"name": "m", "type": "int", "aliases": ["n"]}),
        True,
        False,
    ),
    "decimal same": (of(decimal(9, 2)), of(decimal(9, 2)), True, True),
    "decimal scale": (of(decimal(9, 2)), of(decimal(9, 4)), False, False),
    "decimal scale in an optional": (
        of(["null", decimal(9, 2)], default=None),
        of(["null", decimal(9, 4)], default=None),
        False,
        False,
    ),
    "decimal scale made optional": (of(decimal(9, 2)), of(["null", decimal(9, 3)]), False, False),
    "decimal scale in an array": (
        of({"type": "array", "items": decimal(9, 2)}),
        of({"type": "array", "items": decimal(9, 4)}),
        False,
        False,
    ),
    "decimal scale in a map": (
        of({"type": "map", "values": decimal(9, 2)}),
        of({"type": "map", "values": decimal(9, 4)}),
        False,
        False,
    ),
    "decimal widened": (of(decimal(9, 2)), of(decimal(18, 2)), True, False),
    "decimal scale absent is 0": (
        of({"type": "bytes", "logicalType": "decimal", "precision": 9}),
        of(decimal(9, 0)),
        True,
        True,
    ),
    "decimal to bytes": (of(decimal(9, 2)), of("bytes"), False, False),
    "millis to micros": (
        of(logical("long", "timestamp-millis")),
        of(logical("long", "timestamp-micros")),
        False,
        False,
    ),
    "date to plain int": (of(logical("int", "date")), of("int"), False, False),
    "date to timestamp": (of(logical("int", "date")), of(logical("long", "timestamp-micros")), False, False),
    "uuid noted": (of("string"), of(logical("string", "uuid")), True, True),
    "logical type under a renamed field": (
        record({"name": "n", "type": logical("int", "date")}),
        record({"name": "m", "type": "int", "aliases": ["n"]}),
        False,
        False,
    ),
    "recursive": (
        record({"name": "next", "type": ["null", "a.R"]}, {"name": "d", "type": decimal(9, 2)}),
        record({"name": "next", "type": ["null", "a.R"]}, {"name": "d", "type": decimal(9, 3)}),
        False,
        False,
    ),
}


@pytest.mark.parametrize(("old", "new", "backward", "forward"), CASES.values(), ids=CASES.keys())
def test_each_change_at_each_level(old: AvroSchema, new: AvroSchema, backward: bool, forward: bool) -> None:
    """BACKWARD is whether the new reads the old, FORWARD the reverse, FULL both."""
    verdicts = {level: not check_compatibility(new, [old], level) for level in (BACKWARD, FORWARD, FULL)}
    assert verdicts == {BACKWARD: backward, FORWARD: forward, FULL: backward and forward}


def test_transitive_levels_look_beyond_the_latest() -> None:
    """A field that comes back with another type agrees with the latest schema, but not with the first."""
    text = {"name": "o", "type": ["null", "string"], "default": None}
    number = {"name": "o", "type": ["null", "int"], "default": None}
    history = [record(NUMBER, text), record(NUMBER)]
    assert check_compatibility(record(NUMBER, number), history, FULL) == []
    problems = check_compatibility(record(NUMBER, number), history, FULL_TRANSITIVE)
    assert any("old #1" in problem for problem in problems)
    assert not any("old #2" in problem for problem in problems)


def test_the_place_of_a_misread_decimal_is_named() -> None:
    """The message leads to the field, with both scales."""
    (problem,) = check_compatibility(of(decimal(9, 4)), [of(decimal(9, 2))], BACKWARD)
    assert problem == "new can't read old #1: LOGICAL_TYPE at /f: decimal scale 2 read as 4"


def test_no_level_and_no_history_allow_everything() -> None:
    """NONE never refuses, and the first schema of a subject has nothing to agree with."""
    assert check_compatibility(of("int"), [of("string")], Compatibility.NONE) == []
    assert check_compatibility(of("int"), [], FULL_TRANSITIVE) == []


PRIMITIVES = st.sampled_from(["boolean", "int", "long", "float", "double", "bytes", "string"])
DECIMALS = st.tuples(st.integers(1, 38), st.integers(0, 38)).map(lambda t: decimal(max(t), min(t)))
TYPES = st.recursive(
    PRIMITIVES | DECIMALS,
    lambda inner: st.one_of(
        inner.map(lambda t: {"type": "array", "items": t}),
        inner.map(lambda t: {"type": "map", "values": t}),
        inner.filter(lambda t: not isinstance(t, list)).map(lambda t: ["null", t]),
    ),
    max_leaves=3,
)


@given(TYPES)
def test_every_schema_may_follow_itself(type_: Any) -> None:
    """Compatibility is reflexive at the strictest level."""
    assert check_compatibility(of(type_), [of(type_)], FULL_TRANSITIVE) == []


@given(TYPES, TYPES)
def test_full_is_backward_and_forward(one: Any, other: Any) -> None:
    """FULL refuses exactly what BACKWARD or FORWARD refuses, and does not depend on who is first."""
    new, old = of(one), of(other)
    full = check_compatibility(new, [old], FULL) == []
    assert full == (
        not check_compatibility(new, [old], BACKWARD) and not check_compatibility(new, [old], FORWARD)
    )
    assert full == (check_compatibility(old, [new], FULL) == [])
