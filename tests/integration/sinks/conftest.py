"""A fresh stack for each test: sinks keep state in all of its servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.sinks.sink_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A stack with the sinks' topics."""
    made = World(tmp_path)
    try:
        yield made
    finally:
        made.close()
