"""The topology driver: the real stages in the real lane core, on logs in memory.

What varies in production varies here under the caller's control: which lane runs next, how many records
it gets, when reference changes arrive, when a lane crashes and where, what is delivered twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from streams.contracts import load_contracts
from streams.contracts.registration import register_schemas
from streams.lanes.core import LaneCore
from streams.lanes.records import Chunk, Headers
from streams.lanes.state import MemoryStore
from streams.references.feed import PREFIX
from streams.references.views import ReferenceState, Subscription
from streams.serde import Decoder
from streams.settings import Settings
from streams.testing.log import Logs, MemorySliceLog
from streams.testing.registry import MemoryRegistry
from streams.worker.flow import FlowDefinition, StageDefinition, StageEnvironment

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Crash(Exception):
    """An injected crash of one lane."""


@dataclass
class _Lane:
    flow: FlowDefinition
    stage: StageDefinition
    partition: int
    state: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    core: LaneCore | None = None
    subscription: Subscription | None = None


class TopologyDriver:
    """Runs flows step by step. ``crash`` is asked at each commit (``"before"``, ``"after"``)."""

    def __init__(
        self,
        flows: Sequence[FlowDefinition],
        *,
        partitions: int = 2,
        start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        crash: Callable[[str], bool] = lambda place: False,
        settings: Settings | None = None,
    ) -> None:
        self.now = start
        self.registry = MemoryRegistry()
        self.contracts = load_contracts()
        self.schema_ids = register_schemas(self.registry, self.contracts)
        self.decoder = Decoder(self.registry)
        self.settings = settings or Settings(partitions=partitions)
        self._crash = crash
        self.crashes = 0
        self.logs = Logs(self._partitions)
        self._references = {
            flow.name: ReferenceState(flow.view(), self.decoder.decode)
            for flow in flows
            if flow.view is not None
        }
        self._lanes = [
            _Lane(flow, stage, partition)
            for flow in flows
            for stage in flow.stages
            for partition in range(self.contracts.group_partitions(stage.group, partitions))
        ]
        self._fed: dict[tuple[str, str], int] = {}

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
        """Read reference topics on, up to ``limit`` records, in a random order of topics; returns how many."""
        done = 0
        for flow, state in self._references.items():
            waiting = [
                entity
                for entity in state.view.entities
                if self._fed.get((flow, entity), 0) < len(self.logs.partitions(PREFIX + entity)[0])
            ]
            while waiting and (limit is None or done < limit):
                entity = rng.choice(waiting) if rng else waiting[0]
                at = self._fed.get((flow, entity), 0)
                record = self.logs.partitions(PREFIX + entity)[0][at]
                assert record.value is not None
                state.apply(entity, 0, at, self.decoder.decode(record.value), record.value)
                self._fed[flow, entity] = at + 1
                done += 1
                if at + 1 == len(self.logs.partitions(PREFIX + entity)[0]):
                    waiting.remove(entity)
        return done

    def step(self, rng: random.Random, chunk: int = 50) -> bool:
        """Let one lane do one thing; False if no lane has anything to do."""
        waiting = [lane for lane in self._lanes if self._inputs(lane) or self._core(lane).has_references()]
        if not waiting:
            return False
        lane = rng.choice(waiting)
        self.now += timedelta(milliseconds=1)
        try:
            core, inputs = self._core(lane), self._inputs(lane)
            if inputs and not (core.has_references() and rng.random() < 0.5):
                core.apply(self._chunk(lane, rng.choice(inputs), rng.randint(1, chunk)))
            else:
                core.fan_out()
        except Crash:
            self.crash(lane)
        return True

    def crash(self, lane: _Lane) -> None:
        """Lose a lane's memory and local state; it restores from its state log."""
        self.crashes += 1
        if lane.subscription is not None:
            self._references[lane.flow.name].unsubscribe(lane.subscription)
        lane.core = lane.subscription = None

    def crash_all(self) -> None:
        """Lose all lanes, as when the process is killed."""
        for lane in self._lanes:
            if lane.core is not None:
                self.crash(lane)

    def run(self, rng: random.Random | None = None, chunk: int = 50) -> None:
        """Step until nothing is left to do, reference feed included."""
        rng = rng or random.Random(0)  # noqa: S311 -- an order to replay, not a secret
        while True:
            fed = self.feed_references(rng.randint(1, 20), rng)
            if not self.step(rng, chunk) and not fed:
                return

    def tick(self, seconds: float) -> None:
        """Let time pass and timers run."""
        self.now += timedelta(seconds=seconds)
        for lane in self._lanes:
            if lane.stage.ticks:
                self._core(lane).tick()

    def _core(self, lane: _Lane) -> LaneCore:
        if lane.core is None:
            store = MemoryStore()
            store.load(lane.state)
            references = self._references.get(lane.flow.name) if lane.stage.looks_up else None
            lane.subscription = references.subscribe() if references else None
            environment = self.environment(lane.partition, references.view if references else None)
            log = MemorySliceLog(
                self.logs, lane.state, self._timestamp, self._crash_at("before"), self._crash_at("after")
            )
            lane.core = LaneCore(
                lane.stage.build(environment), store, log, lane.subscription, clock=lambda: self.now
            )
            for topic in lane.stage.inputs:
                lane.core.start_at(topic, 0)
        return lane.core

    def _crash_at(self, place: str) -> Callable[[], None]:
        def maybe() -> None:
            if self._crash(place):
                raise Crash

        return maybe

    def _inputs(self, lane: _Lane) -> list[str]:
        core = self._core(lane)
        return [
            topic
            for topic in lane.stage.inputs
            if (core.position(topic) or 0) < len(self.logs.partitions(topic)[lane.partition])
        ]

    def _chunk(self, lane: _Lane, topic: str, size: int) -> Chunk:
        start = self._core(lane).position(topic) or 0
        records = self.logs.partitions(topic)[lane.partition][start : start + size]
        return Chunk(topic, lane.partition, start, start + len(records), 1, records)
