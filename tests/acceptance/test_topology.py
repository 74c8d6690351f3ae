"""Whole flows in the topology driver, held against the oracle."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date

import oracle
import pytest
from support.changes import ChangeLog

from agents.flows import all_flows
from connectors.reference.firm import FirmSettings, Plan, plan
from connectors.reference.firm.model import SYSTEM_OF
from streams.testing import TopologyDriver


@pytest.fixture(scope="module")
def firm() -> Plan:
    """A small firm with every kind of contract and trouble."""
    return plan(FirmSettings(seed=3, consultants=10, days=28, start=date(2026, 3, 2)))


def expected(firm: Plan) -> oracle.Expected:
    """What the oracle computes from the rows that the plan leaves behind."""
    tables: dict[str, dict[str, list[dict]]] = defaultdict(dict)
    for name, rows in firm.tables().items():
        tables[SYSTEM_OF[name]][name] = list(rows.values())
    return oracle.compute_from_rows(oracle.canonical_rows(tables["erp"], tables["crm"], tables["time"]))


def actual(driver: TopologyDriver) -> oracle.Actual:
    """What the topics say."""
    return oracle.Actual(
        ledger=oracle.billing_from_records(driver.records("billing.events")),
        current=oracle.current_from_records(driver.records("billing.current")),
        daily=oracle.daily_from_records(driver.records("utilization.daily")),
        windows=oracle.windows_from_records(driver.records("utilization.windows")),
        proposals=oracle.proposals_from_records(driver.records("billing.invoice_event")),
        groups=oracle.groups_from_records(driver.records("utilization.groups")),
        plans=oracle.plans_from_records(driver.records("utilization.plan")),
        revenue=oracle.revenue_from_records(driver.records("revenue.current")),
    )


def produce_all(driver: TopologyDriver, firm: Plan, rng: random.Random, duplicates: float) -> None:
    """All changes, tables interleaved at random, each table's in order, some delivered twice."""
    log = ChangeLog(driver.registry)
    queues = defaultdict(list)
    for transaction in (*firm.seed, *firm.transactions):
        for change in log.changes(transaction):
            queues[change.topic].append(change)
    pending = {topic: iter(changes) for topic, changes in queues.items()}
    while pending:
        topic = rng.choice(sorted(pending))
        for _ in range(rng.randint(1, 200)):
            change = next(pending[topic], None)
            if change is None:
                del pending[topic]
                break
            for _ in range(2 if rng.random() < duplicates else 1):
                driver.produce(change.topic, change.key, change.value, change.headers)


@pytest.mark.parametrize("seed", range(4))
def test_any_interleaving_gives_the_oracles_rows(firm: Plan, seed: int) -> None:
    """Tables in any order against each other, duplicates and crashes: the oracle's rows to the cent."""
    rng = random.Random(seed)
    driver = TopologyDriver(list(all_flows().values()), crash=lambda place: seed > 0 and rng.random() < 0.01)
    produce_all(driver, firm, rng, duplicates=0.05)
    driver.run(rng, chunk=200)
    comparison = oracle.compare(expected(firm), actual(driver))
    assert comparison.rows_compared > 1000
    assert comparison.rows_different == 0, "\n".join(map(str, comparison.differences))
    assert comparison.money_difference == 0
    ids = [event["event_id"] for event in driver.records("billing.events")]
    assert len(ids) == len(set(ids))
