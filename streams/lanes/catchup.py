"""Read what a lane's own inputs hold when it is opened, so that nothing can be overtaken from then on.

Records may be handed over from one stage to another only once all earlier ones of the same keys are
applied (see `overtaking`). Under a steady load that moment would never come by itself: what goes
through the broker is always a little behind. So the lane applies what lies there before it is fed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.errors import DependencyUnavailable
from streams.lanes.lane import Lane
from streams.lanes.records import Chunk, PlainRecord
from streams.logs import LIBRDKAFKA

# A backlog that takes longer is left to the stream; until it is worked off, records go through the broker.
PATIENCE_SECONDS = 5.0
FETCH_RECORDS = 2_000

Place = tuple[str, int]


def catch_up(bootstrap: str, lane: Lane, ends: Mapping[Place, int], order: Iterable[str]) -> bool:
    """Apply each input of ``ends`` up to its offset, topic by topic in ``order``; False if time ran out.

    What follows from a topic's records must go to topics before it: those are handed over by then.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    for topic in order:
        behind = {
            partition: (start, end)
            for (name, partition), end in ends.items()
            if name == topic and (start := lane.position(topic, partition)) < end
        }
        if behind and not _read(bootstrap, lane, topic, behind, deadline):
            return False
    return True


def _read(
    bootstrap: str, lane: Lane, topic: str, behind: dict[int, tuple[int, int]], deadline: float
) -> bool:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"catch-up-{topic}",  # required by the client; never used: nothing is committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        },
        logger=logging.getLogger(LIBRDKAFKA),
    )
    try:
        consumer.assign([TopicPartition(topic, p, start) for p, (start, _) in behind.items()])
        while behind:
            if time.monotonic() > deadline:
                return False
            first = consumer.poll(0.1)
            messages = [] if first is None else [first, *consumer.consume(FETCH_RECORDS, timeout=0)]
            for partition in list(behind):
                own = [message for message in messages if message.partition() == partition]
                start, end = behind[partition]
                position = _apply(lane, topic, partition, start, own)
                behind[partition] = (position, end)
                if position >= end:
                    del behind[partition]
        return True
    except KafkaException as error:
        raise DependencyUnavailable(f"catching up with {topic}: {error.args[0].str()}") from None
    finally:
        consumer.close()


def _apply(lane: Lane, topic: str, partition: int, start: int, messages: Sequence[Message]) -> int:
    """Apply what came; the position after it, markers included."""
    records, position = [], start
    for message in messages:
        error = message.error()
        if error is None:
            records.append(_record(message))
            position = message.offset() + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            position = max(position, message.offset())
        else:
            raise KafkaException(error)
    if position > start:
        lane.apply([Chunk(topic, partition, start, position, 0, records)])
    return position


def _record(message: Message) -> PlainRecord:
    headers = tuple(message.headers() or ())
    place = message.topic(), message.partition(), message.offset(), message.timestamp()[1]
    return PlainRecord(*place, message.key(), message.value(), headers)
