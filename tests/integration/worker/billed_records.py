"""A few canonical records for a worker to bill, and commands that are asked about what came out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from worker_harness import PARTITIONS, ROOT, Site

from streams.contracts import load_schema
from streams.contracts.topics import key_of
from streams.serde import Encoder
from streams.serde.partitioning import partition_of

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = 3600

Row = dict[str, Any]


def row(entity: str, row_id: str, lsn: int = 1, **fields: Any) -> tuple[str, Row]:
    """A canonical record; what isn't given is null."""
    names = [field["name"] for field in load_schema(f"canonical/{entity}")["fields"]]
    assert not set(fields) - set(names)
    system = row_id.partition(":")[0]
    position = {"source_system": system, "source_epoch": 1, "source_lsn": lsn, "source_ordinal": 0}
    times = dict.fromkeys(("occurred_at", "captured_at", "published_at"), NOW)
    fixed = {"id": row_id, "deleted": False, "snapshot": False, "mapping_version": "test"}
    return entity, {**dict.fromkeys(names), **fixed, **position, **times, **fields}


def time_entry(number: int, hours: int, version: int = 1, **fields: Any) -> tuple[str, Row]:
    """An approved entry of 2 March on P1."""
    known = {
        "consultant_id": "erp:C1",
        "project_id": "erp:P1",
        "work_date": date(2026, 3, 2),
        "seconds": hours * HOUR,
        "kind": "standard",
        "status": "approved",
        "version": version,
        "approved_at": NOW,
        "approved_by": "erp:C9",
        **fields,
    }
    return row("time_entry", f"time:{number}", 100 + version, **known)


def rate(rate_id: str, price: int, **fields: Any) -> tuple[str, Row]:
    """A EUR rate of 2026."""
    known = {"currency": "EUR", "price": Decimal(price), "effective_from": date(2026, 1, 1), **fields}
    return row("rate", rate_id, **known)


REFERENCES = [
    row("legal_entity", "erp:LE1", currency="EUR"),
    row("client", "erp:CL1", currency="EUR"),
    row("consultant", "erp:C1", name="Ada", role="dev", grade="senior", region="eu"),
    row(
        "engagement",
        "erp:E1",
        name="Rollout",
        client_id="erp:CL1",
        legal_entity_id="erp:LE1",
        currency="EUR",
        starts_on=date(2026, 1, 1),
    ),
    row("contract_line", "erp:L1", engagement_id="erp:E1", billing_method="tm", rounding="half_up"),
    row("contract_line", "erp:L2", engagement_id="erp:E1", billing_method="milestone", rounding="half_up"),
    row("project", "erp:P1", name="Phase 1", engagement_id="erp:E1", contract_line_id="erp:L1"),
    rate("erp:R-default", 100),
    rate("erp:R-line", 150, contract_line_id="erp:L1", role="dev"),
]
FACTS = [
    time_entry(1, 8),
    time_entry(2, 8),
    time_entry(3, 8),
    time_entry(4, 8, project_id="erp:P9"),
    row(
        "milestone",
        "erp:M1",
        engagement_id="erp:E1",
        contract_line_id="erp:L2",
        amount=Decimal(5000),
        status="accepted",
        accepted_on=date(2026, 3, 2),
        accepted_at=NOW,
    ),
    row(
        "invoice_line",
        "erp:I1",
        invoice_id="erp:INV1",
        engagement_id="erp:E1",
        contract_line_id="erp:L1",
        kind="charge",
        entry_id="time:3",
        entry_version=1,
        seconds=8 * HOUR,
        amount=Decimal(1200),
        status="posted",
        posted_at=NOW,
    ),
]


def send(site: Site, rows: Iterable[tuple[str, Row]]) -> None:
    """Publish canonical records as the canonical flow does."""
    producer = Producer({"bootstrap.servers": site.bootstrap, "log_level": 0})
    for entity, record in rows:
        topic = f"canonical.{entity}"
        contract = site.contracts.topics[topic]
        assert contract.schema is not None
        routing = record[contract.partition_by or "id"]
        producer.produce(
            topic,
            Encoder(load_schema(contract.schema), site.ids[topic]).encode(record),
            key_of(contract, record),
            partition=partition_of(routing, site.contracts.partitions(topic, PARTITIONS)),
        )
    assert producer.flush(20) == 0


def run(
    command: str, environment: dict[str, str], folder: Path, *arguments: str, **changed: str
) -> subprocess.CompletedProcess[str]:
    """A command as a user runs it."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("TALLYSTREAM_")}
    variables |= {**environment, "COLUMNS": "160", "PYTHONPATH": str(ROOT), **changed}
    return subprocess.run(
        [sys.executable, "-m", "streams", command, *arguments],
        env=variables,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line of a refusal with its exit code."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line
