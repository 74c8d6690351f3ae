"""The transactional producer of a source: changes and position in one Kafka transaction.

``transactional.id`` is ``source-<name>``: opening the publisher fences whoever had it, and ends the
transaction that a killed predecessor left open.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NoReturn

from confluent_kafka import KafkaError, KafkaException, Producer

from connectors.sources.envelope import Record
from connectors.sources.positions import columns_key
from connectors.sources.topics import POSITIONS, Topics
from streams.errors import DependencyUnavailable, Fenced, TallystreamError
from streams.logs import LIBRDKAFKA

INIT_TIMEOUT_S = 60.0  # the broker may first have to finish the predecessor's commit
# One attempt of a commit; it is repeated until COMMIT_TIMEOUT_S, so that signals are seen in between.
COMMIT_ATTEMPT_S = 5.0
COMMIT_TIMEOUT_S = 60.0
STREAM_TRANSACTION_S = 60  # others wait this long for our position when we were killed in a commit
SNAPSHOT_TRANSACTION_S = 900  # for what reads much between two commits; the brokers' default maximum
# What waits for the broker at most. More adds memory (librdkafka keeps some 2.5 times of it), not speed.
QUEUE_MESSAGES = 10_000
QUEUE_KBYTES = 4_096
LINGER_MS = 2  # gathers a transaction's rows into batches; a commit sends at once regardless
FULL_QUEUE_WAIT_S = 0.005  # polling does not wake when room is made: there are no delivery callbacks

Headers = list[tuple[str, bytes]]


class Publisher:
    """Not thread-safe. ``on_wait`` is called while the queue is full, for what must go on meanwhile."""

    def __init__(
        self, name: str, bootstrap: str, transaction_timeout_s: int, on_wait: Callable[[], None] | None = None
    ) -> None:
        self._name = name
        self._bootstrap = bootstrap
        self._on_wait = on_wait
        self._problem: KafkaError | None = None
        self._open = False
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "transactional.id": f"source-{name}",
                "transaction.timeout.ms": transaction_timeout_s * 1000,
                "message.timeout.ms": transaction_timeout_s * 1000,
                "partitioner": "murmur2_random",
                "linger.ms": LINGER_MS,
                "compression.type": "lz4",
                "socket.nagle.disable": True,
                "queue.buffering.max.messages": QUEUE_MESSAGES,
                "queue.buffering.max.kbytes": QUEUE_KBYTES,
                # The broker asks for a retry while it still writes the last commit's markers.
                "retry.backoff.ms": 5,
                "error_cb": self._note,
            },
            logger=logging.getLogger(LIBRDKAFKA),
        )
        try:
            self._producer.init_transactions(INIT_TIMEOUT_S)
        except KafkaException as error:
            self._refuse(error.args[0])

    @property
    def in_transaction(self) -> bool:
        """Something was sent that is not yet committed."""
        return self._open

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, partition: int = -1
    ) -> None:
        """Add a record to the transaction, opening one when none is. Blocks while the queue is full."""
        producer = self._producer
        try:
            if not self._open:
                producer.begin_transaction()
                self._open = True
            while True:
                try:
                    producer.produce(topic, value, key, partition, headers=headers)
                    return
                except BufferError:
                    producer.poll(FULL_QUEUE_WAIT_S)
                    if self._on_wait is not None:
                        self._on_wait()
                    if self._problem is not None:
                        self._refuse(self._problem)
        except KafkaException as error:
            self._refuse(error.args[0])

    def commit(self, position: bytes, columns: bytes | None = None) -> None:
        """Commit what was sent, and with it that the source has come to ``position``; with ``columns``, also
        what is to be remembered of its tables' columns."""
        if columns is not None:
            self.send(POSITIONS, columns_key(self._name).encode(), columns, [])
        self.send(POSITIONS, self._name.encode(), position, [])
        deadline = time.monotonic() + COMMIT_TIMEOUT_S
        while True:
            try:
                self._producer.commit_transaction(COMMIT_ATTEMPT_S)
                self._open = False
                return
            except KafkaException as error:
                kafka_error = error.args[0]
                if not kafka_error.retriable() or time.monotonic() > deadline:
                    self._refuse(kafka_error)
            if self._on_wait is not None:
                self._on_wait()

    def close(self) -> None:
        """Abandon what is not committed, as far as the broker can be reached, and drop the queue."""
        if self._open:
            try:
                self._producer.abort_transaction(COMMIT_ATTEMPT_S)
            except KafkaException:
                self._producer.purge()  # the next `init_transactions` ends it
            self._open = False

    def _note(self, error: KafkaError) -> None:
        if error.fatal():
            self._problem = error

    def _refuse(self, error: KafkaError) -> NoReturn:
        raise self._translate(error) from None

    def _translate(self, error: KafkaError) -> TallystreamError:
        if error.code() in (
            KafkaError._FENCED,
            KafkaError.PRODUCER_FENCED,
            KafkaError.INVALID_PRODUCER_EPOCH,
        ):
            return Fenced(f"another process runs source {self._name}; this one stops without acknowledging")
        return DependencyUnavailable(f"Kafka at {self._bootstrap}: {error.str()}")


def send(publisher: Publisher, topics: Topics, record: Record) -> None:
    """Add a record to the transaction: to the partition of its key, or to each."""
    partitions = range(topics.partitions(record.topic)) if record.everywhere else (-1,)
    for partition in partitions:
        publisher.send(record.topic, record.key, record.value, record.headers, partition)
