"""Figures of a run, read from the warehouse: money by bucket, reasons of parking, utilization, latency."""

from __future__ import annotations

import hashlib
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
# Of the months up to the last day with approved time: those after it have a plan, and no actuals yet.
UTILIZATION = """
SELECT coalesce(practice, '(unknown)') AS practice, sum(billable_seconds) AS billable,
       sum(worked_seconds) AS worked, sum(capacity_seconds) AS capacity
FROM utilization_window WHERE NOT deleted AND window_kind = 'month'
 AND starts_on <= (SELECT max(day) FROM utilization_daily WHERE NOT deleted) GROUP BY 1 ORDER BY 1
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
# Ids, hours and amounts: no times of processing, no revisions. Work date and person of a posted segment are
# those that it was first seen with, which depends on what arrived first, so they are left out too.
BUSINESS_ROWS = (
    """
    SELECT root_id, entry_id, segment, bucket, contract_line_id, currency, accounting_date,
           seconds, amount, exception_class, missing_keys, draft_seconds, draft_amount
    FROM billing_current WHERE NOT deleted ORDER BY root_id, entry_id, segment
    """,
    """
    SELECT root_id, entry_id, segment, bucket, currency, accounting_date, sum(seconds), sum(amount)
    FROM fact_billing_event GROUP BY 1, 2, 3, 4, 5, 6
    HAVING sum(seconds) <> 0 OR sum(amount) <> 0 ORDER BY 1, 2, 3, 4, 5, 6
    """,
    """
    SELECT root_id, month, payer_id, currency, state, po_number, tax_region, unbilled_lines, unbilled_seconds,
           unbilled_amount, draft_lines, draft_seconds, draft_amount, credit_lines, credit_seconds,
           credit_amount, billed_lines, billed_seconds, billed_amount, stale_draft_ids
    FROM invoice_proposal WHERE NOT deleted ORDER BY root_id, month, payer_id, currency
    """,
    """
    SELECT consultant_id, day, worked_seconds, billable_seconds, unclassified_seconds, capacity_seconds
    FROM utilization_daily WHERE NOT deleted ORDER BY consultant_id, day
    """,
    """
    SELECT consultant_id, window_kind, starts_on, billable_seconds, capacity_seconds, utilization
    FROM utilization_window WHERE NOT deleted ORDER BY consultant_id, window_kind, starts_on
    """,
    """
    SELECT dimension, value, window_kind, starts_on, consultants, billable_seconds, capacity_seconds, utilization
    FROM utilization_group WHERE NOT deleted ORDER BY dimension, value, window_kind, starts_on
    """,
    """
    SELECT consultant_id, project_id, starts_on, planned_seconds, worked_seconds, variance_seconds
    FROM utilization_plan WHERE NOT deleted ORDER BY consultant_id, project_id, starts_on
    """,
    """
    SELECT root_id, contract_line_id, period_start, recognised, breakage, billed, transaction_price, scheduled
    FROM revenue_current WHERE NOT deleted ORDER BY root_id, contract_line_id, period_start
    """,
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


def business_digest(warehouse: Engine) -> str:
    """SHA-256 over the business rows: the same for every run of one seed."""
    content = hashlib.sha256()
    with warehouse.connect() as connection:
        for query in BUSINESS_ROWS:
            for row in connection.execute(text(query)):
                content.update("|".join(map(str, row)).encode() + b"\n")
    return content.hexdigest()
