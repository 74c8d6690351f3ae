"""Lanes under rebalances: opened once, at rest until the assignment is known to be the latest, fed or dropped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from faust.types import TP
from lane_builders import OTHER, TOPIC, CountingStage, ListLog, chunk, open_core, record

from streams.errors import ContractViolation, DependencyUnavailable
from streams.faustapp.lanes import Assignment, FlowLane, StageInputs
from streams.lanes.lane import Lane
from streams.lanes.tickets import Ticket, TicketLedger

BOTH = {TP(TOPIC, 0), TP(OTHER, 0)}


class FakeConsumer:
    """What the lanes ask of the consumer."""

    def __init__(self) -> None:
        self.tickets = TicketLedger()


class World:
    """A flow of one stage with two inputs; opening waits while ``gate`` is closed."""

    def __init__(self) -> None:
        self.log = ListLog()
        self.opened: list[int] = []
        self.failures: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.refusal: Exception | None = None
        stage = StageInputs("counting", CountingStage.inputs, (OTHER,))
        self.lane = FlowLane(
            "flow", [stage], self._open, on_counts=lambda *_: None, on_failure=self.failures.append
        )
        self.consumer = self.lane.consumer = FakeConsumer()

    def _open(self, assignment: Assignment) -> Lane:
        assert assignment == {0: {"counting"}}
        self.opened += assignment
        assert self.gate.wait(10)
        if self.refusal is not None:
            raise self.refusal
        return Lane({("counting", 0): open_core(self.log)}, self.log)


def run(check: Callable[[World], Awaitable[None]]) -> World:
    """Run a check on a loop of its own, and close the lanes."""
    world = World()

    async def whole() -> None:
        try:
            await check(world)
        finally:
            world.gate.set()
            await world.lane.close()

    asyncio.run(asyncio.wait_for(whole(), 20))
    return world


async def until(holds: Callable[[], object]) -> None:
    """Wait until it holds; the caller's time limit bounds it."""
    while not holds():  # noqa: ASYNC110 -- what is waited for happens in threads
        await asyncio.sleep(0.002)


def test_an_assignment_opens_its_lane_and_says_where_inputs_begin() -> None:
    """Ready with the position of each input."""

    async def check(world: World) -> None:
        assert await world.lane.open(BOTH) == {TP(TOPIC, 0): 0, TP(OTHER, 0): 0}
        assert world.lane.ready
        assert world.lane.count() == 1

    assert run(check).log.closed == 1


def test_a_rebalance_while_a_lane_opens_does_not_open_it_twice() -> None:
    """Faust gives up on the first attempt; the second waits for the lane that is being opened."""

    async def check(world: World) -> None:
        world.gate.clear()
        first = asyncio.create_task(world.lane.open(BOTH))
        await until(lambda: world.opened)
        first.cancel()
        await world.lane.pause()
        second = asyncio.create_task(world.lane.open(BOTH))
        await asyncio.sleep(0.02)
        assert not second.done()
        world.gate.set()
        assert TP(TOPIC, 0) in await second
        assert world.opened == [0]
        assert world.lane.ready

    assert not run(check).failures


def test_a_lane_of_a_revoked_assignment_commits_nothing() -> None:
    """It was opened, but what it is offered waits until an assignment says that it is still ours."""

    async def check(world: World) -> None:
        world.gate.clear()
        late = asyncio.create_task(world.lane.open(BOTH))
        await until(lambda: world.opened)
        await world.lane.pause()
        world.gate.set()
        await late
        assert not world.lane.ready
        key = (TOPIC, 0)
        world.consumer.tickets.seek(key, 0)
        ticket = world.consumer.tickets.issue(key, 1)
        await world.lane.deliver(_delivered(ticket), ticket)
        await asyncio.sleep(0.05)
        assert world.log.commits == 0
        await world.lane.open(BOTH)
        await until(lambda: world.log.commits)

    run(check)


def test_a_failure_is_told_even_if_nobody_waits_for_it_any_more() -> None:
    """The attempt that Faust gave up on fails later: the process must hear of it."""

    async def check(world: World) -> None:
        world.gate.clear()
        world.refusal = DependencyUnavailable("no broker")
        first = asyncio.create_task(world.lane.open(BOTH))
        await until(lambda: world.opened)
        first.cancel()
        world.gate.set()
        await until(lambda: world.failures)
        assert str(world.failures[0]) == "no broker"

    run(check)


def test_half_an_assignment_is_refused() -> None:
    """Inputs of a stage with different partition counts would be read by different workers."""

    async def check(world: World) -> None:
        with pytest.raises(ContractViolation, match="is assigned without that of other"):
            await world.lane.open({TP(TOPIC, 0)})

    run(check)


def _delivered(ticket: Ticket) -> Any:
    delivered = chunk([record(0)])
    return type(delivered)(TOPIC, 0, 0, 1, ticket.generation, delivered.records)


def test_history_is_taken_without_waiting_for_room() -> None:
    """How much of it there is, is bounded where it is fetched: a full stream would hold up what is live."""

    async def check(world: World) -> None:
        await world.lane.open(BOTH)
        assert world.lane._runner is not None
        world.lane._runner.has_room = lambda: False  # type: ignore[method-assign]
        key = (OTHER, 0)
        world.consumer.tickets.seek(key, 0)
        ticket = world.consumer.tickets.issue(key, 1)
        made = chunk([record(0, topic=OTHER)])
        assert made.generation == ticket.generation
        await world.lane.deliver(made, ticket)
        await until(lambda: ticket.done)
        assert world.log.commits == 1

    run(check)
