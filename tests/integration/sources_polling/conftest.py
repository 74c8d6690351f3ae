"""One stack for the folder; a schema of PostgreSQL and a polling source of it for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.sources.harness import running_stack
from integration.sources_polling.polled import LINE, Polled

from streams.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as started:
        yield started


@pytest.fixture
def polled(stack: Stack, tmp_path: Path) -> Iterator[Polled]:
    made = Polled(stack, tmp_path)
    made.sql.execute(LINE)
    yield made
    made.sql.execute(f"DROP SCHEMA {made.name} CASCADE")
    made.sql.close()
    made.close()
