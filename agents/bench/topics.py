"""Whole topics, and the positions of consumer groups in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import DependencyUnavailable
from streams.logs import LIBRDKAFKA

POLL_SECONDS = 1.0
# Without any record or end for this long the broker is gone, not slow.
SILENT_POLLS = 30
BATCH = 5_000
ANSWER_SECONDS = 15.0
# Where the last record of a partition is looked for: before its end there may be transaction markers.
LOOK_BACK = 64

Place = tuple[str, int]


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


def read_topic(bootstrap: str, topic: str) -> Iterator[tuple[bytes, bytes | None]]:
    """(key, value) of all records of a topic, each partition in order, to the end at the time of asking."""
    reader = consumer(bootstrap, f"read-{topic}")
    try:
        starts = [
            TopicPartition(name, partition, reader.get_watermark_offsets(_place(name, partition))[0])
            for name, partition in places_of(reader, [topic])
        ]
        for message in _read(reader, starts):
            yield message.key(), message.value()
    finally:
        reader.close()


def places_of(reader: Consumer, topics: Sequence[str]) -> list[Place]:
    """All partitions of topics; `DependencyUnavailable` if a topic does not exist."""
    try:
        known = reader.list_topics(timeout=ANSWER_SECONDS).topics
    except KafkaException as error:
        raise DependencyUnavailable(f"no Kafka broker answers: {error.args[0].str()}") from None
    for topic in topics:
        if topic not in known:
            raise DependencyUnavailable(f"topic {topic} does not exist")
    return [(topic, partition) for topic in topics for partition in sorted(known[topic].partitions)]


def _read(reader: Consumer, starts: list[TopicPartition]) -> Iterator[Any]:
    reader.assign(starts)
    left = {(start.topic, start.partition) for start in starts}
    silent = 0
    while left:
        first = reader.poll(POLL_SECONDS)
        if first is None:
            silent += 1
            if silent == SILENT_POLLS:
                raise DependencyUnavailable(f"no record for {SILENT_POLLS} s while reading {sorted(left)[0]}")
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


def _place(topic: str, partition: int) -> TopicPartition:
    return TopicPartition(topic, partition)


class Positions:
    """Ends of topics and what a group has committed of them, on one connection."""

    def __init__(self, bootstrap: str, group: str) -> None:
        self._bootstrap = bootstrap
        self._reader = consumer(bootstrap, group)
        self._places: dict[tuple[str, ...], list[Place]] = {}

    def close(self) -> None:
        """Release the connection."""
        self._reader.close()

    def ends(self, topics: Sequence[str]) -> dict[Place, int]:
        """The high watermark of each partition; transaction markers count."""
        return {
            (topic, partition): self._reader.get_watermark_offsets(
                _place(topic, partition), timeout=ANSWER_SECONDS
            )[1]
            for topic, partition in self._of(topics)
        }

    def committed(self, topics: Sequence[str]) -> dict[Place, int]:
        """What the group has committed of each partition, -1 for nothing yet."""
        asked = [_place(topic, partition) for topic, partition in self._of(topics)]
        answers = self._reader.committed(asked, timeout=ANSWER_SECONDS)
        return {(answer.topic, answer.partition): max(answer.offset, -1) for answer in answers}

    def _of(self, topics: Sequence[str]) -> list[Place]:
        key = tuple(topics)
        if key not in self._places:
            self._places[key] = places_of(self._reader, topics)
        return self._places[key]

    def after_last_records(self, topics: Sequence[str]) -> dict[Place, int]:
        """The position after the last committed record of each partition, markers behind it left out."""
        found = {}
        for (topic, partition), end in self.ends(topics).items():
            reader = consumer(self._bootstrap, f"last-{topic}")
            try:
                low, _ = reader.get_watermark_offsets(_place(topic, partition), timeout=ANSWER_SECONDS)
                start, last = end, -1
                while last < 0 and start > low:
                    start = max(low, start - LOOK_BACK)
                    for message in _read(reader, [TopicPartition(topic, partition, start)]):
                        last = message.offset()
                found[topic, partition] = last + 1 if last >= 0 else -1
            finally:
                reader.close()
        return found
