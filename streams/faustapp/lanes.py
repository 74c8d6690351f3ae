"""Lanes of one flow under a Faust application: opened by assignment, fed by its agents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from faust.types import TP

from streams.errors import PositionLost
from streams.lanes.core import LaneCore
from streams.lanes.records import Chunk
from streams.lanes.runner import LaneRunner
from streams.lanes.tickets import Ticket

log = structlog.get_logger("lanes")

# Lanes restored at the same time: restore is mostly waiting for the broker.
OPENING_THREADS = 4


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A stage of a flow: its input topics (co-partitioned) and how to open one lane of it."""

    name: str
    inputs: Sequence[str]
    open_core: Callable[[int], LaneCore]
    ticks: bool = False
    pace_seconds: float = 0.0


class FlowLanes:
    """Opens, feeds and closes the lanes of a flow. All methods on the event loop's thread."""

    def __init__(
        self,
        stages: Iterable[StageSpec],
        *,
        on_counts: Callable[[str, Mapping[str, int]], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._stage_of = {topic: stage for stage in stages for topic in stage.inputs}
        self._runners: dict[tuple[str, int], LaneRunner] = {}
        self._rooms: dict[tuple[str, int], asyncio.Event] = {}
        # Where inputs began that the lane had applied nothing of: until a slice makes that durable, a
        # lane that is opened again must begin there again.
        self._starts: dict[TP, int] = {}
        self._on_counts = on_counts
        self.on_failure = on_failure
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool = ThreadPoolExecutor(OPENING_THREADS, "lane-open")
        self.consumer: Any = None
        self.ready = False

    async def open(self, assignment: set[TP]) -> dict[TP, int]:
        """Open the lanes of an assignment, close the others; returns where each input begins."""
        self._loop = asyncio.get_running_loop()
        self.ready = False
        wanted = {(self._stage_of[tp.topic].name, tp.partition) for tp in assignment}
        await self._close([key for key in self._runners if key not in wanted])
        missing = [key for key in sorted(wanted) if key not in self._runners]
        await asyncio.gather(*(self._open(stage, partition) for stage, partition in missing))
        tps = [TP(tp.topic, tp.partition) for tp in assignment]
        earliest = await self.consumer.earliest_offsets(*tps) if tps else {}
        positions = {tp: self._position(tp, earliest[tp]) for tp in tps}
        for runner in self._runners.values():
            runner.resume()
        self.ready = True
        log.info("lanes_open", lanes=len(self._runners), opened=len(missing))
        return positions

    def _position(self, tp: TP, earliest: int) -> int:
        core = self._runner(tp.topic, tp.partition).core
        applied = core.position(tp.topic)
        if applied is None:
            core.start_at(tp.topic, earliest)
            self._starts[tp] = earliest
            return earliest
        if applied < earliest:
            raise PositionLost(
                f"{tp.topic}/{tp.partition}: records {applied} to {earliest} were deleted before they were "
                "applied; lengthen the topic's retention and rebuild this flow from a snapshot"
            )
        return applied

    async def _open(self, stage_name: str, partition: int) -> None:
        stage = next(s for s in self._stage_of.values() if s.name == stage_name)
        key = (stage_name, partition)
        loop = asyncio.get_running_loop()
        self._rooms[key] = asyncio.Event()
        room = self._rooms[key]

        def done(ticket: Ticket) -> None:
            loop.call_soon_threadsafe(self.consumer.tickets.finish, ticket)

        def has_room() -> None:
            loop.call_soon_threadsafe(room.set)

        build = partial(
            LaneRunner,
            f"{stage_name}-{partition}",
            partial(stage.open_core, partition),
            on_done=done,
            on_counts=partial(self._on_counts, stage_name),
            on_room=has_room,
            on_reopened=partial(self._reopened, loop, key),
            on_failure=partial(self._failed, loop),
            ticks=stage.ticks,
            pace_seconds=stage.pace_seconds,
        )
        self._runners[key] = await loop.run_in_executor(self._pool, build)

    def _runner(self, topic: str, partition: int) -> LaneRunner:
        return self._runners[self._stage_of[topic].name, partition]

    async def deliver(self, chunk: Chunk, ticket: Ticket) -> None:
        """Hand a chunk to its lane, waiting while the lane has its backlog full."""
        key = (self._stage_of[chunk.topic].name, chunk.partition)
        while True:
            runner = self._runners.get(key)
            generation, _ = self.consumer.tickets.position((chunk.topic, chunk.partition))
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
        loop = asyncio.get_running_loop()
        runners = list(self._runners.values())
        await asyncio.gather(*(loop.run_in_executor(self._pool, r.drain) for r in runners))
        for room in self._rooms.values():
            room.set()

    async def close(self) -> None:
        """Close all lanes cleanly."""
        self.ready = False
        await self._close(list(self._runners))

    async def _close(self, keys: list[tuple[str, int]]) -> None:
        loop = asyncio.get_running_loop()
        closing = [self._runners.pop(key) for key in keys]
        await asyncio.gather(*(loop.run_in_executor(self._pool, runner.close) for runner in closing))
        for key in keys:
            self._rooms[key].set()

    # The rest is called from the lanes' threads.

    def _reopened(self, loop: asyncio.AbstractEventLoop, key: tuple[str, int], runner: LaneRunner) -> None:
        positions = {}
        for topic, stage in self._stage_of.items():
            if stage.name == key[0]:
                tp = TP(topic, key[1])
                if tp in self._starts:
                    runner.core.start_at(topic, self._starts[tp])
                offset = runner.core.position(topic)
                if offset is not None:
                    positions[tp] = offset

        def seek() -> None:
            for tp, offset in positions.items():
                self.consumer.request_seek(tp, offset)

        loop.call_soon_threadsafe(seek)

    def _failed(self, loop: asyncio.AbstractEventLoop, name: str, error: Exception) -> None:
        log.error("lane_failed", lane=name, error=str(error), kind=type(error).__name__)
        loop.call_soon_threadsafe(self.on_failure, error)
