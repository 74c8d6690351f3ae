"""The Debezium envelope of a MariaDB table: it differs from PostgreSQL's in its source block only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.sources import avro
from connectors.sources.avro import NULL, SOME, long
from connectors.sources.postgres.envelope import VERSION, Field
from connectors.sources.postgres.envelope import value_schema as generic_value_schema
from connectors.sources.postgres.transactions import CREATE, DELETE, READ, TRUNCATE, UPDATE

CONNECTOR = "mariadb"

_SOURCE = {
    "type": "record",
    "name": "Source",
    "namespace": "io.debezium.connector.mariadb",
    "fields": [
        {"name": "version", "type": "string"},
        {"name": "connector", "type": "string"},
        {"name": "name", "type": "string"},
        {"name": "ts_ms", "type": "long"},
        {"name": "snapshot", **avro.optional("string")},
        {"name": "db", "type": "string"},
        {"name": "sequence", **avro.optional("string")},
        {"name": "ts_us", **avro.optional("long")},
        {"name": "ts_ns", **avro.optional("long")},
        {"name": "table", **avro.optional("string")},
        {"name": "server_id", "type": "long"},
        {"name": "gtid", **avro.optional("string")},
        {"name": "file", "type": "string"},
        {"name": "pos", "type": "long"},
        {"name": "row", "type": "int"},
        {"name": "thread", **avro.optional("long")},
        {"name": "query", **avro.optional("string")},
    ],
    "connect.name": "io.debezium.connector.mariadb.Source",
}


@dataclass(frozen=True, slots=True)
class Stamp:
    """What all changes of one transaction share. Times are microseconds since 1970 in UTC; the log has
    whole seconds only. ``gtid`` is None for snapshot rows, which stand at no transaction."""

    commit_us: int
    capture_us: int
    server_id: int
    gtid: str | None
    file: str
    snapshot: str = "false"


def value_schema(topic: str, fields: Sequence[Field]) -> dict[str, Any]:
    """Schema of the envelope."""
    schema = generic_value_schema(topic, fields)
    schema["fields"] = [
        {"name": "source", "type": _SOURCE} if field["name"] == "source" else field
        for field in schema["fields"]
    ]
    return schema


# thread, query, transaction, op
_OPS = {op: NULL + NULL + NULL + avro.text(op) for op in (CREATE, UPDATE, DELETE, TRUNCATE, READ)}


class EnvelopeEncoder:
    """Envelopes of one table, for one registered schema."""

    def __init__(self, schema_id: int, name: str, schema: str, table: str) -> None:
        self._framing = avro.framing(schema_id)
        self._who = avro.text(VERSION) + avro.text(CONNECTOR) + avro.text(name)
        self._schema = avro.text(schema)
        self._table = SOME + avro.text(table)

    def begin(self, stamp: Stamp) -> Callable[[str, bytes | None, bytes | None, int, int], bytes]:
        """The encoder for changes of one transaction: (op, before, after, pos, row) → framed value."""
        framing = self._framing
        commit_us = stamp.commit_us
        source = self._who + long(commit_us // 1000) + SOME + avro.text(stamp.snapshot) + self._schema + NULL
        source += SOME + long(commit_us) + SOME + long(commit_us * 1000) + self._table + long(stamp.server_id)
        source += (NULL if stamp.gtid is None else SOME + avro.text(stamp.gtid)) + avro.text(stamp.file)
        captured = stamp.capture_us
        tail = SOME + long(captured // 1000) + SOME + long(captured) + SOME + long(captured * 1000)
        tails = {op: encoded + tail for op, encoded in _OPS.items()}

        def encode(op: str, before: bytes | None, after: bytes | None, pos: int, row: int) -> bytes:
            return b"".join(
                (
                    framing,
                    NULL if before is None else SOME + before,
                    NULL if after is None else SOME + after,
                    source,
                    long(pos),
                    long(row),
                    tails[op],
                )
            )

        return encode
