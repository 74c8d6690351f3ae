"""A local stack with the sinks' topics, and hands to fill them, run sinks, and look at the stores."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psycopg2
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.sinks.backoff import Backoff
from connectors.sinks.feed import Feed
from connectors.sinks.redis import RedisTarget
from connectors.sinks.runner import Runner
from connectors.sinks.target import Target
from connectors.sinks.warehouse import WarehouseTarget
from streams.serde import Decoder, Encoder, Registry
from streams.stack import Stack
from tests.unit.sinks.sink_builders import CONTRACTS, schema_of

PARTITIONS = 2
COMMAND = [sys.executable, "-c", "from streams.cli.main import main; main()", "sink"]

Record = dict[str, Any]


class World:
    """The stack and its clients. ``create`` says whether the sinks' topics are made."""

    def __init__(self, folder: Path, broker: str = "embedded", *, create: bool = True) -> None:
        self.stack = Stack(folder, broker=broker)
        self.stack.start()
        self.environment = self.stack.settings_environment()
        self.bootstrap = self.environment["TALLYSTREAM_KAFKA_BOOTSTRAP"]
        self.dsn = self.environment["TALLYSTREAM_BI_DSN"]
        self.redis: Any = redis.Redis.from_url(
            self.environment["TALLYSTREAM_REDIS_URL"], decode_responses=True
        )
        self.registry = Registry(self.environment["TALLYSTREAM_REGISTRY_URL"])
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})
        self._encoders: dict[str, Encoder] = {}
        self._producer = Producer(self._producer_settings())
        self._processes: list[subprocess.Popen[bytes]] = []
        if create:
            self.create_topics(sorted({*WarehouseTarget(self.dsn).topics, *RedisTarget.topics}))

    def close(self) -> None:
        """End everything that was started."""
        for process in self._processes:
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()
        self.redis.close()
        self.registry._client.close()  # its HTTP session would be reported as leaked
        self.stack.stop()

    def create_topics(self, names: Iterable[str]) -> None:
        """Make topics, keyed ones with two partitions."""
        topics = [NewTopic(n, min(CONTRACTS.topics[n].partitions, PARTITIONS), 1) for n in names]
        for future in self.admin.create_topics(topics).values():
            future.result(10)

    def encode(self, topic: str, record: Record) -> bytes:
        """A framed record."""
        if topic not in self._encoders:
            schema = schema_of(topic)
            self._encoders[topic] = Encoder(schema, self.registry.register(f"{topic}-value", schema))
        return self._encoders[topic].encode(record)

    def send(self, topic: str, *records: Record | bytes, producer: Producer | None = None) -> None:
        """Produce records under the topic's key; bytes go as they are."""
        producer = producer or self._producer
        for record in records:
            self.produce(topic, record, producer)
        producer.flush(10)

    def produce(self, topic: str, record: Record | bytes, producer: Producer) -> None:
        """Hand one record to a producer."""
        if isinstance(record, bytes):
            producer.produce(topic, key=b"raw", value=record)
        else:
            parts = (CONTRACTS.topics[topic].key or "").split("|")
            key = "|".join(str(record[part]) for part in parts)
            producer.produce(topic, key=key, value=self.encode(topic, record))
        producer.poll(0)

    def transactional(self, name: str) -> Producer:
        """A producer whose records become visible when its transaction commits."""
        producer = Producer({**self._producer_settings(), "transactional.id": name})
        producer.init_transactions(10)
        return producer

    def run(self, target: Target, **options: Any) -> None:
        """Run a sink in this process until it has loaded everything there is."""
        Runner(target, lambda: self.feed(target), stop=threading.Event(), drain=True, **options).run()

    def feed(self, target: Target, **options: Any) -> Feed:
        """A feed as the command line makes it."""
        return Feed(self.bootstrap, "test", target.topics, Decoder(self.registry).decode, **options)

    def load(self, target_of: Callable[[str], Target] = WarehouseTarget) -> None:
        """Run the warehouse sink, or the Redis sink, until everything is loaded."""
        url = self.dsn if target_of is WarehouseTarget else self.environment["TALLYSTREAM_REDIS_URL"]
        self.run(target_of(url), backoff=Backoff(10))

    def process(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start ``tallystream sink …``; its standard error is piped."""
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**os.environ, **self.environment, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._processes.append(process)
        return process

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the warehouse."""
        connection = psycopg2.connect(self.dsn)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, parameters or None)
                found: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            connection.commit()
            return found
        finally:
            connection.close()

    def count(self, table: str) -> int:
        """Rows of a table; -1 while it isn't there."""
        (found,) = self.rows("SELECT to_regclass(%s) IS NOT NULL", table)
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0]) if found[0] else -1

    def records(self, topic: str) -> list[Record]:
        """All committed records of a topic, per partition in order: what a sink's fold is judged by."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "judge",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        decoder = Decoder(self.registry)
        partitions = list(consumer.list_topics(topic, 10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found, ended = [], 0
        while ended < len(partitions):
            for message in consumer.consume(1000, 1):
                if message.error() is not None:
                    ended += 1
                else:
                    found.append(decoder.decode(message.value()))
        consumer.close()
        return found

    def _producer_settings(self) -> dict[str, Any]:
        return {"bootstrap.servers": self.bootstrap, "linger.ms": 2, "partitioner": "murmur2_random"}


def eventually(condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"still not after {timeout_s} s: {what}"
        time.sleep(0.05)
