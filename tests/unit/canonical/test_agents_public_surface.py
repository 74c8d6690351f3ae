"""The public names of the packages that other code builds on: a change here is a change of interface."""

from __future__ import annotations

import importlib

import pytest

SURFACES = {
    "agents.canonical": "Action Decision IgnoredTable MappedChange Position RowState SystemMapping TableMapping "
    "decide identify load_mappings map_change parse_position position_of",
    "agents.exceptions": "Catalogue Event ExceptionClass GraceTimers Incident State TRANSITIONS apply due "
    "load_catalogue",
    "agents.latency": "DISORDER HOPS HopSample IDLE_AFTER WINDOW hop_samples latency_windows window_record",
    "agents.revenue": "EntryState LineTerms MonthRow MonthSums RevenueReference Revision month_rows",
    "agents.utilization": "ConsultantState Contribution DEFINITION Facts Lineage Touch UtilizationReference "
    "piece_key recompute recompute_touch",
    "streams.windows": "ClosedWindow LatencySketch RELATIVE_ERROR TumblingWindows Watermark",
}


@pytest.mark.parametrize("package", SURFACES)
def test_public_surface(package: str) -> None:
    """Each package exports exactly these names, and they exist."""
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(SURFACES[package].split())
    assert all(hasattr(module, name) for name in module.__all__)
