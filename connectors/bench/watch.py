"""What can be read of a topic, and when it could: from outside, without a part in the work."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from types import TracebackType
from typing import Any, NamedTuple

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from confluent_kafka.schema_registry import SchemaRegistryClient
from fastavro import parse_schema, schemaless_reader

from streams.errors import DependencyUnavailable
from streams.logs import LIBRDKAFKA

SAMPLE_S = 0.01
REQUEST_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 60.0  # of silence before a topic's end
FRAMING = 5  # magic byte and schema id


class Seen(NamedTuple):
    """A record; ``at`` is the Unix time at which the reader had it, in seconds."""

    at: float
    offset: int
    key: bytes | None
    value: bytes | None


class EndWatch:
    """Samples where a topic's only partition ends for read-committed readers, in a thread.

    The end moves when a transaction is committed, and a transaction's own marker counts as a record.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap}, logger=logging.getLogger(LIBRDKAFKA))
        self._partition = TopicPartition(topic, 0)
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._samples: list[tuple[float, int]] = [(time.time(), self._now())]
        self._thread = threading.Thread(target=self._run, name="end-watch", daemon=True)

    def __enter__(self) -> EndWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def end(self) -> int:
        """The last sample."""
        if self._error is not None:
            raise DependencyUnavailable(f"Kafka: {self._error}")
        return self._samples[-1][1]

    def readable_since(self, offset: int) -> float:
        """The Unix time of the first sample that lies behind ``offset``."""
        return next(at for at, end in self._samples if end > offset)

    def _run(self) -> None:
        try:
            while not self._stop.wait(SAMPLE_S):
                end = self._now()
                if end != self._samples[-1][1]:
                    self._samples.append((time.time(), end))
        except (KafkaException, TimeoutError) as error:
            self._error = error

    def _now(self) -> int:
        futures = self._admin.list_offsets(
            {self._partition: OffsetSpec.latest()},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=REQUEST_TIMEOUT_S,
        )
        return int(futures[self._partition].result(REQUEST_TIMEOUT_S).offset)


class Reader:
    """A read-committed consumer of a topic's only partition, from ``start`` on."""

    def __init__(self, bootstrap: str, topic: str, start: int = 0) -> None:
        self._topic = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench-cdc",  # required by the library; nothing is committed under it
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "socket.nagle.disable": True,
            },
            logger=logging.getLogger(LIBRDKAFKA),
        )
        self._consumer.assign([TopicPartition(topic, 0, start)])

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def next(self, seconds: float) -> Seen | None:
        """The next record, None after ``seconds`` without one or at the end."""
        message = self._consumer.poll(seconds)
        at = time.time()
        if message is None:
            return None
        error = message.error()
        if error is None:
            return Seen(at, message.offset(), message.key(), message.value())
        if error.code() == KafkaError._PARTITION_EOF:
            return None
        raise DependencyUnavailable(f"Kafka: {self._topic}: {error.str()}")

    def to_end(self) -> Iterator[Seen]:
        """All records up to where the topic ends."""
        while True:
            message = self._consumer.poll(READ_TIMEOUT_S)
            if message is None:
                raise DependencyUnavailable(f"Kafka: {self._topic} could not be read to its end")
            if message.error() is not None:
                if message.error().code() == KafkaError._PARTITION_EOF:
                    return
                raise DependencyUnavailable(f"Kafka: {self._topic}: {message.error().str()}")
            yield Seen(0.0, message.offset(), message.key(), message.value())


class Decoder:
    """Framed Avro to Python values, with the writer's schema from the registry."""

    def __init__(self, registry_url: str) -> None:
        self._client = SchemaRegistryClient({"url": registry_url})
        self._schemas: dict[bytes, Any] = {}

    def decode(self, data: bytes) -> Any:
        """The record."""
        frame = data[:FRAMING]
        if frame not in self._schemas:
            text = self._client.get_schema(int.from_bytes(frame[1:], "big")).schema_str
            self._schemas[frame] = parse_schema(json.loads(str(text)))
        return schemaless_reader(BytesIO(data[FRAMING:]), self._schemas[frame], None)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()
