"""A fresh stack for each test: sinks keep state in all of its servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from connectors.sinks.warehouse.schema import create_schema
from connectors.sinks.warehouse.session import engine_of
from streams.stack import Stack
from tests.integration.sinks.sink_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A stack with the sinks' topics."""
    made = World(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def bi(tmp_path: Path) -> Iterator[Engine]:
    """A PostgreSQL with an empty warehouse, and nothing else."""
    with Stack(tmp_path, services=("postgres",)) as stack:
        engine = engine_of(stack.settings_environment()["TALLYSTREAM_BI_DSN"])
        with engine.begin() as connection:
            create_schema(connection)
        yield engine
        engine.dispose()
