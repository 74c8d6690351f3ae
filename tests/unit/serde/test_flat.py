"""The fast codec of flat records gives exactly what the general one gives."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.contracts import contract_path, load_schema
from streams.serde.flatreader import flat_reader
from streams.serde.flatwriter import flat_writer

# Their values are records in lists, or maps of unions: the general codec serves them.
GENERAL = {"events/latency_samples"}
NAMES = sorted(
    f"{path.parent.name}/{path.stem}"
    for path in Path(contract_path("contracts.yaml")).parent.glob("*/*.avsc")
    if f"{path.parent.name}/{path.stem}" not in GENERAL
)


def record_of(*kinds: Any) -> dict[str, Any]:
    """A record schema with a field for each type."""
    fields = [{"name": f"f{number}", "type": kind} for number, kind in enumerate(kinds)]
    return {"type": "record", "name": "R", "fields": fields}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type."""
    if isinstance(kind, list):
        return st.none() | values(kind[1])
    name = kind["type"] if isinstance(kind, dict) else kind
    logical = kind.get("logicalType") if isinstance(kind, dict) else None
    if logical == "decimal":
        scale, digits = kind["scale"], kind["precision"]
        return st.integers(-(10**digits) + 1, 10**digits - 1).map(
            lambda n: Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -scale))
        )
    if logical == "date":
        return st.dates()
    if logical == "timestamp-micros":
        return st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)).map(  # noqa: DTZ001
            lambda time: time.replace(tzinfo=UTC)
        )
    if name == "record":
        return records(kind)
    if name == "array":
        return st.lists(st.text(max_size=4), max_size=3)
    if name == "map":
        return st.dictionaries(st.text(max_size=4), st.binary(max_size=80), max_size=3)
    plain: dict[str, st.SearchStrategy[Any]] = {
        "string": st.text(max_size=80),
        "bytes": st.binary(max_size=80),
        "boolean": st.booleans(),
        "int": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
    }
    return plain[name]


def records(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Records of a schema."""
    return st.fixed_dictionaries({field["name"]: values(field["type"]) for field in schema["fields"]})


def general_bytes(schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    """What the general codec writes."""
    buffer = BytesIO()
    schemaless_writer(buffer, parse_schema(schema), record)
    return buffer.getvalue()


def exact(record: Any) -> str:
    """A record with the form of its numbers, of which 1.0 and 1.00 are equal."""
    return repr(record)


@pytest.mark.parametrize("name", NAMES)
# Without a deadline: the first value compiles the reader and the writer.
@settings(deadline=None)
@given(data=st.data())
def test_bytes_and_values_are_those_of_the_general_codec(name: str, data: st.DataObject) -> None:
    """Every schema of ours: both write the same bytes, and read the same values from them."""
    schema = load_schema(name)
    write, read = flat_writer(schema), flat_reader(schema)
    assert write is not None
    assert read is not None
    record = data.draw(records(schema))
    written = general_bytes(schema, record)
    assert write(record, b"prefix") == b"prefix" + written
    found, end = read(b"prefix" + written, len(b"prefix"))
    assert end == len(b"prefix") + len(written)
    assert exact(found) == exact(schemaless_reader(BytesIO(written), parse_schema(schema)))


@given(records(load_schema("events/rated")), st.data())
def test_cut_bytes_are_never_a_record(record: dict[str, Any], data: st.DataObject) -> None:
    """A record without its last bytes raises, or asks for bytes beyond the end."""
    schema = load_schema("events/rated")
    read = flat_reader(schema)
    assert read is not None
    written = general_bytes(schema, record)
    cut = written[: data.draw(st.integers(0, len(written) - 1))]
    try:
        _, end = read(cut, 0)
    except (IndexError, ValueError, OverflowError):
        return
    assert end > len(cut)


@given(st.binary(max_size=60))
def test_what_both_read_is_the_same(data: bytes) -> None:
    """Any bytes: where neither codec refuses them, they agree."""
    schema = record_of("string", ["null", "long"], {"type": "int", "logicalType": "date"}, "boolean")
    read = flat_reader(schema)
    assert read is not None
    stream = BytesIO(data)
    try:
        expected = schemaless_reader(stream, parse_schema(schema))
        found, end = read(data, 0)
    except Exception:
        return
    assert (found, end) == (expected, stream.tell())


def test_missing_fields_take_their_default() -> None:
    """As null unions do; a field without a default is refused."""
    schema = record_of("long")
    schema["fields"].append({"name": "maybe", "type": ["null", "string"], "default": None})
    write = flat_writer(schema)
    assert write is not None
    assert write({"f0": 3}, b"") == general_bytes(schema, {"f0": 3})
    with pytest.raises(TypeError):
        write({"maybe": "x"}, b"")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", None),
        ("string", b"bytes"),
        ("string", ["unhashable"]),
        ("long", "1"),
        ("long", 2**63),
        ("int", 2**31),
        ("boolean", "true"),
        ("bytes", "text"),
        ({"type": "int", "logicalType": "date"}, 20_000),
        ({"type": "long", "logicalType": "timestamp-micros"}, date(2026, 1, 1)),
        ({"type": "long", "logicalType": "timestamp-micros"}, datetime(2026, 1, 1)),  # noqa: DTZ001
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, 1.5),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("1.234")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("12345.6")),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("NaN")),
        ({"type": "array", "items": "string"}, "text"),
        ({"type": "map", "values": "bytes"}, [b"x"]),
    ],
)
def test_values_of_another_type_are_refused(kind: Any, value: Any) -> None:
    """With the errors that the encoder promises, also where null is allowed."""
    for schema in (record_of(kind), record_of(["null", kind])):
        write = flat_writer(schema)
        assert write is not None
        if isinstance(schema["fields"][0]["type"], list) and value is None:
            continue
        with pytest.raises((TypeError, ValueError)):
            write({"f0": value}, b"")


@pytest.mark.parametrize(
    "schema",
    [
        "string",
        record_of("double"),
        record_of(["string", "null"]),
        record_of(["null", "string", "long"]),
        record_of({"type": "array", "items": "long"}),
        record_of({"type": "map", "values": "string"}),
        record_of({"type": "long", "logicalType": "timestamp-millis"}),
        record_of({"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "float"}]}),
        record_of("Named"),
    ],
)
def test_other_schemas_are_left_to_the_general_codec(schema: Any) -> None:
    """Neither writer nor reader is offered for what is not flat."""
    assert flat_writer(schema) is None
    assert flat_reader(schema) is None
