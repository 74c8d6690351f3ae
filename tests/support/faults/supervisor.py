"""`tallystream source` as a process, and a supervisor that starts it again as an operator's would."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import connectors

COMMAND = "from streams.cli.main import main; main()"
UNREACHABLE = 3  # the exit code with which a start may be tried again
PAUSE_S = 0.2  # between two starts
END_S = 60.0  # in which a source must end when it is asked to


@dataclass(frozen=True)
class Ended:
    """A finished command: its exit code, and the lines that it said."""

    code: int
    lines: list[str]


class Commands:
    """Runs ``tallystream source <command> CONFIG`` with the servers' addresses; output goes to ``log``."""

    def __init__(self, config: Path, bootstrap: str, registry: str, log: Path) -> None:
        self.log = log
        self._arguments = [str(config), "--kafka", bootstrap, "--registry", registry]

    def start(self, command: str, *options: str) -> subprocess.Popen[bytes]:
        """Start it, and return at once."""
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-c", COMMAND, "source", command, *self._arguments, *options],
                cwd=Path(connectors.__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self, command: str, *options: str, seconds: float = 180.0) -> Ended:
        """Run it to its end."""
        before = len(self.lines())
        process = self.start(command, *options)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
            process.wait()
        return Ended(code, self.lines()[before:])

    def lines(self) -> list[str]:
        """All that was said so far."""
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []

    def assert_no_traceback(self) -> None:
        """Whatever happened was said in lines that are meant for a reader."""
        assert not [line for line in self.lines() if "Traceback" in line], self.log


class Supervised(threading.Thread):
    """``with Supervised(commands) as source:`` keeps it running: started again after a kill, and after
    exit code 3. Any other end is final. At the end it is asked to stop, and must end with 0."""

    def __init__(self, commands: Commands) -> None:
        super().__init__(daemon=True)
        self.starts = 0
        self.unreachable = 0
        """How often it ended with exit code 3."""
        self.halted: int | None = None
        """The exit code of an end that no start may follow."""
        self._commands = commands
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        while True:
            with self._lock:
                if self._stopped.is_set():
                    return
                self._process = process = self._commands.start("run")
                self.starts += 1
            code = process.wait()
            if self._stopped.is_set():
                return
            if code == UNREACHABLE:
                self.unreachable += 1
            elif code >= 0:
                self.halted = code
                return
            self._stopped.wait(PAUSE_S)

    def kill(self) -> None:
        """SIGKILL: the next start follows by itself. Not while there is no process to be killed."""
        deadline = time.monotonic() + END_S
        while True:
            process = self._process
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
                return
            assert time.monotonic() < deadline, "the source does not run"
            time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM; it must end cleanly."""
        with self._lock:
            self._stopped.set()
            process = self._process
        if process is not None and self.halted is None:
            running = process.poll() is None
            process.terminate()
            try:
                code = process.wait(END_S)
            finally:
                process.kill()
                process.wait()
            assert not running or code == 0, f"SIGTERM ended it with {code}: {self._commands.log}"
        self.join(END_S)

    def __enter__(self) -> Supervised:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
            return
        self._stopped.set()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def said(lines: list[str], *words: str) -> list[str]:
    """The lines that hold all of ``words``."""
    return [line for line in lines if all(word in line for word in words)]


def toml(settings: dict[str, object]) -> str:
    """Settings as a configuration file has them."""
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items()) + "\n"
