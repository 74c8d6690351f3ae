"""The MySQL source: see `connectors.sources.mariadb.source`."""

from __future__ import annotations

from typing import ClassVar

from connectors.sources.mariadb.server import Server
from connectors.sources.mariadb.source import MariadbSource
from connectors.sources.mysql.server import MysqlServer


class MysqlSource(MariadbSource):
    """Runs one source until it is stopped."""

    server: ClassVar[type[Server]] = MysqlServer
