"""Figures of a run, read from the warehouse: money by bucket, reasons of parking, utilization, latency."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, text

BUCKETS = """
SELECT bucket, currency, sum(seconds) AS seconds, sum(amount) AS amount, count(DISTINCT entry_id) AS entries
FROM billing_current WHERE NOT deleted GROUP BY bucket, currency ORDER BY bucket, currency
"""
PARKED = """
SELECT exception_class, count(DISTINCT entry_id) AS entries, sum(seconds) AS seconds
FROM billing_current WHERE NOT deleted AND bucket = 'parked' GROUP BY exception_class ORDER BY seconds DESC
"""
UTILIZATION = """
SELECT coalesce(practice, '(unknown)') AS practice, sum(billable_seconds) AS billable,
       sum(worked_seconds) AS worked, sum(capacity_seconds) AS capacity
FROM utilization_window WHERE NOT deleted AND window_kind = 'month' GROUP BY 1 ORDER BY 1
"""
EXCEPTIONS = """
SELECT exception_class, count(*) FILTER (WHERE state <> 'resolved') AS unresolved, count(*) AS seen
FROM fact_exception GROUP BY exception_class ORDER BY exception_class
"""
COUNTS = """
SELECT (SELECT count(*) FROM fact_billing_event) AS billing_events,
       (SELECT count(*) FROM utilization_daily WHERE NOT deleted) AS utilization_daily,
       (SELECT count(*) FROM billing_current WHERE NOT deleted AND bucket = 'parked') AS parked
"""
# A sample is a ledger line that answers a live change of an entry.
LATENCY = """
SELECT {quantiles} FROM (
  SELECT extract(epoch FROM {end} - {start}) * 1000 AS ms FROM fact_billing_event WHERE NOT snapshot
) AS samples
"""
QUANTILES = ", ".join(
    f"percentile_disc({q}) WITHIN GROUP (ORDER BY ms) AS p{int(q * 100)}" for q in (0.5, 0.95, 0.99)
)
HOPS = {
    "commit_to_capture": ("occurred_at", "captured_at"),
    "capture_to_canonical": ("captured_at", "published_at"),
    "canonical_to_rated": ("published_at", "rated_at"),
    "rated_to_billing": ("rated_at", "allocated_at"),
    "commit_to_billing": ("occurred_at", "allocated_at"),
    "commit_to_warehouse": ("occurred_at", "loaded_at"),
}


@dataclass(frozen=True)
class Figures:
    """What the report shows; rows as read."""

    buckets: list[dict[str, Any]]
    parked: list[dict[str, Any]]
    utilization: list[dict[str, Any]]
    exceptions: list[dict[str, Any]]
    counts: dict[str, int]
    latency_ms: dict[str, dict[str, float | None]]


def read_figures(warehouse: Engine) -> Figures:
    """Read everything in one snapshot."""
    with warehouse.connect() as connection:

        def rows(query: str) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(text(query)).mappings()]

        latency = {
            hop: {
                name: None if value is None else round(float(value), 1)
                for name, value in rows(LATENCY.format(quantiles=QUANTILES, start=start, end=end))[0].items()
            }
            for hop, (start, end) in HOPS.items()
        }
        return Figures(
            rows(BUCKETS), rows(PARKED), rows(UTILIZATION), rows(EXCEPTIONS), rows(COUNTS)[0], latency
        )


def hours(seconds: int | Decimal | None) -> str:
    """Hours to one place, for tables of totals."""
    return f"{Decimal(seconds or 0) / 3600:,.1f}"
