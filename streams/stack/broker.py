"""The embedded broker: ``noida-db``, which speaks Kafka's protocol without Java.

A development broker, never for production. It saves by rewriting one file, so a kill loses what it
acknowledged in the last seconds; it never evicts a dead group member and never ends an abandoned
transaction. Whoever tests these needs Apache Kafka (`streams.stack.kafka`).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from streams.errors import DependencyUnavailable, UsageError
from streams.stack import probes
from streams.stack.packages import require_package
from streams.stack.ports import HOST
from streams.stack.process import ChildProcess, Command
from streams.stack.server import Server

# The broker's own address; clients use the gate's, on the same port of the usual loopback address.
BROKER_HOST = "127.0.0.2"
# It writes all its data when it stops: 14 s were seen with a million records.
STOP_TIMEOUT_S = 60.0


class EmbeddedBroker(Server):
    """``noida-db`` with only its Kafka listener on, behind a gate that paces idle fetches."""

    def __init__(self, folder: Path, port: int, log: Path, name: str = "broker") -> None:
        # Asked to save, not killed, when we end: what it has not written is lost.
        child = ChildProcess(name, log, death_signal=signal.SIGTERM, stop_timeout_s=STOP_TIMEOUT_S)
        super().__init__(name, port, child)
        self.folder = folder
        self.gate = ChildProcess(f"{name}-gate", log.with_name(f"{name}-gate.log"))

    @property
    def children(self) -> list[ChildProcess]:
        """The broker and its gate."""
        return [self.child, self.gate]

    def start(self) -> None:
        """Start the broker, then the gate."""
        if self.running:
            return
        self.gate.stop()
        super().start()
        gate = [sys.executable, "-m", "streams.stack.gate", HOST, str(self.port), BROKER_HOST]
        self.gate.start(Command(gate))
        self.gate.wait_ready(lambda: probes.kafka_brokers(HOST, self.port) > 0, self.ready_timeout_s)

    def stop(self) -> None:
        """Stop both; data are kept."""
        self.gate.stop()
        super().stop()

    def kill(self) -> None:
        """End both as a crash would."""
        self.gate.kill()
        super().kill()

    @property
    def bootstrap(self) -> str:
        """``host:port`` for Kafka clients."""
        return self.address

    def prepare(self) -> None:
        """Make the data folder."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> Command:
        """The program itself: the package's console script is a wrapper that would outlive a kill."""
        program = require_package("noida_db") / "noida-db"
        if not os.access(program, os.X_OK):  # the wheel may lack the mode bit
            program.chmod(0o755)
        arguments = ["--data-dir", str(self.folder.resolve()), "--only", "kafka"]
        arguments += ["--kafka-port", str(self.port), "--host", BROKER_HOST]
        return Command([str(program), "start", *arguments])

    def healthy(self) -> bool:
        """Whether it answers a metadata request."""
        return probes.kafka_brokers(BROKER_HOST, self.port) > 0


class ExternalBroker:
    """A broker that somebody else runs, by its address; starting it means asking whether it is there."""

    name = "broker"

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.addresses = [_host_and_port(part) for part in bootstrap.split(",")]

    def start(self) -> None:
        """Raise `DependencyUnavailable` if none of the addresses answers."""
        if not self.healthy():
            raise DependencyUnavailable(
                f"no Kafka broker answers at {self.bootstrap}; start it or choose another"
            )

    def healthy(self) -> bool:
        """Whether one of the addresses answers a metadata request."""
        return any(probes.kafka_brokers(host, port) > 0 for host, port in self.addresses)


def _host_and_port(address: str) -> tuple[str, int]:
    host, separator, port = address.strip().rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"{address!r} is no broker: write embedded, kafka or HOST:PORT")
    return host.strip("[]"), int(port)
