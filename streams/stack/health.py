"""Whether the servers of a stack answer, asked by their addresses: from inside it or from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streams.stack import probes
from streams.stack.state import ServiceRecord


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A server as ``tallystream stack status`` shows it."""

    name: str
    address: str
    healthy: bool
    pids: tuple[int, ...]
    log: str


def check(service: ServiceRecord, environment: Mapping[str, str]) -> ServiceStatus:
    """Ask one server. ``environment`` holds the stack's ``TALLYSTREAM_*`` variables."""
    pids = tuple(process.pid for process in service.processes if process.alive)
    return ServiceStatus(service.name, service.address, _answers(service, environment), pids, service.log)


def _answers(service: ServiceRecord, environment: Mapping[str, str]) -> bool:
    addresses = [address.rpartition(":") for address in service.address.split(",")]
    endpoints = [(host.strip("[]"), int(port)) for host, _colon, port in addresses]
    host, port = endpoints[0]
    match service.name:
        case "broker":
            return all(probes.kafka_brokers(*endpoint) > 0 for endpoint in endpoints)
        case "redis":
            return probes.redis_answers(host, port)
        case "registry":
            return probes.http_answers(host, port, "/subjects")
        case "postgres":
            return probes.postgres_answers(environment.get("TALLYSTREAM_ERP_DSN", ""))
    return False
