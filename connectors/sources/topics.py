"""The topics a source writes to: their names, and making them where they are missing."""

from __future__ import annotations

import logging
import re

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streams.errors import ContractViolation, DependencyUnavailable
from streams.logs import LIBRDKAFKA

POSITIONS = "source.positions"
ADMIN_TIMEOUT_S = 15.0  # a broker that takes longer to make a topic is not one to start on

# Changes are kept for ever: a consumer that starts anew needs them all. The broker's default of
# seven days would lose them silently.
_CHANGES = {"cleanup.policy": "delete", "retention.ms": "-1"}
_COMPACTED = {"cleanup.policy": "compact"}


def topic_name(system: str, schema: str, table: str) -> str:
    """``cdc.<system>.<schema>.<table>``; characters that Kafka forbids become ``_``."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"cdc.{system}.{schema}.{table}")


class Topics:
    """Makes topics once, and knows their partition counts."""

    def __init__(self, bootstrap: str, partitions: int | None, replication_factor: int) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap}, logger=logging.getLogger(LIBRDKAFKA))
        self._bootstrap = bootstrap
        self._wanted = partitions
        self._replication_factor = replication_factor
        self._counts: dict[str, int] = {}

    def ensure_changes(self, topic: str) -> int:
        """Make a topic of changes if it is missing; its partition count.

        `ContractViolation` when it exists with another count than the one asked for.
        """
        return self._ensure(topic, self._wanted, _CHANGES)

    def ensure_positions(self) -> None:
        """Make the compacted topic of positions: one partition, so that one read sees it whole."""
        self._ensure(POSITIONS, 1, _COMPACTED)

    def partitions(self, topic: str) -> int:
        """Partition count of a topic that was ensured."""
        return self._counts[topic]

    def existing(self, topic: str) -> int | None:
        """Partition count of a topic, None where there is none."""
        if topic in self._counts:
            return self._counts[topic]
        try:
            return self._count(topic)
        except KafkaException as error:
            raise DependencyUnavailable(f"Kafka at {self._bootstrap}: {error.args[0].str()}") from None

    def _ensure(self, topic: str, wanted: int | None, config: dict[str, str]) -> int:
        if topic in self._counts:
            return self._counts[topic]
        try:
            count = self._count(topic)
            if count is None:
                new = NewTopic(topic, wanted or 1, self._replication_factor, config=config)
                self._create(new)
                count = wanted or 1
        except KafkaException as error:
            raise DependencyUnavailable(f"Kafka at {self._bootstrap}: {error.args[0].str()}") from None
        if wanted is not None and count != wanted:
            raise ContractViolation(
                f"topic {topic} has {count} partitions, {wanted} are asked for; another count would move "
                f"keys: set partitions = {count}, or move to a new topic"
            )
        self._counts[topic] = count
        return count

    def _count(self, topic: str) -> int | None:
        # All topics, not this one: asking for a missing topic by name may create it.
        found = self._admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics.get(topic)
        return None if found is None or found.error is not None else len(found.partitions)

    def _create(self, new: NewTopic) -> None:
        try:
            self._admin.create_topics([new], operation_timeout=ADMIN_TIMEOUT_S)[new.topic].result(
                ADMIN_TIMEOUT_S
            )
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
