"""Payer splits in the whole topology: what a change reaches, what can't be divided, and state of before payers."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from relinked import Relinked
from stage_builders import expected

from agents.posting import Part
from agents.posting.dividing import DividedEntries
from agents.posting.splits import Splits
from streams.lanes.state import MemoryStore, Overlay

KEY = ("root_id", "month", "payer_id", "currency")
SINCE = date(2020, 1, 1)
Key = tuple[str, ...]


def latest(world: Relinked) -> dict[Key, dict[str, Any]]:
    """The last record of each proposal."""
    return {
        tuple(record[name] for name in KEY): record
        for record in world.firm.driver.records("billing.invoice_event")
    }


def moved(before: dict[Key, dict[str, Any]], world: Relinked) -> set[str]:
    """The contracts of the proposals that were published since."""
    return {
        key[0]
        for key, row in latest(world).items()
        if key not in before or row["revision"] > before[key]["revision"]
    }


def undivided(world: Relinked) -> dict[tuple[str, str], tuple[int, Decimal, tuple[str, ...]]]:
    """What can't be divided, as it is shown to people; as the oracle has it."""
    shown = {
        tuple(subject.split("|payers|")): (row["seconds"], row["amount"], tuple(row["missing_keys"]))
        for subject, row in world.firm.exceptions("posting").items()
        if row["state"] != "resolved"
    }
    assert shown == {key: tuple(one)[1:] for key, one in expected(world.tables).undivided.items()}
    return shown  # type: ignore[return-value]


def plain_contract(world: Relinked) -> str:
    """A contract without payers that most is to be billed of, by its native id."""
    shared = {row["engagement_id"] for row in world.tables["payer_split"].values()}
    open_ = {
        key[0].removeprefix("erp:"): row["unbilled_lines"]
        for key, row in latest(world).items()
        if not row["deleted"] and key[3] == "EUR"
    }
    return max((root for root in open_ if root not in shared), key=lambda root: open_[root])


def share(world: Relinked, number: int, root: str, client: str, percent: int) -> None:
    """A client pays that much of a contract."""
    row = {"engagement_id": root, "client_id": client, "share": Decimal(percent)}
    world.insert("payer_split", id=f"X{number}", **row, valid_from=SINCE, valid_to=None)


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_a_split_reaches_its_contract_alone(crash: float) -> None:
    """Agreed, changed and taken away again: no proposal of another contract is published."""
    world = Relinked(5, crash)
    world.check()
    root = plain_contract(world)
    own = world.tables["engagement"][root]["client_id"]
    other = next(name for name in sorted(world.tables["client"]) if name != own)
    plain = latest(world)
    share(world, 1, root, own, 75)
    share(world, 2, root, other, 25)
    world.check()
    assert undivided(world) == {}
    assert moved(plain, world) == {f"erp:{root}"}
    before = latest(world)
    for native, percent in (("X1", 50), ("X2", 50)):
        world.update("payer_split", native, share=Decimal(percent))
    world.check()
    assert moved(before, world) == {f"erp:{root}"}
    before = latest(world)
    world.update("client", other, tax_region="MARS")
    world.check()
    assert moved(before, world) >= {f"erp:{root}"}
    for native in ("X1", "X2"):
        world.delete("payer_split", native)
    world.check()
    for key, row in plain.items():
        if key[0] == f"erp:{root}":
            assert latest(world)[key]["unbilled_amount"] == row["unbilled_amount"]


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_what_can_not_be_divided_is_an_exception_until_it_can(crash: float) -> None:
    """Shares of 75 %, then a payer who is not there, then all is right; the money at stake is told each time."""
    world = Relinked(6, crash)
    world.check()
    root = plain_contract(world)
    own = world.tables["engagement"][root]["client_id"]
    at = (f"erp:{root}", world.tables["engagement"][root]["currency"])
    share(world, 1, root, own, 50)
    share(world, 2, root, "C-NEW", 25)
    world.check()
    seconds, amount, wrong = undivided(world)[at]
    assert seconds > 0
    assert amount > 0
    assert wrong == ("client:erp:C-NEW", f"payer_split:erp:{root}/{SINCE}")
    world.update("payer_split", "X2", share=Decimal(50))
    world.check()
    assert undivided(world)[at] == (seconds, amount, ("client:erp:C-NEW",))
    world.insert("client", **{**world.tables["client"][own], "id": "C-NEW"})
    world.check()
    assert undivided(world) == {}
    assert any(key[0] == at[0] and key[2] == "erp:C-NEW" for key in latest(world))
    world.delete("client", "C-NEW")
    world.check()
    assert undivided(world)[at] == (seconds, amount, ("client:erp:C-NEW",))


def test_contracts_without_payers_keep_nothing_more() -> None:
    """Only contracts with payers have entries that are kept by payer, and none once these are gone."""
    clients = {"A": None}
    splits, store = Splits(clients.keys()), MemoryStore()
    divided, state = DividedEntries(splits), Overlay(store)
    state.put(
        b"c\0E\0e1\0base",
        Part("2026-03", "EUR", "A", "unbilled", 60, Decimal(1), None, "2026-03-05").to_bytes(),
    )
    assert not divided.concern("E")
    assert len(divided.divide("E", "e1", state).parts) == 1
    assert [key for key, value in state.changes.items() if value is not None] == [b"c\0E\0e1\0base"]


def test_state_of_before_payers_is_read() -> None:
    """A part without a work date, as older rules stored it."""
    old = b'["2026-03","EUR","erp:A","unbilled",60,"1.0000",null]'
    assert Part.from_bytes(old) == Part("2026-03", "EUR", "erp:A", "unbilled", 60, Decimal(1))
