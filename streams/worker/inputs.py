"""Whether a lane's inputs are those that its state was computed from, and still hold what comes next.

A lane never begins at a default. Where it can't go on it says what happened to the topic and what to do.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import structlog
from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition

from streams.contracts.topics import ADMIN_SECONDS, admin_client
from streams.errors import ContractViolation, DependencyUnavailable, PositionLost
from streams.lanes.core import LaneCore
from streams.lanes.watermarks import watermarks
from streams.logs import LIBRDKAFKA

log = structlog.get_logger("worker")

# What a broker without topic ids answers.
NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is. ``id`` changes when it is deleted and created anew; "" where the broker has none."""

    id: str
    partitions: int


def describe_topics(bootstrap: str, topics: Collection[str]) -> dict[str, TopicState]:
    """Those of the topics that exist; raises `DependencyUnavailable`."""
    admin = admin_client(bootstrap)
    found = {}
    try:
        asked = admin.describe_topics(TopicCollection(sorted(set(topics))), request_timeout=ADMIN_SECONDS)
        for topic, answer in asked.items():
            try:
                description = answer.result()
            except KafkaException as error:
                if error.args[0].name() != "UNKNOWN_TOPIC_OR_PART":
                    raise
                continue
            identity = str(description.topic_id)
            found[topic] = TopicState("" if identity == NO_ID else identity, len(description.partitions))
    except KafkaException as error:
        raise DependencyUnavailable(f"topics can't be described: {error.args[0].str()}") from None
    return found


def check_same(before: Mapping[str, TopicState], now: Mapping[str, TopicState]) -> None:
    """Raise what happened to topics that a worker has begun to read."""
    for topic, state in before.items():
        found = now.get(topic)
        if found is None:
            raise PositionLost(f"topic {topic} was deleted; {_bring_back(topic)}")
        if found.id != state.id:
            raise PositionLost(_recreated(topic))
        check_count(topic, found.partitions, state.partitions)


def check_count(topic: str, found: int, expected: int) -> None:
    """Raise `ContractViolation` where a topic has not the partitions that keys were placed by."""
    if found != expected:
        raise ContractViolation(
            f"topic {topic} has {found} partitions, and had {expected}: a changed count sends keys to other "
            "lanes than their state; copy it to a new topic with the old count, and put that in its place"
        )


def _recreated(topic: str) -> str:
    return (
        f"topic {topic} was deleted and created anew: positions in it mean nothing now; {_bring_back(topic)}"
    )


def _bring_back(topic: str) -> str:
    return (
        "write its rows again (`tallystream source snapshot`, or from a copy), then start the worker once with "
        f"`tallystream worker --from-earliest {topic}`"
    )


class InputCheck:
    """The inputs of one flow. ``from_earliest`` names topics that may begin anew: somebody said so."""

    def __init__(self, bootstrap: str, group: str, from_earliest: Collection[str] = ()) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._from_earliest = from_earliest

    def place(self, cores: Iterable[tuple[int, LaneCore]]) -> None:
        """Check the position of each input of restored lanes, (partition, lane), and set those of new ones.

        Raises `PositionLost` where a topic was created anew, ends before the position, or has lost records
        from there on; or where the lane's state is gone.
        """
        pairs = list(cores)
        inputs = {topic for _, core in pairs for topic in core.stage.inputs}
        topics = describe_topics(self._bootstrap, inputs)
        for topic in sorted(inputs - topics.keys()):
            raise DependencyUnavailable(f"topic {topic} does not exist; {_bring_back(topic)}")
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": self._group,  # to ask for its offsets; it is not joined
                "enable.auto.commit": False,
                "isolation.level": "read_uncommitted",  # an open transaction is no end
            },
            logger=logging.getLogger(LIBRDKAFKA),
        )
        try:
            for partition, core in pairs:
                for topic in core.stage.inputs:
                    self._place(consumer, topic, topics[topic].id, partition, core)
        except KafkaException as error:
            raise DependencyUnavailable(f"positions can't be checked: {error.args[0].str()}") from None
        finally:
            consumer.close()

    def _place(self, consumer: Consumer, topic: str, now: str, partition: int, core: LaneCore) -> None:
        low, high = watermarks(consumer, topic, partition)
        cursor = core.cursor
        position = cursor.inputs.get(topic)
        if position is None:
            self._check_state(consumer, topic, partition, low)
            core.start_at(topic, low, durable=True)
        elif (
            lost := _loss(topic, partition, (low, position, high), cursor.topics.get(topic, now), now)
        ) is not None:
            if topic not in self._from_earliest:
                raise PositionLost(lost)
            log.warning("input_begun_anew", topic=topic, partition=partition, was=position, position=low)
            cursor.inputs[topic] = low
        cursor.topics[topic] = now

    def _check_state(self, consumer: Consumer, topic: str, partition: int, low: int) -> None:
        """A group that has come to somewhere, and no state that says what was done: the state was lost."""
        (told,) = consumer.committed([TopicPartition(topic, partition)], timeout=ADMIN_SECONDS)
        if told.offset > low:
            raise PositionLost(
                f"{topic}/{partition} was applied up to {told.offset} by {self._group}, but the state that came "
                "of it is gone: its state topic was deleted or cut off; restore that topic from a copy, or "
                "build all flows anew from their sources, on empty topics"
            )


def _loss(topic: str, partition: int, bounds: tuple[int, int, int], was: str, now: str) -> str | None:
    """What happened to an input since a lane was at a position; ``bounds`` are (low, position, high)."""
    low, position, high = bounds
    if was != now:
        return _recreated(topic)
    if position > high:
        return (
            f"{topic}/{partition} ends at {high}, before the position {position} up to which it was applied: it "
            f"was created anew, or a broker lost records; {_bring_back(topic)}"
        )
    if position < low:
        return (
            f"{topic}/{partition}: records {position} to {low} were deleted before they were applied; lengthen "
            f"the topic's retention; {_bring_back(topic)}"
        )
    return None
