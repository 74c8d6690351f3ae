"""The local stack: PostgreSQL, a broker, Redis and a schema registry that live and end together."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import TypeAlias, TypeVar

from streams.errors import DependencyUnavailable, UsageError
from streams.stack import ports as tcp
from streams.stack.broker import EmbeddedBroker, ExternalBroker
from streams.stack.health import ServiceStatus, check
from streams.stack.kafka import KafkaCluster
from streams.stack.postgres import DATABASES, Postgres
from streams.stack.process import ChildProcess
from streams.stack.redis import Redis
from streams.stack.registry import Registry
from streams.stack.state import (
    DataDirLock,
    ServiceRecord,
    StackState,
    clear_state,
    end_leftovers,
    read_state,
    record_process,
    write_state,
)

SERVICES = ("postgres", "broker", "redis", "registry")
EMBEDDED, KAFKA = "embedded", "kafka"
PORTS_FILE = "ports.json"  # the ports of the last start; taken again if free, so that addresses last
LOGS = "logs"

Broker: TypeAlias = EmbeddedBroker | KafkaCluster | ExternalBroker
Service: TypeAlias = Postgres | Broker | Redis | Registry
S = TypeVar("S", Postgres, KafkaCluster, Redis, Registry)


class Stack:
    """The servers of one data folder, as a context manager or by `start` and `stop`.

    ``broker`` is ``"embedded"``, ``"kafka"`` (Apache Kafka, of ``kafka_nodes`` nodes: 1 or 3) or the
    ``HOST:PORT[,…]`` of brokers that run elsewhere. ``services`` says which servers to start.
    ``ports`` fixes the port of a service by name; the others get free ones. ``postgres_settings`` win
    over the stack's own.

    Each server is an attribute (`postgres`, `broker`, `redis`, `registry`) that can be stopped, killed
    and restarted on its own, on the same port and data.
    """

    def __init__(
        self,
        data_dir: Path,
        broker: str = EMBEDDED,
        services: Collection[str] = SERVICES,
        *,
        ports: Mapping[str, int] | None = None,
        postgres_settings: Mapping[str, str] | None = None,
        kafka_nodes: int = 1,
    ) -> None:
        self.data_dir = data_dir
        self.broker_choice = broker
        self.services = [name for name in SERVICES if name in services]
        self.postgres_settings = dict(postgres_settings or {})
        self.kafka_nodes = kafka_nodes
        self._fixed_ports = dict(ports or {})
        for name in (*services, *self._fixed_ports):
            if name not in SERVICES:
                raise UsageError(f"the local stack has no service {name!r}; it has {', '.join(SERVICES)}")
        self._external = ExternalBroker(broker) if broker not in (EMBEDDED, KAFKA) else None
        self._lock = DataDirLock(data_dir)
        self._record_lock = threading.Lock()
        self._servers: dict[str, Service] = {}
        self._ports: dict[str, int] = {}
        self._complete = False

    @property
    def postgres(self) -> Postgres:
        """PostgreSQL with the databases erp, crm, time and bi."""
        return self._get("postgres", Postgres)

    @property
    def broker(self) -> Broker:
        """The Kafka-protocol broker; its ``bootstrap`` is what clients take."""
        found = self._servers.get("broker")
        if isinstance(found, EmbeddedBroker | KafkaCluster | ExternalBroker):
            return found
        raise UsageError("the local stack runs no broker; start it with that service")

    @property
    def kafka(self) -> KafkaCluster:
        """The broker, where it is Apache Kafka."""
        return self._get("broker", KafkaCluster)

    @property
    def redis(self) -> Redis:
        """Redis; its ``url`` is what clients take."""
        return self._get("redis", Redis)

    @property
    def registry(self) -> Registry:
        """The schema registry; its ``url`` is what clients take."""
        return self._get("registry", Registry)

    def start(self) -> None:
        """Start all servers at once and return when all answer.

        If one fails, the others are stopped and its `DependencyUnavailable` is raised. What an earlier
        stack in the same folder left running after a crash is ended first.
        """
        _make_data_dir(self.data_dir)
        if not self._lock.acquire():
            raise DependencyUnavailable(
                f"a stack runs in {self.data_dir} already; stop it by `tallystream stack down`, or use "
                "another --data-dir"
            )
        atexit.register(self.stop)
        try:
            self._end_remains()
            self._make_servers()
            self._start_servers()
            self._complete = True
            self._record()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all servers cleanly; data are kept. Nothing happens if none runs."""
        self._stop_servers()
        for port in self._ports.values():
            tcp.release(port)
        if self._servers:
            clear_state(self.data_dir)
        self._servers, self._ports, self._complete = {}, {}, False
        self._lock.release()
        atexit.unregister(self.stop)

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def settings_environment(self) -> dict[str, str]:
        """``TALLYSTREAM_*`` variables with which every process finds the servers that run here."""
        variables: dict[str, str] = {}
        for server in self._servers.values():
            match server:
                case Postgres():
                    for database in DATABASES:
                        variables[f"TALLYSTREAM_{database.upper()}_DSN"] = server.dsn(database)
                case Redis():
                    variables["TALLYSTREAM_REDIS_URL"] = server.url
                case Registry():
                    variables["TALLYSTREAM_REGISTRY_URL"] = server.url
                case _:
                    variables["TALLYSTREAM_KAFKA_BOOTSTRAP"] = server.bootstrap
        return variables

    def status(self) -> list[ServiceStatus]:
        """Each server's address and whether it answers now."""
        environment = self.settings_environment()
        return [check(self._describe(name), environment) for name in self._servers]

    def ended(self) -> list[ChildProcess]:
        """The processes that have ended though nobody stopped them."""
        return [child for child in self._children() if child.crashed]

    def _start_servers(self) -> None:
        pool = ThreadPoolExecutor(len(self._servers) or 1)
        try:
            futures = [pool.submit(server.start) for server in self._servers.values()]
            for future in as_completed(futures):
                future.result()
        except BaseException:
            self._stop_servers()  # those that wait for a server to be ready give up at once
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _stop_servers(self) -> None:
        own = [server for server in self._servers.values() if not isinstance(server, ExternalBroker)]
        if own:
            with ThreadPoolExecutor(len(own)) as pool:
                list(pool.map(lambda server: server.stop(), own))

    def _get(self, name: str, kind: type[S]) -> S:
        found = self._servers.get(name)
        if isinstance(found, kind):
            return found
        raise UsageError(f"the local stack runs no {kind.__name__} as its {name}; start it with that service")

    def _end_remains(self) -> None:
        """End what a crashed stack left running. We hold the lock, so its process is gone."""
        state = read_state(self.data_dir)
        if state is not None:
            end_leftovers(state)
            clear_state(self.data_dir)

    def _make_servers(self) -> None:
        remembered = self._remembered_ports()
        logs = self.data_dir / LOGS
        for name in self.services:
            folder, log = self.data_dir / name, logs / f"{name}.log"
            match name:
                case "postgres":
                    port = self._port(name, remembered)
                    self._servers[name] = Postgres(folder, port, log, self.postgres_settings)
                case "redis":
                    self._servers[name] = Redis(folder, self._port(name, remembered), log)
                case "registry":
                    self._servers[name] = Registry(folder, self._port(name, remembered), log)
                case _:
                    self._servers[name] = self._make_broker(folder, log, remembered)
        (self.data_dir / PORTS_FILE).write_text(json.dumps({**remembered, **self._ports}), encoding="utf-8")
        for child in self._children():
            child.on_start = self._record

    def _make_broker(self, folder: Path, log: Path, remembered: Mapping[str, int]) -> Broker:
        if self._external is not None:
            return self._external
        # Their formats differ: each kind of broker has its own folder, so that switching loses nothing.
        folder = folder / self.broker_choice
        if self.broker_choice == EMBEDDED:
            return EmbeddedBroker(folder, self._port("broker", remembered), log)
        nodes = range(1, self.kafka_nodes + 1)
        first = [self._port("broker", remembered)]
        brokers = first + [self._port(f"broker-{node}", remembered) for node in nodes[1:]]
        controllers = [self._port(f"controller-{node}", remembered) for node in nodes]
        return KafkaCluster(folder / f"{self.kafka_nodes}-nodes", brokers, controllers, log.parent)

    def _port(self, name: str, remembered: Mapping[str, int]) -> int:
        fixed = self._fixed_ports.get(name)
        if fixed is not None:
            tcp.require_free(name, fixed)
            return fixed
        self._ports[name] = tcp.free_port(remembered.get(name))
        return self._ports[name]

    def _remembered_ports(self) -> dict[str, int]:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self.data_dir / PORTS_FILE).read_text(encoding="utf-8"))
            return {str(name): int(port) for name, port in found.items()}
        return {}

    def _children(self) -> list[ChildProcess]:
        servers = [server for server in self._servers.values() if not isinstance(server, ExternalBroker)]
        return [child for server in servers for child in server.children]

    def _describe(self, name: str) -> ServiceRecord:
        server = self._servers[name]
        if isinstance(server, ExternalBroker):
            return ServiceRecord(name, server.bootstrap, "")
        address = server.bootstrap if isinstance(server, KafkaCluster) else server.address
        logs = ", ".join(str(child.log.resolve()) for child in server.children)
        pids = [child.pid for child in server.children]
        return ServiceRecord(
            name, address, logs, tuple(record_process(pid) for pid in pids if pid is not None)
        )

    def _record(self) -> None:
        """Write the state file: after each start of a server, so that no process is ever unknown."""
        with self._record_lock:
            state = StackState(
                record_process(os.getpid()),
                self.broker_choice,
                tuple(self._describe(name) for name in self._servers),
                self.settings_environment() if self._complete else {},
            )
            write_state(self.data_dir, state)


def _make_data_dir(data_dir: Path) -> None:
    try:
        (data_dir / LOGS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DependencyUnavailable(f"cannot make the data folder {data_dir}: {error.strerror}") from None
