"""Real servers for the worker's tests, each started once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_harness import Site

from streams.stack import Stack, kafka_available


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The embedded broker and a registry."""
    with Stack(tmp_path_factory.mktemp("embedded"), "embedded", {"broker", "registry"}) as stack:
        yield stack


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Apache Kafka and a registry."""
    if not kafka_available():
        pytest.skip("Apache Kafka needs Java, and its jars or Maven")
    with Stack(tmp_path_factory.mktemp("kafka"), "kafka", {"broker", "registry"}) as stack:
        yield stack


@pytest.fixture
def embedded_site(embedded: Stack, tmp_path: Path) -> Iterator[Site]:
    """Workers on the embedded broker."""
    with Site(embedded, tmp_path) as site:
        yield site


@pytest.fixture
def kafka_site(kafka: Stack, tmp_path: Path) -> Iterator[Site]:
    """Workers on Apache Kafka."""
    with Site(kafka, tmp_path) as site:
        yield site
