"""Reads the reference topics in full, then follows them, on a thread of its own.

A consumer without a group: every worker sees every row. The worker is not ready before the end that
the topics had at start is reached.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.errors import DependencyUnavailable, RecordError
from streams.lanes.watermarks import watermarks
from streams.logs import LIBRDKAFKA
from streams.references.views import ReferenceState
from streams.serde import Decoder

log = structlog.get_logger("reference")

PREFIX = "canonical."
# Between polls the thread looks whether it should stop.
POLL_SECONDS = 0.25
BATCH = 2_000
METADATA_SECONDS = 15.0


class ReferenceFeed:
    """Feeds every view from the topics ``canonical.<entity>`` of the entities it names."""

    def __init__(
        self,
        bootstrap: str,
        decoder: Decoder,
        states: Sequence[ReferenceState],
        compute: AbstractContextManager[object],
        on_change: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._decoder = decoder
        self._states = states
        self._compute = compute
        self._on_change = on_change
        self._on_failure = on_failure
        self._entities = sorted({entity for state in states for entity in state.view.entities})
        self._by_entity = {e: [s for s in states if e in s.view.entities] for e in self._entities}
        self._bootstrap = bootstrap
        self._stop = threading.Event()
        self.loaded = threading.Event()
        self.rows = 0
        self._thread = threading.Thread(target=self._run, name="reference-feed", daemon=True)

    def start(self) -> None:
        """Begin to read; `loaded` is set once the tables are complete."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and wait for the thread."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        try:
            self._follow()
        except KafkaException as error:
            self._on_failure(DependencyUnavailable(f"reference topics: {error.args[0].str()}"))
        except Exception as error:
            self._on_failure(error)

    def _follow(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "tallystream-reference",  # required by the client; nothing is committed
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
            },
            logger=logging.getLogger(LIBRDKAFKA),
        )
        try:
            missing = self._assign(consumer)
            if not missing:
                self.loaded.set()
            while not self._stop.is_set():
                first = consumer.poll(POLL_SECONDS)
                if first is None:
                    continue
                changed = self._apply([first, *consumer.consume(BATCH, timeout=0)], missing)
                if not missing and not self.loaded.is_set():
                    self.loaded.set()
                    log.info("reference_loaded", rows=self.rows)
                if changed:
                    self._on_change()
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> dict[tuple[str, int], int]:
        """Assign all partitions from their beginning; returns the ends still to be reached."""
        metadata = consumer.list_topics(timeout=METADATA_SECONDS)
        assigned, ends = [], {}
        for entity in self._entities:
            topic = metadata.topics.get(PREFIX + entity)
            if topic is None:
                raise DependencyUnavailable(
                    f"topic {PREFIX}{entity} does not exist; run `tallystream contracts create`"
                )
            for partition in topic.partitions:
                low, high = watermarks(consumer, PREFIX + entity, partition)
                assigned.append(TopicPartition(PREFIX + entity, partition, low))
                if high > low:
                    ends[PREFIX + entity, partition] = high
        consumer.assign(assigned)
        return ends

    def _apply(self, messages: Sequence[Message], missing: dict[tuple[str, int], int]) -> bool:
        changed = False
        with self._compute:
            for message in messages:
                place = (message.topic(), message.partition())
                error = message.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    if message.offset() >= missing.get(place, 0):
                        missing.pop(place, None)
                    continue
                if message.offset() + 1 >= missing.get(place, 0):
                    missing.pop(place, None)
                if message.value() is None:
                    continue
                try:
                    row = self._decoder.decode(message.value())
                except RecordError as bad:
                    # Only we write these topics; a bad record there is an incident, and stops nobody.
                    log.error(
                        "reference_undecodable", topic=place[0], offset=message.offset(), error=str(bad)
                    )
                    continue
                entity = message.topic().removeprefix(PREFIX)
                for state in self._by_entity[entity]:
                    state.apply(entity, message.partition(), message.offset(), row, message.value())
                self.rows += 1
                changed = True
        return changed
