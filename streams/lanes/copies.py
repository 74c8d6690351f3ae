"""The local copies of lane state of one worker: those its lanes write, and standby copies it only follows.

A standby copy is the store of a lane that another worker runs, kept up from the lane's state topic in the
background. When the lane comes here, only the rest of its topic is to be restored. Committed records only,
and in order, so a copy is at each moment what the state was at its position.

A place is (stage, partition). Its store has one holder at a time: a lane, this module's thread, or nobody.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.lanes.restore import state_consumer
from streams.lanes.rocks import CLEAN, RocksStore
from streams.lanes.watermarks import watermarks
from streams.metrics import STANDBY_COPIES, STANDBY_LAG, STANDBY_RECORDS

log = structlog.get_logger("standby")

# Of one core: following is for what may happen, and must not slow down what does.
CPU_SHARE = 0.1
# Few, so that a batch holds up the interpreter for a millisecond or two only.
FETCH_RECORDS = 500
POLL_SECONDS = 0.2
# Fetching costs CPU, too: much at a time, half a second late, and no more than is applied.
FETCHES = {
    "fetch.wait.max.ms": 500,
    "fetch.min.bytes": 64 << 10,
    "fetch.message.max.bytes": 1 << 20,
    "queued.max.messages.kbytes": 4 << 10,
}
# After an error of the brokers, or of the local disk.
PAUSE_SECONDS = 5.0
# Until the thread has closed its copies; longer, and they are restored at the next start.
STOP_SECONDS = 5.0
MEASURE_SECONDS = 1.0

Place = tuple[str, int]


@dataclass(slots=True)
class _Copy:
    """A followed store; ``position`` is the next offset of its state topic."""

    store: RocksStore
    position: int
    is_level: bool = False  # whether the end of the topic was reached once


class StateCopies:
    """Opens stores below ``root`` for lanes, and follows others. Methods may be called from any thread.

    ``identity`` names what a stage's store belongs to; a store of another identity is dropped.
    """

    def __init__(self, bootstrap: str, root: Path, identity: Callable[[str], str]) -> None:
        self._bootstrap = bootstrap
        self._root = root
        self._identity = identity
        self._lock = threading.RLock()
        self._held: set[Place] = set()  # by lanes
        self._copies: dict[Place, _Copy] = {}
        self._wanted: dict[str, frozenset[int]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._measured = 0.0

    def take(self, stage: str, partition: int) -> RocksStore:
        """The store for a lane, from its ``offset`` on to be restored; `give_back` it when it is closed."""
        place = (stage, partition)
        with self._lock:
            self._held.add(place)
            copy = self._copies.pop(place, None)
            if copy is not None:
                copy.store.offset = copy.position
                return copy.store
            try:
                return self._open(place)
            except BaseException:
                self._held.discard(place)
                raise

    def give_back(self, stage: str, partition: int) -> None:
        """The lane has closed its store."""
        with self._lock:
            self._held.discard((stage, partition))

    def follow(self, stages: Mapping[str, int], partitions: Collection[int]) -> None:
        """From now on keep copies of these partitions of the stages, and of no others of these stages.

        ``stages`` gives the number of partitions of each.
        """
        with self._lock:
            for stage, count in stages.items():
                self._wanted[stage] = frozenset(partition for partition in partitions if partition < count)
            if self._thread is None and any(self._wanted.values()) and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="standby", daemon=True)
                self._thread.start()

    def held(self, stages: Mapping[str, int]) -> dict[int, int]:
        """How much of each partition's state is here: 2 for a stage that runs, 1 for a copy, summed up."""
        sums: defaultdict[int, int] = defaultdict(int)
        with self._lock:
            for stage, count in stages.items():
                for partition in range(count):
                    sums[partition] += self._weight((stage, partition))
        return {partition: weight for partition, weight in sums.items() if weight}

    def _weight(self, place: Place) -> int:
        if place in self._held:
            return 2
        return int(place in self._copies or (self._folder(place) / CLEAN).exists())

    def stop(self) -> None:
        """Close the copies as clean; a copy of the next start goes on from there."""
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(STOP_SECONDS)

    def _folder(self, place: Place) -> Path:
        stage, partition = place
        return self._root / stage / str(partition)

    def _open(self, place: Place) -> RocksStore:
        return RocksStore(self._folder(place), self._identity(place[0]))

    # The rest runs on the thread.

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                consumer = state_consumer(self._bootstrap, "standby", **FETCHES)
                try:
                    self._follow(consumer)
                finally:
                    try:
                        self._close(list(self._copies))
                    finally:
                        consumer.close()
            except KafkaException as error:
                log.warning("standby_paused", error=error.args[0].str())
            except Exception as error:  # e.g. a full disk: no reason to end the lanes that run
                log.error("standby_failed", error=str(error), exc_info=True)
            self._stop.wait(PAUSE_SECONDS)

    def _follow(self, consumer: Consumer) -> None:
        assigned: set[Place] = set()
        while not self._stop.is_set():
            began = time.thread_time()
            assigned = self._adjust(consumer, assigned)
            messages = consumer.consume(FETCH_RECORDS, POLL_SECONDS) if assigned else []
            with self._lock:
                self._apply(messages)
                self._measure(consumer)
            self._stop.wait((time.thread_time() - began) * (1 / CPU_SHARE - 1) or POLL_SECONDS)

    def _adjust(self, consumer: Consumer, assigned: set[Place]) -> set[Place]:
        """Follow what is wanted and no lane holds; let go of the rest."""
        with self._lock:
            wanted = {(stage, p) for stage, partitions in self._wanted.items() for p in partitions}
            wanted -= self._held
            self._close([place for place in self._copies if place not in wanted])
            if wanted == assigned == self._copies.keys():
                return assigned
            begun = [place for place in wanted if place not in self._copies]
            for place in begun:
                store = self._open(place)
                self._copies[place] = _Copy(store, store.offset)
            places = list(self._copies.items())
            STANDBY_COPIES.set(len(places))
        starts = []
        for (stage, partition), copy in places:
            topic = f"state.{stage}"
            low, high = watermarks(consumer, topic, partition)
            if not low <= copy.position <= high:
                # Of another life of the topic. What that means for the lane is its owner's to find out.
                log.warning("standby_dropped", lane=f"{stage}-{partition}", position=copy.position)
                self._drop((stage, partition))
                self._stop.wait(PAUSE_SECONDS)
                return set()
            starts.append(TopicPartition(topic, partition, copy.position))
        # All of them anew: what an earlier assignment has fetched and nobody applied is not delivered.
        consumer.assign(starts)
        return {place for place, _ in places}

    def _apply(self, messages: Sequence[Message]) -> None:
        loads: defaultdict[Place, list[Message]] = defaultdict(list)
        ends: dict[Place, int] = {}
        for message in messages:
            place = (message.topic().removeprefix("state."), message.partition())
            error = message.error()
            if error is None:
                loads[place].append(message)
            elif error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            elif place in self._copies:
                ends[place] = message.offset()
        for place, found in loads.items():
            copy = self._copies.get(place)
            if copy is not None and found[0].offset() >= copy.position:  # else a lane has taken it since
                copy.store.load((message.key(), message.value()) for message in found)
                copy.position = found[-1].offset() + 1
                STANDBY_RECORDS.labels(place[0]).inc(len(found))
        for place, end in ends.items():
            copy = self._copies[place]
            copy.position = max(copy.position, end)  # over transaction markers
            if not copy.is_level:
                copy.is_level = True
                log.info("standby_level", lane=f"{place[0]}-{place[1]}", position=end)

    def _measure(self, consumer: Consumer) -> None:
        """By the ends that the fetches have told."""
        if time.monotonic() < self._measured + MEASURE_SECONDS:
            return
        self._measured = time.monotonic()
        behind = dict.fromkeys(self._wanted, 0)
        for (stage, partition), copy in self._copies.items():
            told = consumer.get_watermark_offsets(TopicPartition(f"state.{stage}", partition), cached=True)
            behind[stage] += max(0, told[1] - copy.position) if told else 0
        for stage, records in behind.items():
            STANDBY_LAG.labels(stage).set(records)

    def _close(self, places: Iterable[Place]) -> None:
        with self._lock:
            for place in places:
                copy = self._copies.pop(place)
                copy.store.close(copy.position)

    def _drop(self, place: Place) -> None:
        with self._lock:
            copy = self._copies.pop(place, None)
            if copy is not None:
                copy.store.close(None)
