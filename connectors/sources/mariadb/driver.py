"""The driver, which is an optional dependency: the one place that imports it."""

from __future__ import annotations

from streams.errors import ConfigurationError

try:
    import pymysql  # type: ignore[import-untyped]
    from pymysql.cursors import Cursor, SSCursor  # type: ignore[import-untyped]
except ImportError:
    raise ConfigurationError(
        "sources of MariaDB and MySQL need packages that are not installed; run pip install 'tallystream[mariadb]'"
    ) from None

__all__ = ["Cursor", "SSCursor", "pymysql"]
