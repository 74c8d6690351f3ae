"""Changes of reference rows whose fan-outs are cut into small slices, among crashes: each goes on where it was."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal

import pytest
from relinked import Relinked

from agents.utilization.stage import UtilizationStage
from agents.utilization.touches import Touch as Days
from agents.utilization.view import EVERYBODY
from streams.lanes import core as lane_core
from streams.lanes.state import MemoryStore, Overlay


@pytest.mark.parametrize("seed", range(3))
def test_any_reference_changes_end_as_the_tables_are(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices, people, absences, holidays and terms change at once; the oracle finds no difference."""
    world = Relinked(40 + seed, crash=0.05)
    monkeypatch.setattr(lane_core, "FANOUT_KEYS", 3)
    rng = random.Random(seed)
    for _ in range(4):
        for _ in range(rng.randint(1, 4)):
            _change(world, rng)
        world.check()


def test_of_one_person_some_days_are_done() -> None:
    """Which days a change touches is not known any more after a restart: all of the person's are found again."""
    store = MemoryStore()
    store.write({b"c\0" + f"{person}\0e1".encode(): b"" for person in "ABC"})
    stage = UtilizationStage.__new__(UtilizationStage)  # what it finds follows from the state alone
    exact = [Days("B", date(2026, 3, day), date(2026, 3, day)) for day in (2, 9)]
    done = next(stage.affected(exact, Overlay(store)))
    wide = list(stage.affected([Days(EVERYBODY)], Overlay(store), done))
    assert [key.split(b"\0")[0] for key in wide] == [b"B", b"C"]


def _change(world: Relinked, rng: random.Random) -> None:
    table = rng.choice(["rate", "absence", "holiday", "consultant", "engagement"])
    key, row = rng.choice(sorted(world.tables[table].items(), key=lambda item: str(item[0])))
    if table == "rate":
        world.update(table, key, price=row["price"] + rng.randint(1, 9))
    elif table == "consultant":
        column, values = rng.choice(
            [
                ("fte", [Decimal("0.5"), Decimal("0.8"), Decimal(1)]),
                ("practice", ["data", "cloud", "strategy"]),
                ("left_on", [None, date(2026, 3, 5), date(2026, 4, 20)]),
            ]
        )
        world.update(table, key, **{column: rng.choice(values)})
    elif table == "engagement":
        world.update(table, key, over_cap_action=rng.choice(["hold", "bill", "write_off"]))
    elif table == "holiday":
        world.update(table, key, day=row["day"] + timedelta(days=rng.randint(-3, 3)))
    else:
        world.update(table, key, hours=Decimal(rng.randint(1, 8)))
