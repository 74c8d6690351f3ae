"""One stack on Apache Kafka for all faults of sources, and the report of a full run.

``FAULTS=full`` injects each fault as often as the table says, and renews the table;
``FAULTS_SEED=<number>`` repeats a run's random moments.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from importlib.metadata import version
from pathlib import Path

import pytest
from support.faults.fleet import Fleet, Scenario
from support.faults.report import Report
from support.faults.world import World

from streams.stack import Stack, kafka_available
from streams.stack.kafka import KafkaNode
from streams.stack.ports import HOST, free_port

NewScenario = Callable[[str, int], AbstractContextManager[Scenario]]
FULL = os.environ.get("FAULTS") == "full"
FULL_ONLY = pytest.mark.skipif(not FULL, reason="`make faults` runs it")
SEED = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(1 << 32))
README = Path(__file__).with_name("README.md")
FIRM_DAYS = 1_200 if FULL else 150  # of work for the firm, at some 16 transactions a day


def pytest_report_header() -> str:
    """What a run is repeated by."""
    return f"faults: {'all' if FULL else 'the short part'}, FAULTS_SEED={SEED}"


@pytest.fixture(scope="session")
def proxied() -> tuple[int, int]:
    """Two ports: where Kafka listens for clients that come by a proxy, and where it tells them that
    it is, which is the proxy's own."""
    return free_port(), free_port()


@pytest.fixture(scope="session")
def kafka_stack(tmp_path_factory: pytest.TempPathFactory, proxied: tuple[int, int]) -> Iterator[Stack]:
    """PostgreSQL, Apache Kafka and a registry: the embedded broker does not survive a kill with its data."""
    if not kafka_available():
        pytest.skip("needs Java and Apache Kafka's jars")
    folder = tmp_path_factory.mktemp("faults")
    plain = KafkaNode._properties
    listens, told = proxied

    def properties(node: KafkaNode) -> dict[str, str]:
        found = plain(node)
        if folder.resolve() not in node.folder.parents:
            return found  # another test's: the ports are this stack's
        found["listeners"] += f",PROXIED://{HOST}:{listens}"
        found["advertised.listeners"] += f",PROXIED://{HOST}:{told}"
        found["listener.security.protocol.map"] += ",PROXIED:PLAINTEXT"
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaNode, "_properties", properties)
        with Stack(folder, "kafka", services=("postgres", "broker", "registry")) as stack:
            yield stack


@pytest.fixture(scope="session")
def report(kafka_stack: Stack) -> Iterator[Report]:
    """What was found; a full run renews the table with it."""
    made = Report()
    yield made
    _renew(made, kafka_stack)


def _renew(report: Report, stack: Stack, *others: str) -> None:
    """Write what a full run found to the README; ``others`` are versions that matter, too."""
    if not FULL or not report.lines:
        return
    connection = stack.postgres.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            (postgres,) = cursor.fetchone() or ("unknown",)
    finally:
        connection.close()
    kafka = f"Apache Kafka {_kafka_version()}"
    librdkafka = f"librdkafka by confluent-kafka {version('confluent-kafka')}"
    report.write(README, ", ".join([f"PostgreSQL {postgres}", kafka, librdkafka, *others]))


def _kafka_version() -> str:
    from streams.stack.jars import kafka_jars

    jars = sorted(Path(kafka_jars()).glob("kafka-clients-*.jar"))
    return jars[-1].stem.rpartition("-")[2] if jars else "unknown"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The test's own, so that it has the same moments when it runs alone."""
    return random.Random(f"{SEED} {request.node.name}").randrange(1 << 32)


@pytest.fixture
def world(kafka_stack: Stack, tmp_path: Path, seed: int, report: Report) -> Iterator[World]:
    """A source of the four tables, nothing in them yet."""
    made = World(kafka_stack, tmp_path, seed, report)
    try:
        yield made
    finally:
        made.close()


class Fleets:
    """The fleet of all tests, and a new one after a test that failed: what was lost once stays lost."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self.report = Report("table of the cluster")
        self._factory = factory
        self._fleet: Fleet | None = None

    def sound(self) -> Fleet:
        """One that has not failed."""
        if self._fleet is None or not self._fleet.sound:
            self.close()
            self._fleet = Fleet(self._factory.mktemp("fleet"), FIRM_DAYS).open()
        return self._fleet

    def close(self) -> None:
        """Stop it."""
        fleet, self._fleet = self._fleet, None
        if fleet is not None:
            with closing(fleet):
                _renew(
                    self.report,
                    fleet.stack,
                    *(f"{one} {version(one)}" for one in ("faust-streaming", "aiokafka")),
                )


@pytest.fixture(scope="session" if FULL else "module")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleets]:
    """One for all tests on three brokers; the short part has one module of them, and others wait behind it."""
    if not kafka_available():
        pytest.skip("needs Java and Apache Kafka's jars")
    made = Fleets(tmp_path_factory)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def scenario(fleets: Fleets, seed: int) -> NewScenario:
    """``with scenario(name, workers) as it:`` load on so many workers, judged and reported at the end."""
    fleet = fleets.sound()
    return lambda name, workers: fleet.scenario(name, seed, workers, fleets.report)


@pytest.fixture
def fleet(fleets: Fleets) -> Fleet:
    """The firm, its brokers and its crew."""
    return fleets.sound()
