"""Drafts of the ERP's invoices, each judged by the agents and by the oracle. 8 h at 100 unless stated."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import HOUR, D, Sources, at, day
from two_judges import Agents, Judge, Judgement, Oracle

BASE, DRAFT = ("time:1", "base"), ("time:1", "draft:erp:D1")


def draft(sources: Sources, native: str, number: int, hours: int, amount: Any, **columns: Any) -> Sources:
    """A charge on a draft."""
    return sources.charge(native, number, hours, amount, status="draft", posted_at=None, **columns)


def eight_hours() -> Sources:
    """8 h/800, all of it on a draft."""
    return draft(Sources().work(1, "03-05", 8), "D1", 1, 8, 800)


def on_draft(judgement: Judgement, line: str, entry: str = "time:1") -> tuple[int, Decimal | None, bool]:
    """Seconds and money on a draft's line, and whether it is stale."""
    bucket, seconds, amount = judgement.figures[entry, f"draft:erp:{line}"]
    assert bucket == "on_draft"
    return seconds, amount, judgement.drafts[entry, f"erp:{line}"][2]


def test_a_draft_names_what_is_unbilled(judge: Judge) -> None:
    """8 h/800 are on draft, and not unbilled any more."""
    judgement = judge(eight_hours())
    assert judgement.figures == {DRAFT: ("on_draft", 8 * HOUR, D(800))}
    assert judgement.drafts == {("time:1", "erp:D1"): (8 * HOUR, D(800), False)}


def test_a_draft_of_a_part(judge: Judge) -> None:
    """A draft of 3 h leaves 5 h/500; another of 5 h takes them."""
    sources = draft(Sources().work(1, "03-05", 8), "D1", 1, 3, 300)
    assert judge(sources).figures == {
        DRAFT: ("on_draft", 3 * HOUR, D(300)),
        BASE: ("unbilled", 5 * HOUR, D(500)),
    }
    assert on_draft(judge(draft(sources, "D2", 1, 5, 500)), "D2") == (5 * HOUR, D(500), False)


def test_a_draft_that_is_posted_is_billed(judge: Judge) -> None:
    """The same line, posted: billed and frozen."""
    sources = eight_hours().put("invoice_line", "D1", status="posted", posted_at=at("03-31 10:00"))
    judgement = judge(sources)
    assert judgement.figures == {("time:1", "inv:erp:D1"): ("billed", 8 * HOUR, D(800))}
    assert judgement.drafts == {}


def test_a_draft_that_is_dropped_leaves_its_time_unbilled(judge: Judge) -> None:
    """And says nothing any more."""
    assert judge(eight_hours().drop("invoice_line", "D1")).figures == {BASE: ("unbilled", 8 * HOUR, D(800))}


STALE: dict[str, tuple[Callable[[Sources], Any], int, int, dict[Any, Any]]] = {
    "corrected": (
        lambda s: s.work(1, "03-05", 6, version=2),
        0,
        0,
        {BASE: ("unbilled", 6 * HOUR, D(600))},
    ),
    "withdrawn": (lambda s: s.work(1, "03-05", 8, status="withdrawn"), 0, 0, {}),
    "repriced": (lambda s: s.put("rate", "R", price=D(110)), 8, 880, {}),
    "parked": (lambda s: s.drop("rate", "R"), 0, 0, {BASE: ("parked", 8 * HOUR, None)}),
    "not chargeable": (
        lambda s: s.put("contract_line", "L", billing_method="non_billable"),
        0,
        0,
        {BASE: ("non_chargeable", 8 * HOUR, D(0))},
    ),
    "on hold": (
        lambda s: s.put("bill_adjustment", "B", kind="hold", entry_id="time:1"),
        0,
        0,
        {("time:1", "adj:erp:B"): ("on_hold", 8 * HOUR, D(800))},
    ),
    "written off in part": (
        lambda s: s.put("bill_adjustment", "B", entry_id="time:1", hours=D(2)),
        6,
        600,
        {("time:1", "adj:erp:B"): ("written_off", 2 * HOUR, D(200))},
    ),
    "over the cap": (
        lambda s: s.put("engagement", "E", cap_money=D(500)),
        5,
        500,
        {("time:1", "over-engagement"): ("over_cap", 3 * HOUR, D(300))},
    ),
    "another contract line": (
        lambda s: s.put("contract_line", "L2").put("project", "P", contract_line_id="L2"),
        8,
        800,
        {},
    ),
    "another client": (
        lambda s: (
            s.put("invoice_line", "D1", client_id="A")
            .put("client", "A2")
            .put("engagement", "E", client_id="A2")
        ),
        8,
        800,
        {},
    ),
    "posted by another line": (
        lambda s: s.charge("I1", 1, 8, 800),
        0,
        0,
        {("time:1", "inv:erp:I1"): ("billed", 8 * HOUR, D(800))},
    ),
}


@pytest.mark.parametrize("why", STALE)
def test_a_draft_goes_stale(judge: Judge, why: str) -> None:
    """It has what there is of what it names, which is not what it says; it stays visible with nothing, too."""
    change, hours, amount, others = STALE[why]
    sources = eight_hours()
    change(sources)
    judgement = judge(sources)
    assert judgement.figures == {DRAFT: ("on_draft", hours * HOUR, D(amount)), **others}
    assert judgement.drafts == {("time:1", "erp:D1"): (8 * HOUR, D(800), True)}


def test_a_draft_of_what_is_billed_beyond_a_cap(judge: Judge) -> None:
    """Billed anyway, 5 h/500 within the cap and 3 h/300 over it are one draft of 8 h/800; of 6 h, 2 h are left."""
    sources = eight_hours().put("engagement", "E", cap_money=D(500), over_cap_action="bill")
    assert judge(sources).figures == {DRAFT: ("on_draft", 8 * HOUR, D(800))}
    draft(sources, "D1", 1, 6, 600)
    assert judge(sources).figures == {
        DRAFT: ("on_draft", 6 * HOUR, D(600)),
        ("time:1", "over-engagement"): ("unbilled", 2 * HOUR, D(200)),
    }


def test_e4_with_a_draft_in_between(judge: Judge) -> None:
    """Cap 1,000. X 600 and Y 400 are drafted; late W of an earlier day takes 300 of the cap: Y's draft has 1 h/100
    and is stale. Nothing was frozen. Posted as it was, Y's 400 are billed, and W is over the cap."""
    sources = Sources().put("engagement", "E", cap_money=D(1000))
    sources.work(1, "03-05", 6).work(2, "03-06", 6)
    draft(draft(sources, "X", 1, 6, 600), "Y", 2, 4, 400)
    over = ("time:2", "over-engagement")
    judgement = judge(sources)
    assert on_draft(judgement, "X") == (6 * HOUR, D(600), False)
    assert on_draft(judgement, "Y", "time:2") == (4 * HOUR, D(400), False)
    assert judgement.figures[over] == ("over_cap", 2 * HOUR, D(200))
    judgement = judge(sources.work(3, "03-04", 3))
    assert judgement.figures["time:3", "base"] == ("unbilled", 3 * HOUR, D(300))
    assert on_draft(judgement, "X") == (6 * HOUR, D(600), False)
    assert on_draft(judgement, "Y", "time:2") == (HOUR, D(100), True)
    assert judgement.figures[over] == ("over_cap", 5 * HOUR, D(500))
    for line in ("X", "Y"):
        sources.put("invoice_line", line, status="posted", posted_at=at("03-31 10:00"))
    assert judge(sources).figures == {
        ("time:1", "inv:erp:X"): ("billed", 6 * HOUR, D(600)),
        ("time:2", "inv:erp:Y"): ("billed", 4 * HOUR, D(400)),
        over: ("over_cap", 2 * HOUR, D(200)),
        ("time:3", "over-engagement"): ("over_cap", 3 * HOUR, D(300)),
    }


def test_e4_billed_again_after_the_credit(judge: Judge) -> None:
    """Y's 400 are credited: W 300 and Y 100 are unbilled, and can be drafted and posted; 1,000 are billed again."""
    sources = Sources().put("engagement", "E", cap_money=D(1000))
    sources.work(1, "03-05", 6).work(2, "03-06", 6).work(3, "03-04", 3)
    sources.charge("X", 1, 6, 600).charge("Y", 2, 4, 400).credit("C", of="Y")
    draft(draft(sources, "W", 3, 3, 300), "Z", 2, 1, 100)
    judgement = judge(sources)
    assert on_draft(judgement, "W", "time:3") == (3 * HOUR, D(300), False)
    assert on_draft(judgement, "Z", "time:2") == (HOUR, D(100), False)
    for line in ("W", "Z"):
        sources.put("invoice_line", line, status="posted", posted_at=at("04-10 10:00"))
    assert judge(sources).figures == {
        ("time:1", "inv:erp:X"): ("billed", 6 * HOUR, D(600)),
        ("time:3", "inv:erp:W"): ("billed", 3 * HOUR, D(300)),
        ("time:2", "inv:erp:Z"): ("billed", HOUR, D(100)),
        ("time:2", "over-engagement"): ("over_cap", 5 * HOUR, D(500)),
    }


def test_a_partial_credit_does_not_bill_twice(judge: Judge) -> None:
    """8 h/800 posted, 3 h/300 of it credited: a new draft of all 8 h gets 3 h/300, and is stale; one of 3 h is not."""
    sources = Sources().work(1, "03-05", 8).charge("I1", 1, 8, 800)
    sources.charge("C1", 1, 3, 300, kind="credit", credits_line_id="I1")
    assert on_draft(judge(draft(sources, "D1", 1, 8, 800)), "D1") == (3 * HOUR, D(300), True)
    judgement = judge(draft(sources, "D1", 1, 3, 300))
    assert judgement.figures == {
        ("time:1", "inv:erp:I1"): ("billed", 5 * HOUR, D(500)),
        DRAFT: ("on_draft", 3 * HOUR, D(300)),
    }
    assert not judgement.drafts["time:1", "erp:D1"][2]


def test_what_goes_back_is_not_on_a_draft(judge: Judge) -> None:
    """Posted 8 h/800, corrected to 6: the credit that is due stays apart from the draft of the 6 h."""
    sources = Sources().work(1, "03-05", 8).charge("I1", 1, 8, 800).work(1, "03-05", 6, version=2)
    assert judge(draft(sources, "D1", 1, 6, 600, entry_version=2)).figures == {
        ("time:1", "inv:erp:I1"): ("billed", 8 * HOUR, D(800)),
        ("time:1", "due:erp:I1"): ("unbilled", -8 * HOUR, D(-800)),
        DRAFT: ("on_draft", 6 * HOUR, D(600)),
    }


def test_a_draft_of_a_credit_counts_for_nothing(judge: Judge) -> None:
    """Until it is posted."""
    sources = Sources().work(1, "03-05", 8).charge("I1", 1, 8, 800)
    draft(sources, "C1", 1, 8, 800, kind="credit", credits_line_id="I1")
    assert judge(sources).figures == {("time:1", "inv:erp:I1"): ("billed", 8 * HOUR, D(800))}


def test_drafts_of_money_without_time(judge: Judge) -> None:
    """A milestone, a per diem, a day's uplift; of a milestone of 500, a draft of 600 gets 500 and is stale."""
    sources = Sources().put("contract_line", "L", billing_method="per_diem", per_diem_amount=D(900))
    sources.put("contract_line", "M", billing_method="milestone").work(1, "03-05", 3)
    accepted = {"accepted_on": day("03-09"), "accepted_at": at("03-09 10:00"), "status": "accepted"}
    sources.put("milestone", "M1", contract_line_id="M", amount=D(500), due_on=day("03-09"), **accepted)
    diem = "day:erp:C:erp:L:2026-03-05"
    draft(sources, "D1", 0, 0, 900, entry_id=diem)
    draft(sources, "D2", 0, 0, 600, entry_id="erp:M1", contract_line_id="M")
    judgement = judge(sources)
    assert on_draft(judgement, "D1", diem) == (0, D(900), False)
    assert on_draft(judgement, "D2", "erp:M1") == (0, D(500), True)
    assert (diem, "per-diem") not in judgement.figures


def test_a_draft_on_another_contract(judge: Judge) -> None:
    """What its entry has to bill is on E: a draft that E2 was given has nothing, and says so."""
    sources = Sources().put("engagement", "E2").work(1, "03-05", 8)
    draft(sources, "D1", 1, 8, 800, engagement_id="E2", contract_line_id="X", work_date=day("03-05"))
    judgement = judge(sources)
    assert judgement.figures == {BASE: ("unbilled", 8 * HOUR, D(800)), DRAFT: ("on_draft", 0, D(0))}
    assert judgement.months[DRAFT] == "2026-03"


def test_the_lines_of_a_draft() -> None:
    """The ledger reverses what was unbilled and charges it on draft; nothing else."""
    agents, sources = Agents(), Sources().work(1, "03-05", 8)
    agents(sources)
    agents(draft(sources, "D1", 1, 8, 800))
    assert [(line.kind, line.segment.bucket, line.segment.amount) for line in agents.lines] == [
        ("REVERSAL", "unbilled", D(-800)),
        ("CHARGE", "on_draft", D(800)),
    ]


WHOLE = st.integers(0, 9)
LINES = st.fixed_dictionaries(
    {
        "entry": st.integers(1, 3),
        "hours": WHOLE,
        "amount": st.sampled_from(["0", "100", "133.33", "266.66", "800", "950"]),
        "version": st.integers(1, 2),
        "status": st.sampled_from(["draft", "draft", "posted"]),
        "kind": st.sampled_from(["charge", "charge", "charge", "credit"]),
    }
)
ACTS = st.one_of(
    st.tuples(st.just("line"), st.integers(0, 3), LINES),
    st.tuples(st.just("drop"), st.integers(0, 3), st.none()),
    st.tuples(
        st.just("work"),
        st.integers(1, 3),
        st.fixed_dictionaries(
            {
                "hours": WHOLE,
                "version": st.integers(1, 2),
                "status": st.sampled_from(["approved", "withdrawn"]),
            }
        ),
    ),
    st.tuples(
        st.just("hold"),
        st.integers(1, 3),
        st.fixed_dictionaries(
            {
                "hours": st.sampled_from([None, D(1), D(5)]),
                "kind": st.sampled_from(["hold", "write_off"]),
            }
        ),
    ),
    st.tuples(st.just("cap"), st.just(0), st.sampled_from([None, D(0), D(500), D("777.77"), D(2000)])),
    st.tuples(st.just("price"), st.just(0), st.sampled_from([D(100), D("133.33"), D("0.07")])),
)
TERMS = st.fixed_dictionaries(
    {
        "billing_method": st.sampled_from(["tm", "tm", "tm", "prepaid", "per_diem"]),
        "day_minimum_hours": st.sampled_from([None, None, D(4)]),
        "included_hours": st.just(D(3)),
        "per_diem_amount": st.just(D(800)),
        "cap_money": st.sampled_from([None, D(950)]),
        "over_cap_action": st.sampled_from(["hold", "bill"]),
    }
)


@given(st.lists(ACTS, max_size=12), TERMS)
@settings(max_examples=300, deadline=None)
def test_both_judges_agree(acts: list[tuple[str, int, Any]], terms: dict[str, Any]) -> None:
    """On random histories of entries, drafts, postings, holds, caps and prices; time is conserved, and drafts take
    nothing that caps or holds have."""
    sources = Sources().put("contract_line", "L", **terms)
    for number in (1, 2, 3):
        sources.work(number, f"03-0{number}", 8)
    agents, oracle = Agents(), Oracle()
    for act, number, value in acts:
        _do(sources, act, number, value)
        judged, expected = agents(sources), oracle(sources)
        assert judged.figures == expected.figures
        assert judged.months == expected.months
        assert judged.drafts == expected.drafts
        assert judged.proposals == expected.proposals
        judged.check_conservation()
    if any(row["status"] == "draft" for row in sources.tables["invoice_line"].values()):
        _without_drafts_all_else_is_the_same(sources, oracle)


def _do(sources: Sources, act: str, number: int, value: Any) -> None:
    if act == "line":
        entry, native = value["entry"], f"N{number}"
        on_day = terms_day(sources, entry) if value["hours"] == 0 else f"time:{entry}"
        is_draft, is_credit = value["status"] == "draft", value["kind"] == "credit"
        sources.charge(
            native,
            entry,
            value["hours"],
            value["amount"],
            entry_id=on_day,
            entry_version=value["version"],
            status=value["status"],
            kind=value["kind"],
            credits_line_id="N0" if is_credit and number else None,
            posted_at=None if is_draft else at("03-31 10:00"),
        )
    elif act == "drop" and f"N{number}" in sources.tables["invoice_line"]:
        sources.drop("invoice_line", f"N{number}")
    elif act == "work":
        sources.work(number, f"03-0{number}", **value)
    elif act == "hold":
        sources.put("bill_adjustment", f"B{number}", entry_id=f"time:{number}", **value)
    elif act == "cap":
        sources.put("engagement", "E", cap_money=value)
    elif act == "price":
        sources.put("rate", "R", price=value)


def terms_day(sources: Sources, number: int) -> str:
    """The day line of an entry's day."""
    return f"day:erp:C:erp:L:{sources.tables['time_entry'][number]['work_date']}"


def _without_drafts_all_else_is_the_same(sources: Sources, oracle: Oracle) -> None:
    """By bucket: what is unbilled and on draft is what was unbilled, and no other bucket has changed."""

    def sums(judgement: Judgement) -> dict[str, tuple[int, Decimal]]:
        found: dict[str, tuple[int, Decimal]] = {}
        for bucket, seconds, amount in judgement.figures.values():
            name = "unbilled" if bucket == "on_draft" else bucket
            had = found.get(name, (0, D(0)))
            found[name] = (had[0] + seconds, had[1] + (amount or 0))
        return {name: both for name, both in found.items() if any(both)}

    with_drafts = sums(oracle(sources))
    for native in [n for n, row in sources.tables["invoice_line"].items() if row["status"] == "draft"]:
        sources.drop("invoice_line", native)
    assert sums(oracle(sources)) == with_drafts
