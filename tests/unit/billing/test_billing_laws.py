"""Laws of allocation and ledger on random roots: conservation, order, caps, the fast path, folds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing_builders import (
    ROOT,
    Firm,
    an_adjustment,
    fold,
    fold_ledger,
    item,
    money,
    put_rate,
    small_firm,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.billing import (
    Adjustment,
    DraftLine,
    Item,
    LedgerLine,
    LiveSegment,
    PostedLine,
    Segment,
    Terms,
    allocate,
    allocate_item,
    diff,
)
from agents.billing.segments import BASE, OVER_ENGAGEMENT

one_of = st.sampled_from
DATES = ["03-01", "03-02", "03-31", "04-01"]
ENTRIES = ["time:0", "time:1", "time:2", "time:3", "time:4", "time:5"]
DAY_LINE = "day:erp:C1:erp:L1:2026-03-02"
CAPS = st.one_of(st.none(), one_of([money("0"), money("100"), money("333.33"), money("1000")]))
SECONDS = st.one_of(st.none(), one_of([0, 3600, 10001, 40000]))
AMOUNTS = one_of([money(0), money("0.01"), money("33.33"), money(100), money("812.34")])


@dataclass(frozen=True)
class Root:
    """The facts of a root."""

    items: list[Item]
    lines: list[PostedLine]
    adjustments: list[Adjustment]
    terms: Terms
    drafts: list[DraftLine]

    def segments(self) -> dict[tuple[str, str], Segment]:
        """Their allocation."""
        return allocate(self.items, self.lines, self.adjustments, self.terms, self.drafts)


@st.composite
def contracts(draw: st.DrawFn, shared: bool = True) -> Firm:
    """The small firm with random terms on L1 and L2, and a milestone."""
    firm = put_rate(small_firm(), "erp:R-default", draw(one_of(["100", "133.33", "0.07"])))
    put_rate(firm, "erp:R2", "50", project_id="erp:P2", role="dev", applies_to_invoiced=draw(st.booleans()))
    firm.put("consultant", "erp:C2", role="dev")
    for line_id, project_id in [("erp:L1", "erp:P1"), ("erp:L2", "erp:P2")]:
        method = draw(one_of(["tm", "tm", "retainer", "prepaid", "per_diem", "non_billable", "milestone"]))
        limits: dict[str, Any] = {}
        if shared:
            limits = {
                "cap_money": draw(CAPS),
                "cap_seconds": draw(SECONDS),
                "included_seconds": draw(SECONDS),
                "day_minimum_seconds": draw(one_of([None, 14400])),
                "per_diem_amount": money(900),
            }
        firm.put(
            "contract_line",
            line_id,
            engagement_id=ROOT,
            billing_method=method if shared or method != "per_diem" else "tm",
            quantity_increment_seconds=draw(one_of([None, 900])),
            quantity_rounding=draw(one_of([None, "up"])),
            minimum_quantity_seconds=draw(one_of([None, 1800])),
            rounding=draw(one_of(["half_up", "half_even"])),
            over_cap_action=draw(one_of(["hold", "write_off", "bill"])),
            **limits,
        )
        firm.put("project", project_id, engagement_id=ROOT, contract_line_id=line_id)
    if shared:
        firm.put("engagement", ROOT, cap_money=draw(CAPS), cap_seconds=draw(SECONDS))
    return firm


@st.composite
def roots(draw: st.DrawFn, firm: Firm | None = None, shared: bool = True, invoiced: bool = True) -> Root:
    """Random entries, a milestone, posted lines and credits (of any version), write-offs."""
    firm = draw(contracts(shared)) if firm is None else firm
    items: list[Item] = []
    for number in range(draw(st.integers(0, 6))):
        items.append(
            item(
                firm,
                number,
                draw(one_of(DATES)),
                0,
                seconds=draw(st.integers(0, 36000)),
                consultant_id=draw(one_of(["erp:C1", "erp:C2", "erp:C9"])),
                project_id=draw(one_of(["erp:P1", "erp:P2"])),
                kind=draw(one_of(["standard", "overtime"])),
                version=draw(st.integers(1, 2)),
            )
        )
    if draw(st.booleans()) and items:
        items.append(as_milestone(items[0]))
    lines: list[PostedLine] = []
    for number in range(draw(st.integers(0, 6)) if invoiced else 0):
        named = (
            draw(one_of([line.id for line in lines if line.kind == "charge"])) if number % 3 == 2 else None
        )
        lines.append(
            PostedLine(
                id=f"erp:I{number}",
                root_id=ROOT,
                contract_line_id=draw(one_of(["erp:L1", "erp:L2"])),
                kind="charge" if named is None else "credit",
                credits_line_id=named,
                entry_id=draw(one_of([*ENTRIES, DAY_LINE, "erp:M-1"])),
                entry_version=draw(st.integers(1, 2)),
                seconds=draw(st.integers(0, 20000)),
                amount=draw(AMOUNTS),
                posted_at=datetime(2026, 3, draw(st.integers(29, 31)), tzinfo=UTC),
            )
        )
    adjustments = [
        draw(an_adjustment(f"erp:A{number}", draw(one_of(ENTRIES))))
        for number in range(draw(st.integers(0, 4)))
    ]
    drafts = [
        DraftLine(
            f"erp:D{number}",
            ROOT,
            "erp:L1",
            draw(one_of([*ENTRIES, DAY_LINE, "erp:M-1"])),
            draw(st.integers(1, 2)),
            draw(one_of([0, 1, 3600, 20000])),
            draw(AMOUNTS),
        )
        for number in range(draw(st.integers(0, 4)) if invoiced else 0)
    ]
    return Root(items, lines, adjustments, firm.ref.terms(ROOT), drafts)


def as_milestone(made: Item) -> Item:
    """An accepted milestone of 500 on the line of an item."""
    return made._replace(
        entry_id="erp:M-1",
        item_kind="milestone",
        method="milestone",
        disposition="priced",
        consultant_id=None,
        version=1,
        seconds=0,
        quantity_seconds=0,
        amount=money(500),
        rounding_amount=None,
        exception_class=None,
        missing_keys=None,
    )


@given(roots())
@settings(max_examples=300, deadline=None)
def test_seconds_are_conserved(root: Root) -> None:
    """The segments of an entry sum to its approved seconds, to 0 where it is gone, and for lines of money."""
    approved = {item.entry_id: item.seconds for item in root.items}
    sums: dict[str, int] = {}
    for segment in root.segments().values():
        sums[segment.entry_id] = sums.get(segment.entry_id, 0) + segment.seconds
    for entry_id in approved.keys() | sums.keys():
        assert sums.get(entry_id, 0) == approved.get(entry_id, 0)


@given(roots(invoiced=False))
@settings(max_examples=200, deadline=None)
def test_money_is_conserved_where_nothing_is_posted(root: Root) -> None:
    """To the cent: the segments of a priced entry sum to its amount and its rounding amount."""
    segments = root.segments()
    for made in root.items:
        own = [segment for key, segment in segments.items() if key[0] == made.entry_id]
        if made.disposition == "parked":
            assert all(segment.amount is None for segment in own)
        else:
            assert made.amount is not None
            total = sum((segment.amount or Decimal(0) for segment in own), Decimal(0))
            assert total == made.amount + (made.rounding_amount or 0)


@given(roots(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_order_of_arrival_does_not_matter(root: Root, random: Any) -> None:
    """Any permutation of items, lines, adjustments and drafts gives the same segments."""
    expected = root.segments()
    shuffled = Root(
        random.sample(root.items, len(root.items)),
        random.sample(root.lines, len(root.lines)),
        random.sample(root.adjustments, len(root.adjustments)),
        root.terms,
        random.sample(root.drafts, len(root.drafts)),
    )
    assert shuffled.segments() == expected


@given(roots(invoiced=False))
@settings(max_examples=300, deadline=None)
def test_caps_are_never_passed(root: Root) -> None:
    """What passes a cap is at most the cap, in money and in seconds, for each line and the engagement."""
    segments = [
        s for s in root.segments().values() if s.entry_id.startswith("time:") and s.bucket != "parked"
    ]
    timed = {i.entry_id for i in root.items if i.disposition == "priced" and i.item_kind == "entry"}
    passed_line = [s for s in segments if s.segment in (BASE, OVER_ENGAGEMENT) and s.entry_id in timed]
    passed = [s for s in passed_line if s.segment == BASE]
    bounds = [(root.terms.cap, passed)]
    for line_id, line in root.terms.lines.items():
        bounds.append((line.cap, [s for s in passed_line if s.contract_line_id == line_id]))
    for cap, own in bounds:
        if cap.seconds is not None:
            assert sum(s.seconds for s in own) <= cap.seconds
        if cap.money is not None:
            assert sum((s.amount or Decimal(0) for s in own), Decimal(0)) <= cap.money


@given(roots(shared=False))
@settings(max_examples=200, deadline=None)
def test_the_fast_path_gives_what_the_full_one_gives(root: Root) -> None:
    """On a root whose items share nothing, entry by entry is the same as all at once."""
    assert root.terms.is_independent
    items = {item.entry_id: item for item in root.items}
    charges = {line.id: line.entry_id for line in root.lines if line.kind == "charge"}
    segments: dict[tuple[str, str], Segment] = {}
    for entry_id in items.keys() | set(charges.values()) | {draft.entry_id for draft in root.drafts}:
        own = [
            line
            for line in root.lines
            if (charges.get(line.credits_line_id or "") if line.kind == "credit" else line.entry_id)
            == entry_id
        ]
        adjustments = [adjustment for adjustment in root.adjustments if adjustment.entry_id == entry_id]
        drafts = [draft for draft in root.drafts if draft.entry_id == entry_id]
        segments |= allocate_item(entry_id, items.get(entry_id), own, adjustments, root.terms, drafts)
    assert segments == root.segments()


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_the_ledger_always_folds_to_the_segments(data: st.DataObject) -> None:
    """After any sequence of states the ledger sums to the present one, and to what is live."""
    live: dict[tuple[str, str], LiveSegment] = {}
    ledger: list[LedgerLine] = []
    for _ in range(data.draw(st.integers(1, 4))):
        target = data.draw(roots()).segments()
        change = diff(live, target)
        ledger.extend(change.lines)
        live = change.live(live)
        assert fold_ledger(ledger) == fold(target.values())
        assert fold_ledger(ledger) == fold(state.segment for state in live.values() if state.segment)
        assert diff(live, target).lines == ()


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_revision_grows_if_and_only_if_the_content_changes(data: st.DataObject) -> None:
    """Each charge is the next revision, each reversal takes back the one live line, ids are unique."""
    live: dict[tuple[str, str], LiveSegment] = {}
    charged: dict[str, LedgerLine] = {}
    reversed_ids: set[str] = set()
    seen: set[str] = set()
    for _ in range(data.draw(st.integers(1, 4))):
        change = diff(live, data.draw(roots()).segments())
        after = change.live(live)
        for key, state in after.items():
            before = live.get(key)
            if before is None:
                assert state.revision == 1
            else:
                assert state.revision == before.revision + (state.segment != before.segment)
        for line in change.lines:
            assert line.event_id not in seen
            seen.add(line.event_id)
            if line.reverses is None:
                charged[line.event_id] = line
                continue
            assert line.reverses not in reversed_ids
            reversed_ids.add(line.reverses)
            original = charged[line.reverses]
            assert line.revision == original.revision
            assert line.segment.seconds == -original.segment.seconds
            assert (line.segment.amount or 0) == -(original.segment.amount or 0)
        live = after
    assert charged.keys() - reversed_ids == {state.event_id for state in live.values() if state.segment}
