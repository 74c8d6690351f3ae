"""The stage of invoice proposals in the whole topology: references, revisions, bounds, drafts that go."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from relinked import Relinked

from agents.posting import stage

KEY = ("root_id", "month", "payer_id", "currency")
LINEAGE = {
    *("revision", "event_id", "rule_version", "occurred_at", "captured_at", "published_at", "snapshot"),
    "proposed_at",
}
Row = dict[str, Any]


def history(world: Relinked) -> dict[tuple[str, ...], list[Row]]:
    """All records of each proposal."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for record in world.firm.driver.records("billing.invoice_event"):
        found.setdefault(tuple(record[name] for name in KEY), []).append(record)
    return found


def latest(world: Relinked) -> dict[tuple[str, ...], Row]:
    """The last record of each proposal."""
    return {key: records[-1] for key, records in history(world).items()}


def drafted(world: Relinked, count: int) -> list[Row]:
    """Posted charges of one contract without drafts of its own, put back on drafts; as they were."""
    by_contract: dict[str, list[Row]] = {}
    lines = world.tables["invoice_line"].values()
    credited = {line["credits_line_id"] for line in lines}
    others = {line["engagement_id"] for line in lines if line["status"] == "draft"}
    for line in lines:
        system, _, native = line["entry_id"].partition(":")
        entry = world.tables["time_entry"].get(int(native)) if system == "time" else None
        if (
            line["kind"] == "charge"
            and line["status"] == "posted"
            and line["id"] not in credited
            and line["engagement_id"] not in others
            and entry is not None
            and (entry["status"], entry["version"]) == ("approved", line["entry_version"])
        ):
            by_contract.setdefault(line["engagement_id"], []).append(dict(line))
    chosen = max(by_contract.values(), key=len)[:count]
    for line in chosen:
        world.update("invoice_line", line["id"], status="draft", posted_at=None)
    return chosen


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_purchase_orders_and_tax_regions_reach_what_is_proposed(crash: float) -> None:
    """A contract's proposals get the next revision with its PO, a payer's with its tax region; no others move."""
    world = Relinked(1, crash)
    world.check()
    before = latest(world)
    root, _, payer, _ = next(key for key, row in before.items() if not row["deleted"])
    world.update("engagement", root.removeprefix("erp:"), po_number="PO-NEW")
    world.check()
    after = latest(world)
    for key, row in after.items():
        moved = key[0] == root
        assert row["revision"] == before[key]["revision"] + moved, key
        assert (row["po_number"] == "PO-NEW") == moved
    world.update("client", payer.removeprefix("erp:"), tax_region="MARS")
    world.check()
    for key, row in latest(world).items():
        moved = key[2] == payer
        assert row["revision"] == after[key]["revision"] + moved, key
        assert (row["tax_region"] == "MARS") == moved


def test_a_revision_is_another_content() -> None:
    """Of each proposal revisions count from 1, and no two that follow each other say the same."""
    world = Relinked(2)
    world.check()
    several = 0
    for records in history(world).values():
        assert [record["revision"] for record in records] == list(range(1, len(records) + 1))
        contents = [{name: value for name, value in r.items() if name not in LINEAGE} for r in records]
        assert all(one != next_ for one, next_ in pairwise(contents))
        several += len(records) > 1
        for record in records:
            sums = [record[f"{kind}_lines"] for kind in ("unbilled", "draft", "credit", "billed")]
            assert record["deleted"] == (sum(sums) == 0) == (record["state"] == "withdrawn")
    assert several


def test_stale_drafts_are_named_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are counted, so many are named, in the order of their ids; the next takes the place of one that goes."""
    monkeypatch.setattr(stage, "MOST_NAMED", 2)
    world = Relinked(3)
    lines = drafted(world, 3)
    for line in lines:
        world.update("invoice_line", line["id"], amount=line["amount"] + Decimal("0.01"))
    world.firm.run()
    keys = {
        tuple(r[name] for name in KEY)
        for r in latest(world).values()
        if r["root_id"] == f"erp:{lines[0]['engagement_id']}" and r["stale_drafts"]
    }
    ids = sorted(f"erp:{line['id']}" for line in lines)
    assert sum(latest(world)[key]["stale_drafts"] for key in keys) == 3
    for key in keys:
        row = latest(world)[key]
        assert row["state"] == "stale"
        assert row["stale_draft_ids"] == [one for one in ids if one in row["stale_draft_ids"]]
        assert len(row["stale_draft_ids"]) == min(2, row["stale_drafts"])
    for line in lines:
        world.update("invoice_line", line["id"], amount=line["amount"])
    world.check()
    assert {latest(world)[key]["stale_drafts"] for key in keys} == {0}
    assert {latest(world)[key]["stale_draft_ids"] == [] for key in keys} == {True}


def test_the_sums_tie_with_the_segments() -> None:
    """To the cent, by contract and currency: unbilled, draft and credit together are unbilled and on draft."""
    world = Relinked(4)
    drafted(world, 2)
    world.check()
    wanted: dict[tuple[str, str], Decimal] = {}
    segments = {
        (r["root_id"], r["entry_id"], r["segment"]): r for r in world.firm.driver.records("billing.current")
    }
    for row in segments.values():
        if not row["deleted"] and row["bucket"] in ("unbilled", "on_draft"):
            at = row["root_id"], row["currency"]
            wanted[at] = wanted.get(at, Decimal(0)) + row["amount"]
    found: dict[tuple[str, str], Decimal] = {}
    for row in latest(world).values():
        at = row["root_id"], row["currency"]
        proposed = row["unbilled_amount"] + row["draft_amount"] + row["credit_amount"]
        found[at] = found.get(at, Decimal(0)) + proposed
    assert {at: amount for at, amount in found.items() if amount} == {
        at: amount for at, amount in wanted.items() if amount
    }
