"""State values: a format byte and a plain Avro record of a schema under ``avro/state``."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from streams.contracts import load_schema
from streams.errors import ContractViolation

FORMAT = 1


class StateCodec:
    """Encodes and decodes state of one schema. Not thread-safe: one per lane."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._schema = parse_schema(load_schema(f"state/{name}"))
        self._buffer = BytesIO()

    def encode(self, record: dict[str, Any]) -> bytes:
        """Bytes of ``record``."""
        buffer = self._buffer
        buffer.seek(0)
        buffer.truncate()
        buffer.write(bytes((FORMAT,)))
        schemaless_writer(buffer, self._schema, record)
        return buffer.getvalue()

    def decode(self, data: bytes) -> dict[str, Any]:
        """The record; `ContractViolation` if a newer version wrote it."""
        if data[0] != FORMAT:
            raise ContractViolation(
                f"{self._name} has format {data[0]}, this version reads {FORMAT}; upgrade the worker"
            )
        stream = BytesIO(data)
        stream.seek(1)
        record: dict[str, Any] = schemaless_reader(stream, self._schema)
        return record
