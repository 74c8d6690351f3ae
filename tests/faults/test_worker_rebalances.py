"""Workers that come, go, die and sleep under load: each report is counted once, and none waits for long.

The exceptions flow on Apache Kafka: ``times_seen`` of an exception counts the reports that were applied.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from faults.conftest import FULL, SEED
from integration.worker.worker_harness import PARTITIONS, SESSION_SECONDS, Site, Worker, wait_for

from streams.stack import Stack, kafka_available

REBALANCES = 20 if FULL else 4
ZOMBIES = 5 if FULL else 1
PAUSE_S = 0.1  # between two reports of every subject
# How long a report may wait: until a dead worker counts as dead, and until another has its lanes.
LONGEST_WAIT_S = SESSION_SECONDS + 5.0

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if not kafka_available():
        pytest.skip("Apache Kafka needs Java, and its jars or Maven")
    with Stack(tmp_path_factory.mktemp("rebalances"), "kafka", {"broker", "registry"}) as stack:
        yield stack


@pytest.fixture
def site(kafka: Stack, tmp_path: Path) -> Iterator[Site]:
    with Site(kafka, tmp_path) as made:
        yield made


class Flow:
    """Reports of all ``subjects`` again and again, and when the last of them was seen to be applied."""

    def __init__(self, site: Site, subjects: list[str]) -> None:
        self.expected: Counter[str] = Counter()
        self.longest_s = 0.0
        self._site, self._subjects = site, subjects
        self._sent: list[float] = []  # when the n-th report of every subject was sent
        self._seen: Counter[str] = Counter()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(run,)) for run in (self._write, self._read)
        ]

    def __enter__(self) -> Flow:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def check(self) -> None:
        """Raise what a thread raised."""
        if self._failure is not None:
            raise self._failure

    def _guard(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            self._failure = error

    def _write(self) -> None:
        while not self._stop.is_set():
            self._sent.append(time.monotonic())
            self._site.report(self._subjects)
            self.expected.update(self._subjects)
            self._stop.wait(PAUSE_S)

    def _read(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._site.bootstrap,
                "group.id": "tail",
                "isolation.level": "read_committed",
            }
        )
        consumer.assign([TopicPartition("exceptions", number, 0) for number in range(PARTITIONS)])
        try:
            while not self._stop.is_set():
                for message in consumer.consume(500, 0.1):
                    assert message.error() is None, message.error()
                    record = self._site.decoder.decode(message.value() or b"")
                    subject, times = record["subject"], record["times_seen"]
                    if subject in self.expected and times > self._seen[subject]:
                        self._seen[subject] = times
                behind = min((self._seen[one] for one in self._subjects), default=0)
                if behind < len(self._sent):
                    self.longest_s = max(self.longest_s, time.monotonic() - self._sent[behind])
        finally:
            consumer.close()


def lane_open(worker: Worker) -> Callable[[], bool]:
    """Whether it has got lanes since it started."""
    return lambda: '"event": "lane_open"' in worker.output()


@pytest.mark.timeout(600)
def test_workers_come_and_go_under_load(site: Site) -> None:
    """Added, stopped and killed in a random order: no report is lost or counted twice, none waits longer
    than until a dead worker's session is over and its lanes are open elsewhere."""
    chance = random.Random(SEED)
    print(f"FAULTS_SEED={SEED}")
    subjects = [f"soak-{number}" for number in range(24)]
    numbers = iter(range(1000))
    workers = [site.worker(f"soak-{next(numbers)}").wait_ready() for _ in range(2)]
    done: Counter[str] = Counter()
    with Flow(site, subjects) as flow:
        for _ in range(REBALANCES):
            time.sleep(chance.uniform(0.5, 3.0))
            flow.check()
            what = (
                chance.choice(["kill", "stop"])
                if len(workers) > 2
                else chance.choice(["kill", "stop", "add"])
            )
            done[what] += 1
            if what == "add":
                workers.append(site.worker(f"soak-{next(numbers)}").wait_ready())
                continue
            gone = workers.pop(chance.randrange(len(workers)))
            if what == "kill":
                gone.kill()
            else:
                assert gone.terminate()[0] == 0, gone.output()
            if len(workers) < 2:
                workers.append(site.worker(f"soak-{next(numbers)}").wait_ready())
        time.sleep(SESSION_SECONDS + 2)
        flow.check()
        for worker in workers:
            assert worker.process.poll() is None, worker.output()
    site.wait_seen("soak", dict(flow.expected))
    print(f"{dict(done)}; {flow.expected.total()} reports, the longest wait {flow.longest_s:.1f} s")
    assert flow.longest_s < LONGEST_WAIT_S


@pytest.mark.timeout(300)
def test_a_zombie_is_refused(site: Site) -> None:
    """A worker is stopped (SIGSTOP) under load until another has its lanes and has written; woken up, what
    it had under way is refused: it ends with one line, or goes on without lanes. Nothing counts twice."""
    chance = random.Random(SEED)
    print(f"FAULTS_SEED={SEED}")
    subjects = [f"zombie-{number}" for number in range(24)]
    worker = site.worker("zombie-0").wait_ready()
    ends: Counter[str] = Counter()
    with Flow(site, subjects) as flow:
        for number in range(1, ZOMBIES + 1):
            time.sleep(chance.uniform(1.0, 3.0))
            zombie = worker
            zombie.process.send_signal(signal.SIGSTOP)
            try:
                worker = site.worker(f"zombie-{number}")
                wait_for(lane_open(worker), 60, worker.output)
                time.sleep(1.0)
                flow.check()
            finally:
                zombie.process.send_signal(signal.SIGCONT)
            time.sleep(SESSION_SECONDS)
            code = zombie.process.poll()
            if code is None:
                ends["went on"] += 1
                assert zombie.terminate()[0] in (0, 1), zombie.output()
            else:
                ends["ended"] += 1
                assert code == 1, zombie.output()
                assert "has a new owner" in zombie.error_line()
            assert not zombie.printed_traceback(), zombie.output()
            assert worker.process.poll() is None, f"{worker.output()}\nThe zombie:\n{zombie.output()}"
    site.wait_seen("zombie", dict(flow.expected))
    print(f"zombies: {dict(ends)}; {flow.expected.total()} reports, the longest wait {flow.longest_s:.1f} s")
