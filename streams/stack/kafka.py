"""Apache Kafka 4 on Java: one node that is broker and controller, or a cluster of three.

Its limits are set for a workstation: a small heap, few partitions for its own topics, no waiting for
more group members. Topics are never created implicitly.
"""

from __future__ import annotations

import base64
import signal
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streams.errors import DependencyUnavailable, UsageError
from streams.stack import jars, probes
from streams.stack.ports import HOST
from streams.stack.process import ChildProcess, Command
from streams.stack.server import Server

HEAP = "512m"  # holds hundreds of partitions; the page cache does the work
FORMAT_TIMEOUT_S = 60.0  # takes 1 s on an idle machine
READY_TIMEOUT_S = 90.0  # takes 2.5 s on an idle machine
CLUSTER_ID_FILE = "cluster-id"
INTERNAL_PARTITIONS = 4  # of the topics of offsets and transactions; 50 each is the default
MAX_REPLICATION = 3

# What every node of the local cluster has beyond Kafka's defaults.
PROPERTIES: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": str(INTERNAL_PARTITIONS),
    "transaction.state.log.num.partitions": str(INTERNAL_PARTITIONS),
    "share.coordinator.state.topic.num.partitions": str(INTERNAL_PARTITIONS),
    "group.initial.rebalance.delay.ms": "0",
    # A node that was killed is let in again when its old session has ended; 9 s is the default.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    # So that tests may set short session timeouts, and lanes long transactions.
    "group.min.session.timeout.ms": "500",
    "transaction.max.timeout.ms": "900000",
    "log.cleaner.dedupe.buffer.size": str(16 * 2**20),  # 128 MiB, the default, is a quarter of the heap
    "num.network.threads": "2",
    "num.io.threads": "4",
}


class KafkaNode(Server):
    """One combined node. ``voters`` is the controllers' addresses by node id, this one's included."""

    ready_timeout_s = READY_TIMEOUT_S

    def __init__(
        self,
        folder: Path,
        node_id: int,
        port: int,
        voters: Mapping[int, int],
        cluster_id: str,
        log: Path,
        name: str,
    ) -> None:
        # Killed, not asked, when we end: its log files are made for that, and a shutdown may take seconds.
        super().__init__(name, port, ChildProcess(name, log, death_signal=signal.SIGKILL, stop_timeout_s=20))
        self.folder = folder.resolve()
        self.node_id = node_id
        self.voters = voters
        self.cluster_id = cluster_id
        self.heap = HEAP
        # Wins over the node's own properties from the next start on.
        self.settings: dict[str, str] = {}

    @property
    def properties_file(self) -> Path:
        """The node's configuration, written anew at each start."""
        return self.folder / "server.properties"

    def prepare(self) -> None:
        """Write the configuration, and format the data folder the first time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{name}={value}" for name, value in self._properties().items()]
        self.properties_file.write_text("\n".join([*lines, ""]), encoding="utf-8")
        if (self.folder / "data" / "meta.properties").exists():
            return
        arguments = ["format", "--cluster-id", self.cluster_id, "--config", str(self.properties_file)]
        result = subprocess.run(
            _java("kafka.tools.StorageTool", *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FORMAT_TIMEOUT_S,
            check=False,
        )
        if result.returncode:
            reason = (result.stderr or result.stdout).strip().splitlines() or ["no output"]
            raise DependencyUnavailable(f"{self.name}: formatting {self.folder} failed: {reason[-1]}")

    def command(self) -> Command:
        """Java itself, not Kafka's shell scripts."""
        return Command(_java("kafka.Kafka", str(self.properties_file), heap=self.heap))

    def healthy(self) -> bool:
        """Whether it answers a metadata request, naming a broker that is not fenced."""
        return probes.kafka_brokers(HOST, self.port) > 0

    def _properties(self) -> dict[str, str]:
        replicas = min(MAX_REPLICATION, len(self.voters))
        majority = str(replicas // 2 + 1)
        return {
            **PROPERTIES,
            "node.id": str(self.node_id),
            "controller.quorum.voters": ",".join(f"{n}@{HOST}:{port}" for n, port in self.voters.items()),
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{HOST}:{self.voters[self.node_id]}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": str(replicas),
            "transaction.state.log.replication.factor": str(replicas),
            "transaction.state.log.min.isr": majority,
            "share.coordinator.state.topic.replication.factor": str(replicas),
            "share.coordinator.state.topic.min.isr": majority,
            "min.insync.replicas": majority,
            "default.replication.factor": str(replicas),
            **self.settings,
        }


class KafkaCluster:
    """Apache Kafka as the stack's broker; ``nodes[i]`` can be stopped, killed and restarted alone.

    ``kafka_ports`` and ``controller_ports`` are one per node, of the same length.
    """

    name = "broker"

    def __init__(
        self, folder: Path, kafka_ports: Sequence[int], controller_ports: Sequence[int], log_folder: Path
    ) -> None:
        if len(kafka_ports) not in (1, 3):
            raise UsageError(f"a local Kafka cluster has one node or three, not {len(kafka_ports)}")
        voters = dict(enumerate(controller_ports, start=1))
        cluster_id = _cluster_id(folder)
        single = len(kafka_ports) == 1
        self.nodes: list[KafkaNode] = []
        for node_id, port in enumerate(kafka_ports, start=1):
            label = self.name if single else f"{self.name}-{node_id}"
            node = KafkaNode(
                folder / f"node-{node_id}",
                node_id,
                port,
                voters,
                cluster_id,
                log_folder / f"{label}.log",
                label,
            )
            self.nodes.append(node)

    @property
    def bootstrap(self) -> str:
        """``host:port[,host:port…]`` for Kafka clients."""
        return ",".join(node.address for node in self.nodes)

    @property
    def children(self) -> list[ChildProcess]:
        """The nodes' processes."""
        return [node.child for node in self.nodes]

    @property
    def running(self) -> bool:
        """Whether a node's process is alive."""
        return any(node.running for node in self.nodes)

    def healthy(self) -> bool:
        """Whether all nodes answer."""
        return all(node.healthy() for node in self.nodes)

    def start(self) -> None:
        """Start all nodes at once: none answers before a majority of controllers is there."""
        jars.java()
        jars.kafka_jars()
        self._each(KafkaNode.start.__name__)

    def stop(self) -> None:
        """Stop all nodes at once: the last of three would wait in vain for a majority."""
        self._each(KafkaNode.stop.__name__)

    def kill(self) -> None:
        """End all nodes as a power cut would."""
        self._each(KafkaNode.kill.__name__)

    def restart(self) -> None:
        """Stop and start all nodes; data are kept."""
        self.stop()
        self.start()

    def _each(self, method: str) -> None:
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: getattr(node, method)(), self.nodes))


def _java(main_class: str, *arguments: str, heap: str = HEAP) -> list[str]:
    configuration = jars.local_folder() / "log4j2.properties"
    options = [
        f"-Xmx{heap}",
        "-Xms64m",
        "-XX:+UseSerialGC",
        f"-Dlog4j2.configurationFile={configuration.as_uri()}",
    ]
    # The shutdown hook is Kafka's: log4j's own would silence Kafka's last lines, and complain about it.
    options += ["-Dlog4j.shutdownHookEnabled=false", "-Djava.net.preferIPv4Stack=true"]
    return [jars.java(), *options, "-cp", f"{jars.kafka_jars()}/*", main_class, *arguments]


def _cluster_id(folder: Path) -> str:
    """The cluster's id, drawn once per data folder: 16 bytes as URL-safe base64 without padding."""
    path = folder / CLUSTER_ID_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # Not a dash first: the formatter would take it for an option.
        drawn = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        path.write_text(drawn, encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()
