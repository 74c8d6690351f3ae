"""Three brokers of Apache Kafka, any of which can be killed, and a second way to them by proxies.

A broker names its own address to clients, so a proxy in front of it alone would be gone round: each has
a listener more, whose advertised address is its proxy's.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from streams.stack.kafka import INTERNAL_PARTITIONS, KafkaCluster, KafkaNode
from streams.stack.ports import HOST, free_port
from support.faults.proxy import Proxy

NODES = 3
HEAP = "320m"
TOPIC_OF_GROUPS, TOPIC_OF_TRANSACTIONS = "__consumer_offsets", "__transaction_state"
WHOLE_S = 120.0  # a killed broker checks its log, waits until its old session has ended, and catches up
REQUEST_S = 10.0
POLL_S = 0.2


class Cluster:
    """``with Cluster(folder) as cluster:``; topics of three replicas go on while one broker is away."""

    def __init__(self, folder: Path) -> None:
        ports = [free_port() for _ in range(NODES)]
        self._kafka = KafkaCluster(folder / "kafka", ports, [free_port() for _ in ports], folder / "logs")
        self.nodes: list[KafkaNode] = self._kafka.nodes
        self.proxies: list[Proxy] = []
        self.bootstrap = self._kafka.bootstrap
        self._known: set[str] = set()  # topics that were seen
        # A topic that was made a moment ago, or a leader that has just changed, is news to an old answer.
        self._admin = AdminClient(
            {
                "bootstrap.servers": self.bootstrap,
                "topic.metadata.refresh.interval.ms": -1,
                "reconnect.backoff.max.ms": 250,
                "log_level": 0,
            }
        )

    @property
    def proxied(self) -> str:
        """The brokers' addresses for a client that is to be cut off."""
        return ",".join(f"{HOST}:{proxy.port}" for proxy in self.proxies)

    def leader(self, topic: str, partition: int) -> KafkaNode:
        """The node that leads a partition now, or as soon as one does."""
        deadline = time.monotonic() + WHOLE_S
        while True:
            # A broker that has just started may not know of all topics yet.
            found = self._metadata().topics.get(topic)
            if found is not None and partition in found.partitions:
                number: int = found.partitions[partition].leader
                if number > 0:
                    return self.nodes[number - 1]
            assert time.monotonic() < deadline, f"{topic}/{partition} has no leader"
            time.sleep(POLL_S)

    def coordinator(self, topic: str, name: str) -> KafkaNode:
        """The node that coordinates a group, or the transactions of an id, by Kafka's rule: it leads the
        partition of the topic that keeps them which the name's hash falls upon."""
        return self.leader(topic, java_hash(name) % INTERNAL_PARTITIONS)

    def kill(self, node: KafkaNode) -> None:
        """SIGKILL a broker that leads something; the others are left with a majority."""
        assert node.running
        node.kill()

    def wait_whole(self) -> None:
        """Return when every partition has all its replicas in sync: the next broker may go."""
        deadline = time.monotonic() + WHOLE_S
        while behind := self._behind():
            assert time.monotonic() < deadline, f"replicas are not in sync: {behind[:5]}"
            time.sleep(POLL_S)

    def _behind(self) -> list[str]:
        if not self._kafka.healthy():
            return ["a broker does not answer"]
        topics = self._metadata().topics
        missing = sorted(self._known - topics.keys())
        self._known |= topics.keys()
        return missing + [
            f"{topic.topic}/{partition.id}"
            for topic in topics.values()
            for partition in topic.partitions.values()
            if len(partition.isrs) < len(partition.replicas) or partition.leader < 1
        ]

    def _metadata(self) -> ClusterMetadata:
        deadline = time.monotonic() + WHOLE_S
        while True:
            try:
                return self._admin.list_topics(timeout=REQUEST_S)
            except KafkaException:  # the one that was asked may be the one that is down
                if time.monotonic() > deadline:
                    raise

    def start(self) -> None:
        """Start the brokers and their proxies."""
        for node in self.nodes:
            node.heap = HEAP
            behind = free_port()
            proxy = Proxy(behind, listen=free_port())
            self.proxies.append(proxy)
            own = node._properties()
            node.settings = {
                "listeners": f"{own['listeners']},PROXIED://{HOST}:{behind}",
                "advertised.listeners": f"{own['advertised.listeners']},PROXIED://{HOST}:{proxy.port}",
                "listener.security.protocol.map": f"{own['listener.security.protocol.map']},PROXIED:PLAINTEXT",
            }
        self._kafka.start()

    def stop(self) -> None:
        """End all of it: nobody needs its data any more."""
        self._kafka.kill()
        for proxy in self.proxies:
            proxy.__exit__(None, None, None)

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def java_hash(text: str) -> int:
    """The absolute value of ``String.hashCode``, as Kafka takes it."""
    found = 0
    for character in text:
        found = (31 * found + ord(character)) & 0xFFFFFFFF
    return abs(found - (1 << 32) if found >> 31 else found)
