"""``bench latency``: the whole pipeline under a steady load, from commit to a readable billing record.

Stack, sources, worker and warehouse sink run as in production, each a process. The load and the reader are
processes of their own, too. At the end the topics must say what the oracle says.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url

from connectors.bench.arrivals import Arrivals, quantiles, way_of_each_change
from connectors.bench.history import TABLE, HistoryProgress, write_history
from connectors.bench.measure import Show
from connectors.bench.process import cpu_seconds
from connectors.bench.rerating import Rerating, raise_default_prices
from connectors.demo.pipeline import Pipeline
from connectors.proof.judge import Judge
from connectors.reference.firm import Firm, FirmSettings, connect, plan
from connectors.reference.schema import SYSTEMS
from streams.errors import DependencyUnavailable
from streams.serde import Decoder, Registry
from streams.stack import Stack
from streams.stack.jars import kafka_version

# Lanes of a flow. Two cores can't use more, and each lane has a producer of its own.
PARTITIONS = 2
# Connections, schemas and code are warm after it; what is committed meanwhile is not counted.
WARM_UP_S = 3
# A busy machine starts a worker in a minute and a half; an idle one in three seconds.
READY_S = 180.0
# The writer keeps its pace or the figures are of another load.
PACE_KEPT = 0.95
# For the writer to start and end beyond the seconds that it writes.
WRITER_PATIENCE_S = 60.0
# A share of the changes may meet in one slice, where the later of an entry replaces the earlier.
SEEN_SHARE = 0.5
PROGRESS_S = 0.5


@dataclass(frozen=True, slots=True)
class LatencySettings:
    """Size and place of a run: ``broker`` is ``embedded`` or ``kafka``, of ``nodes`` 1 or 3.

    ``history`` is how many entries there are before, which come by a backfill while it is measured;
    ``rerate`` measures once more, after a change of the default rates.
    """

    broker: str
    nodes: int
    per_second: int
    seconds: int
    seed: int = 2
    consultants: int = 10
    days: int = 14
    history: int = 0
    rerate: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True)
class LatencyResult:
    """JSON-ready figures; how the topics compare with the oracle; the kept folder."""

    figures: dict[str, Any]
    differences: tuple[str, ...]
    folder: Path | None


def run_latency(settings: LatencySettings, show: Show) -> LatencyResult:
    """Run to the end; raises `DependencyUnavailable` if a part fails or the load can't be kept up."""
    folder = Path(tempfile.mkdtemp(prefix="tallystream-bench-latency-"))
    try:
        load = os.getloadavg()[0]
        with Stack(folder / "stack", broker=settings.broker, kafka_nodes=settings.nodes) as stack:
            result = _Run(settings, folder, stack, show).run()
        figures = {**_circumstances(settings, load), **result.figures}
        return LatencyResult(figures, result.differences, folder if settings.keep else None)
    finally:
        if not settings.keep:
            shutil.rmtree(folder, ignore_errors=True)


class _Run:
    def __init__(self, settings: LatencySettings, folder: Path, stack: Stack, show: Show) -> None:
        self._settings = settings
        self._show = show
        self._bootstrap = stack.broker.bootstrap
        self._environment = {
            **stack.settings_environment(),
            "TALLYSTREAM_PARTITIONS": str(PARTITIONS),
            "TALLYSTREAM_REPLICATION_FACTOR": str(settings.nodes),
            "TALLYSTREAM_DATA_DIR": str(folder / "state"),
            "TALLYSTREAM_EXCEPTION_GRACE_S": "1",
        }
        backfill = {"time": [TABLE]} if settings.history else {}
        self._pipeline = Pipeline(folder, self._environment, sinks=("warehouse",), backfill=backfill)

    def run(self) -> LatencyResult:
        settings = self._settings
        with self._judged_firm() as (firm, judge):
            self._show("starting", 0, 0)
            firm.seed()
            try:
                if settings.history:
                    figures = self._beside_history(firm)
                else:
                    self._pipeline.start()
                    self._pipeline.wait_worker_ready(READY_S)
                    firm.run()
                    judge.wait(judge.expect(), self._pipeline.check)
                    figures = self._measure()
                if settings.rerate:
                    figures["rerating"] = self._beside_rerating()
                self._show("comparing with the oracle", 0, 0)
                differences = self._compare(judge)
            finally:
                self._pipeline.stop()
        return LatencyResult(figures, differences, None)

    def _beside_history(self, firm: Firm) -> dict[str, Any]:
        """Measure what is live from when the history begins to be applied; then wait for the rest of it."""
        settings = self._settings
        firm.run()
        self._show("writing the history", 0, 0)
        dsns = {system: self._environment[f"TALLYSTREAM_{system.upper()}_DSN"] for system in ("erp", "time")}
        rows = write_history(dsns, settings.history)
        self._pipeline.start()
        self._pipeline.wait_worker_ready(READY_S)
        with contextlib.closing(HistoryProgress(self._bootstrap)) as progress:
            progress.wait_published(rows, self._pipeline.check)
            before, began = progress.applied(), time.monotonic()
            reached: list[int] = []
            figures = self._measure(lambda: reached.append(progress.applied()))
            beside, took = reached[-1], settings.seconds + WARM_UP_S
            whole = progress.published()
            self._show("the rest of the history", 0, 0)
            progress.wait_applied(self._pipeline.check)
        return {
            **figures,
            "history": settings.history,
            # Or what is live was not measured beside it.
            "history_left_when_measured": whole - beside,
            "history_beside_live_per_s": round((beside - before) / took),
            "history_per_s": round((whole - before) / (time.monotonic() - began)),
        }

    def _beside_rerating(self) -> dict[str, Any]:
        """Measure what is live from when the default rates have other prices; then wait for the rest."""
        rerating = Rerating(lambda: self._pipeline.fetch("worker", "/metrics"))
        raise_default_prices(self._environment["TALLYSTREAM_ERP_DSN"])
        reached: list[int] = []
        figures = self._measure(lambda: reached.append(rerating.look()), rerating.look)
        self._show("rating the rest again", 0, 0)
        done, took = rerating.wait(self._pipeline.check)
        return {
            "commit_to_billing_ms": figures["commit_to_billing_ms"],
            "entries": done,
            # Or what is live was not measured beside it.
            "entries_left_when_measured": done - reached[-1],
            "entries_per_s": round(done / took) if took else 0,
        }

    def _measure(
        self, look: Callable[[], object] = lambda: None, look_on: Callable[[], object] = lambda: None
    ) -> dict[str, Any]:
        """Write, ``look`` meanwhile, and ``look_on`` until nothing arrives any more."""
        start = datetime.now(UTC) + timedelta(seconds=WARM_UP_S)
        with Arrivals(self._bootstrap) as arrivals:
            before, began = self._cpu(), time.monotonic()
            written = self._write(lambda: len(arrivals.seen), look)
            after, took = self._cpu(), time.monotonic() - began
            self._quiet(lambda: len(arrivals.seen), look_on)
        with contextlib.closing(Registry(self._environment["TALLYSTREAM_REGISTRY_URL"])) as registry:
            decode = Decoder(registry).decode
            ways = way_of_each_change([(seen.at, decode(seen.value)) for seen in arrivals.seen], start)
        if len(ways) < SEEN_SHARE * self._settings.per_second * self._settings.seconds:
            raise DependencyUnavailable(f"only {len(ways)} of {written['changes']} changes came out")
        found = quantiles(ways)
        return {
            "commit_to_billing_ms": found.pop("total"),
            "hops_ms": found,
            "changes": written["changes"],
            "changes_seen": len(ways),
            "reached_per_s": round(written["changes"] / written["took_s"], 1),
            "writer_late_p99_ms": round(written["late_p99_ms"], 2),
            "cpu_share": {name: round((after[name] - used) / took, 3) for name, used in before.items()},
        }

    def _write(self, seen: Callable[[], int], look: Callable[[], object]) -> dict[str, float]:
        """Run the writer; `DependencyUnavailable` if it fails or falls behind."""
        settings = self._settings
        seconds = settings.seconds + WARM_UP_S
        arguments = [str(number) for number in (settings.per_second, seconds, settings.seed)]
        writer = subprocess.Popen(
            [sys.executable, "-m", "connectors.bench.corrections", *arguments],
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 2 * seconds + WRITER_PATIENCE_S
        try:
            while writer.poll() is None:
                self._pipeline.check()
                look()
                self._show(
                    "changes", min(seen(), settings.per_second * seconds), settings.per_second * seconds
                )
                if time.monotonic() > deadline:
                    raise DependencyUnavailable(f"the writer can't make {settings.per_second} changes/s")
                time.sleep(PROGRESS_S)
        finally:
            writer.kill()
            output, errors = writer.communicate()
        if writer.returncode:
            lines = errors.strip().splitlines()
            raise DependencyUnavailable(f"the writer failed: {lines[-1] if lines else 'no output'}")
        written: dict[str, float] = json.loads(output)
        rate = written["changes"] / written["took_s"]
        if rate < PACE_KEPT * settings.per_second:
            raise DependencyUnavailable(f"the writer made only {rate:.0f} of {settings.per_second} changes/s")
        return written

    def _quiet(self, seen: Callable[[], int], look: Callable[[], object]) -> None:
        """Return once nothing has arrived for a while, and look meanwhile."""
        before = -1
        while before != (before := seen()):
            self._pipeline.check()
            look()
            time.sleep(4 * PROGRESS_S)

    def _cpu(self) -> dict[str, float]:
        """CPU seconds so far of each of our processes."""
        pids = {name: process.pid for name, process in self._pipeline.processes.items()}
        return {name: cpu_seconds(pid) for name, pid in pids.items() if pid is not None}

    def _compare(self, judge: Judge) -> tuple[str, ...]:
        """What differs from the oracle, in the warehouse and in the topics."""
        expected = judge.expect()
        warehouse = judge.wait(expected, self._pipeline.check)
        with contextlib.closing(Registry(self._environment["TALLYSTREAM_REGISTRY_URL"])) as registry:
            topics = judge.compare_topics(expected, self._bootstrap, Decoder(registry))
        return tuple(str(line) for line in (*warehouse.differences, *topics.differences))

    @contextlib.contextmanager
    def _judged_firm(self) -> Iterator[tuple[Firm, Judge]]:
        settings, environment = self._settings, self._environment
        engines = connect({system: environment[f"TALLYSTREAM_{system.upper()}_DSN"] for system in SYSTEMS})
        bi = make_url(environment["TALLYSTREAM_BI_DSN"]).set(drivername="postgresql+psycopg2")
        warehouse = create_engine(bi)
        try:
            planned = plan(FirmSettings(settings.seed, settings.consultants, settings.days))
            yield Firm(planned, engines), Judge(engines, warehouse)
        finally:
            for engine in (*engines.values(), warehouse):
                engine.dispose()


def _circumstances(settings: LatencySettings, load: float) -> dict[str, Any]:
    versions = {"tallystream": version("tallystream")}
    if settings.broker == "kafka":
        versions["kafka"] = kafka_version()
    return {
        "broker": settings.broker,
        "brokers": settings.nodes,
        "per_second": settings.per_second,
        "seconds": settings.seconds,
        "cores": os.cpu_count(),
        "load_at_start": round(load, 2),  # of others: figures of a busy machine are no figures
        "versions": versions,
    }
