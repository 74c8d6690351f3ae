"""The same MariaDB tables through both connectors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from integration.compat.both import Both
from integration.sources_mariadb.harness import Capture

from streams.stack.connect import Connect, debezium_mariadb

DEBEZIUM_SERVER_ID = 4_000_000_001


class BothMariadb(Both):
    """Our source and Debezium's connector on the database of one test."""

    def __init__(self, capture: Capture, connect: Connect) -> None:
        made: Any = capture  # as far as `Both` uses it, one capture is like the other
        super().__init__(made, connect)
        self.mariadb = capture

    @contextlib.contextmanager
    def running(self, rows: dict[str, int]) -> Iterator[None]:
        """Both sources, with the ``rows`` of the tables, by name, in their topics at entry. There must be
        some: a connector notes its place in the log, where it streams from, before it reads them."""
        assert all(rows.values())
        capture = self.mariadb
        config = debezium_mariadb(
            capture.server,
            self.prefix,
            f"{capture.name}.*",
            DEBEZIUM_SERVER_ID,
            capture.stack.registry.url,
            capture.folder / "history",
        )
        with capture.running():
            self._created = True
            self.connect.create(self.name, config)
            self.wait(rows)
            yield

    def close(self) -> None:
        """Remove the connector."""
        self._registry.close()
        if self._created:
            self.connect.remove(self.name)
