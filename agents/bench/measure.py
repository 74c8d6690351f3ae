"""Measures a process from the moment it can work until its last output: wall time and CPU time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.bench.topics import Place, Positions
from streams.errors import DependencyUnavailable
from streams.stack.process import ChildProcess, last_line

READY_SECONDS = 120.0
# Often enough for a run of some seconds, seldom enough to cost nothing next to it.
SAMPLE_SECONDS = 0.2
# Without any progress for this long it hangs.
STALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of one process; ``cpu_s`` counts all its threads, in user and system mode."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Job:
    """What is awaited: the group has applied all of ``inputs``, then all that it wrote to ``between``.

    ``ready`` says whether the process can work. The end is when ``outputs`` grew last.
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
    process: ChildProcess, job: Job, positions: Positions, progress: Callable[[int], None] = lambda _: None
) -> Measured:
    """Wait for a started process to do its job; ``progress`` hears how many inputs are applied.

    Time counts from the last look at which it was not ready yet. Raises `DependencyUnavailable` if it ends,
    never becomes ready, or makes no progress.
    """
    begin = _wait_ready(process, job.ready)
    ends = positions.ends(job.inputs)
    samples: list[_Sample] = []
    since, applied_before = time.monotonic(), (-1, -1)
    while True:
        outputs = positions.ends(job.outputs)
        samples.append(_Sample(time.monotonic(), _cpu(process), outputs))
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
            raise DependencyUnavailable(
                f"{process.name} makes no progress: {last_line(process.log)} (log: {process.log})"
            )
        time.sleep(SAMPLE_SECONDS)
    final = positions.ends(job.outputs)
    last = next((sample for sample in samples if sample.ends == final), samples[-1])
    return Measured(last.at - begin.at, last.cpu - begin.cpu)


def _wait_ready(process: ChildProcess, ready: Callable[[], bool]) -> _Sample:
    looks: list[_Sample] = []

    def probe() -> bool:
        looks.append(_Sample(time.monotonic(), _cpu(process), {}))
        del looks[:-2]
        return ready()

    process.wait_ready(probe, READY_SECONDS)
    return looks[0]


def _cpu(process: ChildProcess) -> float:
    pid = process.pid
    if pid is None:
        raise DependencyUnavailable(f"{process.name} ended: {last_line(process.log)} (log: {process.log})")
    return cpu_seconds(pid)


def _reached(committed: Mapping[Place, int], wanted: Mapping[Place, int]) -> bool:
    """Partitions without any record need no commit."""
    return all(committed.get(place, -1) >= offset for place, offset in wanted.items() if offset > 0)
