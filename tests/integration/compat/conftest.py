"""PostgreSQL, Apache Kafka, our registry, and a Kafka Connect worker with Debezium beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.compat.both import Both
from integration.sources.harness import Capture

from streams.errors import DependencyUnavailable
from streams.stack import Stack
from streams.stack.connect import Connect
from streams.stack.connect_jars import connect_available, connect_jars
from streams.stack.ports import free_port


@pytest.fixture(scope="session", autouse=True)
def jars() -> None:
    """Debezium's, fetched before anything is timed. Where they can't be, these tests say so and are skipped."""
    if not connect_available():
        return  # each test that needs them says what is missing
    try:
        connect_jars()
    except DependencyUnavailable as error:
        if os.environ.get("REQUIRE_CONNECT"):
            raise
        pytest.skip(f"Debezium's jars can't be fetched: {error}")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    services = ("postgres", "broker", "registry")
    with Stack(tmp_path_factory.mktemp("compat"), broker="kafka", services=services) as started:
        yield started


@pytest.fixture(scope="session")
def connect(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    folder = tmp_path_factory.mktemp("connect")
    worker = Connect(folder, free_port(), stack.broker.bootstrap, folder / "connect.log")
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture
def both(stack: Stack, connect: Connect, tmp_path: Path) -> Iterator[Both]:
    capture = Capture(stack, tmp_path, partitions=1)
    made = Both(capture, connect)
    yield made
    made.close()
    capture.close()
