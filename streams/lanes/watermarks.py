"""Low and high watermarks of a partition, also of one whose leader is only just being elected."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.errors import DependencyUnavailable
from streams.logs import LIBRDKAFKA

# A topic that was created a moment ago has no leader yet; one whose broker restarts gets another.
PATIENCE_SECONDS = 30.0
REQUEST_SECONDS = 10.0
PAUSE_SECONDS = 0.1

_PASSING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._DESTROY_BROKER,  # one that was killed went from the metadata while it was asked
}


def watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """(first offset, offset after the last record); raises `KafkaException` once patience ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            low, high = consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=REQUEST_SECONDS
            )
            return int(low), int(high)
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)


def end_offsets(bootstrap: str, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """The offset after the last record of (topic, partition) pairs, open transactions included."""
    admin = AdminClient({"bootstrap.servers": bootstrap}, logger=logging.getLogger(LIBRDKAFKA))
    waiting = {TopicPartition(topic, partition): OffsetSpec.latest() for topic, partition in places}
    ends: dict[tuple[str, int], int] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while waiting:
        asked = admin.list_offsets(
            waiting, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=REQUEST_SECONDS
        )
        for place, answer in asked.items():
            try:
                ends[place.topic, place.partition] = int(answer.result().offset)
            except KafkaException as error:
                if error.args[0].code() not in _PASSING or time.monotonic() > deadline:
                    raise DependencyUnavailable(
                        f"the end of {place.topic}/{place.partition} is not known: {error.args[0].str()}"
                    ) from None
                time.sleep(PAUSE_SECONDS)
        waiting = {
            place: spec for place, spec in waiting.items() if (place.topic, place.partition) not in ends
        }
    return ends
