"""What a sink tells Prometheus."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from prometheus_client import Counter, Gauge, Histogram

from connectors.sinks.messages import Batch, Positions
from connectors.sinks.target import Applied

# From a loopback database (2 ms) to a backlog worked off over a day.
_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400)
# A batch of thousands is one transaction: its records become visible together, and a sample of them
# tells the distribution. Observing each costs 5 µs, a sixth of all that a record costs.
_SAMPLES = 100

ROWS = Counter("tallystream_sink_rows_total", "Records written", ["sink", "table"])
STALE = Counter(
    "tallystream_sink_stale_records_total", "Duplicates and older revisions not written", ["sink"]
)
DEAD_LETTERS = Counter("tallystream_sink_dead_letters_total", "Records set aside", ["sink", "topic", "error"])
BATCHES = Counter("tallystream_sink_batches_total", "Transactions committed", ["sink"])
BATCH_SECONDS = Histogram("tallystream_sink_batch_seconds", "Time to write one batch", ["sink"])
COMMIT_TO_LOADED = Histogram(
    "tallystream_sink_commit_to_loaded_seconds",
    "From the commit in the source system to visible in the store (snapshot rows excluded)",
    ["sink", "topic"],
    buckets=_LATENCY_BUCKETS,
)
PRODUCED_TO_LOADED = Histogram(
    "tallystream_sink_produced_to_loaded_seconds",
    "From the record's Kafka timestamp to visible in the store: what the sink itself adds",
    ["sink", "topic"],
    buckets=_LATENCY_BUCKETS,
)
LAG_RECORDS = Gauge("tallystream_sink_lag_records", "Offsets not applied yet", ["sink", "topic", "partition"])
LAG_SECONDS = Gauge(
    "tallystream_sink_lag_seconds",
    "Age of the last record applied where there are more to apply, else 0",
    ["sink", "topic", "partition"],
)
FAILURES = Counter("tallystream_sink_failures_total", "Times the sink started over after a failure", ["sink"])


def record_batch(sink: str, batch: Batch, applied: Applied, seconds: float) -> None:
    """Count a committed batch that took ``seconds`` to write."""
    BATCHES.labels(sink).inc()
    BATCH_SECONDS.labels(sink).observe(seconds)
    STALE.labels(sink).inc(applied.stale)
    for table, count in applied.written.items():
        ROWS.labels(sink, table).inc(count)
    for (topic, error), count in applied.dead_letters.items():
        DEAD_LETTERS.labels(sink, topic, error).inc(count)
    now = time.time()
    loaded_at = datetime.fromtimestamp(now, UTC)
    for message in batch.messages[:: len(batch.messages) // _SAMPLES + 1]:
        PRODUCED_TO_LOADED.labels(sink, message.topic).observe(max(0.0, now - message.timestamp_ms / 1000))
        record = message.record or {}
        occurred_at = record.get("occurred_at")
        if isinstance(occurred_at, datetime) and not record.get("snapshot"):
            delay = (loaded_at - occurred_at).total_seconds()
            COMMIT_TO_LOADED.labels(sink, message.topic).observe(max(0.0, delay))


def record_lag(sink: str, lag: Positions, last_timestamps_ms: Positions) -> None:
    """Set the lag of each partition, in records and in seconds."""
    now_ms = time.time() * 1000
    for (topic, partition), records in lag.items():
        LAG_RECORDS.labels(sink, topic, partition).set(records)
        last = last_timestamps_ms.get((topic, partition))
        seconds = 0.0 if records == 0 or last is None else max(0.0, (now_ms - last) / 1000)
        LAG_SECONDS.labels(sink, topic, partition).set(seconds)
