"""Who gets which lanes: those that a worker has the state of, as long as the lanes stay evenly spread.

A lane is one partition of all topics of a flow, so partitions are assigned as wholes. Members tell in their
metadata what they have of each; the leader's assignment tells each member its lanes, and those it keeps
standby copies of. Members that do not read the same topics (a rollout that adds one) are assigned by range.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

VERSION = 0
# Between two requests for a new assignment.
REJOIN_SECONDS = 5.0

# What members have: by member, how much of each partition's state.
Holdings = Mapping[str, Mapping[int, int]]
Placement = dict[str, list[int]]


def place(holdings: Holdings, partitions: Collection[int], standbys: int) -> tuple[Placement, Placement]:
    """(lanes, standby copies) of each member.

    Lanes differ by one at most between members, and are where most of their state is as far as that allows;
    no member keeps a copy of a lane it runs. The same members and holdings always give the same.
    """
    members = sorted(holdings)
    ordered = sorted(partitions)
    lanes: Placement = {member: [] for member in members}
    least, more = divmod(len(ordered), len(members))
    left = set(ordered)

    def has_room(member: str) -> bool:
        if len(lanes[member]) < least:
            return True
        return len(lanes[member]) == least and sum(len(taken) > least for taken in lanes.values()) < more

    wishes = sorted(
        (-weight, partition, member)
        for member in members
        for partition, weight in holdings[member].items()
        if partition in left
    )
    for _, partition, member in wishes:
        if partition in left and has_room(member):
            lanes[member].append(partition)
            left.discard(partition)
    for partition in sorted(left):
        member = min((m for m in members if has_room(m)), key=lambda m: len(lanes[m]))
        lanes[member].append(partition)
    return lanes, _copies(holdings, ordered, lanes, standbys)


def _copies(holdings: Holdings, partitions: Iterable[int], lanes: Placement, standbys: int) -> Placement:
    copies: Placement = {member: [] for member in lanes}
    for partition in partitions:
        others = [member for member in copies if partition not in lanes[member]]
        others.sort(key=lambda m: (-holdings[m].get(partition, 0), len(copies[m]), m))
        for member in others[:standbys]:
            copies[member].append(partition)
    return copies


class LaneAssignor(AbstractPartitionAssignor):
    """The assignor of one flow's consumer.

    ``held`` tells what this worker has of each of ``partitions``; ``follow`` is told of which it keeps copies,
    on the consumer's thread. ``rejoin`` asks the group for a new assignment.
    """

    name = "tallystream-lanes"

    def __init__(
        self,
        worker: str,
        partitions: int,
        standbys: int,
        held: Callable[[], Mapping[int, int]],
        follow: Callable[[Collection[int]], None],
    ) -> None:
        self._worker = worker
        self._partitions = partitions
        self._standbys = standbys
        self._held = held
        self._follow = follow
        self._rejoined = 0.0
        self._told: bytes | None = None
        self.rejoin: Callable[[], None] = lambda: None

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member tells when it joins: the same until it has got an assignment.

        To the group, a member that joins again with other metadata is a change, which begins a rebalance:
        members that tell something new each time keep each other from ever finishing one.
        """
        if self._told is None:
            self._told = json.dumps({"worker": self._worker, "held": dict(self._held())}).encode()
        return ConsumerProtocolMemberMetadata(VERSION, sorted(topics), self._told)

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """What the leader decides."""
        subscriptions = {frozenset(metadata.subscription) for metadata in members.values()}
        if len(subscriptions) > 1:
            by_range: dict[str, ConsumerProtocolMemberAssignment] = RangePartitionAssignor.assign(
                cluster, members
            )
            return by_range
        counts = {
            topic: cluster.partitions_for_topic(topic) or set()
            for topics in subscriptions
            for topic in topics
        }
        # By the worker's name, which lasts, and not by the member's id, which is drawn at each start.
        told = {member: json.loads(metadata.user_data) for member, metadata in members.items()}
        names = {member: f"{data['worker']}/{member}" for member, data in told.items()}
        holdings = {
            names[member]: {int(partition): weight for partition, weight in data["held"].items()}
            for member, data in told.items()
        }
        partitions = set().union(*counts.values())
        lanes, copies = place(holdings, partitions, self._standbys)
        return {
            member: ConsumerProtocolMemberAssignment(
                VERSION,
                [
                    (topic, sorted(partitions & set(lanes[name])))
                    for topic, partitions in sorted(counts.items())
                ],
                json.dumps({"standby": copies[name], "partitions": len(partitions)}).encode(),
            )
            for member, name in names.items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """What this member gets.

        A static member that comes back gets its last assignment again, also one that was made while a topic
        was missing: it would be without lanes, and call itself ready.
        """
        self._told = None
        if not assignment.user_data:
            return  # by range
        data = json.loads(assignment.user_data)
        self._follow(data["standby"])
        if data["partitions"] != self._partitions and time.monotonic() - self._rejoined > REJOIN_SECONDS:
            self._rejoined = time.monotonic()
            self.rejoin()
