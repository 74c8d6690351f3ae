"""Runs the benchmark: servers, our source, then Debezium with two settings, and the ratios."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from connectors.bench.contenders import Contender, Debezium, Ours
from connectors.bench.load import first_line
from connectors.bench.measure import Figures, Measurement, Show, Size
from streams.errors import DependencyUnavailable
from streams.logs import LIBRDKAFKA
from streams.stack import Stack, kafka_available
from streams.stack.connect_jars import connect_available, connect_jars, debezium_version
from streams.stack.jars import kafka_version

SERVICES = ("postgres", "broker", "registry")
TOPIC_TIMEOUT_S = 30.0
OURS, DEFAULTS, POLL_1MS = "ours", "debezium", "debezium_poll_1ms"


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """Size and place of a run. ``heap`` is the most that Debezium's JVM takes for its objects."""

    size: Size
    broker: str
    heap: str
    debezium: bool
    keep: bool


@dataclass(frozen=True, slots=True)
class BenchResult:
    """The JSON-ready figures; whether all topics say what the table says; the kept folder."""

    figures: dict[str, Any]
    right: bool
    folder: Path | None


def run_bench(settings: BenchSettings, show: Show) -> BenchResult:
    """Run to the end; raises `DependencyUnavailable` if a part of it fails."""
    if settings.debezium:
        connect_jars()  # before anything is measured
    folder = Path(tempfile.mkdtemp(prefix="tallystream-bench-cdc-"))
    try:
        load = os.getloadavg()[0]
        with Stack(folder / "stack", broker=settings.broker, services=SERVICES) as stack:
            measured = {
                contender.name: _measure(stack, contender, settings.size, show)
                for contender in _contenders(stack, folder, settings)
            }
        return BenchResult(
            {**_circumstances(settings, load), **_results(measured)},
            all(one.different == 0 and one.rows > 0 for one in measured.values()),
            folder if settings.keep else None,
        )
    except psycopg.Error as error:
        raise DependencyUnavailable(f"the benchmark's database: {first_line(error)}") from None
    finally:
        if not settings.keep:
            shutil.rmtree(folder, ignore_errors=True)


def default_broker() -> str:
    """Apache Kafka where it can run, else the embedded broker."""
    return "kafka" if kafka_available() else "embedded"


def debezium_possible(broker: str) -> bool:
    """Whether Debezium can be measured, too: Kafka Connect needs Java, and Apache Kafka as its broker."""
    return broker == "kafka" and connect_available()


def _contenders(stack: Stack, folder: Path, settings: BenchSettings) -> list[Contender]:
    contenders: list[Contender] = [Ours(stack, folder, OURS)]
    if settings.debezium:
        contenders.append(Debezium(stack, folder, DEFAULTS, {}, settings.heap))
        contenders.append(Debezium(stack, folder, POLL_1MS, {"poll.interval.ms": "1"}, settings.heap))
    return contenders


def _measure(stack: Stack, contender: Contender, size: Size, show: Show) -> Figures:
    # Made before, so that both find the same topic, and its end can be watched from the start.
    admin = AdminClient({"bootstrap.servers": stack.broker.bootstrap}, logger=logging.getLogger(LIBRDKAFKA))
    admin.create_topics([NewTopic(contender.topic, 1, 1)])[contender.topic].result(TOPIC_TIMEOUT_S)
    return Measurement(stack, contender, size, show).run()


def _circumstances(settings: BenchSettings, load: float) -> dict[str, Any]:
    versions = {name: version(name) for name in ("tallystream", "confluent-kafka", "psycopg")}
    if settings.broker == "kafka":
        versions["kafka"] = kafka_version()
    if settings.debezium:
        versions["debezium"] = debezium_version()
    return {
        "rows": settings.size.rows,
        "seconds": settings.size.seconds,
        "paced_per_s": settings.size.per_second,
        "broker": settings.broker,
        "debezium_heap": settings.heap if settings.debezium else None,
        "cores": os.cpu_count(),
        "load_at_start": round(load, 2),  # of others: figures of a busy machine are no figures
        "versions": versions,
    }


def _results(measured: dict[str, Figures]) -> dict[str, Any]:
    names = (OURS, DEFAULTS, POLL_1MS)
    found = {name: measured[name].as_json() if name in measured else None for name in names}
    ours, theirs = measured[OURS], measured.get(DEFAULTS)
    ratios: dict[str, float | None] = dict.fromkeys(
        ("snapshot_vs_debezium", "streaming_vs_debezium", "latency_vs_debezium")
    )
    if theirs is not None:
        ratios = {
            "snapshot_vs_debezium": round(ours.snapshot_rows_per_s / theirs.snapshot_rows_per_s, 2),
            "streaming_vs_debezium": round(ours.streaming_rows_per_s / theirs.streaming_rows_per_s, 2),
            # Of the 99th percentiles; below one is better.
            "latency_vs_debezium": round(ours.latency_p99_ms / theirs.latency_p99_ms, 4),
        }
    return {**found, "ratios": ratios}
