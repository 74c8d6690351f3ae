"""A stack that serves until it is told to stop: in this process, or detached from the terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from streams.errors import DependencyUnavailable
from streams.stack.process import last_line
from streams.stack.stack import LOGS, Stack
from streams.stack.state import (
    DataDirLock,
    StackState,
    clear_state,
    end_leftovers,
    read_state,
    wait_ended,
)

WATCH_S = 0.5  # how soon a server that died by itself is noticed
START_TIMEOUT_S = 180.0  # of a detached stack; the first start with Apache Kafka fetches 45 MB
STOP_TIMEOUT_S = 90.0  # the embedded broker may save for a minute
LOG = "stack.log"
# What contains the package `streams`, last in the path so that it hides nothing.
IMPORT_ROOT = Path(__file__).resolve().parents[2]
RUN = "import sys; sys.path.append(sys.argv.pop(1)); from streams.stack.__main__ import main; main()"


@dataclass(frozen=True, slots=True)
class Stopped:
    """What `stop_running` found: a stack that ran, or the names of servers that a crash left running."""

    was_running: bool
    leftovers: tuple[str, ...] = ()


def serve(stack: Stack, ready: Callable[[], None]) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP; call ``ready`` when all servers answer.

    Raise `DependencyUnavailable` if a server ends by itself; the others are stopped then.
    """
    with _signals_interrupt():
        try:
            with stack:
                ready()
                while not (ended := stack.ended()):
                    time.sleep(WATCH_S)
                child = ended[0]
                raise DependencyUnavailable(
                    f"{child.name} ended: {last_line(child.log)} (log: {child.log}); the stack was stopped, "
                    "`tallystream stack up` starts it again with its data"
                )
        except KeyboardInterrupt:
            return


def start_detached(data_dir: Path, arguments: list[str]) -> StackState:
    """Start ``python -m streams.stack`` with arguments as a process of its own; return when it is ready."""
    log = data_dir / LOGS / LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", RUN, str(IMPORT_ROOT), "--data-dir", str(data_dir), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DependencyUnavailable(last_line(log).removeprefix("error: "))
        state = read_state(data_dir)
        if state is not None and state.owner.pid == process.pid and state.environment:
            process.returncode = 0  # it is not ours to wait for any more
            return state
        time.sleep(0.05)
    process.terminate()
    raise DependencyUnavailable(
        f"the stack was not ready within {START_TIMEOUT_S:.0f} s (log: {log}); try again"
    )


def running_state(data_dir: Path) -> StackState | None:
    """The state of the stack that runs in a folder; None if none runs, whatever a crash left there."""
    state = read_state(data_dir)
    return state if state is not None and state.owner.alive else None


def stop_running(data_dir: Path) -> Stopped:
    """Stop the stack that runs in a folder, or what a crashed one left running there."""
    state = read_state(data_dir)
    if state is None:
        return Stopped(was_running=False)
    if state.owner.alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.owner.pid, signal.SIGTERM)
        if not wait_ended([state.owner], STOP_TIMEOUT_S):
            raise DependencyUnavailable(
                f"the stack (process {state.owner.pid}) did not stop within {STOP_TIMEOUT_S:.0f} s; end it by "
                f"`kill -9 {state.owner.pid}`, then run this again"
            )
    lock = DataDirLock(data_dir)
    if not lock.acquire():  # a new stack started meanwhile; what remains is its own
        return Stopped(was_running=True)
    try:
        leftovers = end_leftovers(state)
        clear_state(data_dir)
    finally:
        lock.release()
    return Stopped(was_running=not leftovers, leftovers=tuple(leftovers))


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end us as Ctrl-C does, so that the servers are stopped in order."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
