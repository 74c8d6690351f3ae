"""SIGKILL of workers and of brokers, under load on three brokers: nothing lost, nothing twice, no lane stuck."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from faults.conftest import FULL_ONLY, NewScenario
from support.faults.cluster import TOPIC_OF_GROUPS, TOPIC_OF_TRANSACTIONS
from support.faults.fleet import PARTITIONS, SESSION_S, Fleet, Scenario

from streams.stack.kafka import INTERNAL_PARTITIONS, KafkaNode

WORKER_KILLS = 12
TAKEOVERS = 5
BROKER_KILLS = 3

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900)]

Victim = Callable[[Fleet, Scenario], KafkaNode]


def coordinator_of_the_group(fleet: Fleet, _: Scenario) -> KafkaNode:
    """Of the flow that bills."""
    return fleet.cluster.coordinator(TOPIC_OF_GROUPS, "tallystream-billing")


def coordinator_of_transactions(fleet: Fleet, it: Scenario) -> KafkaNode:
    """Of a part of them: lanes draw a new id each time that they are opened, so they have all parts."""
    return fleet.cluster.leader(TOPIC_OF_TRANSACTIONS, it.chance.randrange(INTERNAL_PARTITIONS))


def leader(fleet: Fleet, it: Scenario) -> KafkaNode:
    """Of a partition that lanes write to with each slice."""
    topic = it.chance.choice(["state.billing-allocate", "billing.events"])
    return fleet.cluster.leader(topic, it.chance.randrange(PARTITIONS))


def test_ten_kills_under_load(fleet: Fleet, scenario: NewScenario) -> None:
    """Of workers one, two and all at a time, started again or taken over; of the brokers that coordinate
    the group and lead a partition, with a worker each while they are away. CI runs this one."""
    with scenario("ten SIGKILLs of all kinds", 3) as it:
        for count in (1, 3):
            it.pause()
            it.fault(partial(fleet.crew.kill_and_start, *it.chance.sample(it.names, count)), count)
        lost = it.chance.sample(it.names, 2)
        it.fault(partial(fleet.crew.kill, *lost), 2)
        fleet.crew.start(*lost)
        fleet.crew.wait_ready(*lost)
        for victim in (coordinator_of_the_group, leader):
            node = victim(fleet, it)
            it.fault(partial(fleet.cluster.kill, node))
            it.fault(partial(fleet.crew.kill_and_start, it.chance.choice(it.names)))
            node.start()
            fleet.cluster.wait_whole()
    assert it.times == 10


@FULL_ONLY
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_are_killed_and_started_again(fleet: Fleet, scenario: NewScenario, workers: int) -> None:
    """At random moments, any of them: its lanes are opened by itself again."""
    with scenario("SIGKILL of a worker, started again", workers) as it:
        for _ in range(WORKER_KILLS):
            it.pause()
            it.fault(partial(fleet.crew.kill_and_start, it.chance.choice(it.names)))


@FULL_ONLY
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_are_killed_and_stay_away(fleet: Fleet, scenario: NewScenario, workers: int) -> None:
    """Until others have its lanes: when its session has ended. Then it comes back."""
    with scenario("SIGKILL of a worker, taken over by others", workers) as it:
        for _ in range(TAKEOVERS):
            it.pause()
            name = it.chance.choice(it.names)
            it.fault(partial(fleet.crew.kill, name))
            assert it.recoveries[-1] > SESSION_S / 2, "nobody had to take anything over"
            fleet.crew.start(name)
            fleet.crew.wait_ready(name)


@FULL_ONLY
@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize(
    ("what", "victim"),
    [
        ("the group's coordinator", coordinator_of_the_group),
        ("a coordinator of transactions", coordinator_of_transactions),
        ("a partition's leader", leader),
    ],
    ids=["group", "transactions", "leader"],
)
def test_brokers_are_killed(
    fleet: Fleet, scenario: NewScenario, workers: int, what: str, victim: Victim
) -> None:
    """The two that are left go on by themselves; then the third comes back and catches up."""
    with scenario(f"SIGKILL of the broker that is {what}", workers) as it:
        for _ in range(BROKER_KILLS):
            it.pause()
            node = victim(fleet, it)
            it.fault(partial(fleet.cluster.kill, node))
            node.start()
            fleet.cluster.wait_whole()


@FULL_ONLY
@pytest.mark.parametrize("workers", [2, 3])
def test_brokers_are_restarted_one_by_one(fleet: Fleet, scenario: NewScenario, workers: int) -> None:
    """Each is asked to stop, as an upgrade does it, when all the others are in sync."""
    with scenario("brokers restarted one by one", workers) as it:
        for node in fleet.cluster.nodes:
            it.fault(node.stop)
            node.start()
            fleet.cluster.wait_whole()
