"""Lanes of one flow under a Faust application: opened by assignment, fed by its agents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from faust.types import TP

from streams.errors import ContractViolation, PositionLost
from streams.lanes.lane import Lane
from streams.lanes.records import Chunk
from streams.lanes.runner import LaneRunner
from streams.lanes.tickets import Ticket

log = structlog.get_logger("lanes")

# Lanes restored at the same time: restore is mostly waiting for the broker.
OPENING_THREADS = 4


@dataclass(frozen=True, slots=True)
class StageInputs:
    """A stage of a flow and its input topics, which are co-partitioned with those of the other stages."""

    name: str
    inputs: Sequence[str]


class FlowLanes:
    """Opens, feeds and closes the lanes of a flow. All methods on the event loop's thread.

    ``open_lane`` opens the lane of a partition with the named stages.
    """

    def __init__(
        self,
        flow: str,
        stages: Iterable[StageInputs],
        open_lane: Callable[[int, Collection[str]], Lane],
        *,
        on_counts: Callable[[str, Mapping[str, int]], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._flow = flow
        self._stage_of = {topic: stage for stage in stages for topic in stage.inputs}
        self._open_lane = open_lane
        self._runners: dict[int, LaneRunner] = {}
        self._rooms: dict[int, asyncio.Event] = {}
        # Where inputs began that the lane had applied nothing of: until a slice makes that durable, a
        # lane that is opened again must begin there again.
        self._starts: dict[TP, int] = {}
        self._on_counts = on_counts
        self.on_failure = on_failure
        self._pool = ThreadPoolExecutor(OPENING_THREADS, "lane-open")
        self._opening = asyncio.Lock()
        # Counts pauses: lanes opened for an assignment that was revoked meanwhile stay paused.
        self._pauses = 0
        self.consumer: Any = None
        self.ready = False

    async def open(self, assignment: set[TP]) -> dict[TP, int]:
        """Open the lanes of an assignment, close the others; returns where each input begins.

        Faust stops waiting for this when the next rebalance begins. What was begun goes on to its end, and
        the next call waits for it: two that open one lane would take the local state from each other.
        """
        opening = asyncio.ensure_future(self._open_all(assignment, self._pauses))
        opening.add_done_callback(self._opened)
        return await asyncio.shield(opening)

    def _opened(self, opening: asyncio.Future[dict[TP, int]]) -> None:
        if not opening.cancelled() and (error := opening.exception()) is not None:
            self.on_failure(error if isinstance(error, Exception) else RuntimeError(str(error)))

    async def _open_all(self, assignment: set[TP], pauses: int) -> dict[TP, int]:
        async with self._opening:
            if pauses != self._pauses:
                return {}  # revoked before it began; another assignment follows
            self.ready = False
            wanted = self._stages_by_partition(assignment)
            await self._close(
                [key for key, runner in self._runners.items() if wanted.get(key) != runner.stages]
            )
            missing = [key for key in sorted(wanted) if key not in self._runners]
            await asyncio.gather(*(self._open(key, wanted[key]) for key in missing))
            tps = [TP(tp.topic, tp.partition) for tp in assignment]
            earliest = await self.consumer.earliest_offsets(*tps) if tps else {}
            positions = {tp: self._position(tp, earliest[tp]) for tp in tps}
            if pauses == self._pauses:
                for runner in self._runners.values():
                    runner.resume()
                self.ready = True
            log.info("lanes_open", flow=self._flow, lanes=len(self._runners), opened=len(missing))
            return positions

    def _stages_by_partition(self, assignment: set[TP]) -> dict[int, frozenset[str]]:
        """Which stages the lane of each partition has. All inputs of a stage must be there."""
        assigned = {(tp.topic, tp.partition) for tp in assignment}
        stages: dict[int, set[str]] = {}
        for topic, partition in assigned:
            stage = self._stage_of[topic]
            missing = [other for other in stage.inputs if (other, partition) not in assigned]
            if missing:
                raise ContractViolation(
                    f"partition {partition} of {topic} is assigned without that of {', '.join(missing)}; "
                    "topics that are read together must have the same number of partitions"
                )
            stages.setdefault(partition, set()).add(stage.name)
        return {partition: frozenset(names) for partition, names in stages.items()}

    def _position(self, tp: TP, earliest: int) -> int:
        lane = self._runners[tp.partition].lane
        applied = lane.position(tp.topic)
        if applied is None:
            lane.start_at(tp.topic, earliest)
            self._starts[tp] = earliest
            return earliest
        if applied < earliest:
            raise PositionLost(
                f"{tp.topic}/{tp.partition}: records {applied} to {earliest} were deleted before they were "
                "applied; lengthen the topic's retention and rebuild this flow from a snapshot"
            )
        return applied

    async def _open(self, partition: int, stages: frozenset[str]) -> None:
        loop = asyncio.get_running_loop()
        room = self._rooms[partition] = asyncio.Event()

        def done(ticket: Ticket) -> None:
            loop.call_soon_threadsafe(self.consumer.tickets.finish, ticket)

        def has_room() -> None:
            loop.call_soon_threadsafe(room.set)

        build = partial(
            LaneRunner,
            f"{self._flow}-{partition}",
            partial(self._open_lane, partition, stages),
            stages,
            on_done=done,
            on_counts=self._on_counts,
            on_room=has_room,
            on_reopened=partial(self._reopened, loop, partition),
            on_failure=partial(self._failed, loop),
        )
        self._runners[partition] = await loop.run_in_executor(self._pool, build)

    async def deliver(self, chunk: Chunk, ticket: Ticket) -> None:
        """Hand a chunk to its lane, waiting while the lane has its backlog full."""
        key = chunk.partition
        while True:
            runner = self._runners.get(key)
            generation, _ = self.consumer.tickets.position((chunk.topic, key))
            if runner is None or generation != chunk.generation:
                return  # revoked or seeked meanwhile: it will be delivered again
            if runner.has_room():
                runner.offer(chunk, ticket)
                return
            self._rooms[key].clear()
            if not runner.has_room():
                await self._rooms[key].wait()

    def count(self) -> int:
        """Number of open lanes."""
        return len(self._runners)

    def poke(self) -> None:
        """Reference tables changed. Called from the feed's thread."""
        for runner in list(self._runners.values()):
            runner.poke()

    async def pause(self) -> None:
        """Partitions are revoked: finish current slices, drop what is queued."""
        self.ready = False
        self._pauses += 1
        loop = asyncio.get_running_loop()
        runners = list(self._runners.values())
        await asyncio.gather(*(loop.run_in_executor(self._pool, r.drain) for r in runners))
        for room in self._rooms.values():
            room.set()

    async def close(self) -> None:
        """Close all lanes cleanly."""
        self.ready = False
        self._pauses += 1
        async with self._opening:
            await self._close(list(self._runners))

    async def _close(self, keys: list[int]) -> None:
        loop = asyncio.get_running_loop()
        closing = [self._runners.pop(key) for key in keys]
        await asyncio.gather(*(loop.run_in_executor(self._pool, runner.close) for runner in closing))
        for key in keys:
            self._rooms[key].set()

    # The rest is called from the lanes' threads.

    def _reopened(self, loop: asyncio.AbstractEventLoop, partition: int, runner: LaneRunner) -> None:
        lane, positions = runner.lane, {}
        for topic in lane.inputs():
            tp = TP(topic, partition)
            if tp in self._starts:
                lane.start_at(topic, self._starts[tp])
            offset = lane.position(topic)
            if offset is not None:
                positions[tp] = offset

        def seek() -> None:
            for tp, offset in positions.items():
                self.consumer.request_seek(tp, offset)

        loop.call_soon_threadsafe(seek)

    def _failed(self, loop: asyncio.AbstractEventLoop, name: str, error: Exception) -> None:
        log.error("lane_failed", lane=name, error=str(error), kind=type(error).__name__)
        loop.call_soon_threadsafe(self.on_failure, error)
