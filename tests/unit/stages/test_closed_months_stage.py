"""Closes, versions and what came after them arrive in any order, with crashes: the books are the oracle's."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from late_acts import closes_anew, corrects, is_approved
from relinked import Relinked

ENGAGEMENT_TERMS = ("cap_money", "cap_hours", "over_cap_action")
LINE_TERMS = (
    *ENGAGEMENT_TERMS, "included_hours", "per_diem_amount", "day_minimum_hours", "starts_on", "ends_on", "expires_on",
    "unused_hours", "rollover_hours", "rollover_months",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_closes_and_late_acts_in_any_order(seed: int) -> None:
    """Periods are opened, closed at other times and closed anew, around corrections, postings and adjustments."""
    world = Relinked(40 + seed, crash=0.03 if seed else 0.0)
    rng = random.Random(seed)
    periods = world.tables["accounting_period"]
    entries = world.tables["time_entry"]
    lines = world.tables["invoice_line"]
    for _ in range(4):
        for _ in range(rng.randint(2, 5)):
            act = rng.randrange(4)
            if act == 0:
                closes_anew(world, rng.choice(list(periods)), rng)
            elif act == 1:
                corrects(world, rng.choice([key for key, row in entries.items() if is_approved(row)]), rng)
            elif act == 2:
                charge = rng.choice([row for row in lines.values() if row["status"] == "posted"])
                at = charge["posted_at"] + timedelta(days=rng.choice([-40, -20, 20, 40]))
                world.update("invoice_line", charge["id"], posted_at=at)
            else:
                row = rng.choice(list(world.tables["bill_adjustment"].values()))
                at = row["decided_at"] + timedelta(days=rng.choice([-40, 20, 40]))
                world.update("bill_adjustment", row["id"], decided_at=at, released_at=rng.choice([None, at]))
        world.check()


def test_the_end_of_a_version_is_corrected() -> None:
    """The tracker's row says later that it ended before the close, and not after it."""
    world = Relinked(3)
    march = _march(world)
    at = datetime(2026, 4, 3, 18, tzinfo=UTC)
    world.update("accounting_period", march, status="closed", closed_at=at)
    lines = {row["entry_id"] for row in world.tables["invoice_line"].values()}
    free = [
        k for k, row in world.tables["time_entry"].items() if is_approved(row) and f"time:{k}" not in lines
    ]
    before = set(world.tables["time_entry_version"])
    for entry in free[:12]:
        corrects(world, entry, random.Random(1))
    world.check()
    for version in set(world.tables["time_entry_version"]) - before:
        world.update("time_entry_version", version, ended_at=at - timedelta(days=1))
    world.check()


def test_amended_caps_in_any_order() -> None:
    """Caps are raised, cut and dropped at some time, which the versions say, before or after the closes."""
    world = Relinked(6, crash=0.02)
    rng = random.Random(6)
    world.update(
        "accounting_period", _march(world), status="closed", closed_at=datetime(2026, 4, 3, 18, tzinfo=UTC)
    )
    world.check()
    for _ in range(3):
        for table, names in (("engagement", ENGAGEMENT_TERMS), ("contract_line", LINE_TERMS)):
            capped = [row for row in world.tables[table].values() if row["cap_money"]]
            for row in rng.sample(capped, min(2, len(capped))):
                versions = f"{table}_version"
                kept: dict[str, Any] = {name: row[name] for name in names}
                kept |= {"id": f"T{len(world.tables[versions])}", f"{table}_id": row["id"]}
                ended = datetime(2026, 4, rng.randint(1, 9), 9, tzinfo=UTC)
                world.insert(versions, **kept, ended_at=ended)
                factor = rng.choice([Decimal("0.5"), Decimal("1.5"), None])
                world.update(table, row["id"], cap_money=factor and Decimal(round(row["cap_money"] * factor)))
        world.check()


def _march(world: Relinked) -> str:
    periods = world.tables["accounting_period"].values()
    return str(next(p["id"] for p in periods if p["starts_on"] == date(2026, 3, 1)))
