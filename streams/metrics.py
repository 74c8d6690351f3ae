"""Metrics of the runtime. Names carry their unit; labels are bounded (stages, flows, hops)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

LANE_EVENTS = Counter(
    "tallystream_lane_events_total",
    "What lanes did, by kind: rated, parked, released, duplicates, redelivered, reevaluated, dead letters …",
    ["stage", "kind"],
)
LANES_OPEN = Gauge("tallystream_lanes_open", "Stages on partitions that this worker runs", ["flow"])
RESTORED = Counter("tallystream_restored_records_total", "State records restored", ["stage"])
RESTORE_SECONDS = Histogram(
    "tallystream_restore_seconds",
    "Time to restore one lane",
    ["stage"],
    buckets=(0.05, 0.2, 1, 5, 20, 60, 300),
)
RESTORING_RECORDS = Gauge(
    "tallystream_restoring_records", "State records that lanes being restored still have to read", ["stage"]
)
STANDBY_RECORDS = Counter(
    "tallystream_standby_records_total", "State records applied to standby copies", ["stage"]
)
STANDBY_COPIES = Gauge("tallystream_standby_copies", "Standby copies that this worker keeps")
STANDBY_LAG = Gauge(
    "tallystream_standby_lag_records", "State records that standby copies are behind", ["stage"]
)
REFERENCE_ROWS = Gauge("tallystream_reference_rows", "Reference records read since start")
LATENCY = Histogram(
    "tallystream_latency_seconds",
    "Event-time latency of one hop, snapshot and reference-caused changes left out",
    ["hop"],
    buckets=(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
LATENCY_WINDOW = Gauge(
    "tallystream_latency_window_seconds",
    "Quantiles of one hop in the latest closed window of event time",
    ["hop", "quantile"],
)
EXCEPTIONS_OPEN = Gauge("tallystream_exceptions", "Exceptions of this worker's lanes", ["partition", "state"])
CONSERVATION_GAP_SECONDS = Gauge(
    "tallystream_conservation_gap_seconds",
    "Approved time that is in no segment, or in too many, of entries allocated since start: 0",
    ["partition"],
)
CONSERVATION_GAP_MONEY = Gauge(
    "tallystream_conservation_gap_money",
    "Worth of priced time that is in no segment, or in too many, all currencies added: 0",
    ["partition"],
)
PERIODS = Gauge("tallystream_periods", "Accounting periods by the state of their close", ["state"])
PERIOD_FINAL_SECONDS = Histogram(
    "tallystream_period_final_seconds",
    "From the hard close of an accounting period until it was found to be final",
    buckets=(5, 15, 30, 60, 120, 300, 900, 3600, 14400, 86400),
)
