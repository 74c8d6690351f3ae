"""State of older formats is read by the schema that wrote it; of newer ones it is refused."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer

from streams.contracts import contract_path, load_schema
from streams.errors import ContractViolation
from streams.lanes.statecodec import StateCodec

CONTRIBUTION = {
    "consultant_id": "erp:C",
    "entry_id": "time:1",
    "work_date": date(2026, 3, 5),
    "worked_seconds": 3600,
    "billable_seconds": 1800,
    "unclassified_seconds": 0,
}
STATE: dict[str, Any] = {
    "entity": "time_entry",
    "input": b"x",
    "revision": 7,
    "rated": None,
    "contribution": CONTRIBUTION,
    "signature": "erp:C|erp:P|",
    "work_date": date(2026, 3, 5),
}


def test_an_older_format_is_read_with_defaults_and_written_anew() -> None:
    """A contribution from before it named its project has none, and everything else as it was."""
    old = io.BytesIO(b"\x01")
    old.seek(1)
    schemaless_writer(old, parse_schema(load_schema("state/rated_state.1")), STATE)
    codec = StateCodec("rated_state")
    read = codec.decode(old.getvalue())
    assert read == {**STATE, "contribution": {**CONTRIBUTION, "project_id": None}, "at_closes": {}}
    written = codec.encode(read)
    assert written[0] == 3
    assert codec.decode(written) == read


def test_a_newer_format_is_refused() -> None:
    """With what to do about it."""
    with pytest.raises(ContractViolation, match="format 9, this version reads up to 3; upgrade the worker"):
        StateCodec("rated_state").decode(b"\x09")


def test_every_format_that_there_was_is_still_there() -> None:
    """A schema of format n comes with those of all formats before it."""
    folder = contract_path("state")
    for path in folder.glob("*.avsc"):
        name, _, old = path.stem.partition(".")
        if not old:
            for number in range(1, load_schema(f"state/{name}").get("format", 1)):
                assert (folder / f"{name}.{number}.avsc").exists(), (name, number)
