"""What the tests of these sources share: reading topics, folding them, and sources in threads and processes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from confluent_kafka.schema_registry import SchemaRegistryClient
from fastavro import parse_schema, schemaless_reader
from integration.sources.harness import DEADLINE_S, Message, read_topic

from connectors.sources.kinds import load_source, make_source
from connectors.sources.positions import read_position
from connectors.sources.running import Source, StopSignal, Surroundings
from streams.stack import Stack

_numbers = itertools.count(int(time.time()))


def new_name() -> str:
    """A name that no earlier test had."""
    return f"p{next(_numbers)}"


@dataclass
class Running:
    """A source of one configuration file, and what it has published."""

    stack: Stack
    folder: Path
    name: str
    settings: dict[str, Any]
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._registry = SchemaRegistryClient({"url": self.stack.registry.url})
        self._schemas: dict[bytes, Any] = {}

    def close(self) -> None:
        """Give the connection to the registry back."""
        self._registry.close()

    def config_file(self) -> Path:
        path = self.folder / f"{self.name}.toml"
        lines = [f"name = {json.dumps(self.name)}"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in self.settings.items()]
        for table, own in self.tables.items():
            lines.append(f"[table.{json.dumps(table)}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in own.items()]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    def source(self) -> Source:
        around = Surroundings(self.stack.broker.bootstrap, self.stack.registry.url)
        return make_source(load_source(self.config_file()), around)

    def run_once(self) -> None:
        """Publish what there is."""
        stop = StopSignal()
        try:
            self.source().run(stop, once=True)
        finally:
            stop.close()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """A source in a thread; its error, if any, is raised at the end."""
        stop, errors = StopSignal(), []

        def run() -> None:
            try:
                self.source().run(stop)
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
        return f"cdc.{self.name}.{table}"

    def messages(self, table: str) -> list[Message]:
        """All committed records of the topic of ``schema.table``, partition by partition."""
        return [
            Message(
                m.partition(), m.offset(), self._decode(m.key()), self._decode(m.value()), dict(m.headers())
            )
            for m in read_topic(self.stack.broker.bootstrap, self.topic(table))
        ]

    def ops(self, table: str) -> list[tuple[Any, ...]]:
        """(op, first key value) of each record of a topic of one partition; a tombstone's op is None."""
        return [(m.value and m.value["op"], next(iter(m.key.values()))) for m in self.messages(table)]

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

    def position(self) -> dict[str, Any]:
        stored = read_position(self.stack.broker.bootstrap, self.name)
        assert stored is not None
        found: dict[str, Any] = json.loads(stored)
        return found
