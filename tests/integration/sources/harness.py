"""What the source's tests share: servers, a database a test, sources in threads, and reading topics."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from fastavro import parse_schema, schemaless_reader

from connectors.sources.positions import read_position
from connectors.sources.postgres import PostgresConfig, PostgresSource, Progress, StopSignal, Surroundings
from streams.stack import Stack

DATABASE = "erp"
DEADLINE_S = 30.0
_numbers = itertools.count(int(time.time()))


@contextlib.contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """PostgreSQL, the embedded broker and a registry."""
    stack = Stack(folder, services=("postgres", "broker", "registry"))
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


@dataclass(frozen=True)
class Message:
    """A record of a topic, decoded."""

    partition: int
    offset: int
    key: Any
    value: Any
    headers: dict[str, bytes]

    @property
    def position(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.headers["tallystream.position"].split(b"/"))

    @property
    def last(self) -> bool:
        return self.headers["tallystream.last_for_key"] == b"1"


class Capture:
    """One test's source: a schema of its own, a name of its own, and what it has published."""

    def __init__(self, stack: Stack, folder: Path, **config: Any) -> None:
        self.stack = stack
        self.folder = folder
        self.name = f"s{next(_numbers)}"
        self.dsn = stack.postgres.dsn(DATABASE)
        self.sql = psycopg.connect(self.dsn, autocommit=True)
        self.sql.execute(f"CREATE SCHEMA {self.name}")
        self.sql.execute(f"SET search_path = {self.name}")
        self.settings: dict[str, Any] = {"tables": [f"{self.name}.*"], "partitions": 2, **config}
        self._registry = SchemaRegistryClient({"url": stack.registry.url})
        self._schemas: dict[bytes, Any] = {}

    @property
    def surroundings(self) -> Surroundings:
        return Surroundings(self.stack.broker.bootstrap, self.stack.registry.url)

    def source(self, **changes: Any) -> PostgresSource:
        config = PostgresConfig(**{"name": self.name, "dsn": self.dsn, **self.settings, **changes})
        return PostgresSource(config, self.surroundings)

    def config_file(self) -> Path:
        path = self.folder / f"{self.name}.toml"
        lines = [f"name = {json.dumps(self.name)}", f"dsn = {json.dumps(self.dsn)}"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in self.settings.items()]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    def run_once(self, **changes: Any) -> None:
        """Publish all that the log holds now."""
        stop = StopSignal()
        try:
            self.source(**changes).run(stop, once=True)
        finally:
            stop.close()

    @contextlib.contextmanager
    def running(self, **changes: Any) -> Iterator[None]:
        """A source in a thread; its error, if any, is raised at the end."""
        stop, errors = StopSignal(), []

        def run() -> None:
            try:
                self.source(**changes).run(stop)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
            stop.close()
        if errors:
            raise errors[0]

    def topic(self, table: str) -> str:
        return f"cdc.{self.name}.{self.name}.{table}"

    def messages(self, table: str) -> list[Message]:
        """All committed records of the table's topic, partition by partition."""
        return [self.decoded(m) for m in read_topic(self.stack.broker.bootstrap, self.topic(table))]

    def decoded(self, m: Any) -> Message:
        """A record with key and value decoded."""
        key, value = self._decode(m.key()), self._decode(m.value())
        return Message(m.partition(), m.offset(), key, value, dict(m.headers()))

    def _decode(self, data: bytes | None) -> Any:
        if data is None:
            return None
        frame = data[:5]
        if frame not in self._schemas:
            schema = self._registry.get_schema(int.from_bytes(frame[1:], "big")).schema_str
            self._schemas[frame] = parse_schema(json.loads(str(schema)))
        stream = BytesIO(data[5:])
        decoded = schemaless_reader(stream, self._schemas[frame], None)
        assert not stream.read(), "bytes after the record"
        return decoded

    def progress(self) -> Progress:
        stored = read_position(self.stack.broker.bootstrap, self.name)
        assert stored is not None
        return Progress.from_json(stored)

    def rows(self, table: str, *columns: str) -> dict[Any, tuple[Any, ...]]:
        """The table as it is, by its first column."""
        found = self.sql.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
        return {row[0]: row for row in found}

    def folded(self, table: str, *columns: str) -> dict[Any, tuple[Any, ...]]:
        """The table as the topic's records make it, by its first column."""
        return fold(self.messages(table), *columns)

    def slot(self) -> str:
        return f"tallystream_{self.name}"

    def slots(self) -> list[str]:
        """The slots there are for this source."""
        found = self.sql.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE %s", [f"%{self.name}%"]
        )
        return [name for (name,) in found.fetchall()]

    def drop_slot(self) -> None:
        """Drop the slot once the server has noticed that its reader is gone."""
        wait_until(lambda: not self.slot_active())
        self.sql.execute("SELECT pg_drop_replication_slot(%s)", [self.slot()])

    def close(self) -> None:
        """Leave nothing behind in the shared server."""
        self._registry.close()
        with contextlib.suppress(psycopg.Error):
            wait_until(lambda: not self.slot_active())
            self.sql.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE %s",
                [f"%{self.name}%"],
            )
            self.sql.execute(f"DROP PUBLICATION IF EXISTS {self.slot()}")
            self.sql.execute(f"DROP SCHEMA {self.name} CASCADE")
        self.sql.close()

    def slot_active(self) -> bool:
        found = self.sql.execute(
            "SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE %s AND active", [f"%{self.name}%"]
        )
        return found.fetchone() is not None


def fold(messages: list[Message], *columns: str) -> dict[Any, tuple[Any, ...]]:
    """Apply records in partition order: what a consumer of one topic would hold."""
    state: dict[tuple[int, Any], tuple[Any, ...]] = {}
    for message in messages:
        if message.value is None:
            continue
        row = message.value["after"]
        if message.value["op"] == "t":
            state = {key: row for key, row in state.items() if key[0] != message.partition}
        elif row is not None:
            state[message.partition, str(message.key)] = tuple(row[column] for column in columns)
        else:
            state.pop((message.partition, str(message.key)), None)
    return {row[0]: row for row in state.values()}


def read_topic(bootstrap: str, topic: str) -> list[Any]:
    """All committed messages of a topic, up to where it ends now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "read",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    try:
        known = consumer.list_topics(timeout=10).topics.get(topic)
        if known is None:
            return []
        waiting = set(known.partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in waiting])
        found = []
        while waiting:
            message = consumer.poll(DEADLINE_S)
            assert message is not None, f"{topic} could not be read to its end"
            if message.error() is None:
                found.append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                waiting.discard(message.partition())
    finally:
        consumer.close()
    return sorted(found, key=lambda m: (m.partition(), m.offset()))


def assert_no_position_twice(messages: list[Message]) -> None:
    """Each change was published once: tombstones share their delete's position, truncates are in
    each partition."""
    seen: set[tuple[Any, ...]] = set()
    for message in messages:
        if message.value is None:
            continue
        place = (*message.position, message.partition if message.value["op"] == "t" else None)
        assert place not in seen, f"{message} was published twice"
        seen.add(place)


def assert_positions_grow(messages: list[Message]) -> None:
    """Within a partition positions never step back."""
    for earlier, later in itertools.pairwise(messages):
        if earlier.partition == later.partition:
            assert earlier.position <= later.position


def wait_until(condition: Callable[[], bool], seconds: float = DEADLINE_S) -> None:
    """Return when the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
