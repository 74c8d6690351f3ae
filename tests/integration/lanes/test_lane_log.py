"""A lane's log, restore and topics on the embedded broker: transactions, fencing, positions, placement."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from streams.contracts.topics import CLAIMS_TOPIC, create_topics, state_topics, topic_config
from streams.errors import ContractViolation, Fenced, PositionLost
from streams.lanes import claims
from streams.lanes.claims import claim
from streams.lanes.cursor import CURSOR_KEY
from streams.lanes.records import Output
from streams.lanes.restore import restore
from streams.lanes.state import MemoryStore
from streams.lanes.transaction import TransactionalLog
from streams.lanes.watermarks import end_offsets
from streams.serde.partitioning import partition_of
from streams.stack import Stack
from streams.tails import last_records
from streams.worker.inputs import describe_topics

KEYS = 200
SPREAD = 7


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded broker."""
    with Stack(tmp_path_factory.mktemp("lanes"), "embedded", {"broker"}) as stack:
        yield stack.broker.bootstrap


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of the test's own, for topics and transactional ids."""
    return str(request.node.name).replace("[", "-").replace("]", "")[:80]


class OneStage:
    """A lane with one stage on one partition, whose slices are committed at once."""

    def __init__(self, bootstrap: str, name: str) -> None:
        transactional_id = f"{name}-{secrets.token_hex(4)}"
        self.lane = TransactionalLog(bootstrap, transactional_id)
        claim(bootstrap, name, [0], transactional_id)
        self.stage = self.lane.stage(f"state.{name}", 0)

    def commit(self, outputs: Sequence[Output], changes: Mapping[bytes, bytes | None]) -> None:
        """One slice, one transaction."""
        self.stage.commit(outputs, changes)
        self.lane.flush()


def lane(bootstrap: str, name: str) -> OneStage:
    """The log of lane 0, with its topics."""
    create_topics(bootstrap, state_topics([name], {name: 1}) | {name: (1, {})})
    return OneStage(bootstrap, name)


def restored(bootstrap: str, name: str, start: int = 0) -> tuple[dict[bytes, bytes], int]:
    """State as a new owner restores it, and the position it ends at."""
    store = MemoryStore()
    progress = restore(bootstrap, f"state.{name}", 0, store, start)
    return store.items, progress.end


def test_state_is_restored_with_its_deletions_up_to_the_end(bootstrap: str, name: str) -> None:
    """Several slices, the last ending in a transaction marker, which is no record to wait for."""
    log = lane(bootstrap, name)
    log.commit([Output(name, b"k", b"1")], {b"a": b"1", b"b": b"1", CURSOR_KEY: b"c1"})
    log.commit([], {b"a": b"2", b"b": None, CURSOR_KEY: b"c2"})
    items, end = restored(bootstrap, name)
    assert items == {b"a": b"2", CURSOR_KEY: b"c2"}
    position = log.stage.close()
    assert position is not None
    assert position <= end
    assert restored(bootstrap, name, position)[0] == {}, "a clean store restores nothing"


def test_a_log_without_slices_ends_where_it_was_restored(bootstrap: str, name: str) -> None:
    """An idle lane's store stays clean; one whose position nobody said is not called clean."""
    log = lane(bootstrap, name)
    assert log.stage.close() is None
    log.stage.begin_at(12)
    log.lane.flush()
    assert log.stage.close() == 12


def test_a_new_owner_fences_the_old_one(bootstrap: str, name: str) -> None:
    """The old owner's next slice fails as `Fenced`, and nothing of it is visible."""
    old = lane(bootstrap, name)
    old.commit([], {b"a": b"1", CURSOR_KEY: b"c1"})
    new = OneStage(bootstrap, name)
    with pytest.raises(Fenced, match="has a new owner"):
        old.commit([Output(name, b"k", b"zombie")], {b"a": b"zombie", CURSOR_KEY: b"zombie"})
    new.commit([], {b"a": b"2", CURSOR_KEY: b"c2"})
    assert restored(bootstrap, name)[0] == {b"a": b"2", CURSOR_KEY: b"c2"}


def test_local_state_ahead_of_its_topic_is_a_lost_position(bootstrap: str, name: str) -> None:
    """A recreated state topic is not taken for an empty one."""
    lane(bootstrap, name).commit([], {b"a": b"1", CURSOR_KEY: b"c"})
    with pytest.raises(PositionLost, match="before the local state's position 1000"):
        restored(bootstrap, name, 1000)


def test_topics_have_the_configuration_of_their_contract(bootstrap: str, name: str) -> None:
    """Partitions and cleanup arrive at the broker; what is there is left alone."""
    topics = {f"{name}-c": (3, topic_config("compact", -1)), f"{name}-d": (2, topic_config("delete", 7))}
    assert sorted(create_topics(bootstrap, topics)) == sorted(topics)
    assert create_topics(bootstrap, topics) == []
    admin = AdminClient({"bootstrap.servers": bootstrap})
    metadata = admin.list_topics(timeout=10).topics
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
    configs = {r.name: f.result(10) for r, f in admin.describe_configs(resources).items()}
    for topic, (partitions, config) in topics.items():
        assert len(metadata[topic].partitions) == partitions
        for key in ("cleanup.policy", "retention.ms"):
            if key in config:
                assert configs[topic][key].value == config[key]


def test_a_changed_partition_count_is_refused(bootstrap: str, name: str) -> None:
    """With the topic, both counts, and the way to migrate; nothing is created beside it."""
    create_topics(bootstrap, {name: (2, {})})
    with pytest.raises(ContractViolation, match=rf"{name} has 2 partitions, its contract says 3.*copy it"):
        create_topics(bootstrap, {name: (3, {}), f"{name}-new": (1, {})})
    assert f"{name}-new" not in AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).topics


def test_librdkafka_places_keys_where_we_say(bootstrap: str, name: str) -> None:
    """Its murmur2 and ours agree, so a topic may be written by both."""
    create_topics(bootstrap, {name: (SPREAD, {})})
    placed: dict[str, int] = {}
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    keys = [f"erp:É-{n}" for n in range(KEYS)]
    for key in keys:
        producer.produce(
            name,
            b"v",
            key.encode(),
            on_delivery=lambda error, message: placed.update({message.key().decode(): message.partition()}),
        )
    assert producer.flush(20) == 0
    assert placed == {key: partition_of(key, SPREAD) for key in keys}


def test_an_aborted_slice_is_not_restored(bootstrap: str, name: str) -> None:
    """A worker killed inside a transaction: its successor ends it, and restores only what was committed."""
    log = lane(bootstrap, name)
    log.commit([], {b"a": b"1", CURSOR_KEY: b"c1"})
    killed = Producer({"bootstrap.servers": bootstrap, "transactional.id": log.lane.transactional_id})
    killed.init_transactions(20)
    killed.begin_transaction()
    killed.produce(f"state.{name}", b"half", b"a", partition=0)
    killed.flush(10)
    OneStage(bootstrap, name)
    assert restored(bootstrap, name)[0] == {b"a": b"1", CURSOR_KEY: b"c1"}


def test_a_record_that_is_too_large_is_named(bootstrap: str, name: str) -> None:
    """It would be refused again and again: one error that says which, and nothing of its slice is there."""
    log = lane(bootstrap, name)
    for outputs, changes in (
        ([Output(name, b"k", bytes(2_000_000))], {b"a": b"1"}),
        ([Output(name, b"k", b"v")], {b"k": bytes(2_000_000)}),
    ):
        topic = name if len(outputs[0].value or b"") > 1 else f"state.{name}"
        with pytest.raises(
            ContractViolation, match=rf"^{re.escape(topic)}: the record of key b'k' has 2,000,000 bytes"
        ):
            log.commit(outputs, {**changes, CURSOR_KEY: b"{}"})
        log = OneStage(bootstrap, name)
    assert restored(bootstrap, name) == ({}, 0)


def test_topics_that_several_flows_read_are_described_once(bootstrap: str, name: str) -> None:
    """Asking for one twice would be refused."""
    lane(bootstrap, name)
    assert describe_topics(bootstrap, [name, name, f"{name}-never"])[name].partitions == 1


def test_watermarks_are_there_for_an_empty_topic(bootstrap: str, name: str) -> None:
    """A lane that never wrote restores at once."""
    create_topics(bootstrap, {f"state.{name}": (1, {})})
    assert restored(bootstrap, name) == ({}, 0)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "g"})
    assert consumer.get_watermark_offsets(TopicPartition(f"state.{name}", 0), timeout=10) == (0, 0)
    consumer.close()


def owner(bootstrap: str, flow: str, partitions: Sequence[int]) -> TransactionalLog:
    """A lane that claims partitions."""
    log = TransactionalLog(bootstrap, f"{flow}-{secrets.token_hex(4)}")
    claim(bootstrap, flow, partitions, log.transactional_id)
    return log


def writes(log: TransactionalLog, topic: str, value: bytes) -> None:
    """One transaction."""
    log.add([Output(topic, b"k", value)])
    log.flush()


def test_only_who_lost_a_partition_is_fenced(bootstrap: str, name: str) -> None:
    """Claims name whom they fence: a lane of other partitions goes on."""
    create_topics(bootstrap, state_topics([], {}) | {name: (1, {})})
    first, second = owner(bootstrap, name, [0, 1]), owner(bootstrap, name, [2, 3])
    writes(first, name, b"1")
    third = owner(bootstrap, name, [1])
    writes(second, name, b"2")
    writes(third, name, b"3")
    with pytest.raises(Fenced, match="has a new owner"):
        writes(first, name, b"zombie")


def test_a_claim_that_was_overtaken_is_refused(
    bootstrap: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that claim at once the later wins, and is not fenced by the other, which learns that it lost."""
    create_topics(bootstrap, state_topics([], {}) | {name: (1, {})})
    early = TransactionalLog(bootstrap, f"{name}-early")
    whole = claims._earlier_owners
    late: list[TransactionalLog] = []

    def overtaken(*args: Any) -> Any:
        monkeypatch.setattr(claims, "_earlier_owners", whole)
        late.append(owner(bootstrap, name, [0]))
        return whole(*args)

    monkeypatch.setattr(claims, "_earlier_owners", overtaken)
    with pytest.raises(Fenced, match="was claimed by a later owner"):
        claim(bootstrap, name, [0], early.transactional_id)
    writes(late[0], name, b"1")


def test_a_claim_that_was_not_finished_fences_as_well(bootstrap: str, name: str) -> None:
    """Killed between writing and committing its claim: its lane can't write behind the next owner's back."""
    create_topics(bootstrap, state_topics([], {}) | {name: (1, {})})
    lost = TransactionalLog(bootstrap, f"{name}-lost")
    killed = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{name}-0"})
    killed.init_transactions(20)
    killed.begin_transaction()
    claimed = json.dumps({"owner": lost.transactional_id, "fenced": []}).encode()
    killed.produce(CLAIMS_TOPIC, claimed, f"{name}-0".encode(), partition=0)
    killed.flush(10)
    writes(owner(bootstrap, name, [0]), name, b"1")
    with pytest.raises(Fenced):
        writes(lost, name, b"zombie")


def test_what_was_fenced_once_is_not_fenced_again(bootstrap: str, name: str) -> None:
    """However often a partition moved, its next owner fences the last one alone."""
    create_topics(bootstrap, state_topics([], {}) | {name: (1, {})})
    owners = [owner(bootstrap, name, [0]).transactional_id for _ in range(4)]
    assert claims._earlier_owners(bootstrap, {f"{name}-0": 1_000}) == {f"{name}-0": {owners[-1]}}


def test_the_last_records_of_topics_are_found_behind_what_transactions_leave(
    bootstrap: str, name: str
) -> None:
    """The last committed one of each partition, whatever was aborted after it; none of an empty one."""
    create_topics(bootstrap, {name: (3, topic_config("delete", -1))})
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "log_level": 0})
    producer.init_transactions(30)
    for number in range(40):
        producer.begin_transaction()
        for partition in (0, 1):
            producer.produce(name, str(number).encode(), b"k", partition)
        producer.commit_transaction(30)
    for _ in range(20):
        producer.begin_transaction()
        producer.produce(name, b"aborted", b"k", 0)
        producer.flush(10)
        producer.abort_transaction(30)
    found = last_records(bootstrap, [(name, partition) for partition in range(3)])
    assert {place: last.value for place, last in found.items()} == {(name, 0): b"39", (name, 1): b"39"}
    ends = end_offsets(bootstrap, [(name, 0), (name, 1)])
    assert found[name, 0].end < ends[name, 0] - 20
    assert found[name, 1].end <= ends[name, 1]
