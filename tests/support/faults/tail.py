"""Following a source's topics while it is broken and mended: what has arrived, and when."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType

from confluent_kafka import Consumer, TopicPartition
from integration.sources.harness import Capture

from support.faults.load import TABLES

POSITION = "tallystream.position"
POLL_S = 0.2


class Tail:
    """Reads committed records of all tables from their start on; topics may be made later."""

    def __init__(self, capture: Capture) -> None:
        self._table_topics = {table: capture.topic(table) for table in TABLES}
        self._topics = {topic: table for table, topic in self._table_topics.items()}
        self._assigned: set[str] = set()
        self.place: tuple[int, int] = (0, 0)
        """Epoch and commit LSN of the last change that has arrived."""
        self._ends: dict[str, dict[int, int]] = defaultdict(dict)
        """Table and partition → the offset behind the last record that has arrived."""
        self._consumer = Consumer(
            {
                "bootstrap.servers": capture.stack.broker.bootstrap,
                "group.id": f"tail-{capture.name}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "reconnect.backoff.max.ms": 250,
                "log_level": 0,  # a broker that is down is what this is for
            }
        )

    def behind(self, lsn: int, seconds: float) -> None:
        """Return when a change that was committed after ``lsn`` has arrived."""
        self._until(lambda: self.place[1] > lsn, seconds, f"no change behind {lsn} within {seconds} s")

    def marks(self, table: str) -> dict[int, int]:
        """Partition → where the topic ends now, what is not committed included: what a source that
        was killed before this has sent lies in front of it."""
        topic = self._table_topics[table]
        partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return {
            one: self._consumer.get_watermark_offsets(TopicPartition(topic, one), timeout=10)[1]
            for one in partitions
        }

    def beyond(self, table: str, marks: dict[int, int], seconds: float) -> None:
        """Return when a record from behind ``marks`` has arrived."""
        self._until(
            lambda: any(self._ends[table].get(one, 0) > end for one, end in marks.items()),
            seconds,
            f"nothing new of {table} within {seconds} s",
        )

    def _until(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, otherwise
            self._poll()

    def _poll(self) -> None:
        """Take in some of what is there."""
        if len(self._assigned) < len(self._topics):
            self._assign()
            if not self._assigned:
                time.sleep(POLL_S)
                return
        for message in self._consumer.consume(5_000, POLL_S):
            if message.error() is not None:
                continue  # its retries are the library's; what does not come is noticed by the time limit
            self._ends[self._topics[message.topic()]][message.partition()] = message.offset() + 1
            position = next(value for name, value in message.headers() or [] if name == POSITION)
            epoch, lsn, _ = position.split(b"/")
            self.place = max(self.place, (int(epoch), int(lsn)))

    def _assign(self) -> None:
        known = self._consumer.list_topics(timeout=10).topics
        for topic in self._topics.keys() - self._assigned:
            if topic in known and known[topic].partitions:
                self._consumer.incremental_assign(
                    [TopicPartition(topic, partition, 0) for partition in known[topic].partitions]
                )
                self._assigned.add(topic)

    def __enter__(self) -> Tail:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()
