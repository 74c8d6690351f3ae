"""What the tests of the MySQL source share: that of MariaDB's, with a MySQL server."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from integration.sources_mariadb.harness import Capture as MariadbCapture
from integration.sources_mariadb.harness import running_mariadb

from streams.stack import Stack
from streams.stack.mariadb import Mariadb
from streams.stack.mysql import Mysql

_SEQUENCE = re.compile(r"\bseq_(\d+)_to_(\d+)")
_NUMBERS = "(WITH RECURSIVE n(seq) AS (SELECT {} UNION ALL SELECT seq + 1 FROM n WHERE seq < {}) SELECT seq FROM n) n"


@contextlib.contextmanager
def running_mysql(settings: dict[str, str | None] | None = None) -> Iterator[Mariadb]:
    """A server of its own."""
    with running_mariadb(settings, Mysql) as server:
        yield server


class Capture(MariadbCapture):
    """One test's source; statements may use MariaDB's tables of numbers."""

    connector: ClassVar[str] = "mysql"

    def __init__(self, stack: Stack, server: Mariadb, folder: Path, **config: Any) -> None:
        super().__init__(stack, server, folder, **config)
        self.execute("SET cte_max_recursion_depth = 1000000")

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return super().execute(
            _SEQUENCE.sub(lambda found: _NUMBERS.format(*found.groups()), statement), *values
        )
