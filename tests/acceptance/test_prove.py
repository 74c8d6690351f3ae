"""``tallystream prove`` against a firm at work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from sqlalchemy import text
from support.pipelines import RunningFirm, running_firm

from connectors.reference.firm import FirmSettings

FIRM = FirmSettings(seed=5, consultants=10, days=14)
# The firm is at work for long enough that a proof begins and looks more than once meanwhile.
TRANSACTIONS_PER_SECOND = 100.0
SECONDS = 120
NOWHERE = "127.0.0.1:1"
# A line in the middle of the ledger: not the first row, not the last.
TAMPER = text(
    "UPDATE fact_billing_event SET amount = amount + 0.01 WHERE event_id = ("
    "SELECT event_id FROM fact_billing_event WHERE kind = 'CHARGE' AND amount > 0 AND entry_id LIKE 'time:%' "
    "ORDER BY event_id OFFSET 20 LIMIT 1) RETURNING event_id, entry_id, currency"
)
REMOVE = text("DELETE FROM fact_billing_event WHERE event_id = :event")
CORRECT = text(
    "UPDATE time_entry SET hours = hours + 0.5, version = version + 1 WHERE id = ("
    "SELECT min(id) FROM time_entry WHERE status = 'approved' AND hours < 8) RETURNING id"
)


def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """``tallystream …`` as a user runs it, with nothing of ours in the environment but what is given."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("TALLYSTREAM_")}
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        env={**bare, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def prove(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command under test."""
    return command(environment, "prove", *arguments)


def proven(environment: dict[str, str], code: int, *arguments: str) -> dict[str, Any]:
    """The JSON of a proof that ends with this code, and nothing on standard error."""
    done = prove(environment, "--json", *arguments)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def refused(environment: dict[str, str], code: int, *arguments: str) -> str:
    """The one line of error of a proof that can't be made."""
    done = prove(environment, *arguments)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert done.stdout == ""
    return line


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFirm]:
    with running_firm(tmp_path_factory.mktemp("prove"), "embedded", FIRM) as firm:
        yield firm


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_system_is_proven_at_work_and_at_rest_and_a_changed_cent_is_named(running: RunningFirm) -> None:
    """Changes in flight are no differences; a cent changed in the warehouse is, and the advice mends it."""
    busy: list[dict[str, Any]] = []
    running.work(
        lambda: busy.append(proven(running.environment, 0, "--wait", "5")), pace=TRANSACTIONS_PER_SECOND
    )
    assert busy[0]["looks"] > 1
    assert busy[0]["equal"]

    result = proven(running.environment, 0, "--wait", "30")
    assert result["verdict"] == "equal"
    assert set(result["sides"]) == {"topics", "warehouse"}
    assert result["rows_compared"] > 1000
    for side in result["sides"].values():
        assert side["rows_different"] == 0
        assert side["money"] == side["current"]["money"] == result["oracle"]["money"]
        assert side["buckets"] == side["current"]["buckets"] == result["oracle"]["buckets"]
        assert side["utilization"] == result["oracle"]["utilization"]
        assert side["conservation"]["gap_seconds"] == side["conservation"]["entries_with_gap"] == 0

    with running.warehouse.begin() as warehouse:
        event, entry, currency = warehouse.execute(TAMPER).one()
    result = proven(running.environment, 1, "--wait", "1")
    first = result["first_difference"]
    assert result["sides"]["topics"]["rows_different"] == 0
    assert result["sides"]["warehouse"]["conservation"]["gap_money"] == {currency: "-0.01"}
    assert (first["side"], first["check"], first["entry"]) == ("warehouse", "ledger", entry)
    assert first["sources"][0]["id"] == entry.removeprefix("time:")
    assert first["sources"][0]["captured"]["stale"] == []
    assert first["events_unlike_topic"] == [event]
    told = prove(running.environment, "--warehouse", "--wait", "0")
    assert told.returncode == 1, told.stderr
    assert f"source    time.time_entry {entry.removeprefix('time:')}: " in told.stdout
    assert proven(running.environment, 0, "--topics", "--wait", "1")["verdict"] == "equal"

    assert "sink reset warehouse" in first["advice"]
    with running.warehouse.begin() as warehouse:
        warehouse.execute(REMOVE, {"event": event})
    running.pipeline.processes["sink-warehouse"].stop()
    assert command(running.environment, "sink", "reset", "warehouse").returncode == 0
    running.pipeline.start("sink-warehouse")
    assert proven(running.environment, 0, "--wait", "30")["verdict"] == "equal"


@pytest.fixture(scope="module")
def refusals(running: RunningFirm) -> Iterator[dict[str, Future[str]]]:
    """Proofs that can't be made, under way, by what their errors name: broker and registry are waited for."""
    wrong = {
        f"no Kafka broker answers at {NOWHERE}": {"TALLYSTREAM_KAFKA_BOOTSTRAP": NOWHERE},
        f"schema registry http://{NOWHERE}": {"TALLYSTREAM_REGISTRY_URL": f"http://{NOWHERE}"},
        "TALLYSTREAM_BI_DSN": {"TALLYSTREAM_BI_DSN": f"postgresql://user:swordfish@{NOWHERE}/bi"},
        "fact_billing_event": {"TALLYSTREAM_BI_DSN": running.environment["TALLYSTREAM_CRM_DSN"]},
    }
    with ThreadPoolExecutor() as pool:
        yield {
            words: pool.submit(refused, {**running.environment, **other}, 3) for words, other in wrong.items()
        }


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("refusals")  # so that they wait meanwhile
def test_a_change_that_is_not_captured_is_in_flight(running: RunningFirm) -> None:
    """Its source does not run: the row is named with what is not captured of it; then it is proven."""
    running.pipeline.processes["source-time"].stop()
    with running.judge.engines["time"].begin() as time_tracker:
        identity = time_tracker.execute(CORRECT).scalar_one()
    first = proven(running.environment, 1, "--wait", "1")["first_difference"]
    assert (first["side"], first["sources"][0]["id"]) == ("topics", str(identity))
    assert {"seconds", "version"} <= set(first["sources"][0]["captured"]["stale"])
    assert first["advice"].startswith(
        f"still in flight: the last captured state of time.time_entry {identity} "
    )
    running.pipeline.start("source-time")
    assert proven(running.environment, 0, "--wait", "30")["verdict"] == "equal"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_can_not_be_read_is_said_in_one_line(
    running: RunningFirm, refusals: dict[str, Future[str]]
) -> None:
    """A server that does not answer, a database of something else, a topic that is not there: exit code 3."""
    for words, line in refusals.items():
        assert words in line.result()
        assert "swordfish" not in line.result()
    admin = AdminClient({"bootstrap.servers": running.stack.broker.bootstrap})
    admin.delete_topics(["utilization.windows"])["utilization.windows"].result()
    assert "utilization.windows" in refused(running.environment, 3)
