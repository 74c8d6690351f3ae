"""When each committed change could be read from ``billing.current``, and how long each hop took."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.bench.measure import percentile
from connectors.bench.watch import REQUEST_TIMEOUT_S
from streams.errors import DependencyUnavailable
from streams.logs import LIBRDKAFKA

TOPIC = "billing.current"
POLL_S = 0.1
_MS = timedelta(milliseconds=1)

# Hops by name, each from one time of a record to a later one; together they are the whole way.
HOPS: Final[Mapping[str, tuple[str, str]]] = {
    "source": ("occurred_at", "captured_at"),  # commit in the database to the source's hands
    "canonical": ("captured_at", "published_at"),  # through the source's topic to the canonical stage
    "rated": ("published_at", "rated_at"),
    "current": ("rated_at", "readable_at"),  # allocated, committed, and read by another process
}
TOTAL: Final = ("occurred_at", "readable_at")


class Arrival(NamedTuple):
    """A record of the topic, and the Unix time at which a read-committed consumer had it, in seconds."""

    at: float
    value: bytes


class Arrivals:
    """Reads all new records of the topic in a thread, inside the block; ``seen`` has them in order."""

    def __init__(self, bootstrap: str) -> None:
        self.seen: list[Arrival] = []
        self._error: KafkaException | None = None
        self._stop = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "bench-latency",  # required by the library; nothing is committed under it
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "socket.nagle.disable": True,
            },
            logger=logging.getLogger(LIBRDKAFKA),
        )
        self._thread = threading.Thread(target=self._run, name="arrivals", daemon=True)

    def __enter__(self) -> Arrivals:
        partitions = self._consumer.list_topics(TOPIC, timeout=REQUEST_TIMEOUT_S).topics[TOPIC].partitions
        places = [TopicPartition(TOPIC, partition) for partition in partitions]
        for place in places:
            place.offset = self._consumer.get_watermark_offsets(place, timeout=REQUEST_TIMEOUT_S)[1]
        self._consumer.assign(places)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()
        if self._error is not None and error is None:
            raise DependencyUnavailable(f"Kafka: {TOPIC}: {self._error.args[0].str()}")

    def _run(self) -> None:
        while not self._stop.is_set():
            message = self._consumer.poll(POLL_S)
            at = time.time()
            if message is None:
                continue
            if message.error() is not None:
                self._error = KafkaException(message.error())
                return
            self.seen.append(Arrival(at, message.value()))


def way_of_each_change(
    records: Iterable[tuple[float, Mapping[str, Any]]], start: datetime
) -> list[dict[str, float]]:
    """Milliseconds of each hop and of the whole way (``total``), one row a committed change since ``start``.

    ``records`` are (Unix time of arrival, decoded record). Changes are told apart by the time of their
    commit; one that moved several segments has arrived with the last of them.
    """
    last: dict[datetime, dict[str, Any]] = {}
    for at, record in records:
        if not record["snapshot"] and record["occurred_at"] >= start:
            readable = datetime.fromtimestamp(at, UTC)
            last[record["occurred_at"]] = {**record, "readable_at": readable}
    spans = {**HOPS, "total": TOTAL}
    return [
        {name: (row[to] - row[since]) / _MS for name, (since, to) in spans.items()} for row in last.values()
    ]


def quantiles(ways: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """p50, p95, p99 and the maximum of each hop and of the whole way, in milliseconds."""
    found = {}
    for name in ("total", *HOPS):
        values = sorted(way[name] for way in ways)
        found[name] = {f"p{percent}": round(percentile(values, percent), 2) for percent in (50, 95, 99)}
        found[name]["max"] = round(values[-1], 2)
    return found
