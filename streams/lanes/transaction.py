"""A lane's own transactional producer: the slices of its stages that gathered in one Kafka transaction.

Whoever claims one of the lane's partitions (see `claims`) fences its producer: its next commit fails with
`Fenced` and nothing of it becomes visible.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.errors import ContractViolation, DependencyUnavailable, Fenced
from streams.lanes.cursor import CURSOR_KEY
from streams.lanes.records import Output, PlainRecord, withdraw
from streams.logs import LIBRDKAFKA

# An open transaction of a killed worker hides later records from read-committed readers until it is
# aborted: by the lane's next owner at once, or by the broker after this long.
TRANSACTION_TIMEOUT_MS = 60_000
# Longer than a broker's restart, shorter than the time a slice may hold up its partition unseen.
COMMIT_SECONDS = 45.0
INIT_SECONDS = 30.0
# One slice's worth with room to spare; beyond it `produce` waits for the broker.
QUEUE_MESSAGES = 50_000
QUEUE_KBYTES = 64 * 1024
# As partition of a record: the producer hashes its key.
HASH_KEY = -1

_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.INVALID_TRANSACTION_TIMEOUT,
}


class AbortedSlice(DependencyUnavailable):
    """The broker refused the transaction; the lane must be opened anew and the slice repeated."""


class StageLog:
    """The part of one stage and partition in a lane's transactions: its slices, and its state's changes."""

    def __init__(self, lane: TransactionalLog, state_topic: str, partition: int) -> None:
        self._lane = lane
        self._state_topic = state_topic
        self._partition = partition
        self._end: int | None = None
        self.changes: dict[bytes, bytes | None] = {}

    def begin_at(self, position: int) -> None:
        """The state topic's position as restored: what `close` returns if no slice is committed."""
        self._end = position

    def commit(self, outputs: Sequence[Output], changes: Mapping[bytes, bytes | None]) -> None:
        """Add a slice to the lane's transaction."""
        self.changes.pop(CURSOR_KEY, None)  # it comes last
        self.changes.update(changes)
        self._lane.add(outputs)

    def close(self) -> int | None:
        """The state topic's position after the last committed slice, None if unknown."""
        return self._end

    def produce(self, produce: Callable[..., None]) -> None:
        """Write what has gathered; the position is known once the cursor is delivered."""
        for key, value in self.changes.items():
            options = {"on_delivery": self._delivered} if key == CURSOR_KEY else {}
            produce(self._state_topic, value, key, self._partition, **options)
        self.changes = {}

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        # The cursor is the last record of its transaction in the state topic.
        if error is None:
            self._end = message.offset() + 1


class TransactionalLog:
    """Commits what the stages of one lane add: state changes to their topics' partitions, and outputs."""

    def __init__(self, bootstrap: str, transactional_id: str, producer: Any = None) -> None:
        """Fence earlier users of the id; raises `DependencyUnavailable` if the brokers don't answer.

        ``producer`` is for the test driver, whose brokers are in memory.
        """
        self.transactional_id = transactional_id
        self._stages: list[StageLog] = []
        self._outputs: list[Output] = []
        self._gathered = False
        self._producer = producer or transactional_producer(bootstrap, transactional_id)

    def stage(self, state_topic: str, partition: int) -> StageLog:
        """The log of one stage on one partition."""
        stage = StageLog(self, state_topic, partition)
        self._stages.append(stage)
        return stage

    def add(self, outputs: Sequence[Output]) -> None:
        """Add a slice's outputs; its stage has added its changes."""
        self._outputs.extend(outputs)
        self._gathered = True

    def withdraw(self, record: PlainRecord, header: tuple[str, bytes]) -> None:
        """Take the mark off a gathered output: it was not applied, and has to be when it is fetched."""
        withdraw(self._outputs, record, header)

    def flush(self) -> None:
        """Publish what has gathered in one transaction and wait until it is committed.

        Raises `Fenced` if the lane has a new owner, `AbortedSlice` if the transaction can't be committed.
        """
        if not self._gathered:
            return
        self._gathered = False
        outputs, self._outputs = self._outputs, []
        producer = self._producer
        try:
            producer.begin_transaction()
            produce = producer.produce  # called directly: a call of ours around it costs as much as itself
            for topic, key, value, partition, headers, told, _ in outputs:
                place = HASH_KEY if partition is None else partition
                try:
                    produce(topic, value, key, place, headers=headers, on_delivery=told)
                except BufferError:
                    self._produce_patiently(topic, value, key, place, headers=headers, on_delivery=told)
                except KafkaException as error:
                    raise refused(error, topic, key, value) from None
            for stage in self._stages:
                stage.produce(self._produce)
            self._commit()
            producer.poll(0)  # serves deliveries
        except KafkaException as error:
            raise self._translate(error) from None

    def _produce(self, *record: Any, **options: Any) -> None:
        try:
            self._producer.produce(*record, **options)
        except BufferError:
            self._produce_patiently(*record, **options)
        except KafkaException as error:
            topic, value, key = record[:3]
            raise refused(error, topic, key, value) from None

    def _produce_patiently(self, *record: Any, **options: Any) -> None:
        """The queue is full: let deliveries drain. Bounded by message.timeout, which fails the commit."""
        while True:
            self._producer.poll(0.05)
            try:
                self._producer.produce(*record, **options)
                return
            except BufferError:
                continue

    def _commit(self) -> None:
        while True:
            try:
                self._producer.commit_transaction(COMMIT_SECONDS)
                return
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise

    def _translate(self, error: KafkaException) -> Exception:
        kafka_error: KafkaError = error.args[0]
        if not is_fenced(kafka_error):
            # If it can't be aborted, a new producer with the same id ends it when the lane is opened again.
            try:
                self._producer.abort_transaction(COMMIT_SECONDS)
            except KafkaException as refused:
                # An old epoch may be told by the abort only; opening again would then fence the new owner.
                if is_fenced(refused.args[0]):
                    kafka_error = refused.args[0]
        if is_fenced(kafka_error):
            return Fenced(
                f"lane {self.transactional_id} has a new owner ({kafka_error.str()}); this one stops"
            )
        return AbortedSlice(f"lane {self.transactional_id}: transaction aborted: {kafka_error.str()}")

    def release(self) -> None:
        """Leave the brokers once the log is no longer used; what was not committed never becomes visible."""
        self._outputs = []
        self._gathered = False
        self._stages = []


def refused(
    error: KafkaException, topic: str, key: bytes | None, value: bytes | None
) -> KafkaException | ContractViolation:
    """What became of a record that the client does not take: too large, and it would be so again and again."""
    if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
        return error
    return ContractViolation(
        f"{topic}: the record of key {key!r} has {len(value or b''):,} bytes, more than a producer sends; "
        "this is a defect: no state or result may grow so"
    )


def is_fenced(error: KafkaError) -> bool:
    """Whether a transactional id has a new user."""
    return error.code() in _FENCED or error.fatal()


def transactional_producer(
    bootstrap: str, transactional_id: str, timeout_ms: int = TRANSACTION_TIMEOUT_MS
) -> Producer:
    """A producer that fenced earlier users of the id; `DependencyUnavailable` if the brokers don't answer."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": timeout_ms,
            "partitioner": "murmur2_random",
            "linger.ms": 0,
            "compression.type": "lz4",
            "queue.buffering.max.messages": QUEUE_MESSAGES,
            "queue.buffering.max.kbytes": QUEUE_KBYTES,
            "socket.nagle.disable": True,
        },
        logger=logging.getLogger(LIBRDKAFKA),
    )
    try:
        producer.init_transactions(INIT_SECONDS)
    except KafkaException as error:
        raise DependencyUnavailable(
            f"{transactional_id}: {bootstrap} did not start a transactional producer: {error.args[0].str()}"
        ) from None
    return producer
