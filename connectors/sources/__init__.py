"""Sources: databases' row changes as Debezium-compatible topics."""

from connectors.sources.config import SourceConfig
from connectors.sources.kinds import load_source

__all__ = ["SourceConfig", "load_source"]
