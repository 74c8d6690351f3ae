"""Expenses in the whole topology: parked with what is at stake, released, corrected; all outputs are the oracle's."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from relinked import Relinked


def shown(world: Relinked, expense: str) -> dict[str, dict[str, Any]]:
    """Live segments of an expense, as they were last published."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in world.firm.driver.records("billing.current"):
        if row["entry_id"] == f"erp:{expense}":
            found[row["root_id"], row["segment"]] = row
    return {segment: row for (_, segment), row in found.items() if not row["deleted"]}


def approved(world: Relinked) -> dict[str, Any]:
    """An approved expense of a contract with revenue, of which nothing is on an invoice."""
    for key, row in sorted(world.tables["expense"].items()):
        segments = shown(world, key)
        if (
            row["status"] == "approved"
            and set(segments) == {"base"}
            and segments["base"]["bucket"] == "unbilled"
        ):
            return dict(row)
    raise AssertionError("the firm has no such expense")


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_it_is_parked_with_what_is_at_stake_and_released(crash: float) -> None:
    """Without an exchange rate; the exception follows its amount; another row of the same kind sets it free."""
    world = Relinked(2, crash)
    world.check()
    row = approved(world)
    key, subject = row["id"], f"erp:{row['id']}"
    one = {"currency": "XAU", "tax_basis": "net", "amount": Decimal("200.00"), "markup": Decimal(10)}
    world.update("expense", key, **one)
    world.check()
    (parked,) = shown(world, key).values()
    assert (parked["bucket"], parked["seconds"], parked["amount"]) == ("parked", 0, None)
    raised = world.firm.exceptions("billing")[subject]
    assert (raised["exception_class"], raised["state"]) == ("MISSING_FX", "waiting")
    assert (raised["amount"], raised["currency"], raised["seconds"]) == (Decimal(220), "XAU", 0)
    world.update("expense", key, amount=Decimal("300.00"))
    world.check()
    assert world.firm.exceptions("billing")[subject]["amount"] == Decimal(330)
    pair = {"from_currency": "XAU", "to_currency": parked["currency"], "rate": Decimal("1.5")}
    world.insert("fx_rate", id="XAU", **pair, day=row["incurred_on"], rate_type=None, decided_at=None)
    world.check()
    (base,) = shown(world, key).values()
    assert (base["bucket"], base["amount"]) == ("unbilled", Decimal(495))
    assert world.firm.exceptions("billing")[subject]["state"] == "resolved"
    world.update("expense", key, cap_scope="none")
    world.check()
    world.update("project", row["project_id"], engagement_id=None)
    world.check()
    assert [of["bucket"] for of in shown(world, key).values()] == ["non_chargeable"]


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_terms_of_the_line_reach_its_expenses(crash: float) -> None:
    """A markup of the line, then no expenses at all; a version that comes late, and one whose end is corrected."""
    world = Relinked(4, crash)
    world.check()
    row = approved(world)
    line = world.tables["project"][row["project_id"]]["contract_line_id"]
    world.update("contract_line", line, expense_markup=Decimal("12.50"))
    world.check()
    world.update("contract_line", line, expenses_billed=False)
    world.check()
    world.update("contract_line", line, expenses_billed=None)
    kept = {name: row[name] for name in world.tables["expense_version"]["XV-0001"] if name in row}
    late = {
        **kept,
        "id": "LATE",
        "expense_id": row["id"],
        "approved_at": row["approved_at"] - timedelta(days=40),
    }
    world.insert("expense_version", **late, ended_at=row["approved_at"] - timedelta(days=1))
    world.check()
    world.update("expense_version", "LATE", ended_at=row["approved_at"] - timedelta(days=30))
    world.check()
    world.delete("expense", row["id"])
    world.check()
    assert shown(world, row["id"]) == {}
