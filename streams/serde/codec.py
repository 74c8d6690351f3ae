"""Encoding and decoding of Avro records in Confluent framing: magic 0, schema id, payload."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from streams.contracts.evolution import later_fields
from streams.errors import PoisonRecord
from streams.serde.flatreader import Reader, flat_reader
from streams.serde.flatwriter import flat_writer
from streams.serde.registry import AvroSchema, Registry

MAGIC = 0
HEADER = struct.Struct(">bI")

Record = dict[str, Any]


def frame_id(data: bytes) -> int:
    """Schema id of a framed message; `PoisonRecord` if there is no frame."""
    if len(data) < HEADER.size or data[0] != MAGIC:
        raise PoisonRecord("value is not in Confluent framing (magic byte 0 and a schema id)")
    return int(HEADER.unpack_from(data)[1])


class Encoder:
    """Encodes records of one schema. Not thread-safe: one per lane, the buffer is reused."""

    def __init__(self, schema: AvroSchema, schema_id: int) -> None:
        self._schema = parse_schema(schema)
        self._write = flat_writer(schema)
        self._prefix = HEADER.pack(MAGIC, schema_id)
        self._buffer = BytesIO()

    def encode(self, record: Record) -> bytes:
        """Frame and bytes of ``record``; `ValueError` or `TypeError` if it breaks its schema (our bug)."""
        if self._write is not None:
            return self._write(record, self._prefix)
        buffer = self._buffer
        buffer.seek(0)
        buffer.truncate()
        buffer.write(self._prefix)
        schemaless_writer(buffer, self._schema, record)
        return buffer.getvalue()


class Decoder:
    """Decodes framed messages of any schema of a registry, each with the schema that wrote it.

    A record of an earlier version of one of our contracts has the defaults of the fields that came later.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._parsed: dict[int, tuple[Any, Reader | None, Record]] = {}

    def decode(self, data: bytes) -> Record:
        """The record; `PoisonRecord` for bytes that are none, `SchemaMismatch` for an unknown id."""
        schema_id = frame_id(data)
        parsed = self._parsed.get(schema_id)
        if parsed is None:
            text = self._registry.schema(schema_id)
            parsed = (parse_schema(text), flat_reader(text), later_fields(text))
            self._parsed[schema_id] = parsed
        schema, read, later = parsed
        try:
            if read is not None:
                record, end = read(data, HEADER.size)
            else:
                stream = BytesIO(data)
                stream.seek(HEADER.size)
                record = schemaless_reader(stream, schema)
                end = stream.tell()
        except Exception as error:  # both raise whatever the bytes provoke: EOFError, UnicodeDecodeError …
            raise PoisonRecord(f"payload does not decode with schema {schema_id}: {error!r}") from None
        if end != len(data):
            raise PoisonRecord(f"payload has {len(data) - end} bytes more than schema {schema_id} takes")
        return {**record, **later} if later else record
