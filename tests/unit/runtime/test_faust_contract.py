"""Every private API of faust-streaming, mode and aiokafka that the runtime relies on, as of the pinned versions.

An upgrade that moves one of them fails here, by name, instead of in production.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Collection
from importlib.metadata import requires, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError, RebalanceInProgressError
from faust.app import base as app_base
from faust.transport import consumer as base
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.faustapp.app import FlowApp, flow_app
from streams.faustapp.assignor import LaneAssignor
from streams.faustapp.consumer import BACKGROUND_CHUNKS, ChunkConsumer, ChunkTransport, ConsumerThread
from streams.lanes.lane import Lane
from streams.lanes.records import Chunk
from streams.settings import Settings

PINNED = ("faust-streaming", "mode-streaming", "aiokafka")


@pytest.mark.parametrize("name", PINNED)
def test_the_libraries_are_pinned_exactly_and_installed_so(name: str) -> None:
    """A range would let an upgrade in without these tests having run on it."""
    pins = [line for line in requires("tallystream") or () if re.match(rf"{name}\b", line)]
    assert pins == [f"{name}=={version(name)}"]


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names of a function's parameters."""
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("owner", "name", "expected"),
    [
        (driver.Consumer, "_new_consumer_thread", ["self"]),
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ["self", "transport"]),
        (driver.AIOKafkaConsumerThread, "_ensure_consumer", ["self"]),
        (driver.AIOKafkaConsumerThread, "call_thread", ["self", "fun", "args", "kwargs"]),
        (base.Consumer, "perform_seek", ["self"]),
        (base.Consumer, "on_partitions_revoked", ["self", "revoked"]),
        (base.Consumer, "getmany", ["self", "timeout"]),
        (base.Consumer, "_wait_next_records", ["self", "timeout"]),
        (base.ThreadDelegateConsumer, "_getmany", ["self", "active_partitions", "timeout"]),
        (base.Consumer, "force_commit", ["self", "topics", "start_new_transaction"]),
        (base.Consumer, "verify_event_path", ["self", "now", "tp"]),
        (base.Consumer, "_commit", ["self", "offsets"]),
        (base.Consumer, "_drain_messages", ["self", "fetcher"]),
        (base.ThreadDelegateConsumer, "assignment", ["self"]),
        (app_base.App, "_new_transport", ["self"]),
        (app_base.App, "_new_consumer", ["self"]),
        (base.Consumer, "on_partitions_assigned", ["self", "assigned", "generation_id"]),
    ],
)
def test_a_method_that_is_overridden_or_called_has_the_expected_parameters(
    owner: type, name: str, expected: list[str]
) -> None:
    """The method exists under its name and takes what we pass or receive."""
    assert parameters(getattr(owner, name)) == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "names"),
    [
        (
            ChunkConsumer,
            driver.Consumer,
            ["getmany", "perform_seek", "force_commit", "on_partitions_revoked", "on_partitions_assigned"],
        ),
        (ChunkConsumer, driver.Consumer, ["on_stop", "verify_event_path", "_new_consumer_thread"]),
        (ConsumerThread, driver.AIOKafkaConsumerThread, ["_create_worker_consumer"]),
        (FlowApp, faust.App, ["_new_transport", "_new_consumer"]),
    ],
)
def test_our_overrides_override_something(ours: type, theirs: type, names: list[str]) -> None:
    """Each exists in the base class and in ours; a renamed base method would leave ours uncalled."""
    for name in names:
        assert getattr(ours, name) is not getattr(theirs, name)
        assert parameters(getattr(ours, name)) == parameters(getattr(theirs, name))


def source(function: Callable[..., Any]) -> str:
    """Source without the differences that formatting makes."""
    return " ".join(inspect.getsource(function).split())


@pytest.mark.parametrize(
    ("function", "excerpts"),
    [
        # The fetcher's loop asks our getmany for (tp, message), and drops only what lies before the read
        # offset, which a seek of ours resets.
        (
            base.Consumer._drain_messages,
            [
                "getmany = self.getmany",
                "async for tp, message in ait",
                "if r_offset is None or offset >= r_offset",
                "callback(message), self.suspend_flow.wait()",
                "set_read_offset(tp, offset)",
            ],
        ),
        # It waits while the flow is suspended and returns a pair.
        (
            base.Consumer._wait_next_records,
            ["if not self.flow_active", "self.can_resume_flow", "return records, active_partitions"],
        ),
        # The commit timer, and what is committed when partitions are revoked, go through force_commit.
        (base.Consumer._commit_handler.fun, ["await self.commit()"]),
        (base.Consumer.commit, ["self.force_commit("]),
    ],
)
def test_the_library_calls_us_where_we_expect_it(function: Callable[..., Any], excerpts: list[str]) -> None:
    """What was read in the source when the overrides were written is still there."""
    text = source(function)
    for excerpt in excerpts:
        assert excerpt in text


def test_recovery_performs_the_seek_before_it_resumes() -> None:
    """`perform_seek` is where lanes are opened: it must come before fetching, and be bounded in time."""
    from faust.tables.recovery import Recovery

    text = source(Recovery._resume_streams)
    seek, resume = text.index("consumer.perform_seek()"), text.index("consumer.resume_flow()")
    assert text.index("if assignment:") < seek < resume
    assert "timeout=self.app.conf.broker_request_timeout" in text


def test_offset_maps_answer_none_for_a_new_partition() -> None:
    """We read ``_committed_offset`` of partitions that were never committed, and reset ``_read_offset``."""
    text = source(base.Consumer.__init__)
    assert "self._committed_offset = defaultdict(lambda: None)" in text
    assert "self._read_offset = defaultdict(lambda: None)" in text


def test_a_consumer_message_takes_what_we_give_it() -> None:
    """Positionally, as the hot path does."""
    assert parameters(ConsumerMessage.__init__)[1:] == [
        "topic",
        "partition",
        "offset",
        "timestamp",
        "timestamp_type",
        "headers",
        "key",
        "value",
        "checksum",
        "serialized_key_size",
        "serialized_value_size",
        "tp",
        "time_in",
        "time_out",
        "time_total",
        "generation_id",
    ]


def test_the_aiokafka_consumer_takes_the_options_that_lanes_need() -> None:
    """Static membership, read committed, and no reset of a lost offset."""
    taken = set(parameters(aiokafka.AIOKafkaConsumer.__init__))
    assert taken >= {
        "group_instance_id",
        "isolation_level",
        "auto_offset_reset",
        "max_partition_fetch_bytes",
        "fetch_max_wait_ms",
        "rebalance_timeout_ms",
        "max_poll_records",
        "partition_assignment_strategy",
    }


def test_range_assignment_keeps_a_partition_of_all_topics_together() -> None:
    """Co-partitioned topics of two members: each number goes to one member, for all topics."""

    class Cluster:
        @staticmethod
        def partitions_for_topic(topic: str) -> set[int]:
            return {0, 1, 2, 3}

    members = {
        name: RangePartitionAssignor.metadata({"a", "b"}) for name in ("tally-0", "tally-1", "tally-2")
    }
    assigned = RangePartitionAssignor.assign(Cluster(), members)
    owners: dict[int, set[str]] = {}
    for member, assignment in assigned.items():
        for _, partitions in assignment.assignment:
            for partition in partitions:
                owners.setdefault(partition, set()).add(member)
    assert sorted(owners) == [0, 1, 2, 3]
    assert all(len(members) == 1 for members in owners.values())


def joins(strategies: Collection[Any]) -> int:
    """How many JoinGroup requests one rebalance takes with these assignment strategies."""
    sent: list[Any] = []

    class Answer:
        error_code = RebalanceInProgressError.errno

    async def send(request: Any) -> Answer:
        sent.append(request)
        return Answer()

    coordinator = SimpleNamespace(
        _send_req=send, _rebalance_timeout_ms=1, member_id="", _group_instance_id=None, coordinator_id=0
    )
    subscription = SimpleNamespace(topics={"t"}, active=True)
    rebalance = CoordinatorGroupRebalance(coordinator, "g", 0, subscription, strategies, 1, 1)
    with pytest.raises(KafkaError):
        asyncio.run(rebalance.perform_group_join())
    return len(sent)


def test_a_worker_joins_its_group_once_in_a_rebalance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka joins once for each of its assignors, each time as another kind of member."""
    strategies: list[Any] = []

    async def check(app: FlowApp) -> None:
        def create(**options: Any) -> SimpleNamespace:
            strategies.extend(options["partition_assignment_strategy"])
            return SimpleNamespace()

        monkeypatch.setattr(aiokafka, "AIOKafkaConsumer", create)
        app.consumer._thread._create_worker_consumer(app.transport)

    with_app(tmp_path, check)
    assert joins([RangePartitionAssignor, RangePartitionAssignor]) == 2
    assert joins(strategies) == 1


def no_lane(partition: int, stages: Collection[str]) -> Lane:
    """Without stages none is opened."""
    raise AssertionError


def with_app(folder: Path, check: Callable[[FlowApp], Awaitable[None]]) -> None:
    """Run a check with the application of a flow without stages, on a loop of its own."""

    async def run() -> None:
        settings = Settings(data_dir=folder, worker_id="w")
        app = flow_app(
            "quiet",
            [],
            no_lane,
            settings,
            LaneAssignor("w", 1, 0, dict, lambda _: None),
            on_counts=lambda *_: None,
            on_failure=lambda _: None,
        )
        try:
            await check(app)
        finally:
            app.consumer._thread.thread_loop.close()

    asyncio.run(run())


def test_the_application_uses_our_transport_and_consumer(tmp_path: Path) -> None:
    """Faust's factories lead to our classes, and the consumer knows its lanes."""

    async def check(app: FlowApp) -> None:
        assert isinstance(app.transport, ChunkTransport)
        consumer = app.consumer
        assert isinstance(consumer, ChunkConsumer)
        assert isinstance(consumer._thread, ConsumerThread)
        assert app.lane.consumer is consumer
        assert consumer.open_lanes == app.lane.open

    with_app(tmp_path, check)


def test_the_applications_settings_are_those_that_lanes_need(tmp_path: Path) -> None:
    """No web server, no topic creation, no waiting for acknowledgements, static membership."""

    async def check(app: FlowApp) -> None:
        conf = app.conf
        assert conf.web_enabled is False
        assert conf.topic_allow_declare is False
        assert conf.stream_wait_empty is False
        assert conf.consumer_group_instance_id == "w-quiet"
        assert conf.processing_guarantee.value == "at_least_once"

    with_app(tmp_path, check)


class Record:
    """What the consumer reads of an aiokafka record."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.timestamp = 1_000
        self.timestamp_type = 0


def test_a_fetched_batch_becomes_one_message_that_carries_it_whole(tmp_path: Path) -> None:
    """The message's value is the chunk and its ticket; the chunk begins where the last one ended."""
    tp = TP("t", 0)

    async def check(app: FlowApp) -> None:
        consumer = app.consumer
        consumer.tickets.seek(("t", 0), 5)
        batch = [Record(7), Record(9)]
        message = consumer._to_chunk_message(tp, batch, 10)
        chunk, ticket = message.value
        assert isinstance(chunk, Chunk)
        assert (chunk.base, chunk.end) == (5, 10)
        assert chunk.records is batch
        assert (ticket.base, ticket.end, ticket.done) == (5, 10, False)
        assert message.tp == tp
        assert message.offset == 7

    with_app(tmp_path, check)


class Fetches:
    """Stands in for the consumer's fetching: what it returns, and whether the flow is active."""

    def __init__(self, consumer: ChunkConsumer, tps: set[TP]) -> None:
        self.batches: list[dict[TP, list[Record]]] = []
        self.active: set[TP] = set(tps)
        self.seeks: list[tuple[TP, int]] = []

        async def records(_: float) -> tuple[dict[TP, list[Record]], set[TP]]:
            return self.batches.pop(0), self.active

        async def seek(tp: TP, offset: int) -> None:
            self.seeks.append((tp, offset))

        consumer._wait_next_records = records
        consumer._thread.seek_partition = seek
        consumer.assignment = lambda: tps


async def delivered(consumer: ChunkConsumer) -> list[tuple[TP, int, int]]:
    """One fetch: partition, base and end of each chunk."""
    return [(tp, m.value[0].base, m.value[0].end) async for tp, m in consumer.getmany(0.1)]


def test_a_batch_that_may_not_be_delivered_is_fetched_again(tmp_path: Path) -> None:
    """Of a paused partition: no ticket, and a seek to where delivery stopped before the next fetch."""
    tp = TP("t", 0)

    async def check(app: FlowApp) -> None:
        consumer = app.consumer
        consumer.flow_active = True
        fetches = Fetches(consumer, {tp})
        consumer.request_seek(tp, 3)
        fetches.batches = [{tp: [Record(3)]}, {tp: [Record(4)]}, {tp: [Record(4)]}]
        assert await delivered(consumer) == [(tp, 3, 4)]
        fetches.active = set()
        assert await delivered(consumer) == []
        fetches.active = {tp}
        assert await delivered(consumer) == [(tp, 4, 5)]
        assert fetches.seeks == [(tp, 3), (tp, 4)]

    with_app(tmp_path, check)


def test_a_batch_before_the_lane_is_open_is_thrown_away(tmp_path: Path) -> None:
    """Assigned for the first time, or again after it was revoked: nobody knows yet where it begins."""
    tp = TP("t", 0)

    async def check(app: FlowApp) -> None:
        consumer = app.consumer
        consumer.flow_active = True
        fetches = Fetches(consumer, {tp})
        fetches.batches = [{tp: [Record(7)]}, {tp: [Record(3)]}, {tp: [Record(8)]}, {tp: [Record(4)]}]
        assert await delivered(consumer) == []
        consumer.request_seek(tp, 3)
        assert await delivered(consumer) == [(tp, 3, 4)]
        consumer.tickets.drop(("t", 0))
        assert await delivered(consumer) == []
        consumer.request_seek(tp, 4)
        assert await delivered(consumer) == [(tp, 4, 5)]
        assert fetches.seeks == [(tp, 3), (tp, 4)]

    with_app(tmp_path, check)


def test_a_fetch_that_straddles_a_seek_is_thrown_away(tmp_path: Path) -> None:
    """What was under way when a lane asked to go back is not delivered."""
    tp = TP("t", 0)

    async def check(app: FlowApp) -> None:
        consumer = app.consumer
        consumer.flow_active = True
        fetches = Fetches(consumer, {tp})
        consumer.request_seek(tp, 0)
        await consumer._apply_seeks()

        async def records(_: float) -> tuple[dict[TP, list[Record]], set[TP]]:
            consumer.request_seek(tp, 0)
            return {tp: [Record(8)]}, {tp}

        consumer._wait_next_records = records
        assert await delivered(consumer) == []
        assert fetches.seeks == [(tp, 0)]
        await consumer._apply_seeks()
        assert fetches.seeks == [(tp, 0), (tp, 0)]

    with_app(tmp_path, check)


def test_a_worker_without_partitions_closes_its_lanes_and_is_ready(tmp_path: Path) -> None:
    """Faust performs no seek for an empty assignment; one worker more than partitions must not hang."""

    async def check(app: FlowApp) -> None:
        opened: list[set[TP]] = []

        async def open_lanes(assignment: set[TP]) -> dict[TP, int]:
            opened.append(assignment)
            return {}

        async def assigned(partitions: set[TP], generation_id: int) -> None:
            """Faust's own part."""

        consumer = app.consumer
        consumer.open_lanes = open_lanes
        consumer._on_partitions_assigned = assigned
        await consumer.on_partitions_assigned(set(), 1)
        assert opened == [set()]
        await consumer.on_partitions_assigned({TP("t", 0)}, 2)
        assert opened == [set()]

    with_app(tmp_path, check)


def test_records_that_wait_hold_up_no_fetch_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka's fetcher takes the time from the attribute, for each batch that it has fetched."""
    assert "backoff=self._prefetch_backoff" in inspect.getsource(Fetcher)
    assert "prefetch_backoff" in parameters(Fetcher.__init__)

    async def check(app: FlowApp) -> None:
        thread = app.consumer._thread
        fetcher = SimpleNamespace(_prefetch_backoff=0.1)

        async def start() -> None:
            """Nothing is connected."""

        monkeypatch.setattr(
            thread, "_create_consumer", lambda loop: SimpleNamespace(start=start, _fetcher=fetcher)
        )
        await thread.on_start()
        assert fetcher._prefetch_backoff == 0

    with_app(tmp_path, check)


def test_history_is_fetched_only_while_the_lane_takes_it(tmp_path: Path) -> None:
    """A partition with chunks that wait is left out of the fetch, and all of them are not all there are."""
    live, history = TP("t", 0), TP("t.backfill", 0)

    async def check(app: FlowApp) -> None:
        consumer, fetched = app.consumer, []

        async def getmany(partitions: set[TP], _: float) -> dict[TP, list[Record]]:
            fetched.append(partitions)
            return {}

        consumer._thread.getmany = getmany
        consumer.background = {"t.backfill"}
        key = ("t.backfill", 0)
        consumer.tickets.seek(key, 0)
        tickets = []
        for end in range(1, BACKGROUND_CHUNKS + 1):
            await consumer._getmany({live, history}, 0.1)
            tickets.append(consumer.tickets.issue(key, end))
        await consumer._getmany({live, history}, 0.1)
        assert await consumer._getmany({history}, 0.1) == {}
        consumer.tickets.finish(tickets[0])
        await consumer._getmany({live, history}, 0.1)
        both = {live, history}
        assert fetched == [*[both] * BACKGROUND_CHUNKS, {live}, both]

    with_app(tmp_path, check)
