"""The Debezium envelope of a table of MariaDB or MySQL: it differs from PostgreSQL's in its source block only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from connectors.sources import avro, envelope
from connectors.sources.avro import NULL, SOME, long
from connectors.sources.envelope import CREATE, DELETE, READ, TRUNCATE, UPDATE, RowField
from connectors.sources.postgres.tables.envelope import Field

_OWN = [
    {"name": "table", **avro.optional("string")},
    {"name": "server_id", "type": "long"},
    {"name": "gtid", **avro.optional("string")},
    {"name": "file", "type": "string"},
    {"name": "pos", "type": "long"},
    {"name": "row", "type": "int"},
    {"name": "thread", **avro.optional("long")},
    {"name": "query", **avro.optional("string")},
]


class Origin(NamedTuple):
    """What is the same in all changes of a source: its ``connector`` and ``name``."""

    connector: str
    name: str


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


def value_schema(topic: str, fields: Sequence[Field], connector: str) -> dict[str, Any]:
    """Schema of the envelope."""
    source = envelope.source_schema(f"io.debezium.connector.{connector}", _OWN)
    source = {**source, "connect.version": 1, "connect.name": source.pop("connect.name")}
    return envelope.value_schema(
        topic, [RowField(one.name, one.type.schema, one.optional) for one in fields], source
    )


_OPS = (CREATE, UPDATE, DELETE, TRUNCATE, READ)


class EnvelopeEncoder:
    """Envelopes of one table, for one registered schema."""

    def __init__(self, schema_id: int, origin: Origin, schema: str, table: str) -> None:
        self._framing = avro.framing(schema_id)
        self._who = envelope.who(*origin)
        self._schema = avro.text(schema)
        self._table = SOME + avro.text(table)

    def begin(self, stamp: Stamp) -> Callable[[str, bytes | None, bytes | None, int, int], bytes]:
        """The encoder for changes of one transaction: (op, before, after, pos, row) → framed value."""
        framing = self._framing
        commit_us = stamp.commit_us
        source = self._who + envelope.changed_at(commit_us, stamp.snapshot) + self._schema + NULL
        source += envelope.changed_exactly(commit_us) + self._table + long(stamp.server_id)
        source += (NULL if stamp.gtid is None else SOME + avro.text(stamp.gtid)) + avro.text(stamp.file)
        # thread, query, and the rest
        tails = {op: NULL + NULL + envelope.tail(op, stamp.capture_us) for op in _OPS}

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
