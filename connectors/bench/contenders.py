"""The two kinds of sources that are measured, each as a process that can be started and stopped."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from connectors.bench.load import DSN_VARIABLE
from connectors.bench.table import FULL_NAME
from connectors.sources.postgres.config import default_slot
from connectors.sources.topics import topic_name
from streams.errors import DependencyUnavailable
from streams.stack import Stack
from streams.stack.connect import Connect, debezium_postgres
from streams.stack.ports import free_port
from streams.stack.process import ChildProcess, Command, last_line

DATABASE = "erp"


class Contender(Protocol):
    """A source of the benchmark's table. ``slot`` is also the publication's name."""

    name: str
    topic: str
    slot: str

    @property
    def pid(self) -> int:
        """Of its process; `DependencyUnavailable`, with the log's last line, if it has ended."""

    def start(self) -> None:
        """Start it with no position: it snapshots, then streams."""

    def check(self) -> None:
        """Raise `DependencyUnavailable` if it has failed."""

    def stop(self) -> None:
        """End the process."""


class Ours:
    """`tallystream source run` with its defaults."""

    def __init__(self, stack: Stack, folder: Path, name: str = "ours") -> None:
        self.name = name
        self.topic = topic_name(name, *FULL_NAME.split("."))
        self.slot = default_slot(name)
        self._stack = stack
        self._config = folder / f"{name}.toml"
        self._child = ChildProcess(name, folder / f"{name}.log")

    @property
    def pid(self) -> int:
        """Of its process."""
        return _pid(self._child)

    def start(self) -> None:
        """Write its configuration and start it."""
        keys = {"name": self.name, "dsn_env": DSN_VARIABLE, "tables": [FULL_NAME]}
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        self._config.write_text("\n".join([*lines, ""]), encoding="utf-8")
        around = ["--kafka", self._stack.broker.bootstrap, "--registry", self._stack.registry.url]
        command = [sys.executable, "-m", "streams", "source", "run", str(self._config), *around]
        environment = {**os.environ, DSN_VARIABLE: self._stack.postgres.dsn(DATABASE)}
        self._child.start(Command(command, environment=environment))

    def check(self) -> None:
        """Whether the process lives."""
        _pid(self._child)

    def stop(self) -> None:
        """By SIGTERM."""
        self._child.stop()


class Debezium:
    """Debezium's connector in a Kafka Connect worker of its own. ``settings`` win over its defaults."""

    def __init__(self, stack: Stack, folder: Path, name: str, settings: Mapping[str, str], heap: str) -> None:
        self.name = name
        prefix = f"cdc.{name}"
        self.topic = f"{prefix}.{FULL_NAME}"
        self.slot = f"bench_{name}"
        self._connect = Connect(
            folder / name, free_port(), stack.broker.bootstrap, folder / f"{name}.log", name, heap
        )
        self._config = {
            **debezium_postgres(stack.postgres, DATABASE, prefix, FULL_NAME, self.slot, stack.registry.url),
            **settings,
        }

    @property
    def pid(self) -> int:
        """Of its process."""
        return _pid(self._connect.child)

    def start(self) -> None:
        """Start the worker, then the connector."""
        self._connect.start()
        self._connect.create(self.name, self._config)

    def check(self) -> None:
        """Whether the connector and its task run."""
        _pid(self._connect.child)
        self._connect.check(self.name)

    def stop(self) -> None:
        """By SIGTERM."""
        self._connect.stop()


def _pid(child: ChildProcess) -> int:
    if child.pid is None:
        raise DependencyUnavailable(f"{child.name} ended: {last_line(child.log)} (log: {child.log})")
    return child.pid
