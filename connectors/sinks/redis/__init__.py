"""The Redis sink: live views of utilization, open exceptions, and freshness."""

from connectors.sinks.redis.store import RedisTarget

__all__ = ["RedisTarget"]
