"""The oracle's expenses in management's figures, by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime

from builders import HOUR, D, charge, cost_rate, entry, expense, firm, fx, line, project, rate
from oracle import compute_from_rows
from oracle.executive import Executive, ExecutiveKey, executive
from oracle.realization import leakage, realize

MARCH = date(2026, 3, 1)
KEY = ExecutiveKey("erp:A", "data", MARCH, "EUR")


def test_an_expense_costs_its_net_amount() -> None:
    """220.00 earned with a markup of 10%, 200.00 spent: 20.00 margin beside that of the work."""
    rows = firm(rate("R0", "150"), entry(1, "03-05", 8 * HOUR), cost_rate("X", "60"))
    rows.expenses["erp:X"] = expense("X", "03-06", "238", tax_basis="gross", tax_amount=D(38), markup=D(10))
    found = executive(compute_from_rows(rows), rows)
    assert found == {KEY: Executive(delivered=8 * HOUR, recognised=D(1420), cost=D(680))}
    assert found[KEY].margin == D(740)


def test_what_it_costs_is_in_the_currency_of_the_contract() -> None:
    """USD at 0.92; without a rate neither cost nor margin is known; internal, it is in its own."""
    rows = firm(expense("X", "03-06", "100", currency="USD"), fx("F", "03-05", "0.92", "USD:EUR"))
    assert executive(compute_from_rows(rows), rows)[KEY].cost == D(92)
    rows = firm(expense("X", "03-06", "100", currency="USD"))
    assert executive(compute_from_rows(rows), rows)[KEY].cost is None
    rows = firm(expense("X", "03-06", "100", currency="USD"), project("P", None, None))
    own = ExecutiveKey(None, "data", MARCH, "USD")
    assert executive(compute_from_rows(rows), rows) == {own: Executive(cost=D(100))}


def test_what_is_not_approved_costs_nothing() -> None:
    """Rejected, nobody paid it."""
    rows = firm(expense("X", "03-06", "100", status="rejected"))
    assert executive(compute_from_rows(rows), rows) == {}


def test_expenses_are_no_realization() -> None:
    """8 h at list price are 1.0, whatever is billed of expenses; nor are they a fee of the hours of a fixed price."""
    posted = (charge("I", "time:1", 8 * HOUR, "800"), charge("J", "erp:X", 0, "300"))
    rows = firm(entry(1, "03-05", 8 * HOUR), expense("X", "03-06", "300"), *posted)
    found = realize(compute_from_rows(rows), rows)
    assert {key.practice: figures.realization for key, figures in found.items()} == {"data": D(1)}
    rows.contract_lines["erp:L"] = line(method="milestone")
    (figures,) = realize(compute_from_rows(rows), rows).values()
    assert figures.billed == D(800)


def test_an_expense_leaks_from_its_first_approval() -> None:
    """Incurred on 6 March, approved on 31 March: 30 days after that."""
    rows = firm(expense("X", "03-06", "300", approved_at=datetime(2026, 3, 31, 23, tzinfo=UTC)))
    expected = compute_from_rows(rows)
    assert leakage(expected, rows, date(2026, 4, 29)) == {}
    assert list(leakage(expected, rows, date(2026, 4, 30)).values()) == [date(2026, 3, 31)]
