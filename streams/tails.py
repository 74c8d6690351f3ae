"""The last committed record of topic partitions, without reading what lies before it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from streams.contracts.topics import ADMIN_SECONDS, admin_client
from streams.errors import DependencyUnavailable
from streams.lanes.watermarks import end_offsets
from streams.topicreader import consumer

# The offsets looked at first; eight times as many each time that there is only what transactions leave behind.
FIRST_REACH, FURTHER = 8, 8
# A transaction that is open hides what was committed after it began: it ends within its time-out, or is looked at again.
PATIENCE_SECONDS = 15.0

Place = tuple[str, int]


class Last(NamedTuple):
    """A record; ``end`` is the offset behind it."""

    end: int
    key: bytes | None
    value: bytes | None


def last_records(bootstrap: str, places: Iterable[Place]) -> dict[Place, Last]:
    """The last record of each (topic, partition) that was committed before this was called; empty ones are left out.

    `DependencyUnavailable` where the brokers don't answer, or a transaction stays open for long.
    """
    wanted = set(places)
    try:
        starts = _begins(bootstrap, wanted)
        ends = end_offsets(bootstrap, wanted)
        reader = consumer(bootstrap, "tallystream-tails", **{"fetch.wait.max.ms": 20})
        try:
            return _find(reader, starts, ends)
        finally:
            reader.close()
    except KafkaException as error:
        raise DependencyUnavailable(f"the ends of topics can't be read: {error.args[0].str()}") from None


def _begins(bootstrap: str, places: Iterable[Place]) -> dict[Place, int]:
    admin = admin_client(bootstrap)  # kept while it is asked: its end waits for answers that do not come then
    asked = admin.list_offsets(
        {TopicPartition(*place): OffsetSpec.earliest() for place in places}, request_timeout=ADMIN_SECONDS
    )
    # (Of an empty partition brokers may say that they know none.)
    return {
        (place.topic, place.partition): max(0, answer.result(ADMIN_SECONDS).offset)
        for place, answer in asked.items()
    }


def _find(reader: Consumer, starts: dict[Place, int], ends: dict[Place, int]) -> dict[Place, Last]:
    found: dict[Place, Last] = {}
    waiting = {place for place, end in ends.items() if end > starts[place]}
    reach = FIRST_REACH
    while waiting:
        begins = {place: max(starts[place], ends[place] - reach) for place in waiting}
        found |= _read(reader, begins, ends)
        waiting = {place for place in waiting - found.keys() if begins[place] > starts[place]}
        reach *= FURTHER
    return found


def _read(reader: Consumer, begins: dict[Place, int], ends: dict[Place, int]) -> dict[Place, Last]:
    reader.assign([TopicPartition(*place, offset) for place, offset in begins.items()])
    found: dict[Place, Last] = {}
    left = set(begins)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left:
        if time.monotonic() > deadline:
            topic, partition = sorted(left)[0]
            raise DependencyUnavailable(
                f"{topic}/{partition} can't be read to its end: a transaction is open, or a broker is away"
            )
        for message in reader.consume(1000, timeout=0.1):
            error, place = message.error(), (message.topic(), message.partition())
            if error is None:
                found[place] = Last(message.offset() + 1, message.key(), message.value())
                reached = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                reached = message.offset()
            else:
                raise KafkaException(error)
            if reached >= ends[place]:
                left.discard(place)
    return found
