"""The PostgreSQL source: logical replication into Debezium-compatible topics, exactly once."""

from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.position import Position, Progress
from connectors.sources.postgres.source import PostgresSource
from connectors.sources.running import StopSignal, Surroundings

__all__ = ["Position", "PostgresConfig", "PostgresSource", "Progress", "StopSignal", "Surroundings"]
