"""Topics are created from their contracts, never implicitly, and checked against them at start."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from streams.contracts.catalogue import Contracts, TopicContract
from streams.errors import ContractViolation, DependencyUnavailable
from streams.logs import LIBRDKAFKA

ADMIN_SECONDS = 15.0
DAY_MS = 86_400_000
CLAIMS_TOPIC = "lanes.claims"


def admin_client(bootstrap: str) -> AdminClient:
    """An admin client that answers or fails within `ADMIN_SECONDS`."""
    return AdminClient(
        {"bootstrap.servers": bootstrap, "socket.timeout.ms": 10_000}, logger=logging.getLogger(LIBRDKAFKA)
    )


def existing_topics(admin: AdminClient, bootstrap: str) -> dict[str, int]:
    """Partition count of every topic; `DependencyUnavailable` if no broker answers."""
    try:
        metadata = admin.list_topics(timeout=ADMIN_SECONDS)
    except KafkaException as error:
        raise DependencyUnavailable(
            f"no Kafka broker answers at {bootstrap} ({error.args[0].str()}); "
            "start it or set TALLYSTREAM_KAFKA_BOOTSTRAP"
        ) from None
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def topic_config(cleanup: str, retention_days: int) -> dict[str, str]:
    """Broker configuration of a topic."""
    if cleanup == "compact":
        # Small segments, so that the head that can't be compacted yet stays short.
        # Deletions are remembered for as long as local stores rely on it (see streams.lanes.rocks).
        return {
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.3",
            "segment.ms": "3600000",
            "delete.retention.ms": str(DAY_MS),
        }
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(retention_days * DAY_MS if retention_days >= 0 else -1),
    }


def create_topics(
    bootstrap: str, topics: Mapping[str, tuple[int, dict[str, str]]], replication_factor: int = 1
) -> list[str]:
    """Create what is missing of ``{name: (partitions, config)}``; returns the names created.

    A topic that exists with another partition count is refused with the way to migrate.
    """
    admin = admin_client(bootstrap)
    existing = existing_topics(admin, bootstrap)
    for name, (partitions, _) in topics.items():
        if name in existing and existing[name] != partitions:
            raise ContractViolation(
                f"topic {name} has {existing[name]} partitions, its contract says {partitions}: a changed count "
                "would send keys to other lanes; copy it to a new topic with the new count and rebuild the flow"
            )
    missing = [
        NewTopic(name, partitions, replication_factor, config=config)
        for name, (partitions, config) in topics.items()
        if name not in existing
    ]
    if missing:
        for name, future in admin.create_topics(missing, operation_timeout=ADMIN_SECONDS).items():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                    raise DependencyUnavailable(f"creating topic {name}: {error.args[0].str()}") from None
    return [topic.topic for topic in missing]


def contract_topics(contracts: Contracts, override: int | None) -> dict[str, tuple[int, dict[str, str]]]:
    """All contracted topics in the form that `create_topics` takes."""
    return {
        name: (contracts.partitions(name, override), topic_config(c.cleanup, c.retention_days))
        for name, c in contracts.topics.items()
    }


def state_topics(
    stages: Iterable[str], partitions: Mapping[str, int]
) -> dict[str, tuple[int, dict[str, str]]]:
    """The lanes' state topics, ``state.<stage>``, with the partition count of each stage's inputs.

    And ``lanes.claims``, in which lanes say for which partitions they write.
    """
    states = {f"state.{stage}": (partitions[stage], topic_config("compact", -1)) for stage in stages}
    return states | {CLAIMS_TOPIC: (1, topic_config("compact", -1))}


def backfill_topic(changes: str) -> str:
    """Beside a topic of changes: what was in the table before, where that is published apart from them."""
    return f"{changes}.backfill"


def key_of(contract: TopicContract, record: Mapping[str, object]) -> bytes:
    """The message key of a record by its contract."""
    return key_maker(contract)(record)


def key_maker(contract: TopicContract) -> Callable[[Mapping[str, object]], bytes]:
    """What makes the message keys of a contract's records: their parts with ``|`` between them.

    Where a part of a compound key holds ``|`` or ``%`` itself, these are ``%7C`` and ``%25``, so that
    two records never share a key by accident.
    """
    assert contract.key is not None
    names = contract.key.split("|")
    if len(names) == 1:
        (name,) = names
        return lambda record: str(record[name]).encode()

    def compound(record: Mapping[str, object]) -> bytes:
        parts = [str(record[name]) for name in names]
        key = "|".join(parts)
        if "%" in key or key.count("|") >= len(parts):
            key = "|".join(part.replace("%", "%25").replace("|", "%7C") for part in parts)
        return key.encode()

    return compound
