"""Kafka Connect with Debezium's connectors: the peer that our own sources are compared with.

A standalone worker: one process, offsets in a file, connectors made and removed over its REST API.
It is not one of the stack's services, as nothing of ours needs it.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from streams.errors import DependencyUnavailable
from streams.stack import connect_jars, jars, probes
from streams.stack.mariadb import USER as MARIADB_USER
from streams.stack.mariadb import Mariadb
from streams.stack.ports import HOST
from streams.stack.postgres import USER, Postgres
from streams.stack.process import ChildProcess, Command
from streams.stack.server import Server

HEAP = "512m"  # Connect's own scripts give 2 GB
READY_TIMEOUT_S = 120.0  # takes some seconds, and far more on a busy machine
RUNNING_TIMEOUT_S = 60.0  # of a connector and its task
REQUEST_TIMEOUT_S = 30.0
POLL_S = 0.1
MAX_REASON = 300  # characters of Connect's words in an error
OFFSET_FLUSH_MS = 1_000  # a minute, the default, would repeat a minute of changes after a kill


class Connect(Server):
    """A standalone worker on loopback, its offsets and configuration in ``folder``."""

    ready_timeout_s = READY_TIMEOUT_S

    def __init__(
        self, folder: Path, port: int, bootstrap: str, log: Path, name: str = "connect", heap: str = HEAP
    ) -> None:
        super().__init__(name, port, ChildProcess(name, log, stop_timeout_s=20))
        self.folder = folder.resolve()
        self.bootstrap = bootstrap
        self.heap = heap

    def prepare(self) -> None:
        """Fetch the jars if need be, and write the worker's configuration."""
        plugins = connect_jars.connect_jars() / connect_jars.PLUGINS
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "bootstrap.servers": self.bootstrap,
            "listeners": f"http://{self.address}",
            "plugin.path": str(plugins),
            "plugin.discovery": "service_load",
            "offset.storage.file.filename": str(self.folder / "offsets"),
            "offset.flush.interval.ms": str(OFFSET_FLUSH_MS),
            # Overridden by each connector; JSON needs no registry.
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        self._properties.write_text("\n".join([*lines, ""]), encoding="utf-8")

    def command(self) -> Command:
        """Java itself, not Kafka's shell scripts."""
        logging = (jars.local_folder() / "log4j2.properties").as_uri()
        options = [f"-Xmx{self.heap}", "-XX:+UseG1GC", f"-Dlog4j2.configurationFile={logging}"]
        options += ["-Djava.net.preferIPv4Stack=true"]
        main = "org.apache.kafka.connect.cli.ConnectStandalone"
        return Command([jars.java(), *options, "-cp", connect_jars.classpath(), main, str(self._properties)])

    def healthy(self) -> bool:
        """Whether it lists its connectors."""
        return probes.http_answers(HOST, self.port, "/connectors")

    def plugins(self) -> set[str]:
        """Class names of the connectors that can be made."""
        return {str(plugin["class"]) for plugin in self._request("GET", "/connector-plugins")}

    def create(self, name: str, config: Mapping[str, str]) -> None:
        """Make a connector and return when it runs; `DependencyUnavailable` says why it does not."""
        self._request("PUT", f"/connectors/{quote(name, safe='')}/config", dict(config))
        deadline = time.monotonic() + RUNNING_TIMEOUT_S
        while True:
            states = self._states(name)
            if states and all(state == "RUNNING" for state in states):
                return
            if time.monotonic() > deadline:
                raise DependencyUnavailable(
                    f"connector {name} does not run within {RUNNING_TIMEOUT_S:.0f} s (log: {self.log})"
                )
            time.sleep(POLL_S)

    def remove(self, name: str) -> None:
        """Stop a connector and forget it; its slot and its topics stay."""
        self._request("DELETE", f"/connectors/{quote(name, safe='')}")

    def check(self, name: str) -> None:
        """Raise `DependencyUnavailable` if a connector or its task has failed."""
        self._states(name)

    @property
    def _properties(self) -> Path:
        return self.folder / "worker.properties"

    def _states(self, name: str) -> list[str]:
        """Of the connector and its tasks; empty while there is no task yet."""
        status = self._request("GET", f"/connectors/{quote(name, safe='')}/status", missing=True)
        if not status or not status["tasks"]:
            return []
        for part in (status["connector"], *status["tasks"]):
            if part["state"] == "FAILED":
                lines = str(part.get("trace", "")).splitlines()
                causes = [line for line in lines if line.startswith("Caused by:")]
                reason = (causes or lines or ["no trace"])[-1 if causes else 0]
                raise DependencyUnavailable(
                    f"connector {name} failed: {reason[:MAX_REASON]} (log: {self.log})"
                )
        return [part["state"] for part in (status["connector"], *status["tasks"])]

    def _request(self, method: str, path: str, body: object = None, *, missing: bool = False) -> Any:
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as answer:  # noqa: S310
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            if missing and error.code == 404:
                return None
            text = " ".join(error.read().decode("utf-8", "replace").split())
            raise DependencyUnavailable(f"{self.name} refused {method} {path}: {text[:MAX_REASON]}") from None
        except OSError as error:
            raise DependencyUnavailable(f"{self.name} at {self.address} does not answer: {error}") from None


def avro_converters(registry_url: str) -> dict[str, str]:
    """Confluent's Avro converter for keys and values."""
    settings: dict[str, str] = {}
    for part in ("key", "value"):
        settings[f"{part}.converter"] = "io.confluent.connect.avro.AvroConverter"
        settings[f"{part}.converter.schema.registry.url"] = registry_url
    return settings


def debezium_postgres(
    postgres: Postgres, database: str, prefix: str, tables: str, slot: str, registry_url: str
) -> dict[str, str]:
    """The configuration of Debezium's PostgreSQL connector: its defaults, and what it must be told.

    ``tables`` is its include list, ``prefix`` the first part of its topics' names. Names are adjusted
    to Avro's alphabet, and topics get one partition. Slot and publication bear the same name.
    """
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": HOST,
        "database.port": str(postgres.port),
        "database.user": USER,
        "database.password": postgres.password,
        "database.dbname": database,
        "plugin.name": "pgoutput",
        "slot.name": slot,
        "publication.name": slot,
        "publication.autocreate.mode": "filtered",
        **_common(prefix, tables, registry_url),
    }


def debezium_mariadb(
    mariadb: Mariadb, prefix: str, tables: str, server_id: int, registry_url: str, history: Path
) -> dict[str, str]:
    """As `debezium_postgres`, of its MariaDB connector.

    ``server_id`` is what it calls itself as a replica, ``history`` the file that it keeps its tables'
    DDL in.
    """
    return {
        "connector.class": "io.debezium.connector.mariadb.MariaDbConnector",
        "database.hostname": HOST,
        "database.port": str(mariadb.port),
        "database.user": MARIADB_USER,
        "database.password": mariadb.password,
        "database.server.id": str(server_id),
        # It asks for TLS by default, which the server does not have.
        "database.ssl.mode": "disable",
        "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
        "schema.history.internal.file.filename": str(history),
        **_common(prefix, tables, registry_url),
    }


def _common(prefix: str, tables: str, registry_url: str) -> dict[str, str]:
    return {
        "tasks.max": "1",
        "topic.prefix": prefix,
        "table.include.list": tables,
        "schema.name.adjustment.mode": "avro",
        "field.name.adjustment.mode": "avro",
        # The broker makes no topics by itself, so Connect does.
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
        **avro_converters(registry_url),
    }
