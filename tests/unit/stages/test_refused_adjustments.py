"""Bill adjustments that nobody with the right to it approved, in the whole topology; all outputs are the oracle's."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from relinked import Relinked


def shown(world: Relinked, adjustment: str) -> dict[str, Any]:
    """The segment of an adjustment as it was last published."""
    rows = world.firm.driver.records("billing.current")
    return next(row for row in reversed(rows) if row["segment"] == f"adj:erp:{adjustment}")


def standing(world: Relinked) -> dict[str, Any]:
    """A write-off that has an effect."""
    for key, row in sorted(world.tables["bill_adjustment"].items()):
        if row["kind"] == "write_off" and row["released_at"] is None:
            found = shown(world, key)
            if found["bucket"] == "written_off" and not found["deleted"]:
                return row
    raise AssertionError("the firm has no write-off in force")


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_it_is_refused_when_limits_fall_and_stands_when_another_signs(crash: float) -> None:
    """Only the limit changes, and its approver's adjustments with it; the exception says what is at stake."""
    world = Relinked(1, crash)
    world.check()
    row = dict(standing(world))
    before = shown(world, row["id"])
    engagement = world.tables["engagement"][row["engagement_id"]]
    limit = {"id": "LOW", "approver_id": row["approver_id"], "kind": "write_off"}
    limit |= {"currency": engagement["currency"], "amount": Decimal(0), "effective_to": None}
    world.insert("approval_limit", **limit, effective_from=date(2999, 1, 1))
    world.update("approval_limit", "LOW", effective_from=row["decided_at"].date())
    world.check()
    found = shown(world, row["id"])
    assert (found["bucket"], found["seconds"], found["amount"]) == ("refused", 0, 0)
    key = f"limit:erp:{row['approver_id']}/write_off/{engagement['currency']}"
    assert (found["exception_class"], found["missing_keys"]) == ("APPROVAL_LIMIT", [key])
    subject = f"erp:{row['engagement_id']}:{row['entry_id']}:adj:erp:{row['id']}"
    raised = world.firm.exceptions("allocation")[subject]
    assert (raised["exception_class"], raised["state"]) == ("APPROVAL_LIMIT", "open")
    assert raised["seconds"] == before["seconds"]
    assert raised["amount"] >= before["amount"]
    assert f"bill adjustment erp:{row['id']} of {row['entry_id']} is worth more than" in raised["message"]
    world.update("bill_adjustment", row["id"], hours=row["hours"] / 2)
    world.check()
    assert world.firm.exceptions("allocation")[subject]["seconds"] == raised["seconds"] // 2
    world.update("bill_adjustment", row["id"], hours=row["hours"], approver_id="SOMEBODY-ELSE")
    world.check()
    assert shown(world, row["id"])["bucket"] == "written_off"
    assert world.firm.exceptions("allocation")[subject]["state"] == "resolved"
    world.update("bill_adjustment", row["id"], preparer_id="SOMEBODY-ELSE")
    world.check()
    assert world.firm.exceptions("allocation")[subject]["exception_class"] == "SELF_APPROVAL"
    world.delete("bill_adjustment", row["id"])
    world.check()
    assert world.firm.exceptions("allocation")[subject]["state"] == "resolved"
