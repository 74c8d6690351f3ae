"""Running allocation: always what the allocation of the whole root gives, at the cost of what changes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from billing_builders import ROOT, an_adjustment, day, item, money, small_firm
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.billing import Item, PostedLine, Segment, Terms, allocate, running
from agents.billing.caps import Limits
from agents.billing.closes import Facts
from agents.billing.contracts import Cap, LineTerms, Lot, Rollover
from agents.billing.running import RunningAllocation

one_of = st.sampled_from
BASIS = item(small_firm(), 1, "03-01", 8)
ENTRIES = [*(f"time:{number}" for number in range(24)), *(f"erp:X{number}" for number in range(6))]
SCOPES = ["none", "line", "engagement"]
DAYS = [f"day:{BASIS.consultant_id}:{line}:2026-03-01" for line in ("erp:L1", "erp:L2")]
POSTED_AT = datetime(2026, 3, 31, tzinfo=UTC)
DATES = [day("02-27"), day("03-01"), day("03-02"), day("04-01")]
MONEY = st.one_of(st.none(), one_of([money(0), money("333.33"), money(1500), money(9000)]))
SECONDS = st.one_of(st.none(), one_of([0, 10001, 70000, 400000]))
LOTS = (Lot("erp:A", "", 9000, None, day("03-01")), Lot("erp:B", "", 50000, day("03-01"), None))
ACTIONS = one_of(["hold", "write_off", "bill"])


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    """Two lines with caps and inclusions in one engagement with a cap, all or none of them."""
    lines = {
        line_id: LineTerms(
            draw(one_of(["tm", "tm", "retainer", "prepaid", "per_diem"])),
            Cap(draw(MONEY), draw(SECONDS), draw(ACTIONS)),
            draw(one_of([0, 3600, 100000])),
            expires_on=draw(one_of([None, day("03-01")])),
            rollover=draw(
                one_of([None, None, Rollover(day("02-01")), Rollover(day("01-01"), None, 1800, 1)])
            ),
            lots=draw(one_of([(), LOTS[:1], LOTS])),
            per_diem_amount=money(900),
            day_minimum_seconds=draw(one_of([0, 30000])),
            rounding=draw(one_of(["half_up", "half_even"])),
        )
        for line_id in ("erp:L1", "erp:L2")
    }
    return Terms(ROOT, "EUR", "erp:CL1", "erp:LE1", Cap(draw(MONEY), draw(SECONDS), draw(ACTIONS)), lines)


@st.composite
def items(draw: st.DrawFn, entry_id: str, of: Terms) -> Item | None:
    """An entry or an expense as it may be at some time: priced, free of charge, or gone."""
    if draw(st.integers(0, 5)) == 0:
        return None
    line_id = draw(one_of(["erp:L1", "erp:L2"]))
    is_expense = entry_id.startswith("erp:")
    seconds = 0 if is_expense else draw(st.integers(0, 36000))
    worth = draw(st.integers(0, 36000)) if is_expense else seconds
    priced = draw(st.integers(0, 5)) > 0
    return BASIS._replace(
        entry_id=entry_id,
        contract_line_id=line_id,
        method=of.lines[line_id].method,
        work_date=draw(one_of(DATES)),
        version=draw(st.integers(1, 2)),
        seconds=seconds,
        quantity_seconds=seconds,
        item_kind="expense" if is_expense else "entry",
        cap_scope=draw(one_of(SCOPES)) if is_expense else None,
        disposition="priced" if priced else draw(one_of(["non_chargeable", "fixed_fee"])),
        amount=draw(one_of([Decimal(0), (Decimal(worth) / 36).quantize(Decimal("0.01"))])),
    )


@st.composite
def posted_lines(draw: st.DrawFn, entry_id: str) -> list[PostedLine]:
    """A posted line or two of an entry that may be there in this version or not."""
    return [
        PostedLine(
            f"{entry_id}:I{number}",
            ROOT,
            draw(one_of(["erp:L1", "erp:L2"])),
            "charge",
            None,
            entry_id,
            draw(st.integers(1, 2)),
            draw(st.integers(0, 20000)),
            draw(one_of([money(0), money("33.33"), money(400)])),
            POSTED_AT,
        )
        for number in range(draw(one_of([0, 0, 0, 1, 2])))
    ]


@st.composite
def facts(draw: st.DrawFn, entry_id: str, of: Terms) -> Facts:
    """All that is known of an entry, or of a day line, at some time."""
    if entry_id in DAYS:
        return Facts(entry_id, None, draw(posted_lines(entry_id)))
    adjustments = [draw(an_adjustment("erp:A1", entry_id))] if draw(st.booleans()) else []
    return Facts(entry_id, draw(items(entry_id, of)), draw(posted_lines(entry_id)), adjustments)


@pytest.fixture(autouse=True)
def small_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deep trees of few items."""
    monkeypatch.setattr(running, "CHILDREN", 3)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_after_any_changes_it_is_the_allocation_of_the_whole_root(data: st.DataObject) -> None:
    """Entries come, change and go anywhere in the order; only entries given, or changed, are returned."""
    of = data.draw(terms())
    kept = RunningAllocation(of)
    present = {entry: data.draw(facts(entry, of)) for entry in (*ENTRIES, *DAYS)}
    found = kept.update(present)
    for _ in range(data.draw(st.integers(1, 5))):
        changed = data.draw(st.lists(one_of([*ENTRIES, *DAYS]), min_size=1, max_size=3, unique=True))
        present |= {entry: data.draw(facts(entry, of)) for entry in changed}
        update = kept.update({entry: present[entry] for entry in changed})
        for entry, segments in update.items():
            # What is wholly on hold stays so, wherever a cap cuts it; a day line is made anew with its day.
            one = present.get(entry)
            is_held = one is not None and bool(one.adjustments)
            assert entry in changed or is_held or entry.startswith("day:") or segments != found[entry]
        found |= update
        whole = allocate(
            [one.item for one in present.values() if one.item is not None],
            [line for one in present.values() for line in one.lines],
            [off for one in present.values() for off in one.adjustments],
            of,
        )
        merged: dict[tuple[str, str], Segment] = {}
        for segments in found.values():
            merged |= segments
        assert merged == whole


@pytest.mark.parametrize("cap", [Cap(money=money(1)), Cap(money=money(1_200_000)), Cap(seconds=10**10)])
def test_a_change_costs_no_more_on_a_large_root(cap: Cap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3,000 entries that are beyond the cap, around it or below it, one change places a handful."""
    placed: list[Any] = []
    place = Limits.place

    def counted(self: Limits, made: Item, *rest: Any) -> Any:
        placed.append(made)
        return place(self, made, *rest)

    monkeypatch.setattr(Limits, "place", counted)
    of = Terms(ROOT, "EUR", cap=cap, lines={"erp:L1": LineTerms("tm")})
    entries = {f"time:{number}": BASIS._replace(entry_id=f"time:{number}") for number in range(3_000)}
    kept = RunningAllocation(of)
    kept.update({entry: Facts(entry, made) for entry, made in entries.items()})
    assert len(placed) == 3_000
    for entry in ("time:0", "time:1499", "time:1500", "time:2999", "time:3000"):
        placed.clear()
        less = BASIS._replace(entry_id=entry, seconds=3600, quantity_seconds=3600, amount=money(100))
        assert entry in kept.update({entry: Facts(entry, less)})
        assert len(placed) <= 4


@pytest.mark.parametrize("rollover", [Rollover(day("01-01")), Rollover(day("01-01"), None, 4 * 3600, 1)])
def test_a_change_of_a_month_whose_hours_roll_over_moves_what_binds(
    rollover: Rollover, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More or fewer hours left in January than roll over at most are nothing to February's thousand entries."""
    line = LineTerms("retainer", Cap(None, None, "hold"), 2_000 * 3600, rollover=rollover)
    of = Terms(ROOT, "EUR", "erp:CL1", "erp:LE1", Cap(None, None, "hold"), {"erp:L1": line})
    work = BASIS._replace(method="retainer", seconds=3600, quantity_seconds=3600, amount=money(100))
    days = [day("01-05")] * 500 + [day("02-05")] * 1_000
    many = [work._replace(entry_id=f"time:{n}", work_date=on) for n, on in enumerate(days)]
    kept = RunningAllocation(of)
    kept.update({one.entry_id: Facts(one.entry_id, one) for one in many})
    placed = []
    place = Limits.place

    def counted(self: Limits, *args: Any) -> Any:
        placed.append(args)
        return place(self, *args)

    monkeypatch.setattr(Limits, "place", counted)
    half = many[0]._replace(seconds=1800, quantity_seconds=1800, amount=money(50))
    assert len(kept.update({"time:0": Facts("time:0", half)})) == 1
    assert len(placed) <= 2
