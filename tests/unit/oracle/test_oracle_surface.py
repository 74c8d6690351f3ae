"""The oracle's public surface, and what it may depend on."""

from __future__ import annotations

import ast
from pathlib import Path

import oracle

ALLOWED = ("sqlalchemy",)
STANDARD = {
    *("__future__", "collections", "dataclasses", "datetime", "decimal", "fractions", "itertools", "math"),
    "typing",
}


def test_the_public_surface_is_pinned() -> None:
    """What others may use of the oracle."""
    assert sorted(oracle.__all__) == [
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
    assert all(hasattr(oracle, name) for name in oracle.__all__)


def test_it_shares_no_code_with_what_it_judges() -> None:
    """Relative imports, the standard library and SQLAlchemy: nothing else, no primitive of rounding either."""
    for path in Path(oracle.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                assert name in ALLOWED or name.split(".")[0] in STANDARD, (path.name, name)
