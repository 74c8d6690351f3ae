"""The kinds of sources by the ``connector`` key of their configuration."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from connectors.sources.config import SourceConfig, parse, read_document
from connectors.sources.running import Source, Surroundings
from streams.errors import ConfigurationError


class Kind(NamedTuple):
    """Where a kind's configuration and source are, as ``module:name``: imported when they are used."""

    config: str
    source: str


KINDS: dict[str, Kind] = {
    "postgresql": Kind(
        "connectors.sources.postgres.config:PostgresConfig",
        "connectors.sources.postgres.source:PostgresSource",
    ),
    "polling": Kind(
        "connectors.sources.polling.config:PollingConfig",
        "connectors.sources.polling.source:PollingSource",
    ),
    "sqlite": Kind(
        "connectors.sources.sqlite.config:SqliteConfig",
        "connectors.sources.sqlite.source:SqliteSource",
    ),
    "mariadb": Kind(
        "connectors.sources.mariadb.config:MariadbConfig",
        "connectors.sources.mariadb.source:MariadbSource",
    ),
    "mysql": Kind(
        "connectors.sources.mysql.config:MysqlConfig",
        "connectors.sources.mysql.source:MysqlSource",
    ),
}
DEFAULT = "postgresql"


def load_source(path: Path) -> SourceConfig:
    """Read a configuration file of any kind; `ConfigurationError` names the key that is wrong."""
    document = read_document(path)
    connector = document.get("connector", DEFAULT)
    if connector not in KINDS:
        raise ConfigurationError(f"{path}: connector: no {connector!r}; there are {', '.join(KINDS)}")
    return parse(path, document, _imported(KINDS[connector].config))


def make_source(config: SourceConfig, surroundings: Surroundings) -> Source:
    """The source that a configuration describes. Connects nowhere yet."""
    make: Callable[[SourceConfig, Surroundings], Source] = _imported(KINDS[config.connector].source)
    return make(config, surroundings)


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
