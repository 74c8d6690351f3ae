"""One server process: started, watched until it answers, stopped, and never left behind.

Every child ends with us, however we end: on Linux the kernel sends it ``death_signal`` when we are
gone. The kernel means the *thread* that started the child, so all children are started by one
thread that lives as long as the process.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.errors import DependencyUnavailable

LAUNCHER = Path(__file__).with_name("_launch.py")
POLL_S = 0.01  # readiness is polled this often: the fastest server is ready after 10 ms
POLL_SLOWLY_S = 0.1  # from the second second on, so that waiting for a JVM costs no CPU
TAIL_BYTES = 8192  # enough of a log to hold its last line
MAX_LINE = 300  # characters of a log line quoted in an error


@dataclass(frozen=True, slots=True)
class Account:
    """The system user a server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. ``argv[0]`` is an absolute path; ``environment`` is the whole environment."""

    argv: Sequence[str]
    environment: Mapping[str, str] | None = None
    cwd: Path | None = None
    account: Account | None = None


class ChildProcess:
    """A supervised child. Methods may be called from any thread; `stop` and `kill` end a `wait_ready`.

    ``stop_signals`` ask for an end, the cleanest first, each with ``stop_timeout_s`` to obey; then
    follows SIGKILL.
    ``death_signal`` is sent by the kernel if we end without stopping it.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        *,
        stop_signals: Sequence[signal.Signals] = (signal.SIGTERM,),
        death_signal: signal.Signals = signal.SIGKILL,
        stop_timeout_s: float = 10.0,
    ) -> None:
        self.name = name
        self.log = log
        self.stop_signals = tuple(stop_signals)
        self.death_signal = death_signal
        self.stop_timeout_s = stop_timeout_s
        self.on_start: Callable[[], None] | None = None  # called after each start, before it is ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def running(self) -> bool:
        """Whether the process is alive; says nothing about whether it answers."""
        return self._process is not None and self._process.poll() is None

    @property
    def crashed(self) -> bool:
        """Whether it was started, has ended, and nobody stopped or killed it."""
        return self.exit_code is not None

    @property
    def exit_code(self) -> int | None:
        """What it ended with, if it has `crashed`; minus the signal's number where one ended it."""
        process = self._process
        return process.poll() if process is not None else None

    def start(self, command: Command) -> None:
        """Start the process; its output is appended to the log. Return before it answers."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        account = command.account or Account(-1, -1)
        argv = [
            sys.executable,
            "-I",
            "-S",
            str(LAUNCHER),
            str(os.getpid()),
            str(int(self.death_signal)),
            str(account.uid),
            str(account.gid),
            "--",
            *command.argv,
        ]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = _spawner().run(
                lambda: subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=command.cwd,
                    env=None if command.environment is None else dict(command.environment),
                    # Its own group: Ctrl-C in the terminal reaches only us, and we stop it in order.
                    process_group=0,
                )
            )
        if self.on_start is not None:
            self.on_start()

    def wait_ready(self, probe: Callable[[], bool], timeout_s: float) -> None:
        """Return when ``probe`` is true; raise `DependencyUnavailable` if it ends or takes too long."""
        started = time.monotonic()
        while True:
            if not self.running:
                process = self._process
                if process is None:
                    raise DependencyUnavailable(
                        f"{self.name} was stopped before it was ready; start it again"
                    )
                code = process.returncode
                raise DependencyUnavailable(
                    f"{self.name} ended at start with exit code {code}: {last_line(self.log)} "
                    f"(log: {self.log}); mend that and start again"
                )
            if probe():
                return
            waited = time.monotonic() - started
            if waited > timeout_s:
                line = last_line(self.log)
                self.kill()
                raise DependencyUnavailable(
                    f"{self.name} did not answer within {timeout_s:.0f} s: {line} (log: {self.log}); "
                    "try again when the machine is less busy"
                )
            time.sleep(POLL_S if waited < 1 else POLL_SLOWLY_S)

    def stop(self) -> None:
        """End it by the stop signals, or by SIGKILL if it ignores them; nothing happens if it has ended."""
        process = self._process
        if process is None:
            return
        for stop_signal in self.stop_signals:
            process.send_signal(stop_signal)
            try:
                process.wait(self.stop_timeout_s)
                break
            except subprocess.TimeoutExpired:
                continue
        self.kill()

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


def last_line(log: Path) -> str:
    """The last line of a log that is not blank, shortened; what an operator should read first."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            tail = file.read().decode("utf-8", "replace")
    except OSError:
        return "no log"
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return lines[-1][:MAX_LINE] if lines else "nothing logged"


@dataclass(slots=True)
class _Job:
    make: Callable[[], subprocess.Popen[bytes]]
    done: threading.Event
    result: subprocess.Popen[bytes] | None = None
    error: BaseException | None = None


class _Spawner:
    """The thread that starts all children, and ends only with the process.

    Not an executor: the interpreter ends an executor's threads before the exit handlers run, and the
    servers would get their death signal before we could stop them cleanly.
    """

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="stack-spawner", daemon=True).start()

    def run(self, make: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Call ``make`` in the thread, and return or raise what it does."""
        job = _Job(make, threading.Event())
        self._jobs.put(job)
        job.done.wait()
        if job.error is not None:
            raise job.error
        assert job.result is not None
        return job.result

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job.result = job.make()
            except BaseException as error:
                job.error = error
            job.done.set()


_lock = threading.Lock()
_instance: _Spawner | None = None


def _spawner() -> _Spawner:
    """The process's spawner; a forked child needs a thread of its own."""
    global _instance
    with _lock:
        if _instance is None or _instance.owner != os.getpid():
            _instance = _Spawner()
        return _instance
