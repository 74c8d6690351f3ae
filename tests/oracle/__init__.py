"""The oracle: what the outputs must be, by one batch pass over the three source databases.

It shares no code with the streaming flows, and favours the plainest reading of each rule over speed.
``compute`` reads and computes; ``compare`` holds the outputs against it, to the second and the cent.
"""

from __future__ import annotations

from sqlalchemy import Engine

from .actual import (
    Actual,
    Current,
    Ledger,
    actual_from_warehouse,
    billing_from_records,
    billing_from_warehouse,
    current_from_records,
    current_from_warehouse,
    daily_from_records,
    daily_from_warehouse,
    groups_from_records,
    groups_from_warehouse,
    plans_from_records,
    plans_from_warehouse,
    proposals_from_records,
    proposals_from_warehouse,
    revenue_from_records,
    revenue_from_warehouse,
    windows_from_records,
    windows_from_warehouse,
)
from .compare import Comparison, compare
from .expected import Expected, Fold, FoldKey, Parked, Totals, compute_from_rows
from .groups import GroupKey, GroupUtilization
from .incidents import Incident, open_incidents
from .plans import PlanKey, PlanWeek
from .positions import consultant_on
from .revenue import Revenue, RevenueKey
from .rows import Quarantined, Rows
from .sources import canonical_rows, read_tables
from .utilization import DayKey, Utilization, WindowKey

__all__ = [
    "Actual",
    "Comparison",
    "Current",
    "DayKey",
    "Expected",
    "Fold",
    "FoldKey",
    "GroupKey",
    "GroupUtilization",
    "Incident",
    "Ledger",
    "Parked",
    "PlanKey",
    "PlanWeek",
    "Quarantined",
    "Revenue",
    "RevenueKey",
    "Rows",
    "Totals",
    "Utilization",
    "WindowKey",
    "actual_from_warehouse",
    "billing_from_records",
    "billing_from_warehouse",
    "canonical_rows",
    "compare",
    "compute",
    "compute_from_rows",
    "consultant_on",
    "current_from_records",
    "current_from_warehouse",
    "daily_from_records",
    "daily_from_warehouse",
    "groups_from_records",
    "groups_from_warehouse",
    "open_incidents",
    "plans_from_records",
    "plans_from_warehouse",
    "proposals_from_records",
    "proposals_from_warehouse",
    "read_tables",
    "revenue_from_records",
    "revenue_from_warehouse",
    "windows_from_records",
    "windows_from_warehouse",
]


def compute(erp: Engine, crm: Engine, time: Engine) -> Expected:
    """What the outputs must be once everything in the three databases has been processed.

    Each database is read in one snapshot, one after the other: their writers must be at rest.
    """
    return compute_from_rows(
        canonical_rows(read_tables("erp", erp), read_tables("crm", crm), read_tables("time", time))
    )
