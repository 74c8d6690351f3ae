"""What a stage publishes to another of its lane is applied in the same transaction, and skipped when fetched."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from lane_builders import OTHER, TOPIC, CountingStage, ListLog, SharedLog, chunk, open_core, record

from streams.errors import Fenced
from streams.lanes.lane import CoreKey, Lane
from streams.lanes.records import HANDED_HEADER, Chunk, InputRecord, PlainRecord
from streams.lanes.stage import SliceContext
from streams.serde.partitioning import murmur2_partition

PARTITIONS = 2
NEAR, FAR = b"k", b"d"  # keys of partitions 0 and 1


class Sender(CountingStage):
    """Passes every record on to the receiver."""

    inputs = (TOPIC,)

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Publish it where the receiver reads."""
        context.emit(OTHER, record.key, record.value)


class Receiver(CountingStage):
    """Counts what it receives."""

    inputs = (OTHER,)


class World:
    """A lane with the sender and, of partition 0, the receiver; and the topic between them."""

    def __init__(self, held: Collection[int] = (0,), end: int = 0) -> None:
        self.log = SharedLog()
        self.held = held
        self.end = end
        self.lane = self.open()

    def open(self) -> Lane:
        """Opened from what the logs hold."""
        cores = {("sender", 0): open_core(self.log.first, Sender())}
        for partition in self.held:
            core = cores["receiver", partition] = open_core(self.log.second, Receiver())
            core.overtaking.limit(OTHER, self.end)
        self.cores: dict[CoreKey, object] = dict(cores)
        return Lane(cores, self.log, (), {OTHER: PARTITIONS})

    def send(self, *values: bytes, at: int = 0, key: bytes = NEAR) -> None:
        """Deliver records to the sender."""
        self.lane.apply([chunk([record(at + n, key, value) for n, value in enumerate(values)])])

    def fetched(self, partition: int = 0, start: int = 0) -> Chunk:
        """What the sender published, as it comes back from the broker."""
        sent = [output for output in self.log.first.outputs if output.topic == OTHER]
        records = [
            PlainRecord(OTHER, partition, offset, 0, output.key, output.value, tuple(output.headers or ()))
            for offset, output in enumerate(sent)
        ][start:]
        return Chunk(OTHER, partition, start, len(sent), 1, records)

    def counted(self) -> bytes:
        """How many records of the near key the receiver has applied."""
        return self.log.second.counts().get(b"n" + NEAR, b"0")


def test_it_is_applied_in_the_transaction_that_publishes_it_and_not_again() -> None:
    """One transaction for both stages; the fetched copy moves the cursor and nothing else."""
    world = World()
    world.send(b"v", b"v")
    assert world.log.transactions == [2]
    assert world.counted() == b"2"
    counts = world.lane.apply([world.fetched()])
    assert counts["receiver"]["handed"] == 2
    assert world.counted() == b"2"
    assert world.lane.position(OTHER, 0) == 2


def test_the_far_partition_is_left_to_whoever_has_it() -> None:
    """No mark: another lane applies the record when it fetches it."""
    assert [murmur2_partition(key, PARTITIONS) for key in (NEAR, FAR)] == [0, 1]
    world = World()
    world.send(b"v", key=FAR)
    assert world.fetched(1).records[0].headers == ()
    assert world.log.second.counts() == {}


def test_earlier_records_are_not_overtaken() -> None:
    """Until the lane has read to where the topic ended when it was opened, records come the long way."""
    world = World(end=2)
    world.send(b"v", b"v")
    assert world.lane.behind() == [(OTHER, 0)]
    assert world.counted() == b"0"
    world.lane.apply([world.fetched()])
    assert world.counted() == b"2"
    assert not world.lane.behind()
    world.send(b"v", at=2)
    assert world.counted() == b"3"


def test_markers_alone_bring_a_lane_to_the_end() -> None:
    """An empty chunk moves the cursor: the topic ended with a transaction marker."""
    world = World(end=1)
    world.lane.apply([Chunk(OTHER, 0, 0, 1, 1, [])])
    world.send(b"v")
    assert world.counted() == b"1"


def test_a_record_that_can_not_be_processed_is_rejected_where_it_is_fetched() -> None:
    """Its mark is taken off, so that the dead letter can name its place; its neighbours are handed over."""
    world = World()
    world.send(b"v", b"poison", b"v")
    assert world.counted() == b"2"
    assert world.log.second.values("dead_letters") == []
    counts = world.lane.apply([world.fetched()])
    assert counts["receiver"] == {"handed": 2, "dead_letters": 1}
    assert world.log.second.values("dead_letters") == [b"poison"]
    assert world.counted() == b"2"


def test_a_transaction_that_was_refused_has_handed_nothing_over() -> None:
    """Opened anew, the sender repeats it, and it counts once."""
    world = World()
    world.log.fails = True
    with pytest.raises(Fenced):
        world.send(b"v")
    world.lane.abandon()
    world.log.fails = False
    world.lane = world.open()
    world.send(b"v")
    world.lane.apply([world.fetched()])
    assert world.counted() == b"1"


def test_a_state_that_is_built_anew_applies_what_another_was_handed() -> None:
    """The mark names the state: one that was lost does not count as having applied anything."""
    world = World()
    world.send(b"v")
    assert world.fetched().records[0].headers[0][0] == HANDED_HEADER
    lost, world.log.second = world.log.second, type(world.log.second)(world.log)
    assert lost.counts() == {b"n" + NEAR: b"1"}
    world.lane = world.open()
    world.lane.apply([world.fetched()])
    assert world.counted() == b"1"


def test_the_mark_survives_a_restart() -> None:
    """A restored lane still knows what it was handed."""
    world = World()
    world.send(b"v")
    world.lane = world.open()
    counts = world.lane.apply([world.fetched()])
    assert counts["receiver"] == {"handed": 1}
    assert world.counted() == b"1"


def test_a_record_can_be_handed_back_and_forth() -> None:
    """What follows from a handed record follows in the same transaction too."""

    class Echo(Sender):
        def process(self, record: InputRecord, context: SliceContext) -> None:
            if record.topic == TOPIC or record.value != b"last":
                context.emit(OTHER, record.key, b"last")

    log = ListLog()
    echo = Echo()
    echo.inputs = (TOPIC, OTHER)
    core = open_core(log, echo)
    core.overtaking.limit(OTHER, 0)
    lane = Lane({("echo", 0): core}, log, (), {OTHER: 1})
    lane.apply([chunk([record(0)])])
    assert log.values(OTHER) == [b"last"]
