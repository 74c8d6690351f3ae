"""What a running stack leaves in its data folder, so that other terminals find it and its remains.

``stack.json`` holds addresses and processes, ``lock`` is held as long as the process that runs the
stack lives. A state without a held lock is stale: its process crashed. Processes are known by pid and
start time, so that a pid that was given to another program is never touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from streams.errors import DependencyUnavailable

STATE_FILE = "stack.json"
LOCK_FILE = "lock"
LEFTOVER_TIMEOUT_S = 5.0  # for servers of a crashed stack to end after SIGTERM, then SIGKILL


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process: its id and when it started, in the system's own notation."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return start_time(self.pid) == self.started


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """A server: name, address as clients take it without secrets, log file, processes."""

    name: str
    address: str
    log: str
    processes: tuple[ProcessRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class StackState:
    """A stack as its process described it. ``environment`` holds passwords: the file is mode 0600."""

    owner: ProcessRecord
    broker: str
    services: tuple[ServiceRecord, ...]
    environment: dict[str, str]


def start_time(pid: int) -> str | None:
    """When the process started, as an opaque string; None if there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
    except ProcessLookupError:
        return None
    answer = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],  # noqa: S607  wherever a system without /proc keeps it
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or None


def record_process(pid: int) -> ProcessRecord:
    """The record of a process that runs now."""
    return ProcessRecord(pid, start_time(pid) or "")


def write_state(data_dir: Path, state: StackState) -> None:
    """Replace the state file, whole or not at all."""
    path = data_dir / STATE_FILE
    scratch = path.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600)
    scratch.write_text(json.dumps(asdict(state), indent=2), encoding="utf-8")
    scratch.replace(path)


def read_state(data_dir: Path) -> StackState | None:
    """What the last stack wrote; None if there was none, or it stopped cleanly."""
    try:
        raw = json.loads((data_dir / STATE_FILE).read_text(encoding="utf-8"))
        services = tuple(
            ServiceRecord(
                s["name"],
                s["address"],
                s["log"],
                tuple(ProcessRecord(**process) for process in s["processes"]),
            )
            for s in raw["services"]
        )
        return StackState(ProcessRecord(**raw["owner"]), raw["broker"], services, dict(raw["environment"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise DependencyUnavailable(
            f"{data_dir / STATE_FILE} was written by another version; stop that stack, then remove the file"
        ) from None


def clear_state(data_dir: Path) -> None:
    """Forget the stack."""
    (data_dir / STATE_FILE).unlink(missing_ok=True)


def end_leftovers(state: StackState) -> list[str]:
    """End the servers of a stack whose process is gone; return their names.

    Only needed where the kernel did not do it, or for a server that is still saving its data.
    """
    found = [(service.name, process) for service in state.services for process in service.processes]
    alive = [(name, process) for name, process in found if process.alive]
    for sent in (signal.SIGTERM, signal.SIGKILL):
        for _name, process in alive:
            if process.alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, sent)
        if wait_ended([process for _name, process in alive], LEFTOVER_TIMEOUT_S):
            break
    return [name for name, _process in alive]


def wait_ended(processes: list[ProcessRecord], timeout_s: float) -> bool:
    """Wait until none of the processes runs; False if one still does after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while any(process.alive for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class DataDirLock:
    """Held while a stack runs in a data folder; the system releases it when the process ends."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / LOCK_FILE
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False if another process, or another stack of ours, has it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
