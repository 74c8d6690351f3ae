"""Who gets which lanes, and whose state is copied where: laws of the placement, and what members exchange."""

from __future__ import annotations

import json
from collections.abc import Collection

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from streams.faustapp.assignor import LaneAssignor, place

MEMBERS = st.sampled_from(["a", "b", "c", "d", "e"])
HOLDINGS = st.dictionaries(
    MEMBERS, st.dictionaries(st.integers(0, 9), st.integers(1, 6), max_size=6), min_size=1
)


class Cluster:
    """Topics by their partitions."""

    def __init__(self, **counts: int) -> None:
        self._counts = counts

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """As aiokafka answers."""
        return set(range(self._counts[topic])) if topic in self._counts else None


@given(HOLDINGS, st.integers(0, 10), st.integers(0, 3))
def test_lanes_are_spread_evenly_and_each_is_assigned_once(
    holdings: dict[str, dict[int, int]], partitions: int, standbys: int
) -> None:
    """Whatever members hold, also of partitions that are not there; copies are elsewhere, each once."""
    lanes, copies = place(holdings, range(partitions), standbys)
    assert sorted(p for taken in lanes.values() for p in taken) == list(range(partitions))
    sizes = [len(taken) for taken in lanes.values()]
    assert max(sizes) - min(sizes) <= 1
    for partition in range(partitions):
        holders = [member for member, kept in copies.items() if partition in kept]
        assert len(holders) == min(standbys, len(holdings) - 1)
        assert all(partition not in lanes[member] for member in holders)


@given(HOLDINGS, st.integers(0, 10), st.integers(0, 2))
def test_an_assignment_lasts_while_nothing_changes(
    holdings: dict[str, dict[int, int]], partitions: int, standbys: int
) -> None:
    """Who runs or copies what is told as a holding; assigned again, everybody keeps what he has."""
    lanes, copies = place(holdings, range(partitions), standbys)
    after = {
        member: dict.fromkeys(copies[member], 1) | dict.fromkeys(lanes[member], 2) for member in holdings
    }
    again, copied = place(after, range(partitions), standbys)
    assert {member: sorted(taken) for member, taken in again.items()} == {
        member: sorted(taken) for member, taken in lanes.items()
    }
    assert {m: sorted(kept) for m, kept in copied.items()} == {m: sorted(kept) for m, kept in copies.items()}


def test_the_lanes_of_a_dead_member_go_to_who_has_copies() -> None:
    """Of three members one dies: its two lanes go where their copies are, the others stay."""
    before = {"a": {0: 2, 1: 2, 4: 1}, "b": {2: 2, 3: 2, 1: 1}, "c": {4: 2, 5: 2, 0: 1}}
    survivors = {member: held for member, held in before.items() if member != "a"}
    lanes, _ = place(survivors, range(6), 1)
    assert {member: sorted(taken) for member, taken in lanes.items()} == {"b": [1, 2, 3], "c": [0, 4, 5]}


def assignor(
    worker: str, held: dict[int, int], followed: list[Collection[int]], partitions: int = 4
) -> LaneAssignor:
    """Of one worker."""
    return LaneAssignor(worker, partitions, 1, lambda: held, followed.append)


def test_members_tell_what_they_hold_and_learn_what_they_get() -> None:
    """Through the bytes of the group protocol; a topic of one partition goes with the lane of partition 0."""
    followed: dict[str, list[Collection[int]]] = {"x": [], "y": []}
    members = {
        "m-2": assignor("x", {0: 2, 1: 2, 2: 1}, followed["x"]),
        "m-1": assignor("y", {2: 1, 3: 2}, followed["y"]),
    }
    metadata = {
        member: ConsumerProtocolMemberMetadata.decode(one.metadata({"a", "b"}).encode())
        for member, one in members.items()
    }
    assigned = members["m-1"].assign(Cluster(a=4, b=1), metadata)
    for member, one in members.items():
        one.on_assignment(ConsumerProtocolMemberAssignment.decode(assigned[member].encode()))
    got = {
        member: {topic: list(partitions) for topic, partitions in assignment.assignment}
        for member, assignment in assigned.items()
    }
    assert got == {"m-2": {"a": [0, 1], "b": [0]}, "m-1": {"a": [2, 3], "b": []}}
    assert {worker: sorted(told[-1]) for worker, told in followed.items()} == {"x": [2, 3], "y": [0, 1]}


def test_members_with_different_topics_are_assigned_by_range() -> None:
    """While a version with another input is rolled out: what there was is assigned as before."""
    old, new = assignor("old", {}, []), assignor("new", {}, [])
    metadata = {"m-1": old.metadata({"a"}), "m-2": new.metadata({"a", "b"})}
    assigned = new.assign(Cluster(a=4, b=4), metadata)
    assert dict(assigned["m-1"].assignment) == {"a": [0, 1]}
    assert dict(assigned["m-2"].assignment) == {"a": [2, 3], "b": [0, 1, 2, 3]}


@pytest.mark.parametrize(("told", "rejoins"), [(4, 0), (0, 1)])
def test_an_assignment_that_was_made_without_a_topic_is_not_kept(told: int, rejoins: int) -> None:
    """A static member gets its last one again; one that knows fewer partitions than there are is refused,
    and not in a loop."""
    one, asked = assignor("x", {}, []), []
    one.rejoin = lambda: asked.append(1)
    data = json.dumps({"standby": [], "partitions": told}).encode()
    for _ in range(2):
        one.on_assignment(ConsumerProtocolMemberAssignment(0, [], data))
    assert len(asked) == rejoins
