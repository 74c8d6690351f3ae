"""Workers as processes, input for the exceptions flow, and what came out.

The exceptions flow is the simplest that keeps state: reports in, one record an exception out, whose
``times_seen`` counts the reports that were applied. Reports that are lost or applied twice show in it.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from streams.contracts import load_contracts, load_schema
from streams.contracts.registration import register_schemas
from streams.contracts.topics import contract_topics, create_topics, key_of
from streams.serde import Decoder, Encoder, Registry
from streams.serde.partitioning import partition_of
from streams.stack import Stack

ROOT = Path(__file__).parents[3]
RAISED = "exceptions.raised"
PARTITIONS = 2
READY_SECONDS = 60.0
PATIENCE_SECONDS = 60.0
# The least that a broker allows by default.
SESSION_SECONDS = 6.0
NOW = datetime(2026, 3, 2, tzinfo=UTC)


class Worker:
    """One ``tallystream worker`` process; ``program`` is how Python is told to run ours."""

    def __init__(
        self,
        site: Site,
        name: str,
        flows: str,
        environment: dict[str, str],
        options: Iterable[str] = (),
        program: Iterable[str] = ("-m", "streams"),
    ) -> None:
        self.log = site.folder / f"{name}-{len(site.workers)}.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        variables = {k: v for k, v in os.environ.items() if not k.startswith("TALLYSTREAM_")}
        variables |= {
            **site.stack.settings_environment(),
            "TALLYSTREAM_DATA_DIR": str(site.folder / name),
            "TALLYSTREAM_WORKER_ID": name,
            "TALLYSTREAM_PARTITIONS": str(PARTITIONS),
            "TALLYSTREAM_HTTP_PORT": str(self.port),
            "TALLYSTREAM_SESSION_TIMEOUT_S": str(SESSION_SECONDS),
            **environment,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "worker", "--flows", flows, *options],
                env=variables,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def output(self) -> str:
        """Everything it has said."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait_ready(self) -> Worker:
        """Until it processes."""
        wait_for(self._ready_or_dead, READY_SECONDS, self.output)
        return self

    def _ready_or_dead(self) -> bool:
        assert self.process.poll() is None, self.output()
        return self.is_ready()

    def wait_end(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    def terminate(self) -> tuple[int, float]:
        """SIGTERM; the exit code, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        return code, time.monotonic() - began

    def kill(self) -> None:
        """As a power cut would."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def error_line(self) -> str:
        """The last line that it printed as an error."""
        lines = [line for line in self.output().splitlines() if line.startswith("error: ")]
        assert lines, self.output()
        return lines[-1]

    def printed_traceback(self) -> bool:
        """Whether people see one; as a field of a log line it is welcome."""
        return any(line.startswith("Traceback") for line in self.output().splitlines())

    def restored(self) -> dict[str, int]:
        """Records restored by lane, as logged."""
        found = re.findall(r'"lane": "([^"]+)", "records": (\d+), "event": "lane_restored"', self.output())
        return {lane: int(records) for lane, records in found}


class Site:
    """A stack with topics and schemas, a producer of reports, and workers that are ended at the end."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.workers: list[Worker] = []
        environment = stack.settings_environment()
        self.bootstrap = environment["TALLYSTREAM_KAFKA_BOOTSTRAP"]
        self.registry = Registry(environment["TALLYSTREAM_REGISTRY_URL"])
        self.contracts = load_contracts()
        create_topics(self.bootstrap, contract_topics(self.contracts, PARTITIONS))
        self.ids = register_schemas(self.registry, self.contracts)
        self.decoder = Decoder(self.registry)
        self._encoder = Encoder(load_schema("events/exception_raised"), self.ids[RAISED])
        self._producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "log_level": 0,
            }
        )
        self._revision = 0

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.kill()
        self._producer.flush(10)
        self.registry.close()

    def worker(
        self,
        name: str = "worker-0",
        flows: str = "exceptions",
        options: Iterable[str] = (),
        program: Iterable[str] = ("-m", "streams"),
        **environment: str,
    ) -> Worker:
        """Start one."""
        worker = Worker(self, name, flows, environment, options, program)
        self.workers.append(worker)
        return worker

    def report(self, subjects: Iterable[str]) -> None:
        """One report for each subject."""
        contract = self.contracts.topics[RAISED]
        for subject in subjects:
            self._revision += 1
            record: dict[str, Any] = {
                "op": "RAISE",
                "revision": self._revision,
                "flow": "test",
                "subject": subject,
                "exception_class": "MISSING_RATE",
                "message": "a test",
                "blocks": "billing",
                "occurred_at": NOW,
                "captured_at": NOW,
                "published_at": NOW,
                "rated_at": NOW,
                "snapshot": False,
            }
            self._producer.produce(
                RAISED,
                self._encoder.encode(record),
                key_of(contract, record),
                partition=partition_of(subject, PARTITIONS),
            )
            self._producer.poll(0)
        assert self._producer.flush(20) == 0

    def seen(self, prefix: str) -> dict[str, int]:
        """How often each exception whose subject begins so was seen, of committed records only."""
        latest: dict[str, int] = {}
        for value in self.read("exceptions"):
            record = self.decoder.decode(value)
            if record["subject"].startswith(prefix):
                latest[record["subject"]] = record["times_seen"]
        return latest

    def wait_seen(self, prefix: str, expected: dict[str, int]) -> None:
        """Until the exceptions are as expected."""
        wait_for(
            lambda: self.seen(prefix) == expected,
            PATIENCE_SECONDS,
            lambda: str(self._differences(prefix, expected)),
        )

    def _differences(self, prefix: str, expected: dict[str, int]) -> dict[str, tuple[int | None, int | None]]:
        seen = self.seen(prefix)
        keys = {key for key in seen | expected if seen.get(key) != expected.get(key)}
        return {key: (seen.get(key), expected.get(key)) for key in sorted(keys)}

    def read(self, topic: str) -> list[bytes]:
        """All committed values of a topic, partition by partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "test-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )
        try:
            partitions = consumer.list_topics(topic, timeout=15).topics[topic].partitions
            consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
            values, ended = [], 0
            while ended < len(partitions):
                message = consumer.poll(20)
                assert message is not None, "the broker went silent"
                if message.error() is None:
                    values.append(message.value())
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    ended += 1
            return values
        finally:
            consumer.close()

    def committed(self, group: str, topic: str) -> int:
        """Sum of a group's committed offsets of a topic."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
        try:
            places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
            return sum(max(place.offset, 0) for place in consumer.committed(places, timeout=15))
        finally:
            consumer.close()


def wait_for(what: Callable[[], bool], seconds: float, why: Callable[[], str]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, why()
        time.sleep(0.05)
