"""Plans that several tests look at; computed once, as they are values."""

from __future__ import annotations

import pytest
from oracle import Expected, canonical_rows, compute_from_rows

from connectors.reference.firm import FirmSettings, Plan, plan


@pytest.fixture(scope="session")
def firm_plan() -> Plan:
    """A firm of the default size."""
    return plan(FirmSettings())


@pytest.fixture(scope="session")
def firm_books(firm_plan: Plan) -> Expected:
    """What the oracle makes of the rows that the default firm leaves behind."""
    tables = {name: list(rows.values()) for name, rows in firm_plan.tables().items()}
    return compute_from_rows(canonical_rows(tables, tables, tables))
