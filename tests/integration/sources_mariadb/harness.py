"""What the tests of the MariaDB and MySQL sources share: servers, and sources of a database of their own."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pymysql
from integration.sources.running import Running, new_name, read_topic

from connectors.sources.mariadb.position import Gtids, Progress
from connectors.sources.mariadb.source import MariadbSource
from streams.stack import Stack
from streams.stack.mariadb import Mariadb
from streams.stack.ports import free_port


@contextlib.contextmanager
def running_mariadb(
    settings: dict[str, str | None] | None = None, make: type[Mariadb] = Mariadb
) -> Iterator[Mariadb]:
    """A server of its own, in a folder that its account can reach: pytest's are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="tallystream-mariadb-", dir="/var/tmp"))
    folder.chmod(0o755)
    server = make(folder / "server", free_port(), folder / "log", settings)
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


class Capture(Running):
    """One test's source: a database of its own, a name of its own, and what it has published."""

    connector: ClassVar[str] = "mariadb"

    def __init__(self, stack: Stack, server: Mariadb, folder: Path, **config: Any) -> None:
        name = new_name("m")
        self.server = server
        self.sql = connect(server)
        self.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        self.sql.select_db(name)
        given = {"connector": self.connector, "dsn": server.dsn(), "tables": [f"{name}.*"], "partitions": 2}
        super().__init__(stack, folder, name, name, {**given, **config})

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.sql.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def source(self, **changes: Any) -> MariadbSource:
        """The source, with ``changes`` to its settings."""
        made = super().source(**changes)
        assert isinstance(made, MariadbSource)
        return made

    def changes(self, table: str) -> list[Any]:
        """The table's records in the order of the source, without tombstones."""
        return sorted((m for m in self.messages(table) if m.value is not None), key=lambda m: m.position)

    def schema_ids(self, table: str) -> list[int]:
        """The value schemas in use, in order of first use."""
        found = read_topic(self.stack.broker.bootstrap, self.topic(table))
        return list(dict.fromkeys(int.from_bytes(m.value()[1:5], "big") for m in found if m.value()))

    def gtids(self, text: str) -> Gtids:
        """GTIDs of the server's kind."""
        return self.source().server(self.server.dsn()).gtids(text)

    def progress(self) -> Progress:
        """What the source has stored."""
        return Progress.from_json(self.stored(), self.gtids)

    def rows(self, table: str, *columns: str) -> dict[Any, tuple[Any, ...]]:
        """The table as it is, by its first column."""
        return {row[0]: row for row in self.execute(f"SELECT {', '.join(columns)} FROM {table}")}

    def close(self) -> None:
        """Leave nothing behind in the shared server."""
        super().close()
        with contextlib.suppress(pymysql.Error):
            self.execute(f"DROP DATABASE {self.name}")
        self.sql.close()
