"""One stack and one MariaDB for the folder; a database and a source name for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.sources_mariadb.fixtures import line, user  # noqa: F401  for the tests
from integration.sources_mariadb.harness import Capture, running_mariadb

from streams.stack import Stack
from streams.stack.mariadb import Mariadb, installed


@pytest.fixture(scope="session", autouse=True)
def _server_installed() -> None:
    if not installed():
        pytest.skip("no mariadbd here; apt-get install mariadb-server")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, _server_installed: None) -> Iterator[Stack]:
    started = Stack(tmp_path_factory.mktemp("stack"), services=("broker", "registry"))
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def mariadb(_server_installed: None) -> Iterator[Mariadb]:
    with running_mariadb() as server:
        yield server


@pytest.fixture
def capture(stack: Stack, mariadb: Mariadb, tmp_path: Path) -> Iterator[Capture]:
    made = Capture(stack, mariadb, tmp_path)
    yield made
    made.close()
