"""A worker process of the driver: reference tables of its own, and a lane of each flow."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from streams.lanes.core import LaneCore
from streams.lanes.lane import GATHER_SECONDS, Lane
from streams.lanes.records import Chunk
from streams.lanes.state import MemoryStore
from streams.lanes.transaction import TransactionalLog
from streams.references.feed import PREFIX
from streams.references.views import ReferenceState
from streams.serde import Decoder
from streams.testing.log import Claims, Logs, MemoryProducer
from streams.worker.flow import FlowDefinition, StageDefinition, StageEnvironment

# How often a chunk begins before what is applied: a delivery that was not acknowledged comes again.
REDELIVERED = 0.1
REDELIVERED_RECORDS = 3

# The stages that a worker has of each partition of a flow.
Assignment = Mapping[int, Sequence[str]]


class OpenLane:
    """A lane in a worker's memory. Its partitions may have another owner by now: hence fencing."""

    def __init__(
        self, worker: Worker, assignment: Assignment, lane: Lane, ends: Mapping[tuple[str, int], int]
    ) -> None:
        self.worker = worker
        self.assignment = assignment
        self._lane = lane
        self._ends = ends

    def inputs(self) -> list[tuple[str, int]]:
        """Inputs with records that are not applied."""
        return [
            (topic, partition)
            for topic, partition in self._lane.inputs()
            if self._position(topic, partition) < len(self.worker.logs.partitions(topic)[partition])
        ]

    def is_busy(self) -> bool:
        """Whether there is anything to do."""
        return self._lane.has_references() or bool(self.inputs())

    def catch_up(self) -> None:
        """Apply what the flow's own topics held when the lane was opened."""
        self._lane.flush()
        for (topic, partition), end in self._ends.items():
            start = self._position(topic, partition)
            if start < end:
                records = self.worker.logs.partitions(topic)[partition][start:end]
                self._lane.apply([Chunk(topic, partition, start, end, 1, records)])

    def work(self, rng: random.Random, chunk: int) -> None:
        """Apply some records of some inputs together, or one slice of a fan-out."""
        inputs = self.inputs()
        if inputs and not (self._lane.has_references() and rng.random() < 0.5):
            chosen = rng.sample(inputs, rng.randint(1, len(inputs)))
            chunks = [self._chunk(topic, partition, rng, chunk) for topic, partition in chosen]
            self._lane.apply(chunks, rng.choice((0, 3)))
        else:
            self._lane.fan_out()

    def tick(self) -> None:
        """Let timers run."""
        self._lane.tick()

    def close(self) -> None:
        """Make the cursors durable and let go, as at a clean stop."""
        self._lane.close()

    def abandon(self) -> None:
        """Let go of everything that is not durable."""
        self._lane.abandon()

    def _position(self, topic: str, partition: int) -> int:
        return self._lane.position(topic, partition) or 0

    def _chunk(self, topic: str, partition: int, rng: random.Random, size: int) -> Chunk:
        start = self._position(topic, partition)
        base = max(0, start - rng.randint(1, REDELIVERED_RECORDS)) if rng.random() < REDELIVERED else start
        records = self.worker.logs.partitions(topic)[partition][base : start + rng.randint(1, size)]
        return Chunk(topic, partition, base, base + len(records), 1, records)


class Worker:
    """Reads the reference topics at its own pace, and opens lanes of its flows.

    ``rng`` decides when a slice and a transaction have taken long enough.
    """

    def __init__(
        self,
        flows: Sequence[FlowDefinition],
        logs: Logs,
        claims: Claims,
        decoder: Decoder,
        environment: Callable[[int, Any], StageEnvironment],
        rng: random.Random,
    ) -> None:
        self.flows = {flow.name: flow for flow in flows}
        self.logs = logs
        self._claims = claims
        self._decode = decoder.decode
        self._environment = environment
        self._rng = rng
        self._fed: dict[tuple[str, str, int], int] = {}
        self._references = {
            flow.name: ReferenceState(flow.view(), decoder.decode) for flow in flows if flow.view is not None
        }
        self.feed()  # a worker is not ready before its tables are

    def feed(self, limit: int | None = None, rng: random.Random | None = None) -> int:
        """Read reference topics on, up to ``limit`` records, in a random order of topics; returns how many."""
        done = 0
        for flow, state in self._references.items():
            waiting = [
                (entity, partition)
                for entity in state.view.entities
                for partition, log in enumerate(self.logs.partitions(PREFIX + entity))
                if self._fed.get((flow, entity, partition), 0) < len(log)
            ]
            while waiting and (limit is None or done < limit):
                entity, partition = rng.choice(waiting) if rng else waiting[0]
                at = self._fed.get((flow, entity, partition), 0)
                log = self.logs.partitions(PREFIX + entity)[partition]
                value = log[at].value
                assert value is not None
                state.apply(entity, partition, at, self._decode(value), value)
                self._fed[flow, entity, partition] = at + 1
                done += 1
                if at + 1 == len(log):
                    waiting.remove((entity, partition))
        return done

    def open(
        self,
        flow: FlowDefinition,
        assignment: Assignment,
        producer: MemoryProducer,
        clock: Callable[[], datetime],
    ) -> OpenLane:
        """Fence earlier owners and restore; `ContractViolation` if newer rules wrote any of the state."""
        log = TransactionalLog("", flow.name, producer)
        self._claims.claim(flow.name, assignment, producer)
        settings = self._environment(0, None)
        own = flow.handed_over(settings.contracts, settings.settings.partitions)
        cores = {}
        with ExitStack() as opened:
            for partition, names in assignment.items():
                for stage in (stage for stage in flow.stages if stage.name in names):
                    core = self._open_stage(flow, stage, partition, log, clock, opened)
                    cores[stage.name, partition] = core
            opened.pop_all()
        ticking = frozenset(stage.name for stage in flow.stages if stage.ticks)
        lane = Lane(cores, log, ticking, own, elapsed=self._elapsed(GATHER_SECONDS))
        # Topic by topic against the order of the stages, as lanes catch up when they are opened.
        places = sorted(lane.inputs(), key=lambda place: -list(own).index(place[0]) if place[0] in own else 1)
        ends = {place: len(self.logs.partitions(place[0])[place[1]]) for place in places if place[0] in own}
        lane.overtake(ends)
        return OpenLane(self, assignment, lane, ends)

    def _open_stage(
        self,
        flow: FlowDefinition,
        stage: StageDefinition,
        partition: int,
        log: TransactionalLog,
        clock: Callable[[], datetime],
        opened: ExitStack,
    ) -> LaneCore:
        topic = f"state.{stage.name}"
        store = MemoryStore()
        store.load((record.key or b"", record.value) for record in self.logs.partitions(topic)[partition])
        references = self._references.get(flow.name) if stage.looks_up else None
        subscription, unsubscribe = None, _nothing
        if references is not None:
            subscription = references.subscribe()
            unsubscribe = partial(references.unsubscribe, subscription)
            opened.callback(unsubscribe)
        environment = self._environment(partition, references.view if references else None)
        core = LaneCore(
            stage.build(replace(environment, hands_over=flow.own_topics)),
            store,
            log.stage(topic, partition),
            subscription,
            clock=clock,
            elapsed=self._elapsed(0.01),
            on_close=unsubscribe,
        )
        for name in stage.inputs:
            core.start_at(name, 0)
        return core

    def _elapsed(self, seconds: float) -> Callable[[], float]:
        """A clock on which any time up to twice ``seconds`` passes from one look to the next."""

        def ticks() -> Iterator[float]:
            now = 0.0
            while True:
                now += self._rng.random() * 2 * seconds
                yield now

        return ticks().__next__


def _nothing() -> None:
    """A lane that looks nothing up has no subscription."""
