"""The PostgreSQL source: logical replication into Debezium-compatible topics, exactly once."""

from connectors.sources.postgres.position import Position, Progress
from connectors.sources.postgres.source import PostgresSource, Surroundings
from connectors.sources.postgres.stream import StopSignal

__all__ = ["Position", "PostgresSource", "Progress", "StopSignal", "Surroundings"]
