"""The programs that are measured: how each is started, and what it has to do."""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from agents.bench.inputs import PEER_ENTRIES, TIME_ENTRY
from agents.bench.measure import Job
from agents.bench.peer import CURRENT, EVENTS, OUTPUTS, RATED
from streams.stack.ports import free_port
from streams.stack.process import Command

PROBE_SECONDS = 2.0
# Prefixes of their topics.
PLAIN: Final = "plain."
QUIX: Final = "quix."
# What the plain program's tables are restored from; Quix Streams makes its own topics.
PLAIN_CHANGELOGS: Final = tuple(f"plain-billing-{table}-changelog" for table in ("rated", "books"))


@dataclass(frozen=True, slots=True)
class Program:
    """A program of one or more processes; ``group`` is the consumer group whose commits show its progress."""

    name: str
    commands: Sequence[Command]
    job: Job
    group: str


def worker_program(environment: Mapping[str, str], folder: Path, workers: int) -> Program:
    """Our worker, once or more often, each with a core and a folder of its own."""
    commands, ports = [], []
    for number in range(workers):
        ports.append(free_port())
        own = {
            **environment,
            "TALLYSTREAM_HTTP_PORT": str(ports[-1]),
            "TALLYSTREAM_DATA_DIR": str(folder / f"state-{number}"),
            "TALLYSTREAM_WORKER_ID": f"worker-{number}",
        }
        command = Command([sys.executable, "-m", "streams", "worker", "--flows", "billing"], own)
        commands.append(on_one_core(command, number))
    job = Job(
        lambda: all(_answers(f"http://127.0.0.1:{port}/readyz") for port in ports),
        [TIME_ENTRY],
        RATED,
        [EVENTS, CURRENT],
    )
    name = "worker" if workers == 1 else f"{workers} workers"
    return Program(name, commands, job, "tallystream-billing")


def plain_program(options: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Program:
    """The plain Faust program."""
    command = Command([sys.executable, "-m", "agents.bench.plain"], environment)
    return _peer("plain Faust", "plain-billing", PLAIN, command, options, folder)


def quix_program(
    python: Path, options: Mapping[str, Any], environment: Mapping[str, str], folder: Path
) -> Program:
    """The Quix Streams application, by the Python of its own environment; our code is on its path."""
    root = str(Path(__file__).resolve().parents[2])
    command = Command(
        [str(python), "-m", "agents.bench.quix_peer"],
        {**environment, "PYTHONPATH": root, "PYTHONWARNINGS": "ignore"},
    )
    return _peer("Quix Streams", "quix-billing", QUIX, command, options, folder)


def _peer(
    name: str, group: str, prefix: str, command: Command, options: Mapping[str, Any], folder: Path
) -> Program:
    own = folder / prefix.rstrip(".")
    own.mkdir()
    started = own / "started"
    given = {**options, "folder": str(own / "state"), "started": str(started), "prefix": prefix}
    command = replace(command, argv=[*command.argv, json.dumps(given)])
    rated, events, current = (prefix + topic for topic in OUTPUTS)
    job = Job(started.exists, [PEER_ENTRIES], rated, [events, current])
    return Program(name, [on_one_core(command, 0)], job, group)


def on_one_core(command: Command, number: int) -> Command:
    """The command bound to one of our cores, the last one first; as it is where that can't be done."""
    taskset = shutil.which("taskset")
    if taskset is None:
        return command
    cores = sorted(os.sched_getaffinity(0), reverse=True)
    return replace(command, argv=[taskset, "-c", str(cores[number % len(cores)]), *command.argv])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS):  # noqa: S310 -- our own loopback URL
            return True
    except (urllib.error.URLError, OSError):
        return False
