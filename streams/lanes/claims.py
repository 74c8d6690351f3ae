"""Who may write for a partition: claims, on a topic of their own, that fence who wrote for it before.

A lane writes for all its partitions in one transaction, so its producer's ``transactional.id`` can't name a
partition; it is a new one each time that a lane is opened. Whoever opens a lane therefore claims each
partition, in this order:

1. ``init_transactions`` with the partition's own id ``<flow>-<partition>``, under which claims are written,
   and begin a claim that names the lane's id. Of two that claim at once, the earlier one's claim can't be
   committed any more.
2. Read the claims of the partition before it, which name the ids of the lanes that wrote for it. What is
   not committed is read too: it may name an id too many, never one too few. Later ones are not read: who
   was overtaken must not fence who overtook it.
3. ``init_transactions`` with each of these ids: what such a lane has under way is aborted, and it learns of
   its new owner at its next commit.
4. Commit the claim, with the ids that are fenced by now and need not be again.

Only then may state be restored: nobody else can write to it. Who finds its claim fenced was overtaken by a
later owner.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.contracts.topics import CLAIMS_TOPIC
from streams.errors import DependencyUnavailable, Fenced
from streams.lanes.transaction import is_fenced, transactional_producer
from streams.lanes.watermarks import watermarks
from streams.logs import LIBRDKAFKA

THREADS = 8
READ_SECONDS = 30.0
COMMIT_SECONDS = 30.0
# A claim takes milliseconds. One whose writer was killed hides nothing: claims are read uncommitted.
CLAIM_TIMEOUT_MS = 10_000


def claim(bootstrap: str, flow: str, partitions: Collection[int], transactional_id: str) -> None:
    """Claim partitions of a flow for a lane that writes as ``transactional_id``, and fence who had them.

    Raises `Fenced` if a later owner was quicker, `DependencyUnavailable` if the brokers don't answer.
    """
    names = [f"{flow}-{partition}" for partition in partitions]
    with ThreadPoolExecutor(THREADS, "lane-claim") as pool:
        claims = list(pool.map(lambda name: _Claim(bootstrap, name, transactional_id), names))
        earlier = _earlier_owners(bootstrap, {claim.name: claim.offset for claim in claims})
        owners = sorted({owner for known in earlier.values() for owner in known} - {transactional_id})
        list(pool.map(lambda owner: transactional_producer(bootstrap, owner), owners))
        list(pool.map(lambda claim: claim.commit(earlier.get(claim.name, ())), claims))


class _Claim:
    """A claim that has begun: it is at ``offset`` of its topic, and not committed yet."""

    def __init__(self, bootstrap: str, name: str, owner: str) -> None:
        self.name = name
        self.offset = -1
        self._owner = owner
        self._producer = transactional_producer(bootstrap, name, CLAIM_TIMEOUT_MS)
        with self._told():
            self._producer.begin_transaction()
            self._write([])
            self._producer.flush(COMMIT_SECONDS)
            if self.offset < 0:  # the commit says why
                self._producer.commit_transaction(COMMIT_SECONDS)

    def commit(self, fenced: Collection[str]) -> None:
        """Make it count; ``fenced`` are ids that nobody has to fence again."""
        with self._told():
            self._write(fenced)
            self._producer.commit_transaction(COMMIT_SECONDS)

    def _write(self, fenced: Collection[str]) -> None:
        document = {"owner": self._owner, "fenced": sorted(fenced)}
        self._producer.produce(
            CLAIMS_TOPIC, json.dumps(document).encode(), self.name.encode(), 0, on_delivery=self._delivered
        )

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None and self.offset < 0:
            self.offset = message.offset()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            kafka_error: KafkaError = error.args[0]
            if is_fenced(kafka_error):
                raise Fenced(f"{self.name} was claimed by a later owner ({kafka_error.str()})") from None
            raise DependencyUnavailable(f"{self.name} could not be claimed: {kafka_error.str()}") from None


def _earlier_owners(bootstrap: str, before: Mapping[str, int]) -> dict[str, set[str]]:
    """The ids that may still write for each name, by the claims before an offset."""
    owners: dict[str, set[str]] = {}
    fenced: dict[str, set[str]] = {}
    for offset, name, document in _read(bootstrap):
        if offset < before.get(name, 0):
            owners.setdefault(name, set()).add(document["owner"])
            fenced.setdefault(name, set()).update(document["fenced"])
    return {name: known - fenced[name] for name, known in owners.items()}


def _read(bootstrap: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "tallystream-claims",
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        },
        logger=logging.getLogger(LIBRDKAFKA),
    )
    try:
        low, high = watermarks(consumer, CLAIMS_TOPIC, 0)
        consumer.assign([TopicPartition(CLAIMS_TOPIC, 0, low)])
        deadline = time.monotonic() + READ_SECONDS
        at = low
        while at < high:
            message = consumer.poll(0.1)
            if message is None:
                if time.monotonic() > deadline:
                    raise DependencyUnavailable(
                        f"{CLAIMS_TOPIC} was not read to its end within {READ_SECONDS:.0f} s"
                    )
                continue
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return  # transaction markers end the topic
            if error is not None:
                raise DependencyUnavailable(f"{CLAIMS_TOPIC} can't be read: {error.str()}")
            at = message.offset() + 1
            if message.key() is not None and message.value() is not None:
                yield message.offset(), message.key().decode(), json.loads(message.value())
    except KafkaException as error:
        raise DependencyUnavailable(f"{CLAIMS_TOPIC} can't be read: {error.args[0].str()}") from None
    finally:
        consumer.close()
