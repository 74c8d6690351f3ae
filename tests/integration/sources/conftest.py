"""One stack for the folder; a database schema and a source name for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.sources.harness import Capture, running_stack

from streams.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as started:
        yield started


@pytest.fixture
def capture(stack: Stack, tmp_path: Path) -> Iterator[Capture]:
    made = Capture(stack, tmp_path)
    yield made
    made.close()
