"""History by a topic of its own, read in any order beside the changes that came after it."""

from __future__ import annotations

import pytest
from stage_builders import Firm, firm

TABLE = "time_entry"
TOPIC = f"cdc.time.public.{TABLE}"


def live_through(it: Firm, before: float) -> int:
    """The firm's changes; those of entries begin late, and the entries of ``before`` then come by a backfill."""
    transactions = [*firm().seed, *firm().transactions]
    begin = round(before * len(transactions))
    backfilled = 0
    for at, transaction in enumerate(transactions):
        if at == begin:
            for row in it.log.backfill("time", TABLE):
                it.driver.produce(row.topic, row.key, row.value, row.headers)
                backfilled += 1
        for change in it.log.changes(transaction):
            if at >= begin or change.topic != TOPIC:
                it.driver.produce(change.topic, change.key, change.value, change.headers)
    return backfilled


@pytest.mark.parametrize(("before", "crash", "seed"), [(0.5, 0.0, 1), (0.9, 0.0, 2), (0.5, 0.02, 3)])
def test_a_backfill_and_the_changes_since_are_the_tables(before: float, crash: float, seed: int) -> None:
    """Whichever of both a lane reads first, at each moment: what is later in the source wins, to the cent."""
    it = Firm(seed, crash)
    assert live_through(it, before) > 100
    it.run()
    it.assert_oracle()


def test_a_row_that_was_deleted_since_does_not_come_back() -> None:
    """Its deletion is read before the row, which nobody has seen yet."""
    it = Firm()
    it.live_through()
    it.run()
    key, row = next((k, r) for k, r in firm().tables()[TABLE].items() if r["status"] == "approved")
    rows = list(it.log.backfill("time", TABLE))
    before = len(it.driver.records("billing.events"))
    it.delete(TABLE, key)
    it.run()
    gone = len(it.driver.records("billing.events"))
    assert gone > before, f"{row} was billed"
    for late in rows:
        it.driver.produce(late.topic, late.key, late.value, late.headers)
    it.run()
    assert len(it.driver.records("billing.events")) == gone
