"""A small firm in the topology driver, bad rows beside it, and the oracle's view of the good ones."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import oracle
from prometheus_client import REGISTRY
from support.changes import Change, ChangeLog

from agents.flows import all_flows
from connectors.reference.firm import Delete, FirmSettings, Insert, Plan, Transaction, Update, plan
from connectors.reference.firm.model import SYSTEM_OF
from streams.settings import Settings
from streams.testing import TopologyDriver

WHEN = datetime(2026, 3, 5, 12, tzinfo=UTC)
GRACE_SECONDS = 60.0


@cache
def firm() -> Plan:
    """Small, with every kind of contract and trouble."""
    return plan(FirmSettings(seed=5, consultants=10, days=14, start=date(2026, 3, 2)))


def expected(tables: Mapping[str, Mapping[Any, Mapping[str, Any]]] | None = None) -> oracle.Expected:
    """What the oracle computes from the rows that the plan leaves behind, or from others."""
    systems: dict[str, dict[str, list[Any]]] = defaultdict(dict)
    for name, rows in (tables or firm().tables()).items():
        systems[SYSTEM_OF[name]][name] = list(rows.values())
    return oracle.compute_from_rows(oracle.canonical_rows(systems["erp"], systems["crm"], systems["time"]))


class Firm:
    """The whole topology, fed with the firm's changes."""

    def __init__(
        self, seed: int = 0, crash: float = 0.0, *, debezium: bool = False, announced: bool = True
    ) -> None:
        self.announced = announced
        self.rng = random.Random(seed)
        self.driver = TopologyDriver(
            list(all_flows().values()),
            settings=Settings(partitions=2, exception_grace_s=GRACE_SECONDS),
            crash=lambda place: self.rng.random() < crash,
        )
        self.log = ChangeLog(self.driver.registry, debezium=debezium)
        self.debezium = debezium

    def live_through(self) -> None:
        """All of the firm's changes."""
        for transaction in (*firm().seed, *firm().transactions):
            self.commit(transaction)

    def commit(self, transaction: Transaction) -> list[Change]:
        """A transaction's changes onto their topics."""
        changes = list(self.log.changes(transaction))
        for change in changes:
            self.driver.produce(change.topic, change.key, change.value, change.headers)
        if self.debezium and self.announced:
            end = self.log.end(transaction)
            self.driver.produce(end.topic, end.key, end.value)
        return changes

    def insert(self, table: str, **values: Any) -> Change:
        """A row of its own."""
        statement = Insert(table, values)
        return self.commit(Transaction(SYSTEM_OF[table], WHEN, (statement,), "test"))[0]

    def update(self, table: str, key: Any, **values: Any) -> Change:
        """A change of a row."""
        statement = Update(table, key, values)
        return self.commit(Transaction(SYSTEM_OF[table], WHEN, (statement,), "test"))[0]

    def delete(self, table: str, key: Any) -> Change:
        """The end of a row."""
        return self.commit(Transaction(SYSTEM_OF[table], WHEN, (Delete(table, key),), "test"))[0]

    def run(self) -> None:
        """Until nothing is left to do."""
        self.driver.run(self.rng, chunk=200)

    def assert_oracle(self, tables: Mapping[str, Mapping[Any, Mapping[str, Any]]] | None = None) -> None:
        """All rows of all outputs equal the oracle's, to the cent."""
        records = self.driver.records
        actual = oracle.Actual(
            ledger=oracle.billing_from_records(records("billing.events")),
            current=oracle.current_from_records(records("billing.current")),
            daily=oracle.daily_from_records(records("utilization.daily")),
            windows=oracle.windows_from_records(records("utilization.windows")),
            proposals=oracle.proposals_from_records(records("billing.invoice_event")),
            groups=oracle.groups_from_records(records("utilization.groups")),
            plans=oracle.plans_from_records(records("utilization.plan")),
            revenue=oracle.revenue_from_records(records("revenue.current")),
            incidents=oracle.open_incidents(records("exceptions")),
        )
        comparison = oracle.compare(expected(tables), actual)
        assert comparison.rows_different == 0, "\n".join(map(str, comparison.differences))
        assert comparison.money_difference == 0
        assert comparison.rows_compared > 100
        for partition in ("0", "1"):
            for unit in ("seconds", "money"):
                gap = REGISTRY.get_sample_value(
                    f"tallystream_conservation_gap_{unit}", {"partition": partition}
                )
                assert gap == 0, f"conservation of {unit} in partition {partition}"

    def exceptions(self, flow: str = "canonical") -> dict[str, dict[str, Any]]:
        """Latest state of each exception of a flow, by subject."""
        return {r["subject"]: r for r in self.driver.records("exceptions") if r["flow"] == flow}

    def times_published(self) -> Counter[str]:
        """How often each exception was published."""
        return Counter(record["exception_id"] for record in self.driver.records("exceptions"))

    def dead_letters(self) -> list[bytes | None]:
        """Values of the dead letters."""
        return [record.value for log in self.driver.logs.partitions("dead_letters") for record in log]


def entry_row(entry_id: int, **values: Any) -> dict[str, Any]:
    """A valid approved entry of the firm's first consultant and project, with some columns changed."""
    row = next(r for r in firm().tables()["time_entry"].values() if r["status"] == "approved")
    return {**row, "id": entry_id, "version": 1, **values}


def some(table: str, **values: Any) -> dict[str, Any]:
    """A copy of some row of a table, with some columns changed."""
    return {**next(iter(firm().tables()[table].values())), **values}


NAN = Decimal("NaN")
