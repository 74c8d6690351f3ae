"""The Redis sink on real servers: live views, positions beside them, one instance at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.sinks.messages import Batch
from connectors.sinks.redis import RedisTarget, keys, store
from streams.errors import DependencyUnavailable, Fenced, PositionLost
from tests.integration.sinks.sink_world import World, eventually
from tests.unit.sinks.sink_builders import batch, exception, ledger_line, message, window

TODAY = datetime.now(UTC).date()
MONDAY = TODAY - timedelta(days=TODAY.weekday())
FIELD = f"week:{MONDAY.isoformat()}"


def week(world: World, consultant: str = "erp:1") -> dict[str, Any] | None:
    """This week of a consultant, as a dashboard reads it."""
    text = world.redis.hget(keys.utilization(consultant), FIELD)
    return None if text is None else json.loads(text)


def target(world: World) -> RedisTarget:
    """A new instance of the sink's target."""
    return RedisTarget(world.environment["TALLYSTREAM_REDIS_URL"])


def test_views_follow_the_topics(world: World) -> None:
    """This week's utilization, the open exceptions by age, and each topic's freshness."""
    world.send("utilization.windows", window("erp:1", MONDAY), window("erp:2", MONDAY))
    world.send("utilization.windows", window("erp:1", MONDAY, 2, billable_seconds=36_000))
    early = datetime(2026, 3, 1, tzinfo=UTC)
    world.send(
        "exceptions",
        exception("time:1"),
        exception("time:2", first_seen_at=early),
        exception("time:3", state="waiting"),
    )
    newest = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
    world.send("billing.events", ledger_line(1, occurred_at=newest), ledger_line(2))
    world.load(RedisTarget)
    found = week(world)
    assert found is not None
    assert (found["revision"], found["billable_seconds"]) == (2, 36_000)
    assert week(world, "erp:2") is not None
    assert 7 * 86_400 < world.redis.ttl(keys.utilization("erp:1")) <= 43 * 86_400
    assert world.redis.zrange(keys.EXCEPTIONS_OPEN, 0, -1) == ["billing|time:2", "billing|time:1"]
    assert world.redis.hget(keys.exception("billing|time:3"), "state") == "waiting"
    fresh = world.redis.hgetall(keys.freshness("billing.events"))
    assert fresh["occurred_at"] == newest.isoformat()
    assert (fresh["lag_records"], fresh["lag_seconds"]) == ("0", "0")
    assert 0 < world.redis.ttl(keys.freshness("billing.events")) <= 60


def test_resolved_exceptions_go(world: World) -> None:
    """A resolved exception leaves the open ones, is readable for a day, and is not reopened by a replay."""
    world.send("exceptions", exception("time:1"), exception("time:2"))
    world.load(RedisTarget)
    world.send("exceptions", exception("time:1", 2, "resolved"), exception("time:1", 1))
    world.load(RedisTarget)
    assert world.redis.zrange(keys.EXCEPTIONS_OPEN, 0, -1) == ["billing|time:2"]
    assert 0 < world.redis.ttl(keys.exception("billing|time:1")) <= 86_400
    assert world.redis.ttl(keys.exception("billing|time:2")) == -1


def test_it_continues_where_redis_says(world: World) -> None:
    """Positions lie beside the views: lost together with them, they make the views come back whole."""
    world.send("utilization.windows", *[window(f"erp:{n}", MONDAY) for n in range(20)])
    world.load(RedisTarget)
    held = world.redis.hgetall(keys.POSITIONS)
    assert sum(int(offset) for name, offset in held.items() if name.startswith("utilization.windows|")) == 20
    world.load(RedisTarget)
    assert world.redis.hgetall(keys.POSITIONS) == held
    world.redis.flushall()
    world.load(RedisTarget)
    assert len(world.redis.keys("tallystream:utilization:*")) == 20


def test_one_instance_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second instance is refused while the first lives; a paused one that lost its lease writes nothing."""
    monkeypatch.setattr(store, "LEASE_PATIENCE_S", 0.3)
    monkeypatch.setattr(keys, "LEASE", timedelta(seconds=2))
    first, second = target(world), target(world)
    first.open()
    first.begin({("utilization.windows", 0): 0})
    with pytest.raises(Fenced, match="another instance of sink redis is running"):
        second.open()
    eventually(lambda: world.redis.get(keys.OWNER) is None, "lease ended")
    change = batch(message("utilization.windows", 0, window("erp:1", MONDAY)))
    with pytest.raises(DependencyUnavailable, match="paused for too long"):
        first.apply(change)
    assert second.open() == {("utilization.windows", 0): 0}
    with pytest.raises(Fenced, match="took over"):
        first.apply(change)
    assert week(world) is None
    second.apply(change)
    assert week(world) is not None
    first.close()
    assert world.redis.get(keys.OWNER) is not None
    second.close()
    assert world.redis.get(keys.OWNER) is None


def test_changed_positions_stop_a_write(world: World) -> None:
    """Views are not written over positions that are not the ones believed, say after a restored backup."""
    sink = target(world)
    sink.open()
    sink.begin({("utilization.windows", 0): 0})
    world.redis.hset(keys.POSITIONS, "utilization.windows|0", "7")
    with pytest.raises(DependencyUnavailable, match="positions changed"):
        sink.apply(Batch((), {("utilization.windows", 0): 1}))
    assert sink.open() == {("utilization.windows", 0): 7}
    sink.close()


def test_redis_may_restart(world: World) -> None:
    """A sink that is running when Redis goes and comes back continues, each record once."""
    process = world.process("run", "redis")
    world.send("exceptions", *[exception(f"time:{n}") for n in range(10)])
    eventually(lambda: world.redis.zcard(keys.EXCEPTIONS_OPEN) == 10, "first records")
    world.stack.redis.stop()
    world.send("exceptions", *[exception(f"time:{n}") for n in range(10, 20)])
    world.stack.redis.start()
    eventually(lambda: world.redis.zcard(keys.EXCEPTIONS_OPEN) == 20, "records of the outage")
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_poison_is_set_aside(world: World) -> None:
    """Bytes that are no record go to a stream with their reason; their neighbours are shown."""
    world.send("exceptions", exception("time:1"), b"\x01nonsense", exception("time:2"))
    world.load(RedisTarget)
    assert world.redis.zcard(keys.EXCEPTIONS_OPEN) == 2
    ((_, letter),) = world.redis.xrange(keys.DEAD_LETTERS)
    assert (letter["topic"], letter["exception_class"]) == ("exceptions", "POISON")
    assert letter["raw_value"] == "\x01nonsense"


def test_lost_positions_are_told(world: World) -> None:
    """A position beyond the end of its topic stops this sink too, and a reset loads again."""
    world.send("exceptions", exception("time:1"))
    world.load(RedisTarget)
    name = next(n for n in world.redis.hkeys(keys.POSITIONS) if n.startswith("exceptions|"))
    world.redis.hset(keys.POSITIONS, name, "99")
    with pytest.raises(PositionLost, match="sink reset redis --topic exceptions"):
        world.load(RedisTarget)
    process = world.process("reset", "redis", "--topic", "exceptions")
    assert process.communicate(timeout=60)[1] == b""
    world.load(RedisTarget)
