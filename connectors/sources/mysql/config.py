"""The configuration of a MySQL source."""

from __future__ import annotations

from connectors.sources.mariadb.config import MariadbConfig


class MysqlConfig(MariadbConfig):
    """The keys are those of a MariaDB source."""
