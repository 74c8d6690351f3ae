"""``tallystream preview`` beside a worker, and the change made for real: exactly the difference that it named."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from billed_records import FACTS, HOUR, REFERENCES, rate, refused, row, run, send
from confluent_kafka import Producer
from worker_harness import Site, wait_for

from streams.stack import Stack

CHANGES = """
changes:
  - entity: rate
    id: erp:R-line
    set: {price: 160.00, overtime_multiplier: 1.5, weekend_multiplier: 2, applies_to_invoiced: false}
  - entity: project
    id: erp:P9
    set:
      {engagement_id: erp:E1, contract_line_id: erp:L1, name: Old, service_line: build, delivery_model: onsite,
       status: active}
"""
MULTIPLIERS = {"overtime_multiplier": Decimal("1.5"), "weekend_multiplier": Decimal(2)}
MADE = [
    rate("erp:R-line", 160, contract_line_id="erp:L1", role="dev", **MULTIPLIERS),
    row("project", "erp:P9", engagement_id="erp:E1", contract_line_id="erp:L1"),
]
BILLED = {
    ("erp:CL1", "2026-03", "unbilled", "EUR"): 16 * HOUR,
    ("erp:CL1", "2026-03", "billed", "EUR"): 8 * HOUR,
    (None, "2026-03", "parked", None): 8 * HOUR,
}
Figures = Counter[tuple[str | None, str, str, str | None]]


def live(site: Site) -> tuple[dict[tuple[str, str, str], int], Figures, Figures]:
    """Revisions of segments; and seconds and money of those in force by client, month, bucket, currency."""
    latest = {}
    for value in site.read("billing.current"):
        record = site.decoder.decode(value)
        latest[record["root_id"], record["entry_id"], record["segment"]] = record
    seconds, money = (
        Counter[tuple[str | None, str, str, str | None]](),
        Counter[tuple[str | None, str, str, str | None]](),
    )
    for record in latest.values():
        if not record["deleted"]:
            month = f"{record['accounting_date']:%Y-%m}"
            key = record["client_id"], month, record["bucket"], record["currency"]
            seconds[key] += record["seconds"]
            money[key] += record["amount"] or 0
    return {key: record["revision"] for key, record in latest.items()}, seconds, money


def test_the_change_does_what_the_preview_said(embedded: Stack, tmp_path: Path) -> None:
    """A new price, and a project that three years of code never heard of: first supposed, then made."""
    with Site(embedded, tmp_path) as site:
        send(site, [*REFERENCES, *FACTS])
        worker = site.worker(flows="billing").wait_ready()
        wait_for(lambda: live(site)[1] == BILLED, 60, worker.output)
        revisions, seconds, money = live(site)
        (tmp_path / "changes.yaml").write_text(CHANGES, encoding="utf-8")
        environment = embedded.settings_environment()
        done = run("preview", environment, tmp_path, "--change", "changes.yaml", "--json")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        preview = json.loads(done.stdout)
        assert live(site)[0] == revisions, "a preview emits nothing"
        shown = run("preview", environment, tmp_path, "--change", "changes.yaml")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "3 entries would change" in shown.stdout
        assert "change 2, project 'erp:P9': makes a new row" in shown.stdout
        assert preview["unreadable_records"] == 0

        send(site, MADE)
        moved = {(one["entry_id"], one["segment"]) for one in preview["segments"]}
        assert moved == {("time:1", "base"), ("time:2", "base"), ("time:4", "base")}
        wait_for(
            lambda: live(site)[1]["erp:CL1", "2026-03", "unbilled", "EUR"] == 24 * HOUR, 60, worker.output
        )
        wait_for(lambda: live(site)[2]["erp:CL1", "2026-03", "unbilled", "EUR"] == 8840, 60, worker.output)
        after, seconds_after, money_after = live(site)
        assert {key[1:] for key, revision in after.items() if revisions.get(key) != revision} == moved
        for totals, before, now, name in (
            (preview["totals"], seconds, seconds_after, "seconds"),
            (preview["totals"], money, money_after, "amount"),
        ):
            named = {
                (one["client_id"], one["month"], one["bucket"], one["currency"]): Decimal(one[name])
                for one in totals
            }
            for key in before.keys() | now.keys() | named.keys():
                assert now[key] - before[key] == named.get(key, 0), (name, key)
        assert worker.terminate()[0] == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("changes: [{entity: rate, id: x}]", "say what becomes of them"),
        ("changes: [{entity: rate, id: x, set: {price: ten}}]", "price: 'ten' is no decimal"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    """Exit code 2, without asking any server; a change of nothing is told once the topics are read."""
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    assert words in refused(run("preview", {}, tmp_path, "--change", "c.yaml"), 2)


def test_a_change_of_nothing_and_servers_that_are_away(embedded: Stack, tmp_path: Path) -> None:
    """The first names its place in the file; the second the setting."""
    (tmp_path / "c.yaml").write_text(
        "changes: [{entity: rate, id: 'erp:GONE', delete: true}]", encoding="utf-8"
    )
    with Site(embedded, tmp_path):
        environment = embedded.settings_environment()
        line = refused(run("preview", environment, tmp_path, "--change", "c.yaml"), 2)
        assert "c.yaml: change 1 concerns no rate that there is" in line
        away = {"TALLYSTREAM_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
        line = refused(run("preview", environment, tmp_path, "--change", "c.yaml", **away), 3)
        assert "TALLYSTREAM_KAFKA_BOOTSTRAP" in line
    assert "no-file.yaml can't be read" in refused(
        run("preview", {}, tmp_path, "--change", "no-file.yaml"), 2
    )


def test_records_that_are_none_and_another_registry(embedded: Stack, tmp_path: Path) -> None:
    """The first are counted, on standard error and in JSON; without schemas there is no answer at all.

    It comes last: what it puts into the module's topics stays there.
    """
    (tmp_path / "c.yaml").write_text(
        "changes: [{entity: time_entry, id: 'time:1', delete: true}]", encoding="utf-8"
    )
    with Site(embedded, tmp_path) as site:
        send(site, [*REFERENCES, *FACTS])
        producer = Producer({"bootstrap.servers": site.bootstrap, "log_level": 0})
        producer.produce("canonical.time_entry", b"junk", b"time:1", partition=0)
        producer.produce("canonical.rate", b"junk", b"erp:R-line", partition=0)
        assert producer.flush(20) == 0
        environment = embedded.settings_environment()
        done = run("preview", environment, tmp_path, "--change", "c.yaml", "--json")
        assert (done.returncode, done.stderr) == (0, "2 records can't be read and count for nothing\n")
        preview = json.loads(done.stdout)
        assert (preview["unreadable_records"], preview["entries"]) == (2, 1)
        producer.produce("canonical.rate", b"\0\x7f\0\0\0junk", b"erp:R-line", partition=0)
        assert producer.flush(20) == 0
        line = refused(run("preview", environment, tmp_path, "--change", "c.yaml"), 3)
        assert "schema id 2130706432 is unknown" in line
        assert "TALLYSTREAM_REGISTRY_URL" in line
