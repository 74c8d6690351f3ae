"""Lines of drafts in the whole topology: made, changed, posted, taken back; all outputs are the oracle's."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from relinked import Relinked

from agents.billing.rootstates import RootStates


def on_draft(world: Relinked, line: str) -> dict[str, Any]:
    """The live segment of a draft's line."""
    latest = {
        (r["root_id"], r["entry_id"], r["segment"]): r for r in world.firm.driver.records("billing.current")
    }
    (found,) = [r for key, r in latest.items() if key[2] == f"draft:erp:{line}" and not r["deleted"]]
    return found


def unposted(world: Relinked) -> dict[str, Any]:
    """A posted charge of time, put back on a draft."""
    charge = dict(world.charge())
    world.update("invoice_line", charge["id"], status="draft", posted_at=None)
    return charge


def stale(world: Relinked) -> dict[str, str]:
    """States of the exceptions of drafts, by subject."""
    return {
        subject: row["state"]
        for subject, row in world.firm.exceptions("allocation").items()
        if row["exception_class"] == "STALE_DRAFT"
    }


@pytest.mark.parametrize("crash", [0.0, 0.05])
def test_a_draft_is_made_goes_stale_is_mended_and_posted(crash: float) -> None:
    """Its segment says both figures; an exception comes when they differ, and goes when they are one again."""
    world = Relinked(1, crash)
    line = unposted(world)
    world.check()
    found = on_draft(world, line["id"])
    assert (found["bucket"], found["invoice_line_id"]) == ("on_draft", f"erp:{line['id']}")
    assert (found["seconds"], found["amount"]) == (line["seconds"], line["amount"])
    assert found["exception_class"] is None
    subject = f"erp:{line['engagement_id']}:{line['entry_id']}:draft:erp:{line['id']}"
    assert subject not in stale(world)
    entry = int(line["entry_id"].removeprefix("time:"))
    version = line["entry_version"]
    world.update("time_entry", entry, version=version + 1)
    world.check()
    found = on_draft(world, line["id"])
    assert (found["seconds"], found["amount"], found["exception_class"]) == (0, 0, "STALE_DRAFT")
    assert (found["draft_seconds"], found["draft_amount"]) == (line["seconds"], line["amount"])
    assert stale(world)[subject] == "waiting"
    raised = world.firm.exceptions("allocation")[subject]
    assert (raised["seconds"], raised["amount"]) == (line["seconds"], line["amount"])
    assert f"draft line erp:{line['id']} of {line['entry_id']} says" in raised["message"]
    world.update("invoice_line", line["id"], entry_version=version + 1)
    world.check()
    assert on_draft(world, line["id"])["exception_class"] is None
    assert stale(world)[subject] == "resolved"
    world.update("invoice_line", line["id"], status="posted", posted_at=line["posted_at"])
    world.check()


def test_drafts_of_another_entry_and_none() -> None:
    """A draft that is about another entry now, then deleted: its time is unbilled again."""
    world = Relinked(2)
    line = unposted(world)
    other = world.others(line)[0]
    world.update("invoice_line", line["id"], entry_id=other)
    world.check()
    assert on_draft(world, line["id"])["entry_id"] == other
    world.delete("invoice_line", line["id"])
    world.check()
    assert not any(
        subject.endswith(f":{line['id']}") for subject, state in stale(world).items() if state != "resolved"
    )


def test_a_draft_allocates_no_root_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a root with a cap, drafts that come, change and go are placed by the entry; so is a posting of now."""
    world = Relinked(3)
    capped = {
        row["id"]
        for table, name in (("engagement", "id"), ("contract_line", "engagement_id"))
        for row in [{"id": r[name], "cap": r["cap_money"]} for r in world.tables[table].values()]
        if row["cap"]
    }
    line = next(
        row
        for row in world.tables["invoice_line"].values()
        if row["engagement_id"] in capped and row["kind"] == "charge" and row["status"] == "posted"
    )
    world.update("invoice_line", line["id"], seconds=line["seconds"] - 1)  # its root is held from now on
    world.firm.run()
    calls: list[str] = []
    replay = RootStates.replay

    def counted(self: RootStates, *rest: Any) -> Any:
        calls.append(self.history.now.root_id)
        return replay(self, *rest)

    monkeypatch.setattr(RootStates, "replay", counted)
    draft = {**line, "id": "IL-D1", "status": "draft", "posted_at": None}
    world.insert("invoice_line", **draft)
    world.firm.run()
    world.update("invoice_line", "IL-D1", seconds=60)
    world.firm.run()
    world.delete("invoice_line", "IL-D1")
    world.check()
    assert calls == []
    posted_at = line["posted_at"] + timedelta(days=400)
    world.insert("invoice_line", **{**draft, "id": "IL-D2", "status": "posted", "posted_at": posted_at})
    world.check()
    assert calls == []


@pytest.mark.parametrize("seed", range(3))
def test_any_drafts_end_as_the_tables_are(seed: int) -> None:
    """Random ones, with crashes: lines posted and taken back, changed, moved and deleted; entries and caps, too."""
    world = Relinked(20 + seed, crash=0.03)
    rng = random.Random(seed)
    for _ in range(6):
        for _ in range(rng.randint(1, 5)):
            _change(world, rng)
        world.check()


def _change(world: Relinked, rng: random.Random) -> None:
    lines = list(world.tables["invoice_line"].values())
    line = rng.choice(lines)
    posted_at = next(row["posted_at"] for row in lines if row["posted_at"] is not None)
    act = rng.randrange(6)
    if act == 0:
        is_draft = line["status"] == "draft"
        world.update(
            "invoice_line",
            line["id"],
            status="posted" if is_draft else "draft",
            posted_at=posted_at if is_draft else None,
        )
    elif act == 1:
        world.update("invoice_line", line["id"], seconds=rng.choice([0, 1800, 7200, 10**5]))
    elif act == 2:
        world.update("invoice_line", line["id"], entry_id=rng.choice(lines)["entry_id"])
    elif act == 3:
        world.delete("invoice_line", line["id"])
    elif act == 4:
        entry = rng.choice(
            [row for row in world.tables["time_entry"].values() if row["status"] == "approved"]
        )
        world.update("time_entry", entry["id"], version=entry["version"] + 1)
    else:
        engagement = world.tables["engagement"][line["engagement_id"]]
        world.update(
            "engagement", engagement["id"], over_cap_action=rng.choice(["hold", "bill", "write_off"])
        )
