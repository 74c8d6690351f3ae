"""Reads topics from given positions, decoded, in batches. No consumer group takes part.

Only committed transactions are read. A position that the broker no longer has is an error and never
a reset, because a reset would skip or repeat records without anybody knowing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from threading import Event
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.sinks.messages import Batch, Message, Partition, Positions
from streams.errors import DependencyUnavailable, InvalidValue, PositionLost, RecordError

BATCH_RECORDS = 5000  # about 1 MB and a quarter second of work; 20,000 are no faster
# How long a batch is collected. A write costs the database some 15 ms whether it brings one row or fifty, so
# that a steady trickle written row by row takes a third of a core from whoever else uses it.
LINGER_S = 0.1
REQUEST_TIMEOUT_S = 5.0  # metadata and watermark requests; loopback takes 1 ms, another region 300 ms
TOPIC_POLL_S = 0.5  # topics are created within a second or two of a first start
TOPIC_PATIENCE_S = 60.0  # longer than a worker takes to create all topics
MARKER_FLUSH_S = 5.0  # how often positions that moved past markers only are worth a transaction

# Not waited out by the client: a missing permission, or a topic that was deleted under us.
_REFUSALS = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)

log = structlog.get_logger(__name__)
Decode = Callable[[bytes], dict[str, Any]]


class Feed:
    """A consumer of some topics. One thread uses it.

    ``decode`` turns bytes into a record, or raises a `RecordError`, which travels with the message.
    Brokers being away is no error of ``next``: it returns nothing, and `check_broker` tells.
    """

    def __init__(
        self,
        bootstrap: str,
        client_id: str,
        topics: Iterable[str],
        decode: Decode,
        batch_records: int = BATCH_RECORDS,
        linger_s: float = LINGER_S,
    ) -> None:
        self.bootstrap = bootstrap
        self.topics = tuple(topics)
        self._decode = decode
        self._batch_records = batch_records
        self._linger_s = linger_s
        self._next: dict[Partition, int] = {}
        self._moved: dict[Partition, int] = {}
        self._moved_since = 0.0
        self._at_end: set[Partition] = set()
        self._broker_down = False
        self._sink = ""
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": client_id,
                "group.id": client_id,  # required by the client, never used: we assign, and never commit
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                "queued.max.messages.kbytes": 65536,
                "fetch.queue.backoff.ms": 20,  # the default of a second would starve us between batches
                "reconnect.backoff.max.ms": 2000,
                "error_cb": self._on_error,
            },
            logger=logging.getLogger("connectors.sinks.kafka"),
        )

    def wait_for_topics(self, stop: Event, patience_s: float = TOPIC_PATIENCE_S) -> list[Partition]:
        """All partitions once all topics are there; `DependencyUnavailable` if they don't come in time."""
        deadline = time.monotonic() + patience_s
        told = False
        while True:
            found, missing = self._lookup()
            if not missing or stop.is_set():
                return found
            if time.monotonic() >= deadline:
                error = DependencyUnavailable(
                    f"topics {', '.join(missing)} do not exist on {self.bootstrap} after {patience_s:.0f} s; "
                    "start a worker, which creates them"
                )
                error.retriable = False  # they were waited for just now
                raise error
            if not told:
                log.info("waiting for topics", topics=missing, patience_s=patience_s)
                told = True
            stop.wait(TOPIC_POLL_S)

    def partitions(self) -> list[Partition]:
        """The partitions there are now."""
        return self._lookup()[0]

    def first_positions(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The oldest offset of each partition."""
        return {partition: self._watermarks(partition)[0] for partition in partitions}

    def start(self, positions: Positions, sink: str) -> None:
        """Read on from ``positions``; `PositionLost` if the broker does not have one of them."""
        for partition, offset in positions.items():
            low, high = self._watermarks(partition)
            if offset < low:
                raise _lost(sink, partition, offset, f"records up to {low} were deleted")
            if offset > high:
                raise _lost(
                    sink, partition, offset, f"the topic ends at {high}: it was truncated or made anew"
                )
        self._next = dict(positions)
        self._moved, self._at_end = {}, set()
        self._sink = sink
        self._consumer.assign([TopicPartition(t, p, offset) for (t, p), offset in positions.items()])

    def next(self, timeout_s: float) -> Batch | None:
        """The next batch, or None if nothing comes within ``timeout_s``.

        A registry that does not answer raises `DependencyUnavailable`; the feed must then be started
        again, since part of a batch was taken from the broker's queue.
        """
        taken = self._consumer.consume(1, timeout_s)
        started = time.monotonic()
        deadline = started + self._linger_s
        messages: list[Message] = []
        while taken:
            for raw in taken:
                self._take(raw, messages)
            left, wait_s = self._batch_records - len(messages), deadline - time.monotonic()
            if left <= 0 or wait_s <= 0:
                break
            taken = self._consumer.consume(left, wait_s)
        if not messages and (not self._moved or started - self._moved_since < MARKER_FLUSH_S):
            return None
        reached = {(message.topic, message.partition): message.offset + 1 for message in messages}
        positions = {
            partition: max(offset, self._moved.get(partition, 0)) for partition, offset in reached.items()
        }
        positions = {**self._moved, **positions}
        self._moved, self._moved_since = {}, started
        self._next.update(positions)
        return Batch(tuple(messages), positions)

    def caught_up(self) -> bool:
        """Whether the end of every partition was seen after its last record."""
        return len(self._at_end) == len(self._next)

    def lag(self) -> dict[Partition, int]:
        """Offsets between the position and the end of each partition, as last heard from the broker."""
        lags = {}
        for partition, position in self._next.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
            lags[partition] = 0 if partition in self._at_end else max(0, high - position)
        return lags

    def check_broker(self) -> None:
        """`DependencyUnavailable` if all brokers were reported down and none answers now."""
        if self._broker_down:
            self._lookup()
            self._broker_down = False

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _take(self, raw: Any, messages: list[Message]) -> None:
        error = raw.error()
        if error is not None:
            self._take_error(raw, error)
            return
        topic, partition, offset, value = raw.topic(), raw.partition(), raw.offset(), raw.value()
        self._at_end.discard((topic, partition))
        record: dict[str, Any] | None = None
        refusal: RecordError | None = None
        try:
            if value is None:
                raise InvalidValue("record without a value; deletions are records with deleted = true")
            record = self._decode(value)
        except RecordError as reason:
            refusal = reason
        messages.append(
            Message(topic, partition, offset, raw.timestamp()[1], raw.key(), value, record, refusal),
        )

    def _take_error(self, raw: Any, error: KafkaError) -> None:
        partition = (raw.topic(), raw.partition())
        if error.code() == KafkaError._PARTITION_EOF:
            self._at_end.add(partition)
            if raw.offset() > self._next.get(partition, 0):
                # Past transaction markers, or past records of this very batch, which then win or agree.
                self._moved[partition] = raw.offset()
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise _lost(self._sink, partition, self._next.get(partition, 0), "the broker no longer has it")
        elif error.code() in _REFUSALS:
            raise DependencyUnavailable(f"Kafka at {self.bootstrap}: {partition[0]}: {error.str()}")
        else:
            # Retried by the client: leader changes, time-outs.
            log.warning("broker error", topic=partition[0], partition=partition[1], error=error.str())

    def _lookup(self) -> tuple[list[Partition], list[str]]:
        try:
            known = self._consumer.list_topics(timeout=REQUEST_TIMEOUT_S).topics
        except KafkaException as error:
            raise self._unreachable(error) from None
        found = [(t, p) for t in self.topics if t in known for p in sorted(known[t].partitions)]
        return found, [t for t in self.topics if t not in known]

    def _watermarks(self, partition: Partition) -> tuple[int, int]:
        try:
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(*partition), timeout=REQUEST_TIMEOUT_S
            )
        except KafkaException as error:
            raise self._unreachable(error) from None
        return int(low), int(high)

    def _unreachable(self, error: KafkaException) -> DependencyUnavailable:
        return DependencyUnavailable(
            f"Kafka at {self.bootstrap} does not answer ({error.args[0].str()}); start it"
        )

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._broker_down = True


def _lost(sink: str, partition: Partition, offset: int, reason: str) -> PositionLost:
    topic, number = partition
    return PositionLost(
        f"sink {sink} stands at offset {offset} of {topic}[{number}], but {reason}; find out what was lost, "
        f"then `tallystream sink reset {sink} --topic {topic}` loads again what the topic still has"
    )
