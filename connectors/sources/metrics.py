"""Metrics of the sources, on the process's default registry."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

CHANGES = Counter("tallystream_source_changes", "Changes published", ["source", "table", "op"])
TRANSACTIONS = Counter("tallystream_source_transactions", "Source transactions published", ["source"])
SNAPSHOT_ROWS = Counter(
    "tallystream_source_snapshot_rows", "Rows published by snapshots", ["source", "table"]
)
LAG = Gauge(
    "tallystream_source_lag_seconds",
    "Commit in the database to commit in Kafka, of the last transaction; 0 when idle",
    ["source"],
)
