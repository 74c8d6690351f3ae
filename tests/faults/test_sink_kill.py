"""Sinks killed in the middle of their work: nothing is missing afterwards, and nothing is there twice."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from connectors.sinks.redis import keys
from streams.stack import kafka_available
from tests.integration.sinks.sink_world import World, eventually
from tests.unit.sinks.sink_builders import entity, exception, ledger_line, segment, window

KILLS = 3
PAUSE_S = 0.01  # between transactions: some thousand records a second leave the servers room
# Fires for rows that a conflict then keeps out, too; undone with the transaction like everything else.
COUNT_ATTEMPTS = """
CREATE TABLE attempts (event_id text);
CREATE FUNCTION count_attempt() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO attempts VALUES (NEW.event_id); RETURN NEW; END $$;
CREATE TRIGGER attempts BEFORE INSERT ON fact_billing_event FOR EACH ROW EXECUTE FUNCTION count_attempt();
"""

Record = dict[str, Any]


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A stack with the sinks' topics, on either broker."""
    if request.param == "kafka" and not kafka_available():
        pytest.skip("needs Java and Apache Kafka's jars")
    made = World(tmp_path, request.param)
    try:
        yield made
    finally:
        made.close()


class Load(threading.Thread):
    """Writes transactions over several topics until stopped; on Apache Kafka a fifth of them aborted.

    Not on the embedded broker: its answers name a producer's aborted transactions for ever, also to
    fetches from behind them, and clients then skip what that producer commits afterwards.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.abort_ratio = 0.2 if world.stack.broker_choice == "kafka" else 0.0
        self.stop = threading.Event()
        self.lines = 0
        self._random = random.Random(7)  # the same load each time

    def run(self) -> None:
        producer = self.world.transactional("load-0")
        revisions: dict[int, int] = {}
        lsn = 0
        while not self.stop.is_set():
            abort = self._random.random() < self.abort_ratio
            producer.begin_transaction()
            for _ in range(25):
                number = self._random.randrange(300)
                lsn += 1
                if not abort:
                    revisions[number] = revisions.get(number, 0) + 1
                    self.lines += 1
                for topic, record in self._records(number, revisions.get(number, 1), lsn):
                    self.world.produce(topic, record, producer)
            producer.flush(10)
            if abort:
                producer.abort_transaction(10)
            else:
                producer.commit_transaction(10)
            time.sleep(PAUSE_S)

    def _records(self, number: int, revision: int, lsn: int) -> Iterator[tuple[str, Record]]:
        amount = Decimal(self._random.randrange(10_000_000)).scaleb(-4)
        line = ledger_line(number, revision=revision, amount=amount)
        yield "billing.events", {**line, "event_id": f"erp:1:time:{number}:base:{revision}:CHARGE"}
        gone = self._random.random() < 0.1
        yield "billing.current", segment(number, revision, amount=amount, deleted=gone)
        if number < 20:
            yield (
                "canonical.project",
                entity("project", f"erp:{number}", lsn, name=self._random.choice("abc")),
            )
            monday = datetime.now(UTC).date() - timedelta(days=datetime.now(UTC).weekday())
            yield "utilization.windows", window(f"erp:{number}", monday, revision, worked_seconds=lsn)
            state = self._random.choice(["waiting", "open", "resolved"])
            yield "exceptions", exception(f"time:{number}", revision, state)


def _passed(progress: Callable[[], int], before: int) -> bool:
    return progress() > before


def kill_under_load(world: World, sink: str, progress: Callable[[], int]) -> Load:
    """Run a sink under load, killing it three times while it makes progress, then let it finish."""
    load = Load(world)
    load.start()
    chance = random.Random(11)
    try:
        for _ in range(KILLS):
            process = world.process("run", sink)
            before = progress()
            eventually(partial(_passed, progress, before), "progress before the kill")
            time.sleep(chance.uniform(0.1, 0.8))
            assert process.poll() is None
            process.kill()
            process.wait()
    finally:
        load.stop.set()
        load.join()
    process = world.process("run", sink, "--drain")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    return load


def test_the_warehouse_is_the_fold_of_its_topics(world: World) -> None:
    """After three kills each ledger line is there once, and every row is what the topics come to."""

    def loaded() -> int:
        return world.count("fact_billing_event")

    world.load()
    world.rows(COUNT_ATTEMPTS)
    load = kill_under_load(world, "warehouse", loaded)
    lines = {r["event_id"]: r["amount"] for r in world.records("billing.events")}
    assert len(lines) == load.lines > 1000
    # The key alone would keep doubles out; that none was even tried shows that the positions are exact.
    assert world.rows("SELECT count(*), count(DISTINCT event_id) FROM attempts") == [(len(lines), len(lines))]
    assert dict(world.rows("SELECT event_id, amount FROM fact_billing_event")) == lines

    current = {
        r["entry_id"]: (r["revision"], r["deleted"], r["amount"]) for r in world.records("billing.current")
    }
    rows = world.rows("SELECT entry_id, revision, deleted, amount FROM billing_current")
    assert {row[0]: row[1:] for row in rows} == current

    history: dict[str, list[str]] = {}
    for record in world.records("canonical.project"):
        names = history.setdefault(record["id"], [])
        if not names or names[-1] != record["name"]:
            names.append(record["name"])
    found: dict[str, list[str]] = {}
    for identity, name in world.rows("SELECT id, name FROM dim_project ORDER BY id, valid_from"):
        found.setdefault(identity, []).append(name)
    assert found == history
    assert world.rows("SELECT id FROM dim_project WHERE is_current GROUP BY id HAVING count(*) <> 1") == []
    assert world.count("sink_dead_letter") == 0


def test_redis_is_the_fold_of_its_topics(world: World) -> None:
    """After three kills the views are what the topics come to."""

    def applied() -> int:
        return sum(int(str(offset)) for offset in world.redis.hvals(keys.POSITIONS))

    kill_under_load(world, "redis", applied)
    last = {r["exception_id"]: r["state"] for r in world.records("exceptions")}
    shown = {i for i, state in last.items() if state == "open"}
    assert set(world.redis.zrange(keys.EXCEPTIONS_OPEN, 0, -1)) == shown
    worked = {
        r["consultant_id"]: f'"worked_seconds":{r["worked_seconds"]},'
        for r in world.records("utilization.windows")
    }
    assert worked
    for consultant, text in worked.items():
        (held,) = world.redis.hvals(keys.utilization(consultant))
        assert text in str(held)
