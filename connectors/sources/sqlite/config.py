"""The configuration of a SQLite source."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from connectors.sources.config import SourceConfig
from streams.errors import ConfigurationError

_URL = "sqlite:///"


class SqliteConfig(SourceConfig):
    """A source that reads a change table in the database file. ``dsn`` is the file's path or URL.

    ``tables`` are main.table or main.*.
    """

    interval_s: float = Field(0.2, ge=0.01, description="between looks at the change table")

    def database_file(self) -> Path:
        """The file; `ConfigurationError` where there is none, or a schema is not main."""
        for entry in self.tables:
            if not entry.startswith("main."):
                raise ConfigurationError(f"tables: {entry}: the schema of a SQLite file is main")
        given = self.read_dsn()
        path = Path(given.removeprefix(_URL))
        if not path.is_file():
            raise ConfigurationError(f"dsn: there is no file {path}; give the path of a SQLite database")
        return path
