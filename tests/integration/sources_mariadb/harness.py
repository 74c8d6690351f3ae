"""What the tests of the MariaDB source share: servers, a database a test, and sources in threads."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pymysql
from confluent_kafka.schema_registry import SchemaRegistryClient
from fastavro import parse_schema, schemaless_reader
from integration.sources.harness import DEADLINE_S, Message, fold, read_topic

from connectors.sources.mariadb.config import MariadbConfig
from connectors.sources.mariadb.position import Progress
from connectors.sources.mariadb.source import MariadbSource
from connectors.sources.positions import read_position
from connectors.sources.running import StopSignal, Surroundings
from streams.stack import Stack
from streams.stack.mariadb import Mariadb
from streams.stack.ports import free_port

_numbers = itertools.count(int(time.time()))


@contextlib.contextmanager
def running_mariadb(settings: dict[str, str | None] | None = None) -> Iterator[Mariadb]:
    """A server of its own, in a folder that its account can reach: pytest's are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="tallystream-mariadb-", dir="/var/tmp"))
    folder.chmod(0o755)
    server = Mariadb(folder / "server", free_port(), folder / "log", settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def connect(server: Mariadb, **settings: Any) -> Any:
    return pymysql.connect(
        host="127.0.0.1",
        port=server.port,
        user="tallystream",
        password=server.password,
        autocommit=True,
        charset="utf8mb4",
        **settings,
    )


class Capture:
    """One test's source: a database of its own, a name of its own, and what it has published."""

    def __init__(self, stack: Stack, server: Mariadb, folder: Path, **config: Any) -> None:
        self.stack = stack
        self.server = server
        self.folder = folder
        self.name = f"m{next(_numbers)}"
        self.sql = connect(server)
        self.execute(f"CREATE DATABASE {self.name} CHARACTER SET utf8mb4")
        self.sql.select_db(self.name)
        self.settings: dict[str, Any] = {"tables": [f"{self.name}.*"], "partitions": 2, **config}
        self._registry = SchemaRegistryClient({"url": stack.registry.url})
        self._schemas: dict[bytes, Any] = {}

    @property
    def surroundings(self) -> Surroundings:
        return Surroundings(self.stack.broker.bootstrap, self.stack.registry.url)

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.sql.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def source(self, **changes: Any) -> MariadbSource:
        given = {
            "name": self.name,
            "connector": "mariadb",
            "dsn": self.server.dsn(),
            **self.settings,
            **changes,
        }
        return MariadbSource(MariadbConfig(**given), self.surroundings)

    def config_file(self) -> Path:
        path = self.folder / f"{self.name}.toml"
        given = {"name": self.name, "connector": "mariadb", "dsn": self.server.dsn(), **self.settings}
        path.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in given.items()))
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
        return [
            Message(
                m.partition(), m.offset(), self._decode(m.key()), self._decode(m.value()), dict(m.headers())
            )
            for m in read_topic(self.stack.broker.bootstrap, self.topic(table))
        ]

    def changes(self, table: str) -> list[Message]:
        """The table's records in the order of the source, without tombstones."""
        return sorted((m for m in self.messages(table) if m.value is not None), key=lambda m: m.position)

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

    def schema_ids(self, table: str) -> list[int]:
        """The value schemas in use, in order of first use."""
        found = read_topic(self.stack.broker.bootstrap, self.topic(table))
        return list(dict.fromkeys(int.from_bytes(m.value()[1:5], "big") for m in found if m.value()))

    def progress(self) -> Progress:
        stored = read_position(self.stack.broker.bootstrap, self.name)
        assert stored is not None
        return Progress.from_json(stored)

    def rows(self, table: str, *columns: str) -> dict[Any, tuple[Any, ...]]:
        """The table as it is, by its first column."""
        return {row[0]: row for row in self.execute(f"SELECT {', '.join(columns)} FROM {table}")}

    def folded(self, table: str, *columns: str) -> dict[Any, tuple[Any, ...]]:
        """The table as the topic's records make it, by its first column."""
        return fold(self.messages(table), *columns)

    def close(self) -> None:
        """Leave nothing behind in the shared server."""
        self._registry.close()
        with contextlib.suppress(pymysql.Error):
            self.execute(f"DROP DATABASE {self.name}")
        self.sql.close()
