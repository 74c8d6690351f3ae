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
SLOT_BYTES = Gauge(
    "tallystream_source_slot_bytes", "Log that the server keeps because of the slot, in bytes", ["source"]
)
SLOT_LAG_BYTES = Gauge(
    "tallystream_source_slot_lag_bytes", "Log that the source has not yet acknowledged, in bytes", ["source"]
)
SLOT_WAL_STATUS = Gauge(
    "tallystream_source_slot_wal_status",
    "1 for what the server says of the slot's log: reserved, extended, unreserved, lost or missing",
    ["source", "status"],
)
SLOT_OVER_LIMIT = Gauge(
    "tallystream_source_slot_over_limit", "1 while the slot keeps more than slot_bytes_limit", ["source"]
)
REPAIRED = Counter(
    "tallystream_source_repaired", "Differences published by repairs", ["source", "table", "op"]
)
