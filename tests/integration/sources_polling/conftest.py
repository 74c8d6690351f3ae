"""One stack for the folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from integration.sources.harness import running_stack

from streams.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as started:
        yield started
