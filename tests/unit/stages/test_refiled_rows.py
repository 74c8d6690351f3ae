"""Invoice lines and adjustments that are about another entry now: nothing of them stays with the one before."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from relinked import Relinked


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_a_charge_that_is_about_another_entry(crash: float) -> None:
    """It is billed once, there; deleted, nowhere."""
    world = Relinked(1, crash)
    charge = world.charge()
    other = world.others(charge)[0]
    world.update("invoice_line", charge["id"], entry_id=other)
    world.check()
    world.update("invoice_line", charge["id"], entry_id=charge["entry_id"], seconds=charge["seconds"] - 60)
    world.check()
    world.delete("invoice_line", charge["id"])
    world.check()


@pytest.mark.parametrize("kind", ["write_off", "discount", "hold"])
def test_an_adjustment_that_is_about_another_entry(kind: str) -> None:
    """What it took from the first entry is to be billed again; deleted, from the second, too."""
    world = Relinked(2)
    rows = world.tables["bill_adjustment"].values()
    row = next(row for row in rows if row["kind"] == kind)
    world.update("bill_adjustment", row["id"], entry_id=world.charge()["entry_id"], released_at=None)
    world.check()
    entries = world.tables["time_entry"].values()
    there = next(e for e in entries if e["status"] == "approved" and f"time:{e['id']}" != row["entry_id"])
    world.update("bill_adjustment", row["id"], entry_id=f"time:{there['id']}")
    world.check()
    world.delete("bill_adjustment", row["id"])
    world.check()


@pytest.mark.parametrize("charge_first", [True, False])
def test_a_credit_that_carries_another_entry(charge_first: bool) -> None:
    """It takes back what it names, whichever of the two came first, and goes where that goes."""
    world = Relinked(3)
    like = world.charge()
    other = world.others(like)[0]
    charge = {**like, "id": "IL-X1", "seconds": 1800, "entry_version": 1}
    credit = {**charge, "id": "IL-X2", "kind": "credit", "credits_line_id": "IL-X1", "seconds": 600}
    credit |= {"amount": (charge["amount"] / 2).quantize(Decimal("0.01")), "entry_id": other}
    for row in (charge, credit) if charge_first else (credit, charge):
        world.insert("invoice_line", **row)
        world.firm.run()
    world.check()
    world.update("invoice_line", "IL-X1", entry_id=other)
    world.check()
    world.update("invoice_line", "IL-X1", entry_id=like["entry_id"])
    world.delete("invoice_line", "IL-X2")
    world.check()


@pytest.mark.parametrize("seed", range(3))
def test_any_corrections_end_as_the_tables_are(seed: int) -> None:
    """Random ones, several at once, with crashes: entries, engagements, kinds, states, deletions."""
    world = Relinked(10 + seed, crash=0.03)
    rng = random.Random(seed)
    for _ in range(6):
        for _ in range(rng.randint(1, 4)):
            table = rng.choice(["invoice_line", "bill_adjustment"])
            row = rng.choice(list(world.tables[table].values()))
            other = rng.choice(list(world.tables[table].values()))
            act = rng.randrange(4)
            if act == 0:
                world.update(table, row["id"], entry_id=other["entry_id"])
            elif act == 1:
                moved = {name: other[name] for name in ("engagement_id", "entry_id")}
                if table == "invoice_line":
                    moved["contract_line_id"] = other["contract_line_id"]
                world.update(table, row["id"], **moved)
            elif act == 2 and table == "bill_adjustment":
                world.update(table, row["id"], kind="hold", hours=None)
            else:
                world.delete(table, row["id"])
        world.check()
