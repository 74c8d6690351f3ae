"""Reads topics, or single partitions of them, from their beginning to the end they have when asked.

For commands and checks that look something up: committed records only, one after the other, nothing is
kept and no position is committed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import DependencyUnavailable
from streams.lanes.watermarks import watermarks
from streams.logs import LIBRDKAFKA

POLL_SECONDS = 1.0
# Without any record or end for this long the broker is gone, not slow.
SILENT_POLLS = 30
BATCH = 5_000
# A broker that is there answers within milliseconds; one that is being started, within seconds.
ANSWER_SECONDS = 15.0

Place = tuple[str, int]


class TopicRecord(NamedTuple):
    """A record as it is in its topic."""

    topic: str
    key: bytes | None
    value: bytes | None


def consumer(bootstrap: str, group: str, **settings: Any) -> Consumer:
    """A consumer that reads committed records and commits nothing."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            **settings,
        },
        logger=logging.getLogger(LIBRDKAFKA),
    )


def places_of(reader: Consumer, bootstrap: str, topics: Sequence[str]) -> list[Place]:
    """All partitions of topics; `DependencyUnavailable` if a topic does not exist or can't be read."""
    try:
        known = reader.list_topics(timeout=ANSWER_SECONDS).topics
    except KafkaException as error:
        raise DependencyUnavailable(
            f"no Kafka broker answers at {bootstrap} ({error.args[0].str()}); "
            "start it or set TALLYSTREAM_KAFKA_BOOTSTRAP"
        ) from None
    for topic in topics:
        refused = known[topic].error if topic in known else None
        if topic not in known or (refused is not None and refused.code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
            raise DependencyUnavailable(
                f"topic {topic} does not exist at {bootstrap}; run `tallystream contracts create`, "
                "or set TALLYSTREAM_KAFKA_BOOTSTRAP to the brokers that have it"
            )
        if refused is not None:  # it is listed without any partition, as if it were empty
            raise DependencyUnavailable(
                f"topic {topic} can't be read at {bootstrap} ({refused.str()}); see that its brokers are up and "
                "that this user may read it"
            )
    return [(topic, partition) for topic in topics for partition in sorted(known[topic].partitions)]


def read_from(reader: Consumer, starts: Sequence[TopicPartition]) -> Iterator[Any]:
    """Messages from the given positions, each partition in order, to the end it has."""
    reader.assign(list(starts))
    left = {(start.topic, start.partition) for start in starts}
    silent = 0
    while left:
        first = reader.poll(POLL_SECONDS)
        if first is None:
            silent += 1
            if silent == SILENT_POLLS:
                raise DependencyUnavailable(
                    f"no record for {SILENT_POLLS} s while reading {sorted(left)[0]}; is the broker up?"
                )
            continue
        silent = 0
        for message in (first, *reader.consume(BATCH, timeout=0)):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard((message.topic(), message.partition()))
            else:
                raise KafkaException(error)


class TopicReader:
    """One connection for several reads; a context manager. All errors are `DependencyUnavailable`."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._bootstrap = bootstrap
        self._consumer = consumer(bootstrap, name)

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return len(places_of(self._consumer, self._bootstrap, [topic]))

    def read(self, *topics: str) -> Iterator[TopicRecord]:
        """All records of topics."""
        return self._read(places_of(self._consumer, self._bootstrap, topics))

    def read_partition(self, topic: str, partition: int) -> Iterator[TopicRecord]:
        """The records of one partition."""
        return self._read([(topic, partition)])

    def _read(self, places: Sequence[Place]) -> Iterator[TopicRecord]:
        try:
            ranges = [(place, watermarks(self._consumer, *place)) for place in places]
            starts = [TopicPartition(*place, low) for place, (low, high) in ranges if high > low]
            if not starts:
                return
            for message in read_from(self._consumer, starts):
                yield TopicRecord(message.topic(), message.key(), message.value())
        except KafkaException as error:
            raise DependencyUnavailable(
                f"reading {places[0][0]} from {self._bootstrap}: {error.args[0].str()}; are the brokers up?"
            ) from None
