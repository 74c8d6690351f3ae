"""What all servers of the stack have in common: a name, an address, a child process, a probe."""

from __future__ import annotations

import abc
import time
from pathlib import Path

from streams.stack import ports
from streams.stack.process import ChildProcess, Command

# The port of a server that was just stopped may need a moment, because its last worker processes
# still hold the socket they inherited.
PORT_TIMEOUT_S = 5.0


class Server(abc.ABC):
    """A server on a loopback port that can be started, stopped, killed and started again there.

    Its data stay in its folder between starts. ``name`` is how errors and ``status`` call it.
    """

    ready_timeout_s = 30.0

    def __init__(self, name: str, port: int, child: ChildProcess) -> None:
        self.name = name
        self.port = port
        self.child = child
        self._started_before = False

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{ports.HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """The file with the server's output."""
        return self.child.log

    @property
    def children(self) -> list[ChildProcess]:
        """The processes started for it."""
        return [self.child]

    @property
    def running(self) -> bool:
        """Whether its process is alive."""
        return self.child.running

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make what the server needs on disk; called before each start, cheap from the second on."""

    @abc.abstractmethod
    def command(self) -> Command:
        """What to run."""

    @abc.abstractmethod
    def healthy(self) -> bool:
        """Whether it answers a request now; never raises."""

    def start(self) -> None:
        """Start it and return when it answers; raise `DependencyUnavailable` if it doesn't."""
        if self.running:
            return
        self._await_port()
        self.prepare()
        self.child.start(self.command())
        self.child.wait_ready(self.healthy, self.ready_timeout_s)
        self._started_before = True

    def stop(self) -> None:
        """Stop it cleanly; data are kept."""
        self.child.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self.child.kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it on its port again."""
        self.stop()
        self.start()

    def _await_port(self) -> None:
        deadline = time.monotonic() + (PORT_TIMEOUT_S if self._started_before else 0)
        while not ports.is_free(self.port) and time.monotonic() < deadline:
            time.sleep(0.02)
        ports.require_free(self.name, self.port)
