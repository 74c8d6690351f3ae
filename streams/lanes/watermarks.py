"""Low and high watermarks of a partition, also of one whose leader is only just being elected."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

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
