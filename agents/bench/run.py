"""Runs the benchmark: broker and inputs, then our worker, then the plain program, then the comparison."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agents.bench.changes import entries_for, entry_changes
from agents.bench.compare import Comparison, compare, read_segments
from agents.bench.firm import Firm, make_firm
from agents.bench.inputs import PLAIN_PREFIX, TIME_ENTRY, InputWriter
from agents.bench.measure import Job, Measured, measure
from agents.bench.topics import Positions
from agents.billing.flow import billing_flow
from agents.billing.segments import Segment
from streams.contracts import Contracts, load_contracts, load_schema
from streams.contracts.topics import create_topics, topic_config
from streams.serde import Decoder, Registry
from streams.settings import load_settings
from streams.stack import Stack
from streams.stack.jars import kafka_version
from streams.stack.ports import free_port
from streams.stack.process import ChildProcess, Command
from streams.worker.preparation import prepare

SERVICES = ("broker", "registry")
RATED, EVENTS, CURRENT = "billing.rated", "billing.events", "billing.current"
OUR_GROUP, PLAIN_GROUP = "tallystream-billing", "plain-billing"
PLAIN_TABLES = ("rated", "books", "members")
PACKAGES = ("tallystream", "faust-streaming", "aiokafka", "confluent-kafka", "fastavro", "rocksdict")
PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """Size and place of a run. ``broker`` is ``kafka``, ``embedded`` or HOST:PORT."""

    changes: int
    plain_changes: int
    consultants: int
    broker: str
    partitions: int
    seed: int = 1
    keep: bool = False


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Both measurements and the comparison; ``figures`` are their JSON-ready values."""

    ours: Measured
    plain: Measured
    comparison: Comparison
    figures: dict[str, Any]
    folder: Path | None


Show = Callable[[str, int, int], None]  # what is done, how far, of how much


def run_bench(settings: BenchSettings, show: Show = lambda *_: None) -> BenchResult:
    """Run to the end; raises `DependencyUnavailable` if a part of it fails."""
    folder = Path(tempfile.mkdtemp(prefix="tallystream-bench-"))
    try:
        with Stack(folder / "stack", broker=settings.broker, services=SERVICES) as stack:
            return _Run(settings, folder, stack.settings_environment(), show).run()
    finally:
        if not settings.keep:
            shutil.rmtree(folder, ignore_errors=True)


class _Run:
    def __init__(
        self, settings: BenchSettings, folder: Path, environment: dict[str, str], show: Show
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._show = show
        self._bootstrap = environment["TALLYSTREAM_KAFKA_BOOTSTRAP"]
        self._registry_url = environment["TALLYSTREAM_REGISTRY_URL"]
        self._environment = {
            **os.environ,
            **environment,
            "TALLYSTREAM_PARTITIONS": str(settings.partitions),
            "TALLYSTREAM_DATA_DIR": str(folder / "state"),
        }
        self._contracts: Contracts = load_contracts()
        self._registry = Registry(self._registry_url)
        self._counts = {"A": settings.plain_changes, "B": settings.changes - settings.plain_changes}

    def run(self) -> BenchResult:
        settings = self._settings
        schema_ids = self._prepare()
        firm = make_firm(
            settings.seed,
            settings.consultants,
            {name: entries_for(count) for name, count in self._counts.items()},
        )
        self._write(firm, schema_ids)
        ours = self._measure_ours()
        plain = self._measure_plain(schema_ids)
        self._show("comparing", 0, 0)
        decoder = Decoder(self._registry)
        comparison = compare(
            read_segments(self._bootstrap, CURRENT, decoder),
            read_segments(self._bootstrap, PLAIN_PREFIX + CURRENT, decoder),
            self._is_common(firm),
        )
        figures = _figures(settings, ours, plain, comparison)
        return BenchResult(ours, plain, comparison, figures, self._folder if settings.keep else None)

    def _prepare(self) -> dict[str, int]:
        """Topics and schemas as the worker makes them, and the plain program's."""
        settings = load_settings(
            kafka_bootstrap=self._bootstrap,
            registry_url=self._registry_url,
            partitions=self._settings.partitions,
        )
        schema_ids = prepare(settings, self._contracts, self._registry, [billing_flow()])
        topics = {}
        for name in (TIME_ENTRY, RATED, EVENTS, CURRENT):
            contract = self._contracts.topics[name]
            config = topic_config(contract.cleanup, contract.retention_days)
            topics[PLAIN_PREFIX + name] = (self._settings.partitions, config)
            assert contract.schema is not None
            schema_ids[PLAIN_PREFIX + name] = self._registry.register(
                f"{PLAIN_PREFIX}{name}-value", load_schema(contract.schema)
            )
        for table in PLAIN_TABLES:
            name = f"{PLAIN_GROUP}-{table}-changelog"
            topics[name] = (self._settings.partitions, topic_config("compact", -1))
        create_topics(self._bootstrap, topics)
        return schema_ids

    def _write(self, firm: Firm, schema_ids: dict[str, int]) -> None:
        settings = self._settings
        writer = InputWriter(self._bootstrap, self._contracts, schema_ids)
        writer.write_references(firm.rows)
        changes = entry_changes(firm, settings.seed, self._counts)
        writer.write_changes(
            changes,
            settings.plain_changes,
            lambda done: self._show("writing changes", done, settings.changes),
        )

    def _measure_ours(self) -> Measured:
        port = free_port()
        environment = {**self._environment, "TALLYSTREAM_HTTP_PORT": str(port)}
        command = Command([sys.executable, "-m", "streams", "worker", "--flows", "billing"], environment)
        job = Job(lambda: _answers(f"http://127.0.0.1:{port}/readyz"), [TIME_ENTRY], RATED, [EVENTS, CURRENT])
        return self._measure("worker", command, job, OUR_GROUP, self._settings.changes)

    def _measure_plain(self, schema_ids: dict[str, int]) -> Measured:
        started = self._folder / "plain-started"
        options = {
            "bootstrap": self._bootstrap,
            "registry": self._registry_url,
            "folder": str(self._folder / "plain"),
            "partitions": self._settings.partitions,
            "started": str(started),
            "schema_ids": {name: schema_ids[PLAIN_PREFIX + name] for name in (RATED, EVENTS, CURRENT)},
        }
        argv = [sys.executable, "-m", "agents.bench.plain", json.dumps(options)]
        topics = [PLAIN_PREFIX + name for name in (TIME_ENTRY, RATED, EVENTS, CURRENT)]
        job = Job(started.exists, topics[:1], topics[1], topics[2:])
        command = Command(argv, self._environment)
        return self._measure("plain Faust", command, job, PLAIN_GROUP, self._settings.plain_changes)

    def _measure(self, name: str, command: Command, job: Job, group: str, changes: int) -> Measured:
        process = ChildProcess(name, self._folder / "logs" / f"{name.replace(' ', '-')}.log")
        positions = Positions(self._bootstrap, group)
        self._show(name, 0, changes)
        process.start(command)
        try:
            return measure(process, job, positions, lambda done: self._show(name, done, changes))
        finally:
            process.stop()
            positions.close()

    def _is_common(self, firm: Firm) -> Callable[[Segment], bool]:
        """Roots of the first cohort, and roots of its own for what has no engagement."""
        if self._settings.plain_changes == 0:
            return lambda _: False
        roots = firm.cohorts[0].roots
        return lambda s: s.root_id in roots or s.root_id.startswith("entry:time:A")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS):  # noqa: S310 -- our own loopback URL
            return True
    except (urllib.error.URLError, OSError):
        return False


def _figures(
    settings: BenchSettings, ours: Measured, plain: Measured, comparison: Comparison
) -> dict[str, Any]:
    """The result as JSON-ready values; rates are changes a second, a core's unless ``wall`` is in the name."""
    our_rate, plain_rate = settings.changes / ours.cpu_s, settings.plain_changes / plain.cpu_s
    broker = {"kafka": f"Apache Kafka {kafka_version()}", "embedded": f"noida-db {_version('noida-db')}"}
    return {
        "ours_events_per_s": round(our_rate),
        "plain_faust_events_per_s": round(plain_rate),
        "ratio_vs_plain_faust": round(our_rate / plain_rate, 2),
        "ours_wall_events_per_s": round(settings.changes / ours.wall_s),
        "plain_wall_events_per_s": round(settings.plain_changes / plain.wall_s),
        "ours_cpu_s": round(ours.cpu_s, 2),
        "ours_wall_s": round(ours.wall_s, 2),
        "plain_cpu_s": round(plain.cpu_s, 2),
        "plain_wall_s": round(plain.wall_s, 2),
        "changes": settings.changes,
        "plain_changes": settings.plain_changes,
        "rows_compared": comparison.rows_compared,
        "rows_different": comparison.rows_different,
        "partitions": settings.partitions,
        "broker": broker.get(settings.broker, settings.broker),
        "cores": os.cpu_count(),
        "cpu_model": _cpu_model(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def _version(package: str) -> str:
    return version(package)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
