"""The same tables through both connectors, and their topics read side by side."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from confluent_kafka.schema_registry import SchemaRegistryClient
from fastavro import parse_schema, schemaless_reader
from integration.sources.harness import DATABASE, Capture, read_topic, wait_until

from streams.stack.connect import Connect, debezium_postgres

FRAMING = 5  # magic byte and schema id
SNAPSHOT_S = 60.0


@dataclass(frozen=True)
class Raw:
    """A record as the broker has it, and its parts decoded."""

    key_bytes: bytes | None
    key: Any
    value: Any
    headers: dict[str, bytes]


class Both:
    """Our source and Debezium's connector on the schema of one test."""

    def __init__(self, capture: Capture, connect: Connect) -> None:
        self.capture = capture
        self.connect = connect
        self.sql = capture.sql
        self.name = f"{capture.name}_dbz"
        self._registry = SchemaRegistryClient({"url": capture.stack.registry.url})
        self._schemas: dict[int, Any] = {}
        self._created = False

    @property
    def prefix(self) -> str:
        return f"cdc.{self.name}"

    def topics(self, table: str) -> tuple[str, str]:
        """Ours and Debezium's."""
        return self.capture.topic(table), f"{self.prefix}.{self.capture.name}.{table}"

    @contextlib.contextmanager
    def running(self, rows: dict[str, int]) -> Iterator[None]:
        """Both sources streaming: all ``rows`` of the tables, by name, are in their topics at entry."""
        capture = self.capture
        config = debezium_postgres(
            capture.stack.postgres,
            DATABASE,
            self.prefix,
            f"{capture.name}.*",
            self.name,
            capture.stack.registry.url,
        )
        with capture.running():
            self._created = True
            self.connect.create(self.name, config)
            self.wait(rows)
            # A slot is read once the snapshot is over: only then do both see the same.
            wait_until(self._streaming, SNAPSHOT_S)
            yield

    def wait(self, rows: dict[str, int]) -> None:
        """Return when both topics of each table have so many records, tombstones included."""
        bootstrap = self.capture.stack.broker.bootstrap

        def there() -> bool:
            self.connect.check(self.name)
            return all(
                len(read_topic(bootstrap, topic)) >= count
                for table, count in rows.items()
                for topic in self.topics(table)
            )

        wait_until(there, SNAPSHOT_S)

    def records(self, table: str) -> tuple[list[Raw], list[Raw]]:
        """All records of a table's topics: ours, Debezium's."""
        bootstrap = self.capture.stack.broker.bootstrap
        ours, theirs = ([self._raw(m) for m in read_topic(bootstrap, topic)] for topic in self.topics(table))
        return ours, theirs

    def schemas(self, table: str, part: str) -> tuple[Any, Any]:
        """The latest schema of ``key`` or ``value``, parsed: ours, and Debezium's in our namespace."""
        ours, theirs = self.topics(table)
        texts = [self._latest(f"{topic}-{part}") for topic in (ours, theirs)]
        return json.loads(texts[0]), json.loads(texts[1].replace(theirs, ours))

    def _latest(self, subject: str) -> str:
        return str(self._registry.get_latest_version(subject).schema.schema_str)

    def close(self) -> None:
        """Remove the connector, its slot and its publication."""
        self._registry.close()
        if self._created:
            self.connect.remove(self.name)
            wait_until(lambda: not self.capture.slot_active())
            self.sql.execute("SELECT pg_drop_replication_slot(%s)", [self.name])
            self.sql.execute(f"DROP PUBLICATION IF EXISTS {self.name}")

    def _streaming(self) -> bool:
        self.connect.check(self.name)
        # A slot is active while it is being made, too; its sender streams only once the source reads it.
        found = self.sql.execute(
            "SELECT count(*) FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid "
            "WHERE r.state = 'streaming' AND s.slot_name IN (%s, %s)",
            [self.capture.slot(), self.name],
        ).fetchone()
        return found is not None and found[0] == 2

    def _raw(self, message: Any) -> Raw:
        key = message.key()
        return Raw(key, self._decode(key), self._decode(message.value()), dict(message.headers() or ()))

    def _decode(self, data: bytes | None) -> Any:
        if data is None:
            return None
        schema_id = int.from_bytes(data[1:FRAMING], "big")
        if schema_id not in self._schemas:
            text = self._registry.get_schema(schema_id).schema_str
            self._schemas[schema_id] = parse_schema(json.loads(str(text)))
        stream = BytesIO(data[FRAMING:])
        decoded = schemaless_reader(stream, self._schemas[schema_id], None)
        assert not stream.read(), "bytes after the record"
        return decoded
