"""What the tests of all sources share: topics read and decoded, and sources in threads and processes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from fastavro import parse_schema, schemaless_reader

from connectors.sources.kinds import load_source, make_source
from connectors.sources.positions import read_position
from connectors.sources.running import Source, StopSignal, Surroundings
from streams.stack import Stack

DEADLINE_S = 30.0
_numbers = itertools.count(int(time.time()))


def new_name(prefix: str) -> str:
    """A name that no earlier test had."""
    return f"{prefix}{next(_numbers)}"


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


class Running:
    """A source of a name and a configuration, and what it has published of the tables of one schema."""

    def __init__(self, stack: Stack, folder: Path, name: str, schema: str, settings: dict[str, Any]) -> None:
        self.stack = stack
        self.folder = folder
        self.name = name
        self.schema = schema
        self.settings = settings
        self.tables: dict[str, dict[str, Any]] = {}
        """Of the configuration: what single tables have of their own."""
        self._registry = SchemaRegistryClient({"url": stack.registry.url})
        self._schemas: dict[bytes, Any] = {}
        self._read: dict[str, list[Message]] = {}

    def close(self) -> None:
        """Give the connection to the registry back."""
        self._registry.close()

    @property
    def surroundings(self) -> Surroundings:
        return Surroundings(self.stack.broker.bootstrap, self.stack.registry.url)

    def config_file(self, **changes: Any) -> Path:
        """Its settings, with ``changes``, as TOML."""
        path = self.folder / f"{self.name}.toml"
        given = {"name": self.name, **self.settings, **changes}
        lines = [f"{key} = {json.dumps(value)}" for key, value in given.items()]
        for table, own in self.tables.items():
            lines.append(f"[table.{json.dumps(table)}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in own.items()]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    def source(self, **changes: Any) -> Source:
        """The source, with ``changes`` to its settings."""
        return make_source(load_source(self.config_file(**changes)), self.surroundings)

    def run_once(self, **changes: Any) -> None:
        """Publish what there is now."""
        stop = StopSignal()
        try:
            self.source(**changes).run(stop, once=True)
        finally:
            stop.close()

    @contextlib.contextmanager
    def running(self, *, error: type[BaseException] | None = None, **changes: Any) -> Iterator[None]:
        """A source in a thread; its error, if any, is raised at the end, but for the ``error`` that must come."""
        stop, errors = StopSignal(), []

        def run() -> None:
            try:
                self.source(**changes).run(stop)
            except BaseException as raised:
                errors.append(raised)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        except BaseException as raised:
            for one in errors:  # likely what the test waited for in vain
                raised.add_note(f"the source had ended: {one!r}")
            raise
        finally:
            stop.set()
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
            stop.close()
        if error is not None:
            assert [type(one) for one in errors] == [error]
        elif errors:
            raise errors[0]

    def process(self, log: Path) -> subprocess.Popen[bytes]:
        """The source as a process of its own, to be killed."""
        arguments = ["source", "run", str(self.config_file())]
        arguments += ["--kafka", self.stack.broker.bootstrap, "--registry", self.stack.registry.url]
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "streams", *arguments],
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def topic(self, table: str) -> str:
        return f"cdc.{self.name}.{self.schema}.{table}"

    def messages(self, table: str) -> list[Message]:
        """All committed records of the table's topic, partition by partition; each is read only once."""
        topic = self.topic(table)
        read = self._read.setdefault(topic, [])
        starts = {m.partition: m.offset + 1 for m in read}
        read += [self.decoded(m) for m in read_topic(self.stack.broker.bootstrap, topic, starts)]
        read.sort(key=lambda m: (m.partition, m.offset))
        return list(read)

    def end(self, table: str) -> int:
        """Where the topic ends, summed over its partitions; records of open transactions are counted."""
        topic = self.topic(table)
        consumer = Consumer({"bootstrap.servers": self.surroundings.kafka, "group.id": "end"})
        try:
            known = consumer.list_topics(timeout=10).topics.get(topic)
            partitions = known.partitions if known else ()
            places = [TopicPartition(topic, partition) for partition in partitions]
            return sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
        finally:
            consumer.close()

    def folded(self, table: str, *columns: str) -> dict[Any, tuple[Any, ...]]:
        """The table as the topic's records make it, by its first column."""
        return fold(self.messages(table), *columns)

    def ops(self, table: str) -> list[tuple[Any, ...]]:
        """(op, first key value) of each record of a topic of one partition; a tombstone's op is None."""
        return [(m.value and m.value["op"], next(iter(m.key.values()))) for m in self.messages(table)]

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

    def latest_schema(self, table: str) -> Any:
        """The newest registered schema of the table's values."""
        with contextlib.closing(SchemaRegistryClient({"url": self.stack.registry.url})) as fresh:
            newest = fresh.get_latest_version(f"{self.topic(table)}-value")  # a client remembers it
        return json.loads(str(newest.schema.schema_str))

    def stored(self) -> bytes:
        """The position that the source has stored."""
        found = read_position(self.stack.broker.bootstrap, self.name)
        assert found is not None
        return found


def fold(messages: list[Message], *columns: str) -> dict[Any, tuple[Any, ...]]:
    """Apply records in partition order: what a consumer of one topic would hold."""
    state: dict[tuple[int, Any], dict[str, Any]] = {}
    for message in messages:
        if message.value is None:
            continue
        row = message.value["after"]
        if message.value["op"] == "t":
            state = {key: row for key, row in state.items() if key[0] != message.partition}
        elif row is not None:
            state[message.partition, str(message.key)] = row
        else:
            state.pop((message.partition, str(message.key)), None)
    rows = [tuple(row[column] for column in columns) for row in state.values()]
    return {row[0]: row for row in rows}


def read_topic(bootstrap: str, topic: str, starts: Mapping[int, int] | None = None) -> list[Any]:
    """All committed messages of a topic, up to where it ends now, by partition and offset; from its
    partitions' ``starts`` on."""
    return sorted(iter_topic(bootstrap, topic, starts), key=lambda m: (m.partition(), m.offset()))


def iter_topic(bootstrap: str, topic: str, starts: Mapping[int, int] | None = None) -> Iterator[Any]:
    """As `read_topic`, as they come: in order within each partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "read",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the end is told after this wait; the default is half a second
            "enable.auto.commit": False,
            # A start that the topic does not have is a failure: the default would skip to the end.
            "auto.offset.reset": "error",
        }
    )
    try:
        known = consumer.list_topics(timeout=10).topics.get(topic)
        if known is None:
            return
        waiting, starts = set(known.partitions), starts or {}
        consumer.assign([TopicPartition(topic, partition, starts.get(partition, 0)) for partition in waiting])
        while waiting:
            message = consumer.poll(DEADLINE_S)
            assert message is not None, f"{topic} could not be read to its end"
            if message.error() is None:
                yield message
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                waiting.discard(message.partition())
    finally:
        consumer.close()


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
