"""Redis as a sink's target: views and positions in one MULTI, by one instance at a time."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import redis
from redis.exceptions import RedisError, WatchError

from connectors.sinks.messages import Batch, Partition, Positions
from connectors.sinks.redis import keys
from connectors.sinks.redis.changes import EXCEPTIONS, WINDOWS, changes, sort
from connectors.sinks.target import Applied
from streams.errors import ConfigurationError, DependencyUnavailable, Fenced

SOCKET_TIMEOUT_S = 5.0
LEASE_POLL_S = 0.1
LEASE_PATIENCE_S = keys.LEASE.total_seconds() + 1  # a killed instance's lease has ended by then
# Topics whose freshness is shown beside those that have a view of their own.
FRESHNESS_ONLY = ("canonical.time_entry", "billing.events", "billing.current", "utilization.daily")


class RedisTarget:
    """Writes the live views of `keys`. ``now`` gives the time, for expiry and freshness."""

    name = "redis"
    topics: tuple[str, ...] = (WINDOWS, EXCEPTIONS, *FRESHNESS_ONLY)

    def __init__(self, url: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        try:
            # Any: the client's methods are typed for its synchronous and asynchronous use at once.
            self._redis: Any = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=SOCKET_TIMEOUT_S,
                socket_connect_timeout=SOCKET_TIMEOUT_S,
            )
        except ValueError as error:
            raise ConfigurationError(f"TALLYSTREAM_REDIS_URL: {error}") from None
        options = self._redis.connection_pool.connection_kwargs
        self._where = f"Redis {options.get('host', 'localhost')}:{options.get('port', 6379)}"
        self._now = now
        self._token = uuid.uuid4().hex
        self._positions: dict[Partition, int] = {}
        self._newest: dict[str, datetime] = {}

    def open(self) -> Positions:
        """Take the lease, waiting for a dead instance's to end, and read the positions."""
        with self._errors():
            self._take_lease()
            positions = self._redis.hgetall(keys.POSITIONS)
            newest = self._redis.hgetall(keys.NEWEST)
        self._positions = {}
        for name, offset in positions.items():
            topic, _, partition = name.rpartition("|")
            self._positions[topic, int(partition)] = int(offset)
        self._newest = {topic: datetime.fromisoformat(text) for topic, text in newest.items()}
        return self._positions

    def begin(self, positions: Positions) -> None:
        """Store first positions."""
        with self._owned() as pipe:
            pipe.multi()
            self._move(pipe, positions)
            pipe.execute()
        self._positions.update(positions)

    def apply(self, batch: Batch) -> Applied:
        """Write a batch's effect on the views."""
        applied = Applied()
        found = sort(batch)
        newest = {t: max(at, self._newest.get(t, at)) for t, at in found.newest.items()}
        with self._owned() as pipe:
            self._check_positions(pipe, batch.positions)
            writes = changes(self._redis, found, self._now().date(), applied)
            pipe.multi()
            for write in writes:
                write(pipe)
            for topic, at in newest.items():
                pipe.hset(keys.NEWEST, topic, at.isoformat())
                pipe.hset(keys.freshness(topic), "occurred_at", at.isoformat())
                pipe.expire(keys.freshness(topic), keys.KEEP_FRESHNESS)
            self._move(pipe, batch.positions)
            pipe.execute()
        self._newest.update(newest)
        self._positions.update(batch.positions)
        return applied

    def beat(self, lag: Positions) -> None:
        """Renew the lease and the freshness of every topic."""
        left = dict.fromkeys(self.topics, 0)
        for (topic, _), records in lag.items():
            left[topic] += records
        now = self._now()
        with self._owned() as pipe:
            pipe.multi()
            for topic, records in left.items():
                fields = {"beat_at": now.isoformat(), "lag_records": str(records), "lag_seconds": "0"}
                newest = self._newest.get(topic)
                if newest is not None:
                    fields["occurred_at"] = newest.isoformat()
                    if records:
                        fields["lag_seconds"] = str(max(0, round((now - newest).total_seconds())))
                pipe.hset(keys.freshness(topic), mapping=fields)
                pipe.expire(keys.freshness(topic), keys.KEEP_FRESHNESS)
            self._move(pipe, {})
            pipe.execute()

    def forget(self, topic: str | None) -> int:
        """Drop positions; loading again changes nothing that is there, since older revisions are stale."""
        forgotten = [partition for partition in self._positions if topic in (None, partition[0])]
        with self._owned() as pipe:
            pipe.multi()
            for partition in forgotten:
                pipe.hdel(keys.POSITIONS, keys.position(*partition))
            pipe.execute()
        for partition in forgotten:
            del self._positions[partition]
        return len(forgotten)

    def close(self) -> None:
        """Give the lease back and disconnect."""
        with contextlib.suppress(RedisError), self._redis.pipeline() as pipe:
            pipe.watch(keys.OWNER)
            if pipe.get(keys.OWNER) == self._token:
                pipe.multi()
                pipe.delete(keys.OWNER)
                pipe.execute()
        with contextlib.suppress(RedisError):
            self._redis.close()

    def _take_lease(self) -> None:
        deadline = time.monotonic() + LEASE_PATIENCE_S
        while not self._redis.set(keys.OWNER, self._token, nx=True, px=keys.LEASE):
            if self._redis.get(keys.OWNER) == self._token:
                self._redis.pexpire(keys.OWNER, keys.LEASE)
                return
            if time.monotonic() >= deadline:
                raise Fenced(
                    f"another instance of sink {self.name} is running on {self._where}; stop it first"
                )
            time.sleep(LEASE_POLL_S)

    @contextlib.contextmanager
    def _owned(self) -> Iterator[Any]:
        """A pipeline whose transaction fails if the lease changes hands meanwhile."""
        with self._errors(), self._redis.pipeline() as pipe:
            pipe.watch(keys.OWNER)
            self._check_owner(pipe.get(keys.OWNER))
            try:
                yield pipe
            except WatchError:
                self._check_owner(self._redis.get(keys.OWNER))
                raise DependencyUnavailable(f"{self._where}: the lease ended while writing") from None

    def _check_owner(self, owner: str | None) -> None:
        if owner is None:
            raise DependencyUnavailable(f"{self._where}: the lease ended, we were paused for too long")
        if owner != self._token:
            raise Fenced(f"another instance of sink {self.name} took over on {self._where}; this one stops")

    def _check_positions(self, pipe: Any, positions: Positions) -> None:
        """Positions elsewhere than believed: somebody edited them, or Redis came back with older data."""
        held = pipe.hmget(keys.POSITIONS, [keys.position(*partition) for partition in positions])
        if held != [str(self._positions[partition]) for partition in positions]:
            raise DependencyUnavailable(f"{self._where}: the positions changed; reading them again")

    def _move(self, pipe: Any, positions: Positions) -> None:
        """Queue the new positions, and the renewal of the lease."""
        for (topic, partition), offset in positions.items():
            pipe.hset(keys.POSITIONS, keys.position(topic, partition), str(offset))
        pipe.pexpire(keys.OWNER, keys.LEASE)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except WatchError:
            raise
        except RedisError as error:
            raise DependencyUnavailable(f"{self._where}: {error}") from None
