"""Fixtures on top of ``capture``, for MariaDB and for MySQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from integration.sources_mariadb.harness import Capture

PASSWORD = "not-a-secret"


@pytest.fixture
def line(capture: Capture) -> Capture:
    """A captured table of one row."""
    capture.execute("CREATE TABLE line (id int PRIMARY KEY, note text)")
    capture.execute("INSERT INTO line VALUES (1, 'a')")
    return capture


@pytest.fixture
def user(line: Capture) -> Iterator[str]:
    """A user that may log in and nothing else."""
    line.execute(f"CREATE USER {line.name}@'%%' IDENTIFIED BY %s", PASSWORD)
    yield line.name
    line.execute(f"DROP USER {line.name}@'%'")
