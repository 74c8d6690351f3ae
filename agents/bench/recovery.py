"""``bench recovery``: how long billing stands still after a SIGKILL, with much state, and what it takes of memory.

One lane has the state of all entries. Its worker is killed and started again; then killed while another one
waits for its lane, first without a standby copy of the state, then with one.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agents.bench.changes import SYSTEM, Staffing, entry_states
from agents.bench.figures import machine
from agents.bench.firm import Firm, Row, make_firm, stamped
from agents.bench.inputs import TIME_ENTRY, InputWriter
from agents.bench.measure import Job, cpu_seconds, measure
from agents.bench.peer import CURRENT, EVENTS, RATED
from agents.bench.topics import Positions
from agents.billing.flow import billing_flow
from streams.contracts import load_contracts
from streams.errors import DependencyUnavailable
from streams.serde import Registry
from streams.settings import load_settings
from streams.stack import Stack
from streams.stack.ports import free_port
from streams.stack.process import ChildProcess, Command, last_line
from streams.worker.preparation import prepare

FLOW: Final = "billing"
PARTITIONS: Final = 1
# The least that brokers allow by default: until then a dead worker is not known to be dead.
SESSION_S: Final = 6
READY_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 0.05
ANSWER_SECONDS: Final = 5.0
# Rows of the firm are in proportion to its entries; measured on this many.
SAMPLE_ENTRIES: Final = 50_000

Show = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """Size and place. ``reference_rows`` None: as many as so many entries come with."""

    entries: int
    broker: str
    consultants: int
    reference_rows: int | None = None
    seed: int = 1


def run_recovery(settings: RecoverySettings, show: Show = lambda *_: None) -> dict[str, Any]:
    """JSON-ready figures; ``ready_s`` counts from the SIGKILL until the lane is open.

    ``cpu_s`` is what the process that opens it has used of CPU since then, all threads together: after a
    restart the start of the program and the reference tables, too. Raises `DependencyUnavailable`.
    """
    folder = Path(tempfile.mkdtemp(prefix="tallystream-bench-recovery-"))
    try:
        where = machine(settings.broker, PARTITIONS)
        with (
            Stack(folder / "stack", broker=settings.broker, services=("broker", "registry")) as stack,
            ExitStack() as running,
        ):
            figures = _Run(settings, folder, stack.settings_environment(), running, show).run()
        return {**figures, **where}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Worker:
    """A worker process, and what it tells of itself."""

    def __init__(self, name: str, environment: Mapping[str, str], folder: Path, standbys: int) -> None:
        self._port = free_port()
        self.process = ChildProcess(name, folder / "logs" / f"{name}-{self._port}.log")
        own = {
            "TALLYSTREAM_HTTP_PORT": str(self._port),
            "TALLYSTREAM_DATA_DIR": str(folder / "state"),
            "TALLYSTREAM_WORKER_ID": name,
            "TALLYSTREAM_STANDBYS": str(standbys),
        }
        argv = [sys.executable, "-m", "streams", "worker", "--flows", FLOW]
        self.process.start(Command(argv, {**environment, **own}))

    def ready(self) -> bool:
        """Whether it is assigned what it gets, and that is open."""
        return self._read("/readyz") is not None

    def has_lane(self) -> bool:
        """Whether its lane is open."""
        return self.ready() and self.metric("tallystream_lanes_open") > 0

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = self._read("/metrics") or ""
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))

    def is_level(self, records: int) -> bool:
        """Whether it has a standby copy of everything."""
        followed = self.metric("tallystream_standby_records_total")
        return followed >= records and self.metric("tallystream_standby_lag_records") == 0

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far."""
        pid = self.process.pid
        if pid is None:
            raise DependencyUnavailable(f"{self.process.name} ended: {last_line(self.process.log)}")
        return cpu_seconds(pid)

    def resident_mb(self) -> dict[str, int]:
        """Memory in MB now, and at its peak."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        kilobytes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.M))
        return {"now": int(kilobytes["VmRSS"]) // 1024, "peak": int(kilobytes["VmHWM"]) // 1024}

    def _read(self, path: str) -> str | None:
        url = f"http://127.0.0.1:{self._port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None

    def wait(self, what: Callable[[], bool]) -> None:
        """Until it holds; `DependencyUnavailable` if the worker ends before, or it takes too long."""
        deadline = time.monotonic() + READY_SECONDS
        while not what():
            if not self.process.running or time.monotonic() > deadline:
                raise DependencyUnavailable(
                    f"{self.process.name} did not get there: {last_line(self.process.log)} "
                    f"(log: {self.process.log})"
                )
            time.sleep(LOOK_SECONDS)


class _Run:
    def __init__(
        self,
        settings: RecoverySettings,
        folder: Path,
        environment: Mapping[str, str],
        running: ExitStack,
        show: Show,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._running = running
        self._show = show
        self._bootstrap = environment["TALLYSTREAM_KAFKA_BOOTSTRAP"]
        self._registry = Registry(environment["TALLYSTREAM_REGISTRY_URL"])
        self._environment = {
            **os.environ,
            **environment,
            "TALLYSTREAM_PARTITIONS": str(PARTITIONS),
            "TALLYSTREAM_SESSION_TIMEOUT_S": str(SESSION_S),
        }

    def run(self) -> dict[str, Any]:
        """All four phases."""
        references = self._write()
        first = self._start("worker-0", 0)
        self._fill(first)
        filled = first.resident_mb()
        restart, first = self._restart(first)
        spare = self._start("worker-1", 0)
        spare.wait(spare.ready)
        takeover = self._take_over(first, spare)
        # The leader of the group decides who keeps copies, by its own setting.
        spare.process.stop()
        active = self._start("worker-1", 1)
        active.wait(active.has_lane)
        standby = self._start("worker-2", 1)
        self._show("following", 0, 0)
        standby.wait(lambda: standby.is_level(restart["records"]))
        followed = standby.resident_mb()
        with_standby = self._take_over(active, standby)
        return {
            "entries": self._settings.entries,
            "reference_rows": references,
            "state_records": restart["records"],
            "session_timeout_s": SESSION_S,
            "restart": restart,
            "takeover": takeover,
            "takeover_with_standby": with_standby,
            "resident_mb_filled": filled,
            "resident_mb_standby": followed,
        }

    def _write(self) -> int:
        contracts = load_contracts()
        settings = load_settings(
            kafka_bootstrap=self._bootstrap,
            registry_url=self._environment["TALLYSTREAM_REGISTRY_URL"],
            partitions=PARTITIONS,
        )
        ids = prepare(settings, contracts, self._registry, [billing_flow()])
        writer = InputWriter(self._bootstrap, contracts, ids)
        firm = self._firm()
        references = writer.write_references(firm.rows)
        total = self._settings.entries
        writer.write_changes(self._entries(firm), 0, lambda done: self._show("writing entries", done, total))
        return references

    def _firm(self) -> Firm:
        settings = self._settings
        if settings.reference_rows is None:
            return make_firm(settings.seed, settings.consultants, {"A": settings.entries})
        # Some rows come with any firm, the others with its entries.
        least, sample = (
            len(make_firm(settings.seed, settings.consultants, {"A": size}).rows)
            for size in (1, SAMPLE_ENTRIES)
        )
        size = SAMPLE_ENTRIES * max(0, settings.reference_rows - least) // (sample - least)
        return make_firm(settings.seed, settings.consultants, {"A": max(1, size)})

    def _entries(self, firm: Firm) -> Iterator[Row]:
        """All entries, approved: open as long as nobody bills them."""
        settings = self._settings
        rng = random.Random(settings.seed)  # noqa: S311 -- entries to repeat, not a secret
        staffing = Staffing(firm, firm.cohorts[0], rng)
        for number in range(settings.entries):
            row = entry_states(staffing, number, number / settings.entries, rng)[1]
            yield stamped(row, SYSTEM, 1_000_000 + number)

    def _start(self, name: str, standbys: int) -> _Worker:
        worker = _Worker(name, self._environment, self._folder, standbys)
        self._running.callback(worker.process.stop)
        return worker

    def _fill(self, worker: _Worker) -> None:
        total = self._settings.entries
        positions = Positions(self._bootstrap, f"tallystream-{FLOW}")
        job = Job(worker.ready, [TIME_ENTRY], RATED, [EVENTS, CURRENT])
        try:
            measure([worker.process], job, positions, lambda done: self._show("billing entries", done, total))
        finally:
            positions.close()

    def _restart(self, worker: _Worker) -> tuple[dict[str, Any], _Worker]:
        self._show("restarting", 0, 0)
        killed = time.monotonic()
        worker.process.kill()
        again = self._start("worker-0", 0)
        again.wait(again.has_lane)
        return _recovered(again, killed, 0.0), again

    def _take_over(self, dies: _Worker, takes: _Worker) -> dict[str, Any]:
        self._show("taking over", 0, 0)
        used = takes.cpu_seconds()
        killed = time.monotonic()
        dies.process.kill()
        takes.wait(takes.has_lane)
        return _recovered(takes, killed, used)


def _recovered(worker: _Worker, killed: float, cpu_before: float) -> dict[str, Any]:
    ready = time.monotonic() - killed
    cpu = worker.cpu_seconds() - cpu_before
    records = int(worker.metric("tallystream_restored_records_total"))
    return {
        "ready_s": round(ready, 2),
        "records": records,
        "cpu_s": round(cpu, 2),
        "records_per_cpu_s": round(records / cpu),
        "resident_mb": worker.resident_mb(),
    }
