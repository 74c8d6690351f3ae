"""Folds published topics as the oracle compares them.

Only committed records count. No consumer group takes part, and nothing is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from types import ModuleType
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from connectors.proof.oracle import load_oracle
from streams.errors import DependencyUnavailable, RecordError
from streams.serde import Decoder
from streams.topicreader import Place, TopicReader, consumer, places_of, read_from

PROGRESS_RECORDS = 5000
# Ledger records held at once while they are folded.
BATCH_RECORDS = 5000
# A partition's end is told after this long without records; the default of 500 makes each look as long.
END_WAIT_MS = 50
CLIENT: Final = "tallystream-proof"

EVENTS: Final = "billing.events"
LATEST: Final = (
    "billing.current",
    "utilization.daily",
    "utilization.windows",
    "utilization.groups",
    "utilization.plan",
    "billing.invoice_event",
    "revenue.current",
    "exceptions",
)


def decoded(value: bytes, decoder: Decoder, where: str) -> dict[str, Any]:
    """A record; one that can't be decoded says where it is."""
    try:
        return decoder.decode(value)
    except RecordError as error:
        raise DependencyUnavailable(f"{where}: {error}") from None


def read_topic(
    bootstrap: str, topic: str, decoder: Decoder, wanted: Callable[[bytes], bool] = lambda _key: True
) -> Iterator[dict[str, Any]]:
    """Every committed record of a topic whose key is wanted, decoded, up to the end it has now."""
    with TopicReader(bootstrap, CLIENT) as reader:
        for record in reader.read(topic):
            if record.value is not None and wanted(record.key or b""):
                yield decoded(record.value, decoder, topic)


class TopicFolds:
    """The published topics, folded. Of the ledger it holds one fold a key, and of each event an 8-byte hash.

    The hashes, some 100 bytes of memory each, tell an event that is there twice. Two events with the same one
    would be reported as such, which has a chance of 1 in 3,700 among 100 million; none is ever missed. Of
    compacted topics the last record of each key is held, as bytes.
    """

    def __init__(
        self, bootstrap: str, decoder: Decoder, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        self._oracle: ModuleType = load_oracle()
        self._decoder = decoder
        self._progress = progress
        self._bootstrap = bootstrap
        self._consumer = consumer(bootstrap, CLIENT, **{"fetch.wait.max.ms": END_WAIT_MS})
        try:
            places = places_of(self._consumer, bootstrap, (EVENTS, *LATEST))
        except BaseException:
            self._consumer.close()
            raise
        self._next: dict[Place, int] = dict.fromkeys(places, OFFSET_BEGINNING)
        self._seen: set[int] = set()
        self._times: dict[str, int] = {}  # of those seen before
        self._folds: dict[Any, Any] = {}
        self._latest: dict[str, dict[bytes, bytes]] = {topic: {} for topic in LATEST}

    def advance(self) -> None:
        """Read on to the topics' present ends."""
        events = self._take()
        while batch := list(islice(events, BATCH_RECORDS)):
            for key, fold in self._oracle.billing_from_records(batch).folds.items():
                self._folds[key] = self._folds[key] + fold if key in self._folds else fold

    def actual(self) -> Any:
        """What the topics say, in the form that the oracle compares."""
        oracle = self._oracle
        current, daily, windows, groups, plans, proposals, revenue, exceptions = (
            [decoded(value, self._decoder, topic) for value in self._latest[topic].values()]
            for topic in LATEST
        )
        return oracle.Actual(
            ledger=oracle.Ledger(dict(self._folds), dict(self._times)),
            current=oracle.current_from_records(current),
            daily=oracle.daily_from_records(daily),
            windows=oracle.windows_from_records(windows),
            proposals=oracle.proposals_from_records(proposals),
            groups=oracle.groups_from_records(groups),
            plans=oracle.plans_from_records(plans),
            revenue=oracle.revenue_from_records(revenue),
            incidents=oracle.open_incidents(exceptions),
        )

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _take(self) -> Iterator[dict[str, Any]]:
        """Read all topics at once: each partition's end is waited for. Events are given on, others kept."""
        for message in self._messages():
            topic, key, value = message.topic(), message.key(), message.value()
            if topic != EVENTS:
                if value is None:
                    self._latest[topic].pop(key, None)
                else:
                    self._latest[topic][key] = value
            elif value is not None:
                where = f"{topic} partition {message.partition()} offset {message.offset()}"
                record = decoded(value, self._decoder, where)
                event = record["event_id"]
                if (hashed := hash(event)) in self._seen:
                    self._times[event] = self._times.get(event, 1) + 1
                self._seen.add(hashed)
                yield record

    def _messages(self) -> Iterator[Any]:
        """What has come since the last call."""
        starts = [TopicPartition(*place, offset) for place, offset in self._next.items()]
        try:
            for count, message in enumerate(read_from(self._consumer, starts), 1):
                self._next[message.topic(), message.partition()] = message.offset() + 1
                if count % PROGRESS_RECORDS == 0:
                    self._progress(count)
                yield message
        except KafkaException as error:
            raise DependencyUnavailable(
                f"reading topics from {self._bootstrap}: {error.args[0].str()}; are the brokers up?"
            ) from None
