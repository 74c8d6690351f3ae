"""One stack and one MySQL for the folder; a database and a source name for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.sources_mariadb.fixtures import line, user  # noqa: F401  for the tests
from integration.sources_mysql.harness import Capture, running_mysql

from streams.errors import DependencyUnavailable
from streams.stack import Stack
from streams.stack.debs import package_root
from streams.stack.mariadb import Mariadb
from streams.stack.mysql import PACKAGE

REQUIRE_MYSQL = "REQUIRE_MYSQL"


@pytest.fixture(scope="session", autouse=True)
def _server_fetched() -> None:
    try:
        package_root(PACKAGE)
    except DependencyUnavailable as error:
        if os.environ.get(REQUIRE_MYSQL) == "1":
            pytest.fail(f"{REQUIRE_MYSQL} is set, but there is no MySQL: {error}")
        pytest.skip(f"no MySQL here: {error}")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, _server_fetched: None) -> Iterator[Stack]:
    started = Stack(tmp_path_factory.mktemp("stack"), services=("broker", "registry"))
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def mysql(_server_fetched: None) -> Iterator[Mariadb]:
    with running_mysql() as server:
        yield server


@pytest.fixture
def capture(stack: Stack, mysql: Mariadb, tmp_path: Path) -> Iterator[Capture]:
    made = Capture(stack, mysql, tmp_path)
    yield made
    made.close()
