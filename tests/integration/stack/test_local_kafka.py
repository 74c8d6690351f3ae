"""Apache Kafka of the local stack: one node, and three."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from streams.stack import Stack, kafka_available
from streams.stack.state import read_state

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(not kafka_available(), reason="needs Java and Maven"),
]
START_GOAL_S = 30.0  # 3 s on an idle machine; this one is shared with other tests


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("kafka"), broker="kafka", services=["broker"]) as stack:
        yield stack


def create(bootstrap: str, topic: str, replicas: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, replicas)])[topic].result(30)


def produce(bootstrap: str, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for number in range(count):
        producer.produce(topic, str(number).encode())
    assert producer.flush(60) == 0


def high_watermark(bootstrap: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "count"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)[1])
    finally:
        consumer.close()


def test_acknowledged_records_survive_kill_and_restart(stack: Stack) -> None:
    """What the embedded broker can't promise."""
    create(stack.broker.bootstrap, "kept")
    produce(stack.broker.bootstrap, "kept", 1000)
    for end in (stack.kafka.kill, stack.kafka.stop):
        end()
        assert not stack.kafka.healthy()
        started = time.monotonic()
        stack.kafka.start()
        assert time.monotonic() - started < START_GOAL_S
        assert high_watermark(stack.broker.bootstrap, "kept") == 1000


def test_transactions_commit_and_abort(stack: Stack) -> None:
    """Read-committed readers see the committed record only."""
    create(stack.broker.bootstrap, "exact")
    producer = Producer({"bootstrap.servers": stack.broker.bootstrap, "transactional.id": "lane-0"})
    producer.init_transactions(30)
    for value, finish in ((b"no", producer.abort_transaction), (b"yes", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce("exact", value)
        finish(30)
    consumer = Consumer(
        {
            "bootstrap.servers": stack.broker.bootstrap,
            "group.id": "exact",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    try:
        consumer.subscribe(["exact"])
        message = consumer.poll(30)
        assert message is not None
        assert message.value() == b"yes"
    finally:
        consumer.close()


def test_topics_are_never_created_implicitly(stack: Stack) -> None:
    """And transactions may last a quarter of an hour."""
    admin = AdminClient({"bootstrap.servers": stack.broker.bootstrap})
    consumer = Consumer({"bootstrap.servers": stack.broker.bootstrap, "group.id": "g"})
    try:
        with pytest.raises(KafkaException):
            consumer.get_watermark_offsets(TopicPartition("never-made", 0), timeout=5)
    finally:
        consumer.close()
    assert "never-made" not in admin.list_topics(timeout=30).topics
    resource = ConfigResource(ResourceType.BROKER, "1")
    configuration = admin.describe_configs([resource])[resource].result(30)
    assert configuration["auto.create.topics.enable"].value == "false"
    assert configuration["transaction.max.timeout.ms"].value == "900000"


@pytest.mark.slow
def test_three_nodes_lose_one_and_go_on(tmp_path: Path) -> None:
    """A topic of three replicas takes writes while a node is dead, and the node comes back."""
    with Stack(tmp_path, broker="kafka", services=["broker"], kafka_nodes=3) as stack:
        nodes = stack.kafka.nodes
        admin = AdminClient({"bootstrap.servers": stack.broker.bootstrap})
        assert len(admin.list_topics(timeout=30).brokers) == 3
        create(stack.broker.bootstrap, "safe", replicas=3)
        produce(stack.broker.bootstrap, "safe", 100)
        nodes[0].kill()
        assert not stack.kafka.healthy()
        assert stack.kafka.running
        produce(stack.broker.bootstrap, "safe", 100)
        nodes[0].start()
        assert high_watermark(stack.broker.bootstrap, "safe") == 200


def test_java_ends_with_the_one_who_started_it(tmp_path: Path) -> None:
    """Within two seconds of kill -9."""
    arguments = ["--data-dir", str(tmp_path), "--broker", "kafka", "--service", "broker"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streams.stack", *arguments], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        state = read_state(tmp_path)
        assert state is not None
        (record,) = state.services[0].processes
        java = psutil.Process(record.pid)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert psutil.wait_procs([java], 2)[1] == []
