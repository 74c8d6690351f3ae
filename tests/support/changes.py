"""A firm's plan as change records, without any database: for the topology driver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Boolean, Date, DateTime, Integer, Numeric, Table

from connectors.reference.firm import Delete, Insert, Transaction
from connectors.reference.firm.model import TABLES
from streams.serde import Encoder
from streams.testing import MemoryRegistry

EPOCH = date(1970, 1, 1)
SOURCE = {
    "type": "record",
    "name": "Source",
    "fields": [
        {"name": "connector", "type": "string"},
        {"name": "ts_us", "type": "long"},
        {"name": "snapshot", "type": "string"},
        {"name": "db", "type": "string"},
        {"name": "schema", "type": "string"},
        {"name": "table", "type": "string"},
        {"name": "lsn", "type": "long"},
    ],
}


@dataclass(frozen=True)
class Change:
    """A change as it would lie on its topic."""

    topic: str
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


BLOCK = {"type": "record", "name": "Block", "fields": [{"name": "id", "type": "string"}]}
BOUNDARY = {
    "type": "record",
    "name": "TransactionMetadataValue",
    "namespace": "io.debezium.connector.common",
    "fields": [{"name": "status", "type": "string"}, {"name": "id", "type": "string"}],
}


class ChangeLog:
    """Turns transactions into changes with positions, keeping the rows for before images.

    As ``debezium`` writes them they have no headers of ours, and name their transaction.
    """

    def __init__(self, registry: MemoryRegistry, *, debezium: bool = False) -> None:
        self._registry = registry
        self._debezium = debezium
        self._encoders: dict[str, Encoder] = {}
        self._rows: dict[str, dict[Any, dict[str, Any]]] = {name: {} for name in TABLES}
        self._lsn = 1000

    def changes(self, transaction: Transaction) -> Iterator[Change]:
        """The changes of one committed transaction, tombstones included."""
        self._lsn += 10
        last = {(s.table, s.key): at for at, s in enumerate(transaction.statements)}
        for ordinal, statement in enumerate(transaction.statements):
            rows = self._rows[statement.table]
            before = rows.get(statement.key)
            if isinstance(statement, Delete):
                after = None
                del rows[statement.key]
            elif isinstance(statement, Insert):
                after = rows[statement.key] = dict(statement.values)
            else:
                after = rows[statement.key] = {**rows[statement.key], **statement.values}
            is_last = last[statement.table, statement.key] == ordinal
            yield from self._change(transaction, statement, before, after, ordinal, is_last)

    def backfill(self, system: str, table: str) -> Iterator[Change]:
        """A snapshot of a table as it is now, on the topic for that: before all that is committed later."""
        topic = f"cdc.{system}.public.{table}"
        for ordinal, (key, row) in enumerate(self._rows[table].items()):
            specials: dict[str, str] = {}
            envelope = {
                "before": None,
                "after": _encode_row(TABLES[table], row, "after", specials),
                "source": {
                    "connector": "postgresql",
                    "ts_us": 0,
                    "snapshot": "true",
                    "db": system,
                    "schema": "public",
                    "table": table,
                    "lsn": self._lsn,
                },
                "op": "r",
                "ts_us": 1000,
                "transaction": None,
            }
            headers = [
                ("tallystream.position", f"1/{self._lsn + 1}/{ordinal}".encode()),
                ("tallystream.last_for_key", b"1"),
            ]
            if specials:
                headers.append(("tallystream.special", json.dumps(specials).encode()))
            value = self._encoder(TABLES[table], topic).encode(envelope)
            yield Change(f"{topic}.backfill", str(key).encode(), value, tuple(headers))

    def end(self, transaction: Transaction) -> Change:
        """The announcement that the transaction whose changes were made last is complete."""
        topic = f"cdc.{transaction.system}.transaction"
        encoder = Encoder(BOUNDARY, self._registry.register(f"{topic}-value", BOUNDARY))
        identifier = self._transaction_id(len(transaction.statements) - 1)
        return Change(topic, identifier.encode(), encoder.encode({"status": "END", "id": identifier}), ())

    def _transaction_id(self, ordinal: int) -> str:
        """Debezium's is another one for each change: the second part is the change's own LSN."""
        return f"{self._lsn // 10}:{self._lsn * 1000 + ordinal}"

    def _change(
        self, transaction: Transaction, statement: Any, before: Any, after: Any, ordinal: int, is_last: bool
    ) -> Iterator[Change]:
        table = TABLES[statement.table]
        topic = f"cdc.{transaction.system}.public.{statement.table}"
        micros = int(transaction.simulated_at.timestamp() * 1_000_000)
        specials: dict[str, str] = {}
        envelope = {
            "before": None if before is None else _encode_row(table, before, "before", specials),
            "after": None if after is None else _encode_row(table, after, "after", specials),
            "source": {
                "connector": "postgresql",
                "ts_us": micros,
                "snapshot": "false",
                "db": transaction.system,
                "schema": "public",
                "table": statement.table,
                # Debezium's is the row's own place in the log, ours is the commit's.
                "lsn": self._lsn * 1000 + ordinal if self._debezium else self._lsn,
            },
            "op": "c" if before is None else "d" if after is None else "u",
            "ts_us": micros + 1000,
            "transaction": {"id": self._transaction_id(ordinal)} if self._debezium else None,
        }
        headers: list[tuple[str, bytes]] = (
            []
            if self._debezium
            else [
                ("tallystream.position", f"1/{self._lsn}/{ordinal}".encode()),
                ("tallystream.last_for_key", b"1" if is_last else b"0"),
            ]
        )
        if specials:
            headers.append(("tallystream.special", json.dumps(specials).encode()))
        key = str(statement.key).encode()
        yield Change(topic, key, self._encoder(table, topic).encode(envelope), tuple(headers))
        if after is None:
            yield Change(topic, key, None, tuple(headers[:1]))

    def _encoder(self, table: Table, topic: str) -> Encoder:
        if topic not in self._encoders:
            value = {
                "type": "record",
                "name": "Value",
                "fields": [
                    {"name": c.name, "type": ["null", _avro_type(c)], "default": None} for c in table.columns
                ],
            }
            schema = {
                "type": "record",
                "name": "Envelope",
                "namespace": topic,
                "fields": [
                    {"name": "before", "type": ["null", value], "default": None},
                    {"name": "after", "type": ["null", "Value"], "default": None},
                    {"name": "source", "type": SOURCE},
                    {"name": "op", "type": "string"},
                    {"name": "ts_us", "type": ["null", "long"], "default": None},
                    {"name": "transaction", "type": ["null", BLOCK], "default": None},
                ],
            }
            self._encoders[topic] = Encoder(schema, self._registry.register(f"{topic}-value", schema))
        return self._encoders[topic]


def _avro_type(column: Any) -> Any:
    kind = column.type
    if isinstance(kind, Numeric):
        return {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
    if isinstance(kind, Boolean):
        return "boolean"
    if isinstance(kind, Date):
        return {"type": "int", "connect.name": "io.debezium.time.Date"}
    if isinstance(kind, DateTime):
        return {"type": "string", "connect.name": "io.debezium.time.ZonedTimestamp"}
    return "long" if isinstance(kind, BigInteger | Integer) else "string"


def _encode_row(table: Table, row: dict[str, Any], image: str, specials: dict[str, str]) -> dict[str, Any]:
    encoded = {}
    for column in table.columns:
        value = row.get(column.name)
        if isinstance(value, datetime):
            value = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        elif isinstance(value, date):
            value = (value - EPOCH).days
        elif isinstance(value, Decimal) and not value.is_finite():
            specials[f"{image}.{column.name}"] = str(value)
            value = None
        elif isinstance(value, Decimal):
            value = value.quantize(Decimal(1).scaleb(-column.type.scale))  # type: ignore[attr-defined]
        encoded[column.name] = value
    return encoded
