"""A firm at work over three brokers and a crew of workers: its load, its faults, and its judge."""

from __future__ import annotations

import contextlib
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import redis
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import create_engine, make_url

from agents.flows import all_flows
from connectors.proof.judge import Judge
from connectors.proof.topics import read_topic
from connectors.reference.firm import Firm, FirmSettings, connect, plan
from connectors.sinks.redis import keys
from streams.serde import Decoder, Registry
from streams.stack import Stack
from support.faults.arrivals import Arrivals
from support.faults.cluster import Cluster
from support.faults.crew import WORKERS, Crew
from support.faults.report import Line, Report

PARTITIONS = 3
SESSION_S = 6.0  # the least that a broker allows by default
PACE = 10.0  # transactions of the firm a second, some ten row changes each
# One topic of each lane that says something within a second or two at that pace.
WATCHED = ("canonical.time_entry", "billing.rated", "utilization.daily")
RECOVERY_S = 120.0  # a fault is mended within this time after its end, or the test fails
SETTLE_S = 60.0  # without any progress
FIRM_S = 60.0


class Fleet:
    """``Fleet(folder, days).open()``; a scenario is ``with fleet.scenario(...)`` and `Scenario.fault` in it."""

    def __init__(self, folder: Path, days: int) -> None:
        self._opened = ExitStack()
        self._folder = folder
        self._days = days
        self.sound = False
        """Whether the last scenario ended as it should: what is wrong once stays so."""

    def open(self) -> Fleet:
        """Start all of it, and return when what the databases hold has come through."""
        with ExitStack() as opened:
            self._open(opened)
            self._opened = opened.pop_all()
        return self

    def close(self) -> None:
        """Stop all of it."""
        self._opened.close()

    def _open(self, opened: ExitStack) -> None:
        folder = self._folder
        self.cluster = opened.enter_context(Cluster(folder / "cluster"))
        self.stack = opened.enter_context(Stack(folder / "stack", broker=self.cluster.bootstrap))
        environment = {
            **self.stack.settings_environment(),
            "TALLYSTREAM_PARTITIONS": str(PARTITIONS),
            "TALLYSTREAM_REPLICATION_FACTOR": "3",
            "TALLYSTREAM_SESSION_TIMEOUT_S": str(SESSION_S),
            "TALLYSTREAM_EXCEPTION_GRACE_S": "1",
        }
        special = {name: {"TALLYSTREAM_DATA_DIR": str(folder / name)} for name in WORKERS}
        # The only one that can be cut off, so that the others see a member that is gone.
        special[WORKERS[0]]["TALLYSTREAM_KAFKA_BOOTSTRAP"] = self.cluster.proxied
        engines = connect({s: environment[f"TALLYSTREAM_{s.upper()}_DSN"] for s in ("erp", "crm", "time")})
        warehouse = create_engine(
            make_url(environment["TALLYSTREAM_BI_DSN"]).set(drivername="postgresql+psycopg2")
        )
        for engine in (*engines.values(), warehouse):
            opened.callback(engine.dispose)
        self._registry = Registry(environment["TALLYSTREAM_REGISTRY_URL"])
        opened.callback(self._registry.close)
        self.decoder = Decoder(self._registry)
        self.judge = Judge(engines, warehouse)
        self.firm = Firm(plan(FirmSettings(seed=7, consultants=16, days=self._days)), engines)
        self.firm.seed()
        self.redis: redis.Redis = redis.Redis.from_url(self.stack.redis.url, decode_responses=True)
        opened.callback(self.redis.close)
        self.crew = Crew(folder, environment, ("warehouse", "redis"), special)
        opened.callback(self.crew.stop)
        self.crew.start()
        self.crew.wait_ready(*WORKERS)
        self.cluster.wait_whole()
        # All that the databases held has come through: snapshots are over, schemas are known.
        assert self.judge.wait(self.judge.expect(), lambda: None, patience_s=SETTLE_S).equal
        self.sound = True

    @contextlib.contextmanager
    def scenario(self, name: str, seed: int, workers: int, report: Report) -> Iterator[Scenario]:
        """Load on ``workers`` workers until the block ends; then judge it, and report."""
        self.sound = False
        for worker in WORKERS[workers:]:
            self.crew.dismiss(worker)
        self.crew.wait_ready(*WORKERS[:workers])
        scenario = Scenario(self, seed, workers)
        with Arrivals(self.cluster.bootstrap, self.decoder, WATCHED, PARTITIONS) as arrivals:
            scenario.arrivals = arrivals
            with self._load():
                arrivals.wait_beyond(datetime.now(UTC), RECOVERY_S)
                yield scenario
        self._judge(name, scenario, report)
        if workers < len(WORKERS):
            self.crew.start(*WORKERS[workers:])
        self.crew.wait_ready(*WORKERS)
        self.sound = True
        found = self.crew.tracebacks()
        assert not found, found

    @contextlib.contextmanager
    def _load(self) -> Iterator[None]:
        stop = threading.Event()
        failures: list[BaseException] = []

        def write() -> None:
            try:
                self.firm.run(pace=PACE, stop=stop)
            except BaseException as error:
                failures.append(error)

        before, began = self.firm.position, time.monotonic()
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        try:
            yield
        finally:
            stop.set()
            writer.join(FIRM_S)
        assert not writer.is_alive(), "the firm hangs"
        if failures:
            raise failures[0]
        assert self.firm.position < len(self.firm.plan.transactions), "the firm has nothing left to do"
        print(f"{self.firm.position - before} transactions in {time.monotonic() - began:.1f} s")

    def _judge(self, name: str, scenario: Scenario, report: Report) -> None:
        """Let all come to rest, compare it with the oracle, and demand that all is exact."""
        began = time.monotonic()
        expected = self.judge.expect()
        warehouse = self.judge.wait(expected, lambda: None, patience_s=SETTLE_S)
        topics = self.judge.compare_topics(expected, self.cluster.bootstrap, self.decoder)
        lines = Counter(
            record["event_id"]
            for record in read_topic(self.cluster.bootstrap, "billing.events", self.decoder)
        )
        line = Line(
            f"{name}, {scenario.workers} workers",
            scenario.times,
            f"{statistics.median(scenario.recoveries):.1f}",
            f"{max(scenario.recoveries):.1f}",
            warehouse.rows_compared + topics.rows_compared,
            lines.total(),
            warehouse.rows_different + topics.rows_different,
            lines.total() - len(lines),
        )
        print(
            f"seed {scenario.seed}, settled in {time.monotonic() - began:.1f} s, ends {dict(self.crew.ended)}"
        )
        print(line)
        self.crew.ended.clear()
        report.add(line)
        assert topics.rows_compared > 1_000
        for comparison in (warehouse, topics):
            assert comparison.equal, "\n".join(map(str, comparison.differences))
        assert line.repeats == 0
        self._assert_nothing_is_left()
        self._assert_views()

    def _assert_nothing_is_left(self) -> None:
        """Each flow has taken each partition of each of its inputs to its end."""
        for flow in all_flows().values():
            inputs = sorted({topic for stage in flow.stages for topic in stage.inputs})
            deadline = time.monotonic() + SETTLE_S
            while left := self._left(f"tallystream-{flow.name}", inputs):
                assert time.monotonic() < deadline, f"flow {flow.name} has left {left}"
                time.sleep(0.5)

    def _left(self, group: str, topics: Collection[str]) -> dict[tuple[str, int], int]:
        """By place the records behind the offset that a group has committed. An offset may lie before
        the marks of transactions, which are no records."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.cluster.bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        try:
            known = consumer.list_topics(timeout=30).topics
            places = [TopicPartition(t, p) for t in topics if t in known for p in known[t].partitions]
            committed = consumer.committed(places, timeout=30)
            consumer.assign(committed)
            left: Counter[tuple[str, int]] = Counter()
            ended = 0
            while ended < len(places):
                message = consumer.poll(30)
                assert message is not None, "the brokers went silent"
                if message.error() is None:
                    left[message.topic(), message.partition()] += 1
                else:
                    ended += 1
            return dict(left)
        finally:
            consumer.close()

    def _assert_views(self) -> None:
        """The exceptions that Redis shows as open are those that their topic says are."""
        last = {
            record["exception_id"]: record["state"]
            for record in read_topic(self.cluster.bootstrap, "exceptions", self.decoder)
        }
        open_ones = {name for name, state in last.items() if state == "open"}
        assert open_ones
        deadline = time.monotonic() + SETTLE_S
        while (shown := set(self.redis.zrange(keys.EXCEPTIONS_OPEN, 0, -1))) != open_ones:
            assert time.monotonic() < deadline, f"only one side has {sorted(shown ^ open_ones)}"
            time.sleep(0.2)


class Scenario:
    """The faults of one scenario, and the times until they were mended."""

    arrivals: Arrivals

    def __init__(self, fleet: Fleet, seed: int, workers: int) -> None:
        self.seed = seed
        self.workers = workers
        self.names = WORKERS[:workers]
        self.chance = random.Random(seed)
        self.times = 0
        self.recoveries: list[float] = []
        self._fleet = fleet

    def pause(self, most: float = 1.5) -> None:
        """Wait for a random moment."""
        time.sleep(self.chance.random() * most)

    def fault(
        self,
        inject: Callable[[], object] = lambda: None,
        times: int = 1,
        until: Callable[[datetime], object] | None = None,
    ) -> None:
        """Inject a fault, ``times`` as it counts, and wait ``until`` a change has come out that was committed
        behind it: by default of each lane. A fault that has an end is over when ``inject`` returns."""
        inject()
        ended, moment = time.monotonic(), datetime.now(UTC)
        if until is None:
            self.arrivals.wait_beyond(moment, RECOVERY_S)
        else:
            until(moment)
        self.times += times
        self.recoveries.append(time.monotonic() - ended)
        print(f"recovered in {self.recoveries[-1]:.2f} s")
