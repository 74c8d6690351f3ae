"""Writes the benchmark's inputs to the broker before anything is measured."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaException, Producer

from agents.bench.firm import Row
from streams.contracts import Contracts, load_schema
from streams.contracts.topics import key_of
from streams.errors import DependencyUnavailable
from streams.logs import LIBRDKAFKA
from streams.serde import Encoder

TIME_ENTRY = "canonical.time_entry"
# The peers read their input here: the same bytes, as many as they are given.
PEER_ENTRIES = "peers." + TIME_ENTRY
# Progress is reported every so many records.
REPORT_EVERY = 5_000
FLUSH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class InputWriter:
    """Writes canonical records as the canonical flow publishes them: keys, partitions and framing."""

    bootstrap: str
    contracts: Contracts
    schema_ids: dict[str, int]

    def write_references(self, rows: Iterable[tuple[str, Row]]) -> int:
        """Write reference rows, (entity, row); returns how many."""
        encoders: dict[str, Encoder] = {}
        producer = self._producer()
        written = 0
        for entity, row in rows:
            topic = f"canonical.{entity}"
            if topic not in encoders:
                encoders[topic] = self._encoder(topic)
            value = encoders[topic].encode(row)
            self._send(producer, topic, key_of(self.contracts.topics[topic], row), value)
            written += 1
        self._finish(producer)
        return written

    def write_changes(
        self, changes: Iterable[Row], peer_changes: int, progress: Callable[[int], None] = lambda _: None
    ) -> int:
        """Write entry changes, and the first ``peer_changes`` of them for the peers, too."""
        encoder = self._encoder(TIME_ENTRY)
        producer = self._producer()
        written = 0
        for row in changes:
            key, value = row["id"].encode(), encoder.encode(row)
            self._send(producer, TIME_ENTRY, key, value)
            if written < peer_changes:
                self._send(producer, PEER_ENTRIES, key, value)
            written += 1
            if written % REPORT_EVERY == 0:
                progress(written)
        self._finish(producer)
        return written

    def _encoder(self, topic: str) -> Encoder:
        schema = self.contracts.topics[topic].schema
        assert schema is not None
        return Encoder(load_schema(schema), self.schema_ids[topic])

    def _producer(self) -> Producer:
        settings = {
            "bootstrap.servers": self.bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 50,
            "compression.type": "lz4",
        }
        return Producer(settings, logger=logging.getLogger(LIBRDKAFKA))

    def _send(self, producer: Producer, topic: str, key: bytes, value: bytes) -> None:
        while True:
            try:
                producer.produce(topic, value, key)
                producer.poll(0)
                return
            except BufferError:
                producer.poll(0.1)

    def _finish(self, producer: Producer) -> None:
        try:
            left = producer.flush(FLUSH_SECONDS)
        except KafkaException as error:
            raise DependencyUnavailable(f"writing the inputs: {error.args[0].str()}") from None
        if left:
            raise DependencyUnavailable(
                f"{left} input records were not written within {FLUSH_SECONDS:.0f} s; is the broker overloaded?"
            )
