"""The embedded broker behind its gate: fetches wait, and an abandoned transaction hides nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streams.contracts.topics import create_topics, topic_config
from streams.stack import Stack
from streams.stack.gate import IDLE_ASK_SECONDS

KILLED_IN_A_TRANSACTION = """
import os, sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "transactional.id": "x", "linger.ms": 0})
producer.init_transactions(10)
for value in ("a", "b"):
    producer.begin_transaction()
    producer.produce("t", value, partition=0)
    producer.commit_transaction()
producer.begin_transaction()
producer.produce("t", "lost", partition=0)
producer.flush()
os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An embedded broker with a topic ``t``."""
    with Stack(tmp_path_factory.mktemp("gate"), services={"broker"}) as stack:
        create_topics(stack.broker.bootstrap, {"t": (1, topic_config("delete", 1))})
        yield stack.broker.bootstrap


def reader(bootstrap: str) -> Consumer:
    """A read-committed consumer at the topic's beginning."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "g", "isolation.level": "read_committed"}
    )
    consumer.assign([TopicPartition("t", 0, 0)])
    return consumer


def read(consumer: Consumer, wanted: int) -> list[bytes]:
    """Values until there are as many as wanted, or a few seconds are over."""
    values: list[bytes] = []
    deadline = time.monotonic() + 5
    while len(values) < wanted and time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            values.append(message.value())
    return values


def test_records_after_an_abandoned_transaction_reach_a_live_reader(bootstrap: str) -> None:
    """A reader that follows sees everything committed after kills in open transactions, and nothing else."""
    consumer = reader(bootstrap)
    seen = []
    for _ in range(3):
        subprocess.run([sys.executable, "-c", KILLED_IN_A_TRANSACTION, bootstrap], check=False, timeout=30)
        seen += read(consumer, 2)
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "x", "linger.ms": 0})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce("t", "end", partition=0)
    producer.commit_transaction()
    seen += read(consumer, 1)
    consumer.close()
    assert seen == [b"a", b"b"] * 3 + [b"end"]


def test_an_idle_reader_waits_instead_of_asking(bootstrap: str) -> None:
    """An idle consumer's process takes next to no CPU for two seconds."""
    consumer = reader(bootstrap)
    read(consumer, 7)
    began = time.process_time()
    assert consumer.poll(2.0) is None
    assert time.process_time() - began < 0.2
    consumer.close()


@pytest.mark.parametrize("transactional", [False, True])
def test_a_waiting_reader_is_woken_by_a_record(bootstrap: str, transactional: bool) -> None:
    """By what passes the gate, not by asking at intervals: at the median within half of one."""
    consumer = reader(bootstrap)
    read(consumer, 1_000)
    options = {"transactional.id": "waker"} if transactional else {}
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, **options})
    if transactional:
        producer.init_transactions(10)
    waits = []
    for number in range(30):
        if transactional:
            producer.begin_transaction()
        producer.produce("t", str(number), partition=0)
        if transactional:
            producer.commit_transaction(10)
        else:
            producer.flush(10)
        began = time.perf_counter()
        assert read(consumer, 1) == [str(number).encode()]
        waits.append(time.perf_counter() - began)
    consumer.close()
    assert sorted(waits)[len(waits) // 2] < IDLE_ASK_SECONDS / 2
