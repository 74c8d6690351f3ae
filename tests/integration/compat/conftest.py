"""PostgreSQL, Apache Kafka, our registry, and a Kafka Connect worker with Debezium beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.compat.both import Both
from integration.sources.harness import Capture

from streams.stack import Stack
from streams.stack.connect import Connect
from streams.stack.ports import free_port


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
