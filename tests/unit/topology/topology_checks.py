"""The invariants of the flows, each a check that fails with what it found."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import oracle
from topology_worlds import World, expected, latest

from agents.billing.rate_stage import RULES
from agents.flows import all_flows

SEGMENT = ("root_id", "entry_id", "segment")
KEYED = {
    "billing.rated": ("root_id", "entry_id", "version_id"),
    "billing.current": SEGMENT,
    "utilization.contribution": ("consultant_id", "entry_id"),
    "utilization.daily": ("consultant_id", "day"),
    "utilization.windows": ("consultant_id", "window", "starts_on"),
    "billing.invoice_event": ("root_id", "month", "payer_id", "currency"),
    "utilization.plan": ("consultant_id", "project_id", "starts_on"),
    "utilization.member": ("group_window", "consultant_id"),
    "utilization.groups": ("dimension", "value", "window", "starts_on"),
    "revenue.current": ("root_id", "contract_line_id", "period_start"),
}
# What a record says of where it comes from and when, and its number: everything else is business content.
LINEAGE = {
    "revision", "event_id", "occurred_at", "captured_at", "published_at", "rated_at", "allocated_at",
    "computed_at", "proposed_at", "snapshot", "source_system", "source_epoch", "source_lsn", "source_ordinal",
    "rule_version",
}  # fmt: skip
# How many stages read a topic.
READERS = Counter(topic for flow in all_flows().values() for stage in flow.stages for topic in stage.inputs)
TIMES = ("occurred_at", "captured_at", "published_at")
PRICED = {"unbilled", "covered", "over_cap", "written_off"}


def oracles_rows(world: World) -> None:
    """All rows of all outputs are the oracle's, to the cent."""
    actual = oracle.Actual(
        ledger=oracle.billing_from_records(world.records("billing.events")),
        current=oracle.current_from_records(world.records("billing.current")),
        daily=oracle.daily_from_records(world.records("utilization.daily")),
        windows=oracle.windows_from_records(world.records("utilization.windows")),
        proposals=oracle.proposals_from_records(world.records("billing.invoice_event")),
        groups=oracle.groups_from_records(world.records("utilization.groups")),
        plans=oracle.plans_from_records(world.records("utilization.plan")),
        revenue=oracle.revenue_from_records(world.records("revenue.current")),
        incidents=oracle.open_incidents(world.records("exceptions")),
    )
    comparison = oracle.compare(expected(world.weather.firm), actual)
    assert comparison.rows_different == 0, "\n".join(map(str, comparison.differences))
    assert comparison.money_difference == 0
    assert comparison.rows_compared > 1_000


def ledger_is_current(world: World) -> None:
    """At any time: the ledger's lines add up to what is current, segment by segment."""
    folded: dict[Any, list[Any]] = defaultdict(lambda: [0, 0, 0])
    for line in world.records("billing.events"):
        fold = folded[tuple(line[name] for name in SEGMENT)]
        fold[0] += line["seconds"]
        fold[1] += line["amount"] or 0
        fold[2] += -1 if line["kind"] == "REVERSAL" else 1
    current = {
        key: [r["seconds"], r["amount"] or 0, 1]
        for key, r in latest(world.records("billing.current"), *SEGMENT).items()
        if not r["deleted"]
    }
    assert {key: fold for key, fold in folded.items() if any(fold)} == current


def nothing_twice(world: World) -> None:
    """At any time: no event twice, and what is reversed was charged, once, and is reversed once."""
    lines = world.records("billing.events")
    repeated = [event for event, times in Counter(line["event_id"] for line in lines).items() if times > 1]
    assert repeated == []
    charges = {line["event_id"]: line for line in lines if line["kind"] != "REVERSAL"}
    reversed_ = [line["reverses"] for line in lines if line["kind"] == "REVERSAL"]
    assert len(reversed_) == len(set(reversed_))
    for line in lines:
        if line["kind"] == "REVERSAL":
            charge = charges[line["reverses"]]
            assert charge["seconds"] == -line["seconds"]
            for money in ("amount", "functional_amount"):
                assert (charge[money] or 0) == -(line[money] or 0)


def time_is_conserved(world: World) -> None:
    """Each approved entry's seconds are all in some bucket, and no other entry has any."""
    approved = {
        entry_id: row["seconds"]
        for (entry_id,), row in latest(world.records("canonical.time_entry"), "id").items()
        if not row["deleted"] and row["status"] == "approved"
    }
    booked: Counter[str] = Counter()
    for record in latest(world.records("billing.current"), *SEGMENT).values():
        if not record["deleted"]:
            booked[record["entry_id"]] += record["seconds"]
    assert {entry: seconds for entry, seconds in booked.items() if seconds} == {
        entry: seconds for entry, seconds in approved.items() if seconds
    }


def no_silent_zero(world: World) -> None:
    """What has a price has an amount; what has none is parked, says what it waits for, and is shown."""
    shown = {r["subject"]: r for r in world.records("exceptions") if r["flow"] == "billing"}
    parked = 0
    for record in latest(world.records("billing.current"), *SEGMENT).values():
        if record["deleted"]:
            continue
        if record["bucket"] == "parked":
            parked += 1
            assert record["missing_keys"]
            assert record["exception_class"]
            assert shown[record["entry_id"]]["state"] == "open"
        elif record["bucket"] in PRICED and record["seconds"] > 0:
            assert record["amount"], record
    assert parked


def lineage_is_there(world: World) -> None:
    """Every output says which change caused it, from where and when, and by which rules."""
    causes = {
        (r["source_system"], r["source_epoch"], r["source_lsn"], r["source_ordinal"])
        for entity in (
            *("time_entry", "time_entry_version", "expense", "expense_version"),
            *("invoice_line", "bill_adjustment", "milestone"),
        )
        for r in world.records(f"canonical.{entity}")
    } | {("", 0, 0, 0)}  # a reference change
    for topic in ("billing.events", "billing.rated"):
        for r in world.records(topic):
            place = r["source_system"], r["source_epoch"], r["source_lsn"], r["source_ordinal"]
            assert place in causes, (topic, place)
    for topic in ("billing.events", "billing.current", "billing.rated"):
        assert {record["rule_version"] for record in world.records(topic)} == {RULES}
    for topic in KEYED:
        for record in world.records(topic):
            times = [record[name] for name in TIMES]
            assert times == sorted(times), (topic, times)
    events = {line["event_id"] for line in world.records("billing.events")}
    assert {record["event_id"] for record in world.records("billing.current")} <= events


def revisions_count_changes(world: World) -> None:
    """Of each key's records, the revision grows if and only if the business content changes.

    Or the ledger line that a segment names, of those that were booked on several days: a late close may put one into
    the books by another line.
    """
    days: dict[Any, set[Any]] = defaultdict(set)
    for line in world.records("billing.events"):
        days[tuple(line[name] for name in SEGMENT)].add(line["accounting_date"])
    for topic, key in KEYED.items():
        last: dict[Any, dict[str, Any]] = {}
        for record in world.records(topic):
            place = tuple(record[name] for name in key)
            before = last.get(place)
            last[place] = record
            if before is not None:
                changed = _content(record) != _content(before)
                if topic == "billing.current" and len(days[place]) > 1:
                    changed = changed or record["event_id"] != before["event_id"]
                grew = record["revision"] > before["revision"]
                assert changed == grew, (topic, before, record)


def _content(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in LINEAGE}


def poison_is_kept(world: World) -> None:
    """Each record that can't be read is a dead letter and an open exception with its bytes, once a reader."""
    letters = Counter(r.value for log in world.driver.logs.partitions("dead_letters") for r in log)
    assert letters == {value: READERS[topic] for value, topic in world.poison.items()}
    raised = {r["raw_value"]: r for r in world.records("exceptions") if r["raw_value"] in world.poison}
    assert {value: r["raw_topic"] for value, r in raised.items()} == world.poison
    assert {record["state"] for record in raised.values()} <= {"open"}


def rest_is_rest(world: World) -> None:
    """Once all is applied, workers that start anew publish nothing."""
    before = world.sizes()
    world.driver.crash_all()
    world.rest()
    assert world.sizes() == before


AT_ANY_TIME = (ledger_is_current, nothing_twice)
AT_REST = (
    oracles_rows, time_is_conserved, no_silent_zero, lineage_is_there, revisions_count_changes,
    poison_is_kept, rest_is_rest,
)  # fmt: skip
