"""Standby copies of state on Apache Kafka: what a takeover restores, and what a copy never holds."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from worker_harness import PARTITIONS, Site, Worker, wait_for

from streams.contracts.topics import create_topics, topic_config
from streams.errors import PositionLost
from streams.lanes.copies import StateCopies
from streams.lanes.restore import restore
from streams.lanes.transaction import transactional_producer
from streams.metrics import STANDBY_RECORDS
from streams.stack import Stack

pytestmark = pytest.mark.kafka

SUBJECTS = [f"standby-{n}" for n in range(300)]
ROUNDS = 12


def events(worker: Worker, name: str) -> list[dict[str, Any]]:
    """What a worker has logged under a name."""
    lines = [line for line in worker.output().splitlines() if f'"event": "{name}"' in line]
    return [json.loads(line) for line in lines]


def partitions(worker: Worker) -> int:
    """How many a worker has."""
    opened = events(worker, "lane_open")
    return int(opened[-1]["partitions"]) if opened else 0


def is_level(worker: Worker) -> bool:
    """Whether it has followed a state topic to its end, and says that it is there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/metrics", timeout=5) as answer:
        metrics = answer.read().decode()
    level = 'tallystream_standby_lag_records{stage="exceptions"} 0.0' in metrics
    return level and bool(events(worker, "standby_level"))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("standbys", [1, 0])
def test_a_takeover_restores_the_tail_where_there_is_a_standby(kafka_site: Site, standbys: int) -> None:
    """A worker is killed after many reports: the other continues with its state, and every report counts
    once. With a standby copy it restores what was written last, without one the whole of the topic."""
    site = kafka_site
    prefix = f"kept{standbys}"
    subjects = [f"{prefix}-{number}" for number in range(len(SUBJECTS))]
    expected: Counter[str] = Counter()
    workers = [site.worker(f"{prefix}-w{n}", TALLYSTREAM_STANDBYS=str(standbys)) for n in range(2)]
    for worker in workers:
        worker.wait_ready()
    wait_for(lambda: [partitions(w) for w in workers] == [1, 1], 60, lambda: workers[0].output())
    for _ in range(ROUNDS):
        site.report(subjects)
        expected.update(subjects)
    site.wait_seen(prefix, dict(expected))
    if standbys:
        wait_for(lambda: all(is_level(worker) for worker in workers), 30, workers[0].output)
        time.sleep(2.5)  # the figure is renewed every second
        assert all(is_level(worker) for worker in workers)
    killed, survivor = workers
    before = len(events(survivor, "lane_restored"))
    killed.kill()
    site.report(subjects)
    expected.update(subjects)
    site.wait_seen(prefix, dict(expected))
    assert partitions(survivor) == PARTITIONS
    restored = sum(event["records"] for event in events(survivor, "lane_restored")[before:])
    if standbys:
        assert restored == 0, "all had been followed before the kill"
    else:
        assert restored > len(SUBJECTS) // PARTITIONS // 2, "compaction may have left one of each"


@pytest.fixture
def followed(kafka: Stack, tmp_path: Path) -> Iterator[tuple[str, StateCopies]]:
    """A state topic of the test's own, and who follows it."""
    bootstrap = kafka.broker.bootstrap
    stage = f"standby-{tmp_path.name}"
    create_topics(bootstrap, {f"state.{stage}": (1, topic_config("compact", -1))})
    copies = StateCopies(bootstrap, tmp_path, lambda name: name)
    try:
        yield stage, copies
    finally:
        copies.stop()


def follow(copies: StateCopies, stage: str, records: int) -> None:
    """Until so many records of a stage were applied."""
    applied = STANDBY_RECORDS.labels(stage)._value
    copies.follow({stage: 1}, [0])
    wait_for(lambda: applied.get() >= records, 30, lambda: f"{applied.get()} records were applied")


def test_a_copy_holds_committed_state_only(followed: tuple[str, StateCopies], kafka: Stack) -> None:
    """What an open transaction wrote is not in it, nor what lies behind that; what was aborted never is."""
    stage, copies = followed
    topic, bootstrap = f"state.{stage}", kafka.broker.bootstrap
    lane = transactional_producer(bootstrap, f"{stage}-0")
    lane.begin_transaction()
    lane.produce(topic, b"1", b"a", partition=0)
    lane.commit_transaction(20)
    killed = transactional_producer(bootstrap, f"{stage}-killed")
    killed.begin_transaction()
    killed.produce(topic, b"open", b"a", partition=0)
    killed.flush(10)
    lane.begin_transaction()
    lane.produce(topic, b"behind", b"b", partition=0)
    lane.commit_transaction(20)
    follow(copies, stage, 1)
    time.sleep(1.0)
    store = copies.take(stage, 0)
    assert (store.get(b"a"), store.get(b"b")) == (b"1", None)
    assert store.offset <= 2, "its position lies behind what it holds"
    transactional_producer(bootstrap, f"{stage}-killed")
    restore(bootstrap, topic, 0, store, store.offset)
    assert (store.get(b"a"), store.get(b"b")) == (b"1", b"behind")
    store.close(None)
    copies.give_back(stage, 0)


def test_a_copy_is_kept_over_a_restart_and_dropped_with_its_topic(
    followed: tuple[str, StateCopies], kafka: Stack, tmp_path: Path
) -> None:
    """Closed cleanly it goes on where it was; one that is ahead of its topic begins anew."""
    stage, copies = followed
    topic, bootstrap = f"state.{stage}", kafka.broker.bootstrap
    write(bootstrap, topic, {b"a": b"1", b"b": b"1"})
    follow(copies, stage, 2)
    copies.stop()
    again = StateCopies(bootstrap, tmp_path, lambda name: name)
    write(bootstrap, topic, {b"b": None, b"c": b"2"})
    follow(again, stage, 4)
    again.stop()
    kept = StateCopies(bootstrap, tmp_path, lambda name: name)
    store = kept.take(stage, 0)
    assert store.offset >= 4
    assert dict(store.scan(b"")) == {b"a": b"1", b"c": b"2"}
    store.close(1_000)
    kept.give_back(stage, 0)
    follow(kept, stage, 8)
    kept.stop()
    store = kept.take(stage, 0)
    assert store.offset < 1_000
    assert dict(store.scan(b"")) == {b"a": b"1", b"c": b"2"}
    store.close(None)


def test_state_whose_beginning_was_deleted_is_not_taken_for_complete(
    followed: tuple[str, StateCopies], kafka: Stack
) -> None:
    """A state topic that lost records halts a restore that needs them; a copy is not built from the rest."""
    name, copies = followed
    stage, bootstrap = f"{name}-cut", kafka.broker.bootstrap
    topic = f"state.{stage}"
    create_topics(bootstrap, {topic: (1, topic_config("delete", -1))})  # somebody's mistake
    write(bootstrap, topic, {b"a": b"1", b"b": b"1"})
    admin = AdminClient({"bootstrap.servers": bootstrap})
    place = TopicPartition(topic, 0, 1)
    admin.delete_records([place])[place].result(60)
    store = copies.take(stage, 0)
    with pytest.raises(PositionLost, match=f"{topic}/0: records 0 to 1 were deleted, and with them state"):
        restore(bootstrap, topic, 0, store, store.offset)
    store.close(None)
    copies.give_back(stage, 0)
    copies.follow({stage: 1}, [0])
    time.sleep(2.0)
    assert STANDBY_RECORDS.labels(stage)._value.get() == 0


def write(bootstrap: str, topic: str, changes: dict[bytes, bytes | None]) -> None:
    """Changes of state, without a transaction."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for key, value in changes.items():
        producer.produce(topic, value, key, partition=0)
    assert producer.flush(20) == 0
