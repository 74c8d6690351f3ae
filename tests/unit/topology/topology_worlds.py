"""Generated firms on restless workers: what happens, in which order, and what breaks meanwhile."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import oracle
from support.changes import Change, ChangeLog

from agents.flows import all_flows
from connectors.reference.firm import FirmSettings, Plan, plan
from connectors.reference.firm.model import SYSTEM_OF
from streams.settings import Settings
from streams.testing import TopologyDriver
from streams.worker.flow import FlowDefinition

GRACE_SECONDS = 60.0
CHUNK = 200
# More than one crash after another takes.
TICKS = 4
OUTPUTS = (
    "billing.events",
    "billing.current",
    "billing.rated",
    "billing.invoice_event",
    "utilization.contribution",
    "utilization.daily",
    "utilization.windows",
    "utilization.member",
    "utilization.groups",
    "utilization.plan",
    "revenue.current",
    "exceptions",
    "exceptions.raised",
    "dead_letters",
)
# An input of each stage that reads records of ours or of others, and may get bytes that are none.
POISONED = (
    "cdc.time.public.time_entry",
    "canonical.time_entry",
    "canonical.invoice_line",
    "billing.rated",
    "billing.current",
    "utilization.contribution",
    "utilization.member",
    "canonical.assignment",
)


@dataclass(frozen=True)
class Weather:
    """A firm, and what its workers go through; ``seed`` decides every order there is."""

    firm: int = 5
    seed: int = 0
    workers: int = 3
    crash: float = 0.01
    unrest: float = 0.03
    duplicates: float = 0.05
    poison: int = 6


@lru_cache(maxsize=8)
def firm(seed: int) -> Plan:
    """A small firm with every kind of contract and trouble."""
    return plan(FirmSettings(seed=seed, consultants=10, days=14, start=date(2026, 3, 2)))


@lru_cache(maxsize=8)
def expected(seed: int) -> oracle.Expected:
    """What the oracle computes from the rows that the plan leaves behind."""
    systems: dict[str, dict[str, list[Any]]] = defaultdict(dict)
    for name, rows in firm(seed).tables().items():
        systems[SYSTEM_OF[name]][name] = list(rows.values())
    return oracle.compute_from_rows(oracle.canonical_rows(systems["erp"], systems["crm"], systems["time"]))


@dataclass
class World:
    """A firm's changes going through the whole topology."""

    weather: Weather
    flows: Sequence[FlowDefinition] | None = None
    driver: TopologyDriver = field(init=False)
    poison: dict[bytes, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.weather.seed)
        self.driver = TopologyDriver(
            self.flows or list(all_flows().values()),
            workers=self.weather.workers,
            crash=lambda place: self.rng.random() < self.weather.crash,
            unrest=self.weather.unrest,
            start=datetime(2026, 4, 1, tzinfo=UTC),  # after all that happened to the firm
            settings=Settings(partitions=2, exception_grace_s=GRACE_SECONDS),
        )

    def live_through(self, at_any_time: Callable[[World], None] = lambda world: None) -> World:
        """All changes, tables against each other at random, while workers work; ends at rest."""
        rng, driver = self.rng, self.driver
        pending = {topic: iter(changes) for topic, changes in self._changes().items()}
        while pending:
            self._produce(rng, pending)
            for _ in range(rng.randint(0, 6)):
                driver.feed_references(rng.randint(0, 30), rng)
                driver.step(rng, CHUNK)
            if rng.random() < 0.1:
                at_any_time(self)
        self.rest()
        at_any_time(self)
        return self

    def rest(self) -> None:
        """Until nothing is left to do, and nothing waits for a time to come."""
        self.driver.run(self.rng, CHUNK)
        for _ in range(TICKS if self.weather.crash else 1):  # a crash takes a tick with it
            self.driver.tick(2 * GRACE_SECONDS)
            self.driver.run(self.rng, CHUNK)

    def _changes(self) -> dict[str, list[Change]]:
        log = ChangeLog(self.driver.registry)
        queues: dict[str, list[Change]] = defaultdict(list)
        made = firm(self.weather.firm)
        for transaction in (*made.seed, *made.transactions):
            for change in log.changes(transaction):
                queues[change.topic].append(change)
        return queues

    def _produce(self, rng: random.Random, pending: dict[str, Any]) -> None:
        topic = rng.choice(sorted(pending))
        for _ in range(rng.randint(1, 200)):
            change = next(pending[topic], None)
            if change is None:
                del pending[topic]
                break
            for _ in range(2 if rng.random() < self.weather.duplicates else 1):
                self.driver.produce(change.topic, change.key, change.value, change.headers)
        if len(self.poison) < self.weather.poison and rng.random() < 0.3:
            value = b"\xffno record %d" % len(self.poison)
            self.poison[value] = POISONED[len(self.poison) % len(POISONED)]
            self.driver.produce(self.poison[value], b"x", value, partition=rng.randrange(2))

    def records(self, topic: str) -> list[dict[str, Any]]:
        """Decoded records of a topic, without the poison that was put there."""
        return [
            self.driver.decoder.decode(record.value)
            for log in self.driver.logs.partitions(topic)
            for record in log
            if record.value is not None and record.value not in self.poison
        ]

    def sizes(self) -> dict[str, int]:
        """How many records each output has."""
        return {topic: sum(map(len, self.driver.logs.partitions(topic))) for topic in OUTPUTS}


def latest(records: Sequence[dict[str, Any]], *key: str) -> dict[Any, dict[str, Any]]:
    """The last record of each key, deleted ones too."""
    return {tuple(record[name] for name in key): record for record in records}
