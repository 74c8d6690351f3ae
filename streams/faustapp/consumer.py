"""A Faust consumer that delivers fetched batches whole, with tickets, from positions the lanes give.

Private API of faust-streaming 0.15.3 and aiokafka 0.14.0 that this relies on, each under a contract test:
``Consumer.getmany`` yields (tp, message) to ``_drain_messages``; ``perform_seek`` is called when streams
resume after a rebalance; ``force_commit`` is what the commit timer calls; ``_wait_next_records`` returns
(records by partition, active partitions), and fetches by ``_getmany``; ``AIOKafkaConsumerThread._create_worker_consumer``;
``AIOKafkaConsumer._coordinator.request_rejoin`` makes the group assign anew;
``Fetcher._prefetch_backoff`` is how long records that wait hold up fetches of their broker's other partitions;
``ServiceThread.on_crash`` of mode prints what ended a thread.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import aiokafka
import structlog
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.errors import PositionLost
from streams.lanes.records import Chunk
from streams.lanes.tickets import Ticket, TicketLedger

log = structlog.get_logger("consumer")

# Faust hard-codes 1500 ms. The broker answers at once when there is data; this bounds how long an empty
# fetch holds up one that follows, e.g. of a partition that was just resumed.
FETCH_MAX_WAIT_MS = 100
FETCH_TIMEOUT_SECONDS = 0.5
# How much longer a request may take than a group that waits for all its members to join.
REQUEST_MARGIN_SECONDS = 10.0
# Until the lane of a partition is open nothing is fetched of it.
UNPLACED_SECONDS = 0.05
# Of one partition in one fetch, and records in one chunk: a chunk is the unit of memory.
FETCH_BYTES = 1 << 20
CHUNK_RECORDS = 2_000
# Of a partition that waits behind others: one that is being applied, and the next.
BACKGROUND_CHUNKS = 2
# A fetch that brought fewer is worth letting more gather before the next, where a flow allows it.
FEW_RECORDS = 200


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Creates the aiokafka consumer as lanes need it: read committed, quick, whole lanes assigned."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        # One only: aiokafka joins the group once for each, anew, and two members that are not in step keep
        # each other from ever finishing a rebalance.
        self._assignor = self.app.lane_assignor
        consumer = aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            # Never a silent earliest or latest: positions come from the lanes.
            auto_offset_reset="none",
            max_poll_records=CHUNK_RECORDS,
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            # Not Faust's, which opening lanes takes; joining a group may take as long as a rebalance.
            request_timeout_ms=int((conf.broker_rebalance_timeout + REQUEST_MARGIN_SECONDS) * 1000.0),
            session_timeout_ms=int(conf.broker_session_timeout * 1000.0),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000.0),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000.0),
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 300) * 1000.0),
            isolation_level="read_committed",
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        )
        self._assignor.rejoin = lambda: consumer._coordinator.request_rejoin()
        return consumer

    async def on_start(self) -> None:
        """Start the consumer; what waits of one partition then holds up no fetch of the others.

        By default none is sent to a broker for a tenth of a second while it has records that nobody took: those
        of a backfill nearly always.
        """
        await super().on_start()
        self._ensure_consumer()._fetcher._prefetch_backoff = 0.0

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Into the log; mode prints the traceback to whoever looks at the terminal."""
        log.error("consumer_thread_crashed", error=msg.format(*fmt), exc_info=True)

    async def seek_partition(self, tp: TP, offset: int) -> None:
        """Seek on the consumer's own thread."""
        await self.call_thread(self._seek_partition, tp, offset)

    async def _seek_partition(self, tp: TP, offset: int) -> None:
        self._ensure_consumer().seek(driver.ensure_aiokafka_TP(tp), offset)


class ChunkConsumer(driver.Consumer):
    """Yields one message per fetched partition batch; its value is a (`Chunk`, `Ticket`) pair.

    ``open_lanes`` is awaited with the assignment before streams resume and returns the offset to begin
    at of each partition; ``pause_lanes`` when partitions are revoked; ``close_lanes`` at the end.
    ``behind`` says of which inputs the lanes want to know how far they are read even if no record comes.
    Of topics in ``background`` no more is fetched than the lane takes in a while: a full one would stop all.
    ``on_failure`` hears of a fetch that failed for good. After a fetch of few records the next one waits
    ``gather_seconds``.
    """

    open_lanes: Callable[[set[TP]], Awaitable[Mapping[TP, int]]]
    pause_lanes: Callable[[], Awaitable[None]]
    close_lanes: Callable[[], Awaitable[None]]
    behind: Callable[[], Sequence[tuple[str, int]]]
    background: Collection[str]
    on_failure: Callable[[Exception], None]
    gather_seconds: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tickets = TicketLedger()
        # Applied by the fetching task before its next fetch, so that no fetch straddles a seek.
        self._seeks: dict[TP, int] = {}
        self._fetched = 0

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """After a rebalance: open the lanes, and begin where each of them says."""
        try:
            positions = await self.open_lanes(self.assignment())
        except Exception as error:
            self.on_failure(error)
            raise
        for tp, offset in positions.items():
            self.request_seek(tp, offset)

    def request_seek(self, tp: TP, offset: int) -> None:
        """Deliver again from ``offset``; chunks delivered before this no longer count."""
        key = ensure_TP(tp)
        self.tickets.seek((key.topic, key.partition), offset)
        self._seeks[key] = offset

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Faust seeks, and so opens lanes, only for partitions: close them here if none is left."""
        log.info(
            "partitions_assigned", group=self.app.conf.id, generation=generation_id, partitions=len(assigned)
        )
        await super().on_partitions_assigned(assigned, generation_id)
        if not assigned:
            await self.open_lanes(set())

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop the lanes between slices, and commit what they have done."""
        await self.pause_lanes()
        await self.force_commit()
        for tp in revoked:
            key = ensure_TP(tp)
            self._seeks.pop(key, None)
            self.tickets.drop((key.topic, key.partition))
        await super().on_partitions_revoked(revoked)

    async def on_stop(self) -> None:
        """Close the lanes before the last commit."""
        await self.close_lanes()
        await super().on_stop()

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109 -- Faust's signature
    ) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch once; yield a chunk per partition. What may not be delivered now is fetched again."""
        if self.gather_seconds and 0 < self._fetched < FEW_RECORDS:
            await self.sleep(self.gather_seconds)
        await self._apply_seeks()
        try:
            records, active = await self._wait_next_records(FETCH_TIMEOUT_SECONDS)
        except NoOffsetForPartitionError:
            # Assigned, and the group has committed nothing of it: its lane will say where it begins.
            await self.sleep(UNPLACED_SECONDS)
            return
        except OffsetOutOfRangeError as error:
            lost = PositionLost(
                f"the offset to continue from no longer exists: {error}; "
                "restore the topic's retention, or rebuild the flow from a snapshot"
            )
            self.on_failure(lost)
            raise lost from None
        except Exception as error:
            # Faust would log this and go on without fetching: a worker that is up and does nothing.
            self.on_failure(error)
            raise
        if records is None or self.should_stop:
            return
        for topic, partition in self.behind():
            records.setdefault(driver.ensure_aiokafka_TP(TP(topic, partition)), [])
        self._fetched = sum(map(len, records.values()))
        for raw_tp, batch in records.items():
            tp = ensure_TP(raw_tp)
            # Between its assignment and the opening of its lane nobody knows where a partition begins:
            # what is fetched then, from wherever the group had come to, is fetched again after the seek.
            if tp in self._seeks or not self.tickets.is_placed((tp.topic, tp.partition)):
                continue
            if not self.flow_active or (active is not None and tp not in active):
                self._fetch_again(tp)
                continue
            end = batch[-1].offset + 1 if batch else await self._end_of_markers(tp)
            if end:
                yield tp, self._to_chunk_message(tp, batch, end)

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 -- Faust's signature
    ) -> Any:
        """Fetch from those that the lane takes more of."""
        wanted = {tp for tp in active_partitions or () if not self._has_enough(tp)}
        if not wanted:
            await self.sleep(UNPLACED_SECONDS)
            return {}
        return await super()._getmany(wanted, timeout)

    def _has_enough(self, tp: TP) -> bool:
        return (
            tp.topic in self.background
            and self.tickets.waiting((tp.topic, tp.partition)) >= BACKGROUND_CHUNKS
        )

    async def _end_of_markers(self, tp: TP) -> int:
        """Where an input has come to without a record, over transaction markers alone; 0 if nowhere."""
        if tp not in {ensure_TP(assigned) for assigned in self.assignment()}:
            return 0
        position = await self._thread.position(tp)
        _, delivered = self.tickets.position((tp.topic, tp.partition))
        return position if position is not None and position > delivered else 0

    async def _apply_seeks(self) -> None:
        assigned = {ensure_TP(tp) for tp in self.assignment()}
        thread = self._thread
        while self._seeks:
            tp, offset = self._seeks.popitem()
            if tp in assigned:
                await thread.seek_partition(tp, offset)
                self._read_offset[tp] = None  # Faust drops what lies before it

    def _fetch_again(self, tp: TP) -> None:
        _, delivered = self.tickets.position((tp.topic, tp.partition))
        self._seeks[tp] = delivered

    def _to_chunk_message(self, tp: TP, batch: list[Any], end: int) -> ConsumerMessage:
        ticket: Ticket = self.tickets.issue((tp.topic, tp.partition), end)
        chunk = Chunk(tp.topic, tp.partition, ticket.base, end, ticket.generation, batch)
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            batch[0].offset if batch else end - 1,
            batch[0].timestamp / 1000.0 if batch else 0.0,
            batch[0].timestamp_type if batch else 0,
            [],
            None,
            (chunk, ticket),
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what the lanes have applied. Only a hint for lag monitors: lanes know better."""
        assigned = {ensure_TP(tp) for tp in self.assignment()}
        offsets = {
            TP(topic, partition): offset
            for (topic, partition), offset in self.tickets.committable().items()
            if TP(topic, partition) in assigned and self._committed_offset[TP(topic, partition)] != offset
        }
        if not offsets:
            return False
        committed: bool = await self._commit(offsets)
        if committed:
            self._committed_offset.update(offsets)
        return committed

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock detector counts acknowledged messages, which we have none of."""


class ChunkTransport(driver.Transport):
    """aiokafka transport with the chunk consumer."""

    Consumer = ChunkConsumer
