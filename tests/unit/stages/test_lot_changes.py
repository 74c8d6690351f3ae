"""Lots of prepaid lines in the whole topology: bought, cut, given to another line, cancelled; outputs are the oracle's."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from relinked import Relinked


def from_lot(world: Relinked, lot: str) -> int:
    """The seconds that a lot covers now."""
    latest: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in world.firm.driver.records("billing.current"):
        latest[row["root_id"], row["entry_id"], row["segment"]] = row
    return sum(
        row["seconds"] for row in latest.values() if row["segment"] == f"lot:erp:{lot}" and not row["deleted"]
    )


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_a_lot_covers_what_it_is_valid_for(crash: float) -> None:
    """All roots of its lines are allocated anew, and their revenue with them."""
    world = Relinked(3, crash)
    lines = world.tables["contract_line"].values()
    first, second = [row["id"] for row in lines if row["billing_method"] == "prepaid"][:2]
    dates = {"starts_on": None, "expires_on": None}
    for line in (first, second):
        world.update("contract_line", line, included_hours=Decimal(1))
    world.insert("prepaid_lot", id="NEW", contract_line_id=first, hours=Decimal(3), fee=Decimal(300), **dates)
    world.check()
    assert from_lot(world, "NEW") == 3 * 3600
    world.update("prepaid_lot", "NEW", hours=Decimal("1.5"), fee=Decimal(150))
    world.check()
    assert from_lot(world, "NEW") == 5400
    world.update("prepaid_lot", "NEW", contract_line_id=second)
    world.check()
    assert from_lot(world, "NEW") == 5400
    world.update("prepaid_lot", "NEW", expires_on=date(2020, 1, 1))
    world.check()
    assert from_lot(world, "NEW") == 0
    world.delete("prepaid_lot", "NEW")
    world.check()
