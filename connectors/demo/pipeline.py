"""The pipeline's own processes: three sources, a worker, two sinks, each a ``tallystream`` command.

Used by the demo, by fault tests and by benchmarks: any of them can be killed and started again.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from connectors.reference.schema import SYSTEMS
from streams.errors import DependencyUnavailable
from streams.stack.ports import free_port
from streams.stack.process import ChildProcess, Command, last_line

SOURCES = tuple(SYSTEMS)
SINKS = ("warehouse", "redis")
READY_SECONDS = 60.0


class Pipeline:
    """Our processes over one stack. ``environment`` holds the stack's settings (``TALLYSTREAM_*``).

    ``backfill``: by system, the tables whose snapshots go apart from their changes.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        sinks: Sequence[str] = SINKS,
        backfill: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._sinks = sinks
        self._backfill = backfill
        self.http_ports: dict[str, int] = {}
        self.processes: dict[str, ChildProcess] = {}
        names = [*(f"source-{system}" for system in SOURCES), "worker", *(f"sink-{sink}" for sink in sinks)]
        for name in names:
            self.processes[name] = ChildProcess(name, folder / "logs" / f"{name}.log")

    def start(self, *names: str) -> None:
        """Start processes, all by default; they become ready on their own."""
        for name in names or self.processes:
            self.processes[name].start(self._command(name))

    def stop(self) -> None:
        """Stop all, the first of the flow first, so that the later ones can finish."""
        for process in self.processes.values():
            process.stop()

    def kill(self, name: str) -> None:
        """SIGKILL one."""
        self.processes[name].kill()

    def wait_worker_ready(self, timeout_s: float = READY_SECONDS) -> None:
        """Return once the worker processes; `DependencyUnavailable` if it ends or takes too long."""
        worker = self.processes["worker"]
        worker.wait_ready(lambda: self.fetch("worker", "/readyz") is not None, timeout_s)

    def fetch(self, name: str, path: str) -> str | None:
        """What a process answers over HTTP; None if it does not answer, or not with 200."""
        url = f"http://127.0.0.1:{self.http_ports[name]}{path}"
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                return str(response.read().decode())
        except (urllib.error.URLError, OSError):
            return None

    def check(self) -> None:
        """`DependencyUnavailable` with its last words if any process has ended by itself."""
        for name, process in self.processes.items():
            if process.crashed:
                raise DependencyUnavailable(f"{name} ended: {last_line(process.log)} (log: {process.log})")

    def _command(self, name: str) -> Command:
        kind, _, argument = name.partition("-")
        environment = dict(self._environment)
        if kind == "source":
            arguments = ["source", "run", str(self._source_config(argument))]
        else:
            self.http_ports[name] = free_port()
            environment["TALLYSTREAM_HTTP_PORT"] = str(self.http_ports[name])
            arguments = ["worker"] if kind == "worker" else ["sink", "run", argument]
        return Command([sys.executable, "-m", "streams", *arguments], environment)

    def _source_config(self, system: str) -> Path:
        path = self._folder / f"source-{system}.toml"
        partitions = self._environment.get("TALLYSTREAM_PARTITIONS", "4")
        path.write_text(
            f'name = "{system}"\ndsn_env = "TALLYSTREAM_{system.upper()}_DSN"\n'
            f'tables = ["public.*"]\npartitions = {partitions}\n'
            f"backfill = {json.dumps(list(self._backfill.get(system, ())))}\n",
            encoding="utf-8",
        )
        return path


def wait_until(condition: object, timeout_s: float, pause_s: float = 0.1) -> bool:
    """Whether ``condition()`` became true in time."""
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(pause_s)
    return bool(condition())
