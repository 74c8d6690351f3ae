"""What stands of posted entries, in the whole topology: raised, brought up to date, and resolved."""

from __future__ import annotations

from decimal import Decimal

import pytest
from relinked import Relinked


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_a_price_that_is_not_that_of_now(crash: float) -> None:
    """A posted line of 100.00 less than its time is worth, then 50.00 less, then as it was."""
    world = Relinked(1, crash)
    line = dict(world.charge())
    subject = f"erp:{line['engagement_id']}:{line['entry_id']}:price"
    assert subject not in world.firm.exceptions("allocation")
    for less in (100, 50):
        world.update("invoice_line", line["id"], amount=line["amount"] - less)
        world.check()
        raised = world.firm.exceptions("allocation")[subject]
        assert (raised["exception_class"], raised["state"]) == ("RATE_CHANGED_AFTER_POSTING", "waiting")
        assert (raised["seconds"], raised["amount"]) == (line["seconds"], less)
        assert (raised["queue"], raised["severity"], raised["blocks"]) == ("finance-systems", "medium", None)
        assert f"it would be {line['amount']:.2f}" in raised["message"]
    world.update("invoice_line", line["id"], amount=line["amount"])
    world.check()
    assert world.firm.exceptions("allocation")[subject]["state"] == "resolved"
    world.update("invoice_line", line["id"], amount=line["amount"] - 100)
    world.check()
    world.delete("invoice_line", line["id"])
    world.check()
    assert world.firm.exceptions("allocation")[subject]["state"] == "resolved"


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_a_cap_below_what_is_billed(crash: float) -> None:
    """A cap that comes, is raised a little, is billed anyway, and goes: one incident of each kind at most."""
    world = Relinked(2, crash)
    root = next(
        engagement
        for line in world.tables["invoice_line"].values()
        if line["status"] == "posted" and line["kind"] == "charge"
        for engagement in [line["engagement_id"]]
        if world.tables["engagement"][engagement]["cap_money"] is None
        and world.tables["engagement"][engagement]["cap_hours"] is None
    )
    over, below = f"erp:{root}:over-cap:engagement", f"erp:{root}:below-billed:engagement"
    world.update("engagement", root, cap_money=Decimal("1.00"), over_cap_action="hold")
    world.check()
    first = world.firm.exceptions("allocation")[below]
    assert (first["exception_class"], first["state"], first["severity"]) == (
        "CAP_BELOW_BILLED", "waiting", "medium",
    )  # fmt: skip
    assert (first["seconds"], first["blocks"], first["queue"]) == (None, None, "finance-systems")
    world.update("engagement", root, cap_money=Decimal("3.00"))
    world.check()
    assert world.firm.exceptions("allocation")[below]["amount"] == first["amount"] - 2
    world.update("engagement", root, over_cap_action="bill")
    world.check()
    shown = world.firm.exceptions("allocation")
    assert (shown[below]["state"], shown[over]["state"]) == ("resolved", "waiting")
    assert (shown[over]["exception_class"], shown[over]["severity"]) == ("OVER_CAP", "low")
    assert shown[over]["amount"] >= first["amount"] - 2
    assert "billed anyway" in shown[over]["message"]
    world.update("engagement", root, cap_money=None)
    world.check()
    assert world.firm.exceptions("allocation")[over]["state"] == "resolved"
