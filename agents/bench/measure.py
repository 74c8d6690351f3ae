"""Measures a program from the moment it can work until its last output: wall time and CPU time."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.bench.topics import Positions
from streams.errors import DependencyUnavailable
from streams.stack.process import ChildProcess, last_line
from streams.topicreader import Place

READY_SECONDS = 120.0
# Often enough for a run of some seconds, seldom enough to cost nothing next to it.
SAMPLE_SECONDS = 0.2
# Without any progress for this long it hangs.
STALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of a program; ``cpu_s`` counts all threads of its processes, in user and system mode."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Job:
    """What is awaited: the group has applied all of ``inputs``, then all that it wrote to ``between``.

    ``ready`` says whether the program can work. The end is when ``outputs`` grew last.
    """

    ready: Callable[[], bool]
    inputs: Sequence[str]
    between: str
    outputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    cpu: float
    ends: Mapping[Place, int]


def cpu_seconds(pid: int) -> float:
    """CPU time that a running process has used; `DependencyUnavailable` where the kernel does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        raise DependencyUnavailable(
            f"CPU time of process {pid} is unknown: it has ended, or this is not Linux"
        ) from None
    fields = text.rpartition(")")[2].split()  # after the name, which may hold blanks
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    processes: Sequence[ChildProcess],
    job: Job,
    positions: Positions,
    progress: Callable[[int], None] = lambda _: None,
    give_work: Callable[[], None] | None = None,
) -> Measured:
    """Wait for a started program to do its job; ``progress`` hears how many inputs are applied.

    Time counts from the last look at which it was not ready yet. Where ``give_work`` is there, the inputs come
    by that, while all processes are held still, and time counts from when they go on. Raises
    `DependencyUnavailable` if it ends, never becomes ready, or makes no progress.
    """
    begin = _wait_ready(processes, job.ready)
    if give_work is not None:
        with held_still(processes):
            give_work()
            begin = _Sample(time.monotonic(), _cpu(processes), {})
    ends = positions.ends(job.inputs)
    samples: list[_Sample] = []
    since, applied_before = time.monotonic(), (-1, -1)
    while True:
        outputs = positions.ends(job.outputs)
        samples.append(_Sample(time.monotonic(), _cpu(processes), outputs))
        applied = positions.committed(job.inputs)
        progress(sum(max(offset, 0) for offset in applied.values()))
        if _reached(applied, ends):
            wanted = positions.after_last_records([job.between])
            if _reached(positions.committed([job.between]), wanted):
                break
        reached = (sum(applied.values()), sum(outputs.values()))
        if reached != applied_before:
            since, applied_before = time.monotonic(), reached
        elif time.monotonic() - since > STALL_SECONDS:
            first = processes[0]
            raise DependencyUnavailable(
                f"{first.name} makes no progress: {last_line(first.log)} (log: {first.log})"
            )
        time.sleep(SAMPLE_SECONDS)
    final = positions.ends(job.outputs)
    last = next((sample for sample in samples if sample.ends == final), samples[-1])
    return Measured(last.at - begin.at, last.cpu - begin.cpu)


@contextlib.contextmanager
def held_still(processes: Sequence[ChildProcess]) -> Iterator[None]:
    """The processes get no CPU inside the block: what is written meanwhile is a backlog for all of them."""
    pids = [process.pid for process in processes if process.pid is not None]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _wait_ready(processes: Sequence[ChildProcess], ready: Callable[[], bool]) -> _Sample:
    looks: list[_Sample] = []

    def probe() -> bool:
        looks.append(_Sample(time.monotonic(), _cpu(processes), {}))
        del looks[:-2]
        return ready()

    processes[0].wait_ready(probe, READY_SECONDS)
    return looks[0]


def _cpu(processes: Sequence[ChildProcess]) -> float:
    """CPU seconds so far of all of a program's processes."""
    used = 0.0
    for process in processes:
        pid = process.pid
        if pid is None:
            raise DependencyUnavailable(
                f"{process.name} ended: {last_line(process.log)} (log: {process.log})"
            )
        used += cpu_seconds(pid)
    return used


def _reached(committed: Mapping[Place, int], wanted: Mapping[Place, int]) -> bool:
    """Partitions without any record need no commit."""
    return all(committed.get(place, -1) >= offset for place, offset in wanted.items() if offset > 0)
