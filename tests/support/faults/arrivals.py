"""What comes out of a pipeline, partition by partition, while it is broken and mended."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from datetime import UTC, datetime
from types import TracebackType

from confluent_kafka import Consumer, TopicPartition

from streams.lanes.watermarks import watermarks
from streams.serde import Decoder

POLL_S = 0.02
BATCH = 2_000
END_S = 30.0

Place = tuple[str, int]


class Arrivals:
    """``with Arrivals(bootstrap, decoder, topics) as arrivals:`` follows committed records from now on.

    A record is of the moment at which its source committed the change, ``occurred_at``.
    """

    def __init__(self, bootstrap: str, decoder: Decoder, topics: Collection[str], partitions: int) -> None:
        epoch = datetime.min.replace(tzinfo=UTC)
        self.last: dict[Place, datetime] = {
            (topic, partition): epoch for topic in topics for partition in range(partitions)
        }
        """By place the latest moment that a record which has arrived is of."""
        self.longest_s: dict[Place, float] = dict.fromkeys(self.last, 0.0)
        """By place the longest time between two records."""
        self._at: dict[Place, float] = {}
        self._decoder = decoder
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "arrivals",  # required by the client; nothing is committed
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                "reconnect.backoff.max.ms": 250,
                "topic.metadata.refresh.interval.ms": 2_000,
                "log_level": 0,  # brokers that are down are what this is for
            }
        )
        self._thread = threading.Thread(target=self._guard, daemon=True)

    def wait_beyond(self, moment: datetime, seconds: float) -> None:
        """Return when in every place a record has arrived that is of later than ``moment``."""
        deadline = time.monotonic() + seconds
        while late := self.late(moment):
            if self._failure is not None:
                raise self._failure
            assert time.monotonic() < deadline, f"nothing of later than {moment} within {seconds} s: {late}"
            time.sleep(POLL_S)

    def late(self, moment: datetime) -> list[Place]:
        """Places where nothing has arrived yet that is of later than ``moment``."""
        return [place for place, last in self.last.items() if last <= moment]

    def _guard(self) -> None:
        try:
            self._follow()
        except BaseException as error:
            self._failure = error

    def _follow(self) -> None:
        while not self._stopped.is_set():
            for message in self._consumer.consume(BATCH, POLL_S):
                if message.error() is not None or message.value() is None:
                    continue  # its retries are the library's; what does not come is noticed by the limit
                place = (message.topic(), message.partition())
                moment = self._decoder.decode(message.value())["occurred_at"]
                self.last[place] = max(self.last[place], moment)
                now = time.monotonic()
                self.longest_s[place] = max(self.longest_s[place], now - self._at.get(place, now))
                self._at[place] = now

    def __enter__(self) -> Arrivals:
        ends = [TopicPartition(*place, watermarks(self._consumer, *place)[1]) for place in self.last]
        self._consumer.assign(ends)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join(END_S)
        self._consumer.close()
        if self._failure is not None and error is None:
            raise self._failure
