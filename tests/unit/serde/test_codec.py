"""Framing and decoding: whatever the bytes, a record or a `RecordError`."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contracts import load_schema
from streams.errors import PoisonRecord, RecordError, SchemaMismatch
from streams.serde import Decoder, Encoder, frame_id
from streams.testing import MemoryRegistry

DAY = date(2026, 3, 2)
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "n", "type": ["null", "long"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    ],
}


def pair() -> tuple[Encoder, Decoder, int]:
    """An encoder and a decoder of one schema."""
    registry = MemoryRegistry()
    schema_id = registry.register("r-value", SCHEMA)
    return Encoder(SCHEMA, schema_id), Decoder(registry), schema_id


def test_a_record_of_an_earlier_contract_has_the_later_fields() -> None:
    """Their defaults, beside what was written; so that readers need not know which version wrote it."""
    today = load_schema("canonical/rate")
    later = ("unit", "day_seconds")
    earlier = {**today, "fields": [field for field in today["fields"] if field["name"] not in later]}
    registry = MemoryRegistry()
    empty = {"string": "", "boolean": False, "int": 0, "long": 0}
    at = datetime(2026, 3, 2, tzinfo=UTC)
    record = {
        f["name"]: None if isinstance(f["type"], list) else empty.get(str(f["type"]), at)
        for f in earlier["fields"]
    }
    data = Encoder(earlier, registry.register("rate-value", earlier)).encode(record)
    assert Decoder(registry).decode(data) == {**record, "unit": None, "day_seconds": None}


records = st.fixed_dictionaries(
    {
        "id": st.text(),
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "tags": st.lists(st.text(max_size=3), max_size=3),
        "day": st.dates(),
    }
)


@given(records)
def test_a_record_survives_the_wire(record: dict[str, Any]) -> None:
    """Decoding what was encoded gives the same record, framed with its schema's id."""
    encoder, decoder, schema_id = pair()
    data = encoder.encode(record)
    assert frame_id(data) == schema_id
    assert decoder.decode(data) == record


@given(records, records)
def test_an_encoder_keeps_nothing_of_the_last_record(first: dict[str, Any], second: dict[str, Any]) -> None:
    """The buffer is reused, its content is not."""
    encoder, decoder, _ = pair()
    encoder.encode(first)
    assert decoder.decode(encoder.encode(second)) == second


@given(st.binary(max_size=40))
def test_any_bytes_are_a_record_or_poison(payload: bytes) -> None:
    """Nothing but a `RecordError` comes out of the decoder, whatever a producer sends."""
    _, decoder, schema_id = pair()
    for data in (payload, struct.pack(">bI", 0, schema_id) + payload):
        try:
            decoder.decode(data)
        except RecordError:
            continue


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0\0", b"{}", b"\x01\0\0\0\x01", b"\xff" * 20])
def test_what_is_not_framed_is_poison(data: bytes) -> None:
    """Too short, another magic byte, JSON: named as what it is not."""
    _, decoder, _ = pair()
    with pytest.raises(PoisonRecord, match="not in Confluent framing"):
        decoder.decode(data)


def test_trailing_bytes_are_poison() -> None:
    """A payload that is longer than its schema takes was written with another one."""
    encoder, decoder, _ = pair()
    data = encoder.encode({"id": "x", "n": None, "tags": [], "day": DAY})
    with pytest.raises(PoisonRecord, match="2 bytes more than schema"):
        decoder.decode(data + b"\0\0")


def test_a_payload_cut_short_is_poison() -> None:
    """Wherever it is cut."""
    encoder, decoder, _ = pair()
    data = encoder.encode({"id": "xyz", "n": 5, "tags": ["a"], "day": DAY})
    for length in range(5, len(data)):
        with pytest.raises(PoisonRecord):
            decoder.decode(data[:length])


def test_an_unknown_schema_id_is_a_mismatch_and_not_poison() -> None:
    """It may be registered later and replayed, so it has a class of its own."""
    _, decoder, _ = pair()
    with pytest.raises(
        SchemaMismatch, match="schema id 999 is not in the registry; register it, then replay"
    ):
        decoder.decode(struct.pack(">bI", 0, 999) + b"abc")


def test_a_record_that_breaks_its_schema_is_our_bug() -> None:
    """Encoding raises an ordinary error: nothing dead-letters an input for it."""
    encoder, _, _ = pair()
    with pytest.raises((ValueError, TypeError)):
        encoder.encode({"id": 5, "n": None, "tags": [], "day": DAY})
