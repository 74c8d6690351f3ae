"""``tallystream explain`` beside a worker that billed a few records, and what it says when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from billed_records import FACTS, REFERENCES, refused, run, send, time_entry
from worker_harness import Site, wait_for

from streams.stack import Stack

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


def ledger_ids(site: Site) -> set[str]:
    """Ids of the ledger's lines."""
    return {site.decoder.decode(value)["event_id"] for value in site.read("billing.events")}


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
    done = run("explain", billed, tmp_path, CHARGE)
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
    done = run("explain", billed, tmp_path, "erp:E1:time:2:base:1:REVERSAL", "--json")
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
    first = json.loads(run("explain", billed, tmp_path, "erp:E1:time:2:base:1:CHARGE", "--json").stdout)
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
    done = run("explain", billed, tmp_path, event_id)
    assert (done.returncode, done.stderr) == (0, "")
    assert words in done.stdout, done.stdout


def test_a_line_that_is_not_there(billed: dict[str, str], tmp_path: Path) -> None:
    """Exit code 1; the lines of the same entry are named."""
    line = refused(run("explain", billed, tmp_path, "erp:E1:time:2:base:9:CHARGE"), 1)
    assert "billing.events has no line erp:E1:time:2:base:9:CHARGE" in line
    assert "erp:E1:time:2:base:2:CHARGE" in line
    assert "check the id" in refused(run("explain", billed, tmp_path, "erp:E9:time:2:base:1:CHARGE"), 1)


@pytest.mark.parametrize("arguments", [("nonsense",), ("erp:E1:time:1:base:CHARGE",), ("",), (), ("a", "b")])
def test_bad_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Exit code 2, without asking any server."""
    refused(run("explain", {}, tmp_path, *arguments), 2)


def test_servers_that_do_not_answer(billed: dict[str, str], tmp_path: Path) -> None:
    """Exit code 3, with the address and the setting."""
    line = refused(run("explain", billed, tmp_path, CHARGE, TALLYSTREAM_KAFKA_BOOTSTRAP="127.0.0.1:1"), 3)
    assert "127.0.0.1:1" in line
    assert "TALLYSTREAM_KAFKA_BOOTSTRAP" in line
    line = refused(run("explain", billed, tmp_path, CHARGE, TALLYSTREAM_REGISTRY_URL="http://127.0.0.1:1"), 3)
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
    done = run("explain", billed, tmp_path, CHARGE, **{f"TALLYSTREAM_{setting}": value})
    assert f"TALLYSTREAM_{setting}" in refused(done, done.returncode)
    assert done.returncode in (2, 3)
