"""The pipeline with several workers, each process started again when it ends, as an operator's would be."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from connectors.demo.pipeline import Pipeline
from streams.stack.process import ChildProcess, Command

PAUSE_S = 0.5  # between an end and the next start
POLL_S = 0.05
READY_S = 90.0
END_S = 40.0
WORKERS = ("worker-0", "worker-1", "worker-2")


class Crew(Pipeline):
    """Sources, sinks and three workers; a process that ends by itself is started again.

    ``special`` holds settings that only one process has, by its name.
    ``ended`` counts ends that nobody asked for, by name and exit code.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        sinks: tuple[str, ...],
        special: Mapping[str, Mapping[str, str]],
    ) -> None:
        super().__init__(folder, environment, sinks=sinks)
        self._special = {name: dict(settings) for name, settings in special.items()}
        self.ended: Counter[tuple[str, int]] = Counter()
        del self.processes["worker"]
        for name in WORKERS:
            self.processes[name] = ChildProcess(name, folder / "logs" / f"{name}.log", stop_timeout_s=END_S)
        self._read: dict[str, int] = {}
        self._wanted: set[str] = set()
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def start(self, *names: str) -> None:
        """Start processes, all by default, and supervise from the first time on."""
        with self._lock:
            super().start(*names)
            self._wanted |= set(names or self.processes)
        if self._supervisor.ident is None:
            self._supervisor.start()

    def stop(self) -> None:
        """Stop all for good."""
        self._stopped.set()
        if self._supervisor.ident is not None:
            self._supervisor.join()
        super().stop()

    def kill(self, *names: str) -> None:
        """SIGKILL some that run; none is started again until `start` is called."""
        for name in names:
            _wait(partial(self._killed, name), partial("{} does not run".format, name))

    def _killed(self, name: str) -> bool:
        with self._lock:
            if not self.processes[name].running:
                return False
            self._wanted.discard(name)
            self.processes[name].kill()
            return True

    def kill_and_start(self, *names: str) -> None:
        """SIGKILL some that run, and then start them again."""
        self.kill(*names)
        self.start(*names)

    def dismiss(self, name: str) -> None:
        """SIGTERM one, and leave it so."""
        with self._lock:
            self._wanted.discard(name)
            self.processes[name].stop()

    @contextlib.contextmanager
    def settings(self, name: str, settings: Mapping[str, str]) -> Iterator[None]:
        """One process with other settings than usual, until the block ends."""
        usual = self._special[name]
        try:
            self._special[name] = {**usual, **settings}
            self.restart(name)
            yield
        finally:
            self._special[name] = usual
            self.restart(name)

    def restart(self, name: str) -> None:
        """SIGTERM one and start it again."""
        self.dismiss(name)
        self.start(name)

    def wait_ready(self, *names: str) -> None:
        """Return once all of these workers process; a start that fails is followed by another."""
        _wait(
            lambda: all(self.fetch(name, "/readyz") is not None for name in names),
            lambda: f"not all are ready of {names}; ended: {dict(self.ended)}",
        )

    def wait_end(self, name: str, code: int) -> None:
        """Return once it has ended by itself with this code."""
        _wait(
            lambda: self.ended[name, code] > 0, lambda: f"{name} did not end with {code}: {dict(self.ended)}"
        )

    def tracebacks(self) -> list[str]:
        """Processes that showed people a traceback since this was asked last; as a field of a log line it
        is welcome."""
        found = []
        for name, process in self.processes.items():
            text = process.log.read_text(encoding="utf-8", errors="replace")
            new, self._read[name] = text[self._read.get(name, 0) :], len(text)
            if any(line.startswith("Traceback") for line in new.splitlines()):
                found.append(f"{name}: {process.log}")
        return found

    def _supervise(self) -> None:
        while not self._stopped.wait(POLL_S):
            for name, process in self.processes.items():
                with self._lock:  # `dismiss` holds it until the end that it waits for is no more to be seen
                    if (code := process.exit_code) is None:
                        continue
                    self.ended[name, code] += 1
                self._stopped.wait(PAUSE_S)
                with self._lock:
                    if name in self._wanted and process.crashed and not self._stopped.is_set():
                        super().start(name)

    def _command(self, name: str) -> Command:
        command = super()._command(name)
        environment = {**(command.environment or {}), **self._special.get(name, {})}
        if name in WORKERS:
            environment["TALLYSTREAM_WORKER_ID"] = name
        return Command(command.argv, environment)


def _wait(condition: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + READY_S
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(POLL_S)
