"""Prices, what they were, and closes arrive in any order, with crashes: the books are the oracle's."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from late_acts import closes_anew, corrects, is_approved
from relinked import Relinked

from agents.billing.closes import OF_CLOSE

FIRST = datetime(2026, 2, 20, 9, tzinfo=UTC)


@pytest.mark.parametrize("seed", range(3))
def test_prices_and_closes_in_any_order(seed: int) -> None:
    """Prices are changed, made and taken away before and after closes that move, around corrections."""
    world = Relinked(60 + seed, crash=0.03 if seed else 0.0)
    rng = random.Random(seed)
    entries = world.tables["time_entry"]
    used = sorted({(record["rate_id"] or "").removeprefix("erp:") for record in rated(world)})
    for _ in range(4):
        for _ in range(rng.randint(4, 8)):
            act = rng.randrange(5)
            if act == 0:
                closes_anew(world, rng.choice(list(world.tables["accounting_period"])), rng)
            elif act == 1:
                approved = [key for key, row in entries.items() if is_approved(row)]
                corrects(world, rng.choice(approved), rng)
            else:
                table = rng.choice(["rate", "rate", "rate", "fx_rate"])
                keys = world.tables[table].keys()
                decides(world, table, rng.choice([key for key in used if key in keys] or sorted(keys)), rng)
        world.check()
    assert priced_at_closes(world)


def test_a_version_is_corrected_and_taken_back() -> None:
    """The ERP's row of what a rate was is wrong first, ends before the close then, and is gone at last."""
    world = Relinked(5)
    invoiced = {row["contract_line_id"] for row in world.tables["invoice_line"].values()}
    rates = [
        row for row in world.tables["rate"].values() if row["contract_line_id"] in invoiced and row["role"]
    ]
    for number, row in enumerate(rates):
        at = datetime(2026, 3, 20, 9, tzinfo=UTC)
        kept = {**row, "id": f"X-{number}", "rate_id": row["id"], "ended_at": at}
        world.insert("rate_version", **kept)
        world.update("rate", row["id"], price=row["price"] + 7, decided_at=at)
    world.check()
    assert priced_at_closes(world)
    for number in range(len(rates)):
        world.update("rate_version", f"X-{number}", price=rates[number]["price"] + 3)
    world.check()
    for number in range(len(rates)):
        world.update("rate_version", f"X-{number}", ended_at=datetime(2026, 2, 27, 9, tzinfo=UTC))
    world.check()
    for number in range(len(rates)):
        world.delete("rate_version", f"X-{number}")
    world.check()


def decides(world: Relinked, table: str, key: str, rng: random.Random) -> None:
    """Changed, taken away, or said to be first made then; the row and its version arrive as they come."""
    row = world.tables[table][key]
    at = FIRST + timedelta(days=rng.randint(0, 60))
    versions = world.tables[f"{table}_version"]
    kept: dict[str, Any] = {**row, "id": f"X-{len(versions)}", f"{table}_id": key, "ended_at": at}
    act = rng.choice(["changed", "changed", "changed", "taken away", "made"])
    if act != "made":
        world.insert(f"{table}_version", **kept)
    if act == "taken away":
        world.delete(table, key)
    elif act == "made":
        world.update(table, key, decided_at=at)
    elif table == "fx_rate":
        world.update(table, key, rate=row["rate"] * rng.randint(2, 4), decided_at=at)
    else:
        world.update(table, key, price=row["price"] + rng.randint(1, 9), decided_at=at)


def priced_at_closes(world: Relinked) -> list[dict[str, Any]]:
    """Rated records of how entries were priced at closes."""
    return [record for record in rated(world) if (record["version_id"] or "").startswith(OF_CLOSE)]


def rated(world: Relinked) -> list[dict[str, Any]]:
    """All rated records that there were."""
    return world.firm.driver.records("billing.rated")
