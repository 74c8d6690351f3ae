"""Bulk restore of a lane's state from its state topic, up to the position at the time of asking."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import DependencyUnavailable, PositionLost
from streams.lanes.state import Store
from streams.lanes.watermarks import watermarks
from streams.logs import LIBRDKAFKA

FETCH_RECORDS = 5_000
# Without any record for this long the broker is gone, not slow.
SILENCE_SECONDS = 30.0


@dataclass(slots=True)
class RestoreProgress:
    """How far a restore is; ``end`` is the state topic's position when it began."""

    topic: str
    partition: int
    start: int
    end: int
    position: int = 0
    records: int = 0
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """What part of the positions is behind it, 0 to 1."""
        return (self.position - self.start) / max(1, self.end - self.start)

    @property
    def seconds_left(self) -> float | None:
        """By its pace so far; None before there is any."""
        return self.seconds * (1 / self.share - 1) if self.share > 0 else None


def state_consumer(bootstrap: str, group: str, **settings: Any) -> Consumer:
    """A consumer of state topics: committed records only, in large fetches, and never a default position."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,  # required by the client; never used: nothing is committed
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "fetch.message.max.bytes": 8 << 20,
            "queued.max.messages.kbytes": 32 * 1024,
            # A full queue is asked for more at once: by the default of a second a restore mostly waits.
            "fetch.queue.backoff.ms": 5,
            **settings,
        },
        logger=logging.getLogger(LIBRDKAFKA),
    )


def restore(
    bootstrap: str,
    topic: str,
    partition: int,
    store: Store,
    start: int,
    progress: Callable[[RestoreProgress], None] = lambda _: None,
) -> RestoreProgress:
    """Load everything of the state topic from ``start`` to its end into ``store``.

    Ends by position, not by record: transaction markers at the end of the log are no records. The
    caller has fenced the previous owner, so nothing is written meanwhile. Raises `PositionLost` where the
    topic does not hold what is asked for.
    """
    consumer = state_consumer(bootstrap, f"restore-{topic}")
    try:
        low, high = watermarks(consumer, topic, partition)
        if start > high:
            raise PositionLost(
                f"{topic}/{partition} ends at {high}, before the local state's position {start}: "
                "the topic was recreated or lost records; delete the local state and check the inputs"
            )
        if low > start:
            raise PositionLost(
                f"{topic}/{partition}: records {start} to {low} were deleted, and with them state: "
                "state topics are compacted, never expired (cleanup.policy=compact); "
                "restore the topic from a copy, or rebuild this flow from a snapshot"
            )
        state = RestoreProgress(topic, partition, start, high, start)
        began = time.monotonic()
        if state.position < high:
            consumer.assign([TopicPartition(topic, partition, state.position)])
            for items in _batches(consumer, state):
                store.load(items)
                state.seconds = time.monotonic() - began
                progress(state)
        return state
    except KafkaException as error:
        raise DependencyUnavailable(f"restoring {topic}/{partition}: {error.args[0].str()}") from None
    finally:
        consumer.close()


def _batches(consumer: Consumer, state: RestoreProgress) -> Iterator[list[tuple[bytes, bytes | None]]]:
    silent_since = time.monotonic()
    while True:
        # `consume` waits until it has all it was asked for; so wait for one, then take what is there.
        first = consumer.poll(0.2)
        messages = [] if first is None else [first, *consumer.consume(FETCH_RECORDS, timeout=0)]
        items: list[tuple[bytes, bytes | None]] = []
        at_end = False
        for message in messages:
            error = message.error()
            if error is None:
                items.append((message.key(), message.value()))
                state.position = message.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end = at_end or message.offset() >= state.end
            else:
                raise KafkaException(error)
        state.records += len(items)
        if items:
            silent_since = time.monotonic()
            yield items
        if at_end or state.position >= state.end:
            return
        if time.monotonic() - silent_since > SILENCE_SECONDS:
            raise DependencyUnavailable(
                f"{state.topic}/{state.partition}: no record for {SILENCE_SECONDS:.0f} s at position "
                f"{state.position} of {state.end}; a transaction may be open, or the broker is gone"
            )
