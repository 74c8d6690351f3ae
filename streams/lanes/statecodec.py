"""State values: a format byte and a plain Avro record of a schema under ``avro/state``.

A schema's ``format`` is its version, 1 where it says none. Plain bytes don't say by which fields they were
written: a schema that changes raises its format and leaves what it was as ``<name>.<format>.avsc``. Values of
older formats are read by that, with the defaults of the fields that they lack; they are written as they are
now. A newer format is refused.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any, cast

from fastavro import parse_schema, schemaless_reader
from fastavro.types import Schema

from streams.contracts import load_schema
from streams.errors import ContractViolation
from streams.serde.flatreader import flat_reader
from streams.serde.flatwriter import flat_writer


class StateCodec:
    """Encodes and decodes state of one schema. Not thread-safe: one per lane."""

    def __init__(self, name: str) -> None:
        self._name = name
        schema = load_schema(f"state/{name}")
        self._format: int = schema.get("format", 1)
        self._prefix = bytes((self._format,))
        write, read = flat_writer(schema), flat_reader(schema)
        if write is None or read is None:
            raise ContractViolation(f"state/{name}.avsc has a type that state can't have")
        self._write, self._read = write, read

    def encode(self, record: dict[str, Any]) -> bytes:
        """Bytes of ``record``."""
        return self._write(record, self._prefix)

    def decode(self, data: bytes) -> dict[str, Any]:
        """The record; `ContractViolation` if a newer version wrote it."""
        if data[0] == self._format:
            return self._read(data, len(self._prefix))[0]
        if data[0] > self._format:
            raise ContractViolation(
                f"{self._name} has format {data[0]}, this version reads up to {self._format}; upgrade the worker"
            )
        older, now = _parsed(f"{self._name}.{data[0]}"), _parsed(self._name)
        record = schemaless_reader(io.BytesIO(data[len(self._prefix) :]), older, now)
        return cast(dict[str, Any], record)


@cache
def _parsed(name: str) -> Schema:
    return parse_schema(load_schema(f"state/{name}"))
