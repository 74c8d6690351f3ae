"""Records and messages for sink tests: whole and valid by their contracts, varied by keyword."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from connectors.sinks.messages import Batch, Message
from streams.contracts import load_contracts, load_schema

CONTRACTS = load_contracts()
T0 = datetime(2026, 3, 2, 8, 0, 0, 123456, UTC)
DAY = date(2026, 3, 2)  # a Monday


def schema_of(topic: str) -> dict[str, Any]:
    """The topic's Avro schema."""
    name = CONTRACTS.topics[topic].schema
    assert name is not None
    return load_schema(name)


def record_of(topic: str, **values: Any) -> dict[str, Any]:
    """A record of a topic: every field that is not null has a plain value unless given."""
    record = {field["name"]: _plain(field["type"]) for field in schema_of(topic)["fields"]}
    assert values.keys() <= record.keys(), f"no such fields: {values.keys() - record.keys()}"
    return {**record, **values}


def _plain(avro_type: Any) -> Any:
    match avro_type:
        case list():
            return None
        case "string":
            return "x"
        case "long" | "int":
            return 1
        case "boolean":
            return False
        case {"logicalType": "decimal"}:
            return Decimal("1.0000")
        case {"logicalType": "date"}:
            return DAY
        case {"logicalType": "timestamp-micros"}:
            return T0
        case {"type": "array"}:
            return []
    raise AssertionError(avro_type)


def ledger_line(number: int, **values: Any) -> dict[str, Any]:
    """A charge of an hour of entry ``number``."""
    entry = f"time:{number}"
    line = {
        "event_id": f"erp:1:{entry}:base:1:CHARGE",
        "kind": "CHARGE",
        "root_id": "erp:1",
        "entry_id": entry,
        "segment": "base",
        "bucket": "unbilled",
        "client_id": "erp:2",
        "contract_line_id": "erp:3",
        "work_date": DAY,
        "accounting_date": DAY,
        "seconds": 3600,
        "amount": Decimal("150.0000"),
        "currency": "EUR",
        "occurred_at": T0 + timedelta(microseconds=number),
    }
    return record_of("billing.events", **{**line, **values})


def segment(number: int, revision: int = 1, **values: Any) -> dict[str, Any]:
    """The current state of an entry's base segment."""
    line = ledger_line(number)
    shared = {k: line[k] for k in record_of("billing.current") if k in line}
    return record_of("billing.current", **{**shared, "revision": revision, **values})


def window(
    consultant: str = "erp:1", starts_on: date = DAY, revision: int = 1, **values: Any
) -> dict[str, Any]:
    """A consultant's week of 30 billable of 40 hours."""
    week = {
        "consultant_id": consultant,
        "window": "week",
        "starts_on": starts_on,
        "ends_on": starts_on + timedelta(days=7),
        "revision": revision,
        "worked_seconds": 129_600,
        "billable_seconds": 108_000,
        "unclassified_seconds": 0,
        "capacity_seconds": 144_000,
        "utilization": Decimal("0.750000"),
        "practice": "data",
    }
    return record_of("utilization.windows", **{**week, **values})


def group(value: str = "data", **values: Any) -> dict[str, Any]:
    """A practice's week of 50 billable of 100 hours; of its three people one is on the bench."""
    week = {
        "dimension": "practice",
        "value": value,
        "window": "week",
        "starts_on": DAY,
        "ends_on": DAY + timedelta(days=7),
        "revision": 1,
        "consultants": 3,
        "idle_consultants": 1,
        "consultants_without_capacity": 0,
        "days": 8,
        "worked_seconds": 180_000,
        "billable_seconds": 180_000,
        "unclassified_seconds": 0,
        "capacity_seconds": 360_000,
        "utilization": Decimal("0.500000"),
    }
    return record_of("utilization.groups", **{**week, **values})


def exception(
    subject: str = "time:1", revision: int = 1, state: str = "open", **values: Any
) -> dict[str, Any]:
    """An entry without a rate."""
    found = {
        "exception_id": f"billing|{subject}",
        "flow": "billing",
        "subject": subject,
        "revision": revision,
        "state": state,
        "exception_class": "MISSING_RATE",
        "missing_keys": ["rate:erp:3/erp:1"],
        "seconds": 3600,
    }
    return record_of("exceptions", **{**found, **values})


def entity(kind: str, identity: str, lsn: int, **values: Any) -> dict[str, Any]:
    """A state of a reference entity, committed ``lsn`` seconds after `T0`."""
    position = {"source_lsn": lsn, "occurred_at": T0 + timedelta(seconds=lsn)}
    return record_of(f"canonical.{kind}", id=identity, **{**position, **values})


def message(topic: str, offset: int, record: dict[str, Any] | None, partition: int = 0) -> Message:
    """A decoded message."""
    return Message(topic, partition, offset, 1_772_438_400_000, b"key", b"value", record, None)


def batch(*messages: Message) -> Batch:
    """A batch that leaves its partitions after its messages."""
    return Batch(messages, {(m.topic, m.partition): m.offset + 1 for m in messages})
