"""The lane of a flow under a Faust application: opened by assignment, fed by its agents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from faust.types import TP

from streams.errors import ContractViolation, Fenced
from streams.lanes.lane import Lane
from streams.lanes.records import Chunk
from streams.lanes.runner import LaneRunner
from streams.lanes.tickets import Ticket

log = structlog.get_logger("lanes")

# Claims take milliseconds, and some seconds where the brokers have only just started. A restore may go on.
CLAIM_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class StageInputs:
    """A stage of a flow and its input topics, which are co-partitioned with those of the other stages."""

    name: str
    inputs: Sequence[str]
    background: Sequence[str] = ()


# Which stages of each partition a worker has.
Assignment = dict[int, frozenset[str]]


class FlowLane:
    """Opens, feeds and closes the lane of a flow. All methods on the event loop's thread.

    ``open_lane`` opens the lane of an assignment. A lane serves one assignment: after another one it is
    closed, and opened anew with what it has then.
    """

    def __init__(
        self,
        flow: str,
        stages: Iterable[StageInputs],
        open_lane: Callable[[Assignment], Lane],
        *,
        on_counts: Callable[[str, Mapping[str, int]], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._flow = flow
        self._stage_of = {topic: stage for stage in stages for topic in stage.inputs}
        self.background = {topic for stage in self._stage_of.values() for topic in stage.background}
        """Topics whose chunks wait behind those of all others."""
        self._open_lane = open_lane
        self._runner: LaneRunner | None = None
        self._assignment: Assignment = {}
        self._room = asyncio.Event()
        self._on_counts = on_counts
        self.on_failure = on_failure
        self._pool = ThreadPoolExecutor(1, "lane-open")
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
            opened = wanted != self._assignment or self._runner is None
            if opened:
                await self._close()
                try:
                    await self._open(wanted)
                except Fenced:
                    if pauses == self._pauses:
                        raise
                    return {}  # revoked meanwhile, and claimed by who has it now; another assignment follows
            positions = self._positions()
            if pauses == self._pauses:
                if self._runner is not None:
                    self._runner.resume()
                self.ready = True
            log.info("lane_open", flow=self._flow, partitions=len(wanted), opened=opened)
            return positions

    def _stages_by_partition(self, assignment: set[TP]) -> Assignment:
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

    def _positions(self) -> dict[TP, int]:
        """Where each input goes on. A lane that was opened knows it of all of them."""
        return {} if self._runner is None else _positions(self._runner.lane)

    async def _open(self, assignment: Assignment) -> None:
        if not assignment:
            return
        loop = asyncio.get_running_loop()

        def done(ticket: Ticket) -> None:
            loop.call_soon_threadsafe(self.consumer.tickets.finish, ticket)

        def has_room() -> None:
            loop.call_soon_threadsafe(self._room.set)

        build = partial(
            LaneRunner,
            self._flow,
            partial(self._open_lane, assignment),
            on_done=done,
            on_counts=self._on_counts,
            on_room=has_room,
            on_reopened=partial(self._reopened, loop),
            on_failure=partial(self._failed, loop),
        )
        self._runner = await loop.run_in_executor(self._pool, build)
        self._assignment = assignment

    async def deliver(self, chunk: Chunk, ticket: Ticket) -> None:
        """Hand a chunk to the lane, waiting while it has its backlog full."""
        while True:
            runner = self._runner
            generation, _ = self.consumer.tickets.position((chunk.topic, chunk.partition))
            if runner is None or generation != chunk.generation:
                return  # revoked or seeked meanwhile: it will be delivered again
            if chunk.topic in self.background:
                runner.offer_background(chunk, ticket)
                return
            if runner.has_room():
                runner.offer(chunk, ticket)
                return
            self._room.clear()
            if not runner.has_room():
                await self._room.wait()

    def count(self) -> int:
        """Number of stages on partitions that are open."""
        return 0 if self._runner is None else self._runner.lane.count()

    def behind(self) -> Sequence[tuple[str, int]]:
        """Inputs whose records may not overtake yet, since earlier ones are still to be read."""
        return [] if self._runner is None else self._runner.lane.behind()

    def poke(self) -> None:
        """Reference tables changed. Called from the feed's thread."""
        runner = self._runner
        if runner is not None:
            runner.poke()

    async def pause(self) -> None:
        """Partitions are revoked: finish the current slice, drop what is queued."""
        self.ready = False
        self._pauses += 1
        # An opening under way claims its partitions: who gets them next has to be later than that.
        with suppress(TimeoutError):
            async with asyncio.timeout(CLAIM_SECONDS), self._opening:
                """It is over."""
        if self._runner is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._runner.drain)
        self._room.set()

    async def close(self) -> None:
        """Close the lane cleanly."""
        self.ready = False
        self._pauses += 1
        async with self._opening:
            await self._close()

    async def _close(self) -> None:
        closing, self._runner, self._assignment = self._runner, None, {}
        if closing is not None:
            await asyncio.get_running_loop().run_in_executor(self._pool, closing.close)
        self._room.set()

    # The rest is called from the lanes' threads.

    def _reopened(self, loop: asyncio.AbstractEventLoop, runner: LaneRunner) -> None:
        positions = _positions(runner.lane)

        def seek() -> None:
            for tp, offset in positions.items():
                self.consumer.request_seek(tp, offset)

        loop.call_soon_threadsafe(seek)

    def _failed(self, loop: asyncio.AbstractEventLoop, name: str, error: Exception) -> None:
        log.error("lane_failed", lane=name, error=str(error), kind=type(error).__name__)
        loop.call_soon_threadsafe(self.on_failure, error)


def _positions(lane: Lane) -> dict[TP, int]:
    return {TP(topic, partition): lane.position(topic, partition) for topic, partition in lane.inputs()}
