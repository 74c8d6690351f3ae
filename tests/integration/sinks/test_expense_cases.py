"""Expenses in management's views, over rows made by hand, on a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine
from test_executive_cases import HOUR, WORKED, card, put, realization, rows, segment

APPROVED = datetime(2026, 3, 31, 23, tzinfo=UTC)


def expense(connection: Connection, native: str, amount: int, **values: Any) -> None:
    """An approved one of person A on project P, on 5 March in EUR."""
    given: dict[str, Any] = {
        "consultant_id": "A",
        "project_id": "P",
        "incurred_on": WORKED,
        "currency": "EUR",
    }
    given |= {"tax_basis": "net", "status": "approved", "approved_at": APPROVED, "amount": Decimal(amount)}
    put(connection, "canonical.expense", id=native, **(given | values))


def a_contract(connection: Connection) -> None:
    """Project P of line L of engagement R in EUR, client C."""
    put(connection, "canonical.project", id="P", engagement_id="R", contract_line_id="L")
    put(connection, "canonical.contract_line", id="L", engagement_id="R")
    put(connection, "canonical.engagement", id="R", client_id="C", currency="EUR")


def test_an_expense_costs_its_net_amount_in_the_currency_of_its_contract(bi: Engine) -> None:
    """Gross less its tax; USD at the reverse pair; no rate, no cost; internal in its own currency; what is rejected none."""
    with bi.begin() as connection:
        a_contract(connection)
        expense(connection, "X1", 238, tax_basis="gross", tax_amount=Decimal(38))
        expense(connection, "X2", 200, tax_amount=Decimal(38))
        expense(connection, "X3", 110, currency="USD")
        expense(connection, "X4", 100, currency="JPY")
        expense(connection, "X5", 100, currency="JPY", project_id="INTERNAL")
        expense(connection, "X6", 100, status="rejected")
        pair = {"from_currency": "EUR", "to_currency": "USD", "day": WORKED, "rate": Decimal("1.1")}
        put(connection, "canonical.fx_rate", id="F", **pair)
    found = rows(
        bi,
        "SELECT entry_id, client_id, currency, cost, exception_class FROM v_cost_of_expenses ORDER BY 1",
    )
    assert found == [
        ("X1", "C", "EUR", Decimal(200), None),
        ("X2", "C", "EUR", Decimal(200), None),
        ("X3", "C", "EUR", Decimal(100), None),
        ("X4", "C", "EUR", None, "MISSING_FX"),
        ("X5", None, "JPY", Decimal(100), None),
    ]


def test_realization_leaves_expenses_out(bi: Engine) -> None:
    """8 h of 1,200 at list price, billed with 1,200; 300 of an expense, also one that was deleted since, change nothing."""
    with bi.begin() as connection:
        card(connection)
        segment(connection, "time:1", "billed", 8, 1200)
        for native in ("erp:X1", "erp:X2"):
            segment(connection, native, "billed", 0, 300)
        expense(connection, "erp:X1", 300)
        put(connection, "canonical.expense_version", id="V", expense_id="erp:X2")
    assert realization(bi) == {
        ("C", date(2026, 3, 1)): (Decimal(1200), Decimal(1200), Decimal(1), 0, 8 * HOUR)
    }


def test_an_expense_leaks_from_its_first_approval(bi: Engine) -> None:
    """Not from the day on which it was incurred, nor from that of work of its person's same day."""
    with bi.begin() as connection:
        segment(connection, "erp:X1", "unbilled", 0, 300)
        segment(connection, "time:1", "unbilled", 1, 150)
        expense(connection, "erp:X1", 300)
        early = datetime(2026, 3, 6, tzinfo=UTC)
        put(connection, "canonical.time_entry", id="time:1", approved_at=early)
    found = rows(bi, "SELECT entry_id, could_bill_on FROM leakage('2026-06-01') ORDER BY 1")
    assert found == [("erp:X1", APPROVED.date()), ("time:1", early.date())]
