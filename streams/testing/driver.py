"""The topology driver: the real stages in real lanes, on logs in memory.

What varies in production varies here under the caller's control: which lane runs next, how many records
it gets, when reference changes arrive at which worker, when a worker crashes and where, what is delivered
twice, when a partition moves to another worker, and whether the one that lost it notices.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from streams.contracts import load_contracts
from streams.contracts.registration import register_schemas
from streams.errors import ContractViolation, Fenced
from streams.lanes.records import Headers
from streams.serde import Decoder
from streams.settings import Settings
from streams.testing.log import Claims, Logs, MemoryProducer
from streams.testing.registry import MemoryRegistry
from streams.testing.worker import Assignment, OpenLane, Worker
from streams.worker.flow import FlowDefinition, StageEnvironment

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Crash(Exception):
    """An injected crash of a lane or of its worker."""


class TopologyDriver:
    """Runs flows step by step, on ``workers`` workers that share the partitions.

    ``crash`` is asked ``"before"`` and ``"after"`` each commit. ``unrest`` is the chance, before each step,
    that a partition moves to another worker; half of the workers that lose one don't notice, and go on
    until they are fenced.
    """

    def __init__(
        self,
        flows: Sequence[FlowDefinition],
        *,
        workers: int = 1,
        partitions: int = 2,
        start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        crash: Callable[[str], bool] = lambda place: False,
        unrest: float = 0.0,
        settings: Settings | None = None,
    ) -> None:
        self.now = start
        self.registry = MemoryRegistry()
        self.contracts = load_contracts()
        self.schema_ids = register_schemas(self.registry, self.contracts)
        self.decoder = Decoder(self.registry)
        self.settings = settings or Settings(partitions=partitions)
        self._crash = crash
        self._unrest = unrest
        self.crashes = 0
        self.fenced = 0
        self.refused = 0
        self.logs = Logs(self._partitions)
        self._claims = Claims()
        # How long things take: the same in each run, and apart from the caller's own choices.
        self._rng = random.Random(0)  # noqa: S311 -- to replay, not a secret
        self._workers = [self._worker(flows) for _ in range(workers)]
        self._stages = {
            (flow.name, partition): [
                stage.name for stage in flow.stages if partition < self._group_partitions(stage.group)
            ]
            for flow in flows
            for partition in range(max(self._group_partitions(stage.group) for stage in flow.stages))
        }
        self._owner = {place: place[1] % workers for place in self._stages}
        self._lanes: dict[tuple[str, int], OpenLane] = {}

    def _worker(self, flows: Sequence[FlowDefinition]) -> Worker:
        return Worker(flows, self.logs, self._claims, self.decoder, self.environment, self._rng)

    def _group_partitions(self, group: str) -> int:
        return self.contracts.group_partitions(group, self.settings.partitions)

    def _partitions(self, topic: str) -> int:
        if topic in self.contracts.topics:
            return self.contracts.partitions(topic, self.settings.partitions)
        return self.settings.partitions or 1

    def environment(self, partition: int = 0, view: Any = None) -> StageEnvironment:
        """What stages are built from; also a source of publishers' encoders for tests."""
        return StageEnvironment(partition, self.settings, self.contracts, self.decoder, self.schema_ids, view)

    def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Append an input record at the virtual now."""
        self.logs.append(topic, key, value, self._timestamp(), partition, headers)

    def _timestamp(self) -> int:
        return int((self.now - EPOCH) / timedelta(milliseconds=1))

    def records(self, topic: str) -> list[dict[str, Any]]:
        """All records of a topic, decoded, partition by partition."""
        return [
            self.decoder.decode(record.value)
            for log in self.logs.partitions(topic)
            for record in log
            if record.value is not None
        ]

    def feed_references(self, limit: int | None = None, rng: random.Random | None = None) -> int:
        """Let each worker read reference topics on, up to ``limit`` records; returns how many all read."""
        return sum(worker.feed(limit, rng) for worker in self._workers)

    def step(self, rng: random.Random, chunk: int = 50) -> bool:
        """Let one lane do one thing; False if no lane has anything to do."""
        if rng.random() < self._unrest:
            self.move(
                *rng.choice(list(self._owner)), rng.randrange(len(self._workers)), noticed=rng.random() < 0.5
            )
        lost = self.crashes, self.fenced
        self._open_all(rng)
        busy = [lane for lane in self._lanes.values() if lane.is_busy()]
        if not busy:
            # What was lost while it was opened is opened again, and may have something to do.
            return lost != (self.crashes, self.fenced)
        self.now += timedelta(milliseconds=1)
        self._attempt(rng.choice(busy), lambda lane: lane.work(rng, chunk), rng)
        return True

    def _attempt(self, lane: OpenLane, work: Callable[[OpenLane], None], rng: random.Random) -> None:
        """Half of the crashes cost a lane, as an aborted transaction does, half a worker."""
        try:
            work(lane)
        except Crash:
            self.crashes += 1
            if rng.random() < 0.5:
                self._lose(lane)
            else:
                self.kill(self._workers.index(lane.worker))
        except Fenced:
            self.fenced += 1
            self._lose(lane)

    def move(self, flow: str, partition: int, worker: int, *, noticed: bool = True) -> None:
        """Give a partition to another worker. Who loses it closes its lane, or goes on as if nothing was."""
        loser = self._owner[flow, partition]
        self._owner[flow, partition] = worker
        for one in {loser, worker} if loser != worker else ():
            lane = self._lanes.get((flow, one))
            if lane is not None and (noticed or one == worker):
                self._attempt(lane, self._close, self._rng)

    def _close(self, lane: OpenLane) -> None:
        lane.close()
        self._forget(lane)

    def kill(self, worker: int) -> None:
        """Lose all that a worker has in memory; one with the same flows takes its place."""
        self.replace(worker, list(self._workers[worker].flows.values()))

    def replace(self, worker: int, flows: Sequence[FlowDefinition]) -> None:
        """Kill a worker, and start one with other flows or rules in its place."""
        for lane in [lane for lane in self._lanes.values() if lane.worker is self._workers[worker]]:
            self._lose(lane)
        self._workers[worker] = self._worker(flows)

    def _lose(self, lane: OpenLane) -> None:
        lane.abandon()
        self._forget(lane)

    def _forget(self, lane: OpenLane) -> None:
        self._lanes = {key: other for key, other in self._lanes.items() if other is not lane}

    def crash_all(self) -> None:
        """Lose all workers, as when the machine loses power."""
        for worker in range(len(self._workers)):
            self.kill(worker)

    def run(self, rng: random.Random | None = None, chunk: int = 50) -> None:
        """Step until nothing is left to do, reference feed included."""
        rng = rng or random.Random(0)  # noqa: S311 -- an order to replay, not a secret
        while True:
            fed = sum(worker.feed(rng.randint(0, 20), rng) for worker in self._workers)
            if not self.step(rng, chunk) and not fed and not self.feed_references(1, rng):
                return

    def tick(self, seconds: float) -> None:
        """Let time pass and timers run."""
        self.now += timedelta(seconds=seconds)
        self._open_all(self._rng)
        for key, lane in list(self._lanes.items()):
            if self._lanes.get(key) is lane:  # not lost with its worker in a crash of another one's tick
                self._attempt(lane, OpenLane.tick, self._rng)

    def _open_all(self, rng: random.Random) -> None:
        """Open what is assigned. Who has not noticed its assignment goes on, until it has nothing to do."""
        for flow in dict.fromkeys(flow for flow, _ in self._owner):
            for worker in range(len(self._workers)):
                assignment = self._assignment(flow, worker)
                lane = self._lanes.get((flow, worker))
                if lane is not None and lane.assignment != assignment and not lane.is_busy():
                    self._attempt(lane, self._close, rng)
                    lane = None
                if lane is None and assignment:
                    self._open(flow, worker, assignment)

    def _assignment(self, flow: str, worker: int) -> Assignment:
        return {
            partition: self._stages[name, partition]
            for (name, partition), owner in self._owner.items()
            if name == flow and owner == worker
        }

    def _open(self, flow: str, worker: int, assignment: Assignment) -> None:
        """Open a lane, or leave the partitions to the next worker if newer rules wrote their state."""
        producer = MemoryProducer(self.logs, self._timestamp, self._reach)
        one = self._workers[worker]
        try:
            self._lanes[flow, worker] = one.open(one.flows[flow], assignment, producer, lambda: self.now)
        except ContractViolation:
            self.refused += 1
            for partition in assignment:
                self._owner[flow, partition] = (worker + 1) % len(self._workers)
            return
        if self._rng.random() < 0.5:  # as when catching up takes too long
            self._attempt(self._lanes[flow, worker], OpenLane.catch_up, self._rng)

    def _reach(self, place: str) -> None:
        if self._crash(place):
            raise Crash
