"""State values: a format byte and a plain Avro record of a schema under ``avro/state``."""

from __future__ import annotations

from typing import Any

from streams.contracts import load_schema
from streams.errors import ContractViolation
from streams.serde.flatreader import flat_reader
from streams.serde.flatwriter import flat_writer

FORMAT = 1
PREFIX = bytes((FORMAT,))


class StateCodec:
    """Encodes and decodes state of one schema. Not thread-safe: one per lane."""

    def __init__(self, name: str) -> None:
        self._name = name
        schema = load_schema(f"state/{name}")
        write, read = flat_writer(schema), flat_reader(schema)
        if write is None or read is None:
            raise ContractViolation(f"state/{name}.avsc has a type that state can't have")
        self._write, self._read = write, read

    def encode(self, record: dict[str, Any]) -> bytes:
        """Bytes of ``record``."""
        return self._write(record, PREFIX)

    def decode(self, data: bytes) -> dict[str, Any]:
        """The record; `ContractViolation` if a newer version wrote it."""
        if data[0] != FORMAT:
            raise ContractViolation(
                f"{self._name} has format {data[0]}, this version reads {FORMAT}; upgrade the worker"
            )
        return self._read(data, len(PREFIX))[0]
