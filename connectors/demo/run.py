"""Runs the demo: stack, sources, worker, sinks, a firm at work, and the oracle at the end."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url

from connectors.demo.counters import lane_counters, total
from connectors.demo.figures import Figures, business_digest, read_figures
from connectors.demo.pipeline import Pipeline
from connectors.proof.judge import Judge
from connectors.reference.firm import Firm, FirmSettings, Progress, connect, plan
from streams.serde import Decoder, Registry
from streams.stack import Stack

# Lanes of a flow. Two cores can't use more, and each lane has a producer of its own.
PARTITIONS = 2
# Slow enough for the latency of single changes to show, fast enough for a minute.
CHANGES_PER_SECOND = 450.0
# An exception is shown to people soon: the demo is over in a minute.
GRACE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """Size and place of a run."""

    seed: int = 1
    consultants: int = 40
    days: int = 60
    broker: str = "embedded"
    changes_per_second: float | None = CHANGES_PER_SECOND
    data_dir: Path | None = None
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a run is, for the live view."""

    phase: str
    written: int
    to_write: int
    simulated: str
    counters: dict[tuple[str, str], int]
    different: int | None


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Figures, and the result as JSON-ready values."""

    figures: Figures
    result: dict[str, Any]


def run_demo(settings: DemoSettings, show: Callable[[Snapshot], None] = lambda _: None) -> DemoResult:
    """Run to the end; raises `DependencyUnavailable` if a part of it fails."""
    folder = settings.data_dir or Path(tempfile.mkdtemp(prefix="tallystream-demo-"))
    started = time.monotonic()
    try:
        with Stack(folder / "stack", broker=settings.broker) as stack:
            return _Run(settings, folder, stack, show, started).run()
    finally:
        if not settings.keep and settings.data_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


class _Run:
    def __init__(
        self,
        settings: DemoSettings,
        folder: Path,
        stack: Stack,
        show: Callable[[Snapshot], None],
        started: float,
    ) -> None:
        self._settings = settings
        self._stack = stack
        self._show = show
        self._started = started
        environment = stack.settings_environment()
        self._environment = {
            **environment,
            "TALLYSTREAM_PARTITIONS": str(PARTITIONS),
            "TALLYSTREAM_DATA_DIR": str(folder / "state"),
            "TALLYSTREAM_EXCEPTION_GRACE_S": str(GRACE_SECONDS),
        }
        self._pipeline = Pipeline(folder, self._environment)
        firm_settings = FirmSettings(settings.seed, settings.consultants, settings.days)
        self._plan = plan(firm_settings)
        urls = {system: environment[f"TALLYSTREAM_{system.upper()}_DSN"] for system in ("erp", "crm", "time")}
        self._engines = connect(urls)
        self._warehouse = create_engine(
            make_url(environment["TALLYSTREAM_BI_DSN"]).set(drivername="postgresql+psycopg2")
        )
        self._judge = Judge(self._engines, self._warehouse)
        self._firm = Firm(self._plan, self._engines)
        self._written = Progress(0, len(self._plan.transactions), 0, firm_settings.opening)

    def run(self) -> DemoResult:
        self._report("seeding the firm")
        self._firm.seed()
        try:
            self._report("starting sources, worker and sinks")
            self._pipeline.start()
            self._pipeline.wait_worker_ready()
            self._write_changes()
            self._report("checking against the oracle")
            expected = self._judge.expect()
            comparison = self._judge.wait(expected, self._pipeline.check, self._differing)
            counters = self._counters()
            registry = Registry(self._environment["TALLYSTREAM_REGISTRY_URL"])
            bootstrap = self._environment["TALLYSTREAM_KAFKA_BOOTSTRAP"]
            topics = self._judge.compare_topics(expected, bootstrap, Decoder(registry))
            registry.close()
        finally:
            self._pipeline.stop()
        figures, digest = read_figures(self._warehouse), business_digest(self._warehouse)
        for engine in (*self._engines.values(), self._warehouse):
            engine.dispose()
        return DemoResult(figures, self._result(figures, comparison, topics, counters) | {"digest": digest})

    def _write_changes(self) -> None:
        failure: list[BaseException] = []
        stop = threading.Event()

        def write() -> None:
            try:
                self._firm.run(self._progress, self._pace(), stop)
            except BaseException as error:  # handed to the main thread, which raises it
                failure.append(error)

        writer = threading.Thread(target=write, name="firm", daemon=True)
        writer.start()
        try:
            while writer.is_alive():
                writer.join(0.25)
                self._pipeline.check()
                self._report("the firm works")
        finally:
            stop.set()
            writer.join()
        if failure:
            raise failure[0]

    def _pace(self) -> float | None:
        """Transactions a second that come to the wanted changes a second."""
        wanted = self._settings.changes_per_second
        changes = self._plan.changes()
        return None if wanted is None else wanted * len(self._plan.transactions) / max(changes, 1)

    def _progress(self, progress: Progress) -> None:
        self._written = progress

    def _differing(self, rows: int) -> None:
        self._report("checking against the oracle", rows)

    def _counters(self) -> dict[tuple[str, str], int]:
        return lane_counters(self._pipeline.fetch("worker", "/metrics"))

    def _report(self, phase: str, different: int | None = None) -> None:
        ready = "worker" in self._pipeline.http_ports
        self._show(
            Snapshot(
                phase,
                self._written.changes,
                self._plan.changes(),
                f"{self._written.simulated_at:%d %b %Y}",
                self._counters() if ready else {},
                different,
            )
        )

    def _result(
        self, figures: Figures, warehouse: Any, topics: Any, counters: dict[tuple[str, str], int]
    ) -> dict[str, Any]:
        different = warehouse.rows_different + topics.rows_different
        money = Decimal(warehouse.money_difference) + Decimal(topics.money_difference)
        return {
            "oracle": {
                "rows_compared": warehouse.rows_compared + topics.rows_compared,
                "rows_different": different,
                "money_difference": f"{money:.2f}",
            },
            "differences": [str(line) for line in (*warehouse.differences, *topics.differences)],
            "counts": {
                "source_changes": self._written.changes,
                "time_entry_changes": self._plan.changes("time_entry"),
                "cdc": total(counters, "cdc", "canonical"),
                "canonical": total(counters, "canonical", "canonical"),
                "billing_events": figures.counts["billing_events"],
                "utilization_daily": figures.counts["utilization_daily"],
                "parked": figures.counts["parked"],
                "released": total(counters, "released"),
                "dead_letters": total(counters, "dead_letters"),
                "duplicates_dropped": total(counters, "duplicates_dropped"),
                "exceptions": {row["exception_class"]: row["seen"] for row in figures.exceptions},
            },
            "latency_ms": figures.latency_ms,
            "planted": dict(self._plan.trouble),
            "duration_s": round(time.monotonic() - self._started, 1),
            "broker": f"{self._settings.broker} ({self._environment['TALLYSTREAM_KAFKA_BOOTSTRAP']})",
            "seed": self._settings.seed,
        }
