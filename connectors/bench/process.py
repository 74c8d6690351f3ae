"""A source process from outside: its CPU time, its peak memory, and holding it still."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from streams.errors import DependencyUnavailable


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its children have used, in user and system mode."""
    return sum(_cpu_ticks(one) for one in [pid, *_descendants(pid)]) / os.sysconf("SC_CLK_TCK")


def peak_rss_mb(pid: int) -> float:
    """Peak resident memory of a process and of its children, in MiB; peaks are added up."""
    return sum(_peak_kb(one) for one in [pid, *_descendants(pid)]) / 1024


@contextlib.contextmanager
def held_still(pid: int) -> Iterator[None]:
    """The process group gets no CPU inside the block: what is written meanwhile is a backlog."""
    _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)  # the stack starts each process as the leader of its group
    except ProcessLookupError:
        raise DependencyUnavailable(f"source process {pid} has ended") from None


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            for child in children.read_text(encoding="ascii").split():
                found += [int(child), *_descendants(int(child))]
    return found


def _cpu_ticks(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        raise DependencyUnavailable(
            f"CPU time of process {pid} is unknown: it has ended, or this is not Linux"
        ) from None
    fields = text.rpartition(")")[2].split()  # after the name, which may hold blanks
    return int(fields[11]) + int(fields[12])


def _peak_kb(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    except OSError:
        pass
    raise DependencyUnavailable(f"memory of process {pid} is unknown: it has ended, or this is not Linux")
