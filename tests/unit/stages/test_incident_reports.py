"""What stands of posted entries, in the whole topology: raised, brought up to date, and resolved."""

from __future__ import annotations

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
