"""``tallystream explain`` beside a worker that billed a few records, and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from worker_harness import PARTITIONS, ROOT, Site, wait_for

from streams.contracts import load_schema
from streams.contracts.topics import key_of
from streams.serde import Encoder
from streams.serde.partitioning import partition_of
from streams.stack import Stack

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = 3600
CHARGE = "erp:E1:time:1:base:1:CHARGE"
POSTED = "erp:E1:time:3:inv:erp:I1:1:CHARGE"
PARKED = "entry:time:4:time:4:base:1:CHARGE"
EXPECTED = {
    CHARGE,
    "erp:E1:time:2:base:1:CHARGE",
    "erp:E1:time:2:base:1:REVERSAL",
    "erp:E1:time:2:base:2:CHARGE",
    POSTED,
    PARKED,
    "erp:E1:erp:M1:base:1:CHARGE",
}

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


def ledger_ids(site: Site) -> set[str]:
    """Ids of the ledger's lines."""
    return {site.decoder.decode(value)["event_id"] for value in site.read("billing.events")}


def run(
    environment: dict[str, str], folder: Path, *arguments: str, **changed: str
) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("TALLYSTREAM_")}
    variables |= {**environment, "COLUMNS": "160", "PYTHONPATH": str(ROOT), **changed}
    return subprocess.run(
        [sys.executable, "-m", "streams", "explain", *arguments],
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


@pytest.fixture(scope="module")
def billed(embedded: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a stack on which a worker has billed the facts, and has stopped."""
    with Site(embedded, tmp_path_factory.mktemp("explained")) as site:
        send(site, [*REFERENCES, *FACTS])
        worker = site.worker(flows="billing").wait_ready()
        wait_for(lambda: "erp:E1:time:2:base:1:CHARGE" in ledger_ids(site), 60, worker.output)
        send(site, [time_entry(2, 6, version=2)])
        wait_for(lambda: ledger_ids(site) >= EXPECTED, 60, lambda: str(ledger_ids(site)) + worker.output())
        assert worker.terminate()[0] == 0
    return embedded.settings_environment()


def test_a_charge_is_explained(billed: dict[str, str], tmp_path: Path) -> None:
    """The line, its product, its candidates, chain and lineage; nothing on standard error."""
    done = run(billed, tmp_path, CHARGE)
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "CHARGE, in force",
        "8 h x 150.00 EUR/h x 1 x FX 1 = 1200, rounded 1200.00 EUR",
        "erp:R-line wins now, too, on 2026-03-02",
        "a more specific scope has a rate",
        "Ada",
        "Phase 1",
        "Rollout",
        "role dev, grade senior, region eu",
        "time, epoch 1, LSN 101, ordinal 0",
        "2026-03-10 12:00:00.000+00:00",
    ):
        assert words in done.stdout, done.stdout


def test_json_says_the_same(billed: dict[str, str], tmp_path: Path) -> None:
    """Decimals are strings; reversal and next charge name each other."""
    done = run(billed, tmp_path, "erp:E1:time:2:base:1:REVERSAL", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["line"]["amount"] == "-1200.0000"
    assert found["line"]["reverses"] == "erp:E1:time:2:base:1:CHARGE"
    assert found["line"]["next_charge"] == "erp:E1:time:2:base:2:CHARGE"
    assert found["line"]["work_date"] == "2026-03-02"
    assert found["arithmetic"]["computed"] == "-1200.00"
    assert [rate["outcome"] for rate in found["rate"]["candidates"]] == [
        "won",
        "a more specific scope has a rate",
    ]
    assert found["entry"]["version"] == 2
    assert found["lineage"]["source_lsn"] == 102
    first = json.loads(run(billed, tmp_path, "erp:E1:time:2:base:1:CHARGE", "--json").stdout)
    assert first["line"]["reversed_by"] == "erp:E1:time:2:base:1:REVERSAL"


@pytest.mark.parametrize(
    ("event_id", "words"),
    [
        (POSTED, "net of credits: 8.0000 h, 1200.00 EUR"),
        (PARKED, "MISSING_REFERENCE, waiting for project:erp:P9; its money is unknown, not 0"),
        ("erp:E1:erp:M1:base:1:CHARGE", "no rate: an accepted milestone is worth its own amount"),
    ],
)
def test_lines_without_a_rate_say_why(
    billed: dict[str, str], tmp_path: Path, event_id: str, words: str
) -> None:
    """Posted, parked, milestone."""
    done = run(billed, tmp_path, event_id)
    assert (done.returncode, done.stderr) == (0, "")
    assert words in done.stdout, done.stdout


def test_a_line_that_is_not_there(billed: dict[str, str], tmp_path: Path) -> None:
    """Exit code 1; the lines of the same entry are named."""
    line = refused(run(billed, tmp_path, "erp:E1:time:2:base:9:CHARGE"), 1)
    assert "billing.events has no line erp:E1:time:2:base:9:CHARGE" in line
    assert "erp:E1:time:2:base:2:CHARGE" in line
    assert "check the id" in refused(run(billed, tmp_path, "erp:E9:time:2:base:1:CHARGE"), 1)


@pytest.mark.parametrize("arguments", [("nonsense",), ("erp:E1:time:1:base:CHARGE",), ("",), (), ("a", "b")])
def test_bad_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Exit code 2, without asking any server."""
    refused(run({}, tmp_path, *arguments), 2)


def test_servers_that_do_not_answer(billed: dict[str, str], tmp_path: Path) -> None:
    """Exit code 3, with the address and the setting."""
    line = refused(run(billed, tmp_path, CHARGE, TALLYSTREAM_KAFKA_BOOTSTRAP="127.0.0.1:1"), 3)
    assert "127.0.0.1:1" in line
    assert "TALLYSTREAM_KAFKA_BOOTSTRAP" in line
    line = refused(run(billed, tmp_path, CHARGE, TALLYSTREAM_REGISTRY_URL="http://127.0.0.1:1"), 3)
    assert "http://127.0.0.1:1" in line
    assert "TALLYSTREAM_REGISTRY_URL" in line


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("KAFKA_BOOTSTRAP", ""),
        ("KAFKA_BOOTSTRAP", "no such host"),
        ("REGISTRY_URL", "nowhere"),
        ("REGISTRY_URL", ""),
    ],
)
def test_addresses_that_are_none(billed: dict[str, str], tmp_path: Path, setting: str, value: str) -> None:
    """One line that names the setting, never a traceback."""
    done = run(billed, tmp_path, CHARGE, **{f"TALLYSTREAM_{setting}": value})
    assert f"TALLYSTREAM_{setting}" in refused(done, done.returncode)
    assert done.returncode in (2, 3)
