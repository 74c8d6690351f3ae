"""Runs a sink: reads a batch while the one before it is being written, and starts over after failures."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone
from threading import Event

import structlog

from connectors.sinks import metrics
from connectors.sinks.backoff import Backoff
from connectors.sinks.feed import TOPIC_PATIENCE_S, Feed
from connectors.sinks.health import Health
from connectors.sinks.messages import Batch, Partition
from connectors.sinks.target import Target
from streams.errors import DependencyUnavailable

IDLE_S = 0.1  # how soon a stop request, or a failed write, is noticed while nothing comes
BEAT_S = 1.0  # lag gauges and leases
PARTITION_CHECK_S = 30.0  # how soon added partitions are read

log = structlog.get_logger(__name__)


class Runner:
    """Moves records from a feed to a target until told to stop.

    ``make_feed`` makes the consumer of the target's topics; it is called once. With ``drain`` the run
    ends when the end of every partition was reached.
    """

    def __init__(
        self,
        target: Target,
        make_feed: Callable[[], Feed],
        *,
        stop: Event,
        health: Health | None = None,
        backoff: Backoff | None = None,
        topic_patience_s: float = TOPIC_PATIENCE_S,
        drain: bool = False,
    ) -> None:
        self._target = target
        self._make_feed = make_feed
        self._stop = stop
        self._health = health or Health()
        self._backoff = backoff or Backoff()
        self._topic_patience_s = topic_patience_s
        self._drain = drain
        self._last_timestamps_ms: dict[Partition, int] = {}

    def run(self) -> None:
        """Run until stopped, or drained. Raises what can't be waited out, and what was for too long."""
        feed = self._make_feed()
        try:
            while not self._stop.is_set():
                try:
                    if not self._session(feed):
                        return
                except DependencyUnavailable as error:
                    if not error.retriable:
                        raise
                    wait_s = self._backoff.failed(error)
                    metrics.FAILURES.labels(self._target.name).inc()
                    log.warning(
                        "starting over", sink=self._target.name, error=str(error), wait_s=round(wait_s, 1)
                    )
                    self._health.ready = False
                    self._health.beat()
                    self._stop.wait(wait_s)
        finally:
            feed.close()

    def _session(self, feed: Feed) -> bool:
        """From opening the target to the end; True to start over at once, with partitions that were added."""
        partitions = feed.wait_for_topics(self._stop, self._topic_patience_s)
        if self._stop.is_set():
            return False
        target = self._target
        with ThreadPoolExecutor(1, thread_name_prefix=f"sink-{target.name}") as writer:
            try:
                positions = dict(target.open())
                first = feed.first_positions(
                    [partition for partition in partitions if partition not in positions]
                )
                if first:
                    target.begin(first)
                    positions.update(first)
                feed.start({partition: positions[partition] for partition in partitions}, target.name)
                log.info("sink started", sink=target.name, partitions=len(partitions), new=len(first))
                self._health.ready = True
                return self._pump(feed, set(partitions), writer)
            finally:
                self._health.ready = False
                target.close()

    def _pump(self, feed: Feed, partitions: set[Partition], writer: ThreadPoolExecutor) -> bool:
        pending: Future[None] | None = None
        next_beat = 0.0
        next_partition_check = time.monotonic() + PARTITION_CHECK_S
        try:
            while not self._stop.is_set():
                self._health.beat()
                batch = feed.next(IDLE_S)
                if pending is not None and (batch is not None or pending.done()):
                    self._wait(pending)
                    pending = None
                now = time.monotonic()
                if pending is None and now >= next_beat:
                    self._beat(feed)
                    next_beat = now + BEAT_S
                if batch is not None:
                    pending = writer.submit(self._write, batch)
                    continue
                feed.check_broker()
                if pending is not None:
                    continue
                self._backoff.succeeded()
                if self._drain and feed.caught_up():
                    return False
                if now >= next_partition_check:
                    next_partition_check = now + PARTITION_CHECK_S
                    if set(feed.partitions()) != partitions:
                        log.info("partitions were added or removed", sink=self._target.name)
                        return True
            return False
        finally:
            if pending is not None:
                self._wait(pending)

    def _write(self, batch: Batch) -> None:
        started = time.monotonic()
        applied = self._target.apply(batch)
        metrics.record_batch(self._target.name, batch, applied, time.monotonic() - started)
        for message in batch.messages:
            self._last_timestamps_ms[message.topic, message.partition] = message.timestamp_ms
        self._backoff.succeeded()

    def _wait(self, pending: Future[None]) -> None:
        """Wait for a write, staying alive: a slow store is no reason to be restarted."""
        while True:
            try:
                return pending.result(timeout=IDLE_S)
            except NotDone:
                if pending.done():  # the write itself raised a TimeoutError
                    raise
                self._health.beat()

    def _beat(self, feed: Feed) -> None:
        lag = feed.lag()
        metrics.record_lag(self._target.name, lag, self._last_timestamps_ms)
        self._target.beat(lag)
