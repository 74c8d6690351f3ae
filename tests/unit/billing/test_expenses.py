"""Expenses before both judges: what they are billed for, against which caps, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest
from source_databases import HOUR, D, Sources, at, day
from two_judges import Agents, Judge

BASE = ("erp:X", "base")


def in_dollars() -> Sources:
    """A contract in USD, at EUR 1 = USD 1.0837 on 5 March."""
    pair = {"from_currency": "EUR", "to_currency": "USD"}
    sources = Sources().put("engagement", "E", currency="USD")
    return sources.put("fx_rate", "F", rate=D("1.0837"), day=day("03-05"), **pair)


def test_a_markup_and_an_exchange_rate_are_rounded_once(judge: Judge) -> None:
    """EUR 200.00 net at 10% and 1.0837: 238.41; it has no time."""
    sources = in_dollars().spend("X", "03-05", 200, currency="EUR", markup=D(10))
    judged = judge(sources)
    assert judged.figures == {BASE: ("unbilled", 0, D("238.41"))}
    assert judged.approved.get("erp:X", 0) == 0
    assert judged.days == {}


@pytest.mark.parametrize(
    ("columns", "line", "worth"),
    [
        ({}, {}, "200.00"),
        ({"tax_basis": "gross", "tax_amount": D("38.00"), "amount": D("238.00")}, {}, "200.00"),
        ({"tax_basis": "net", "tax_amount": D("38.00")}, {}, "200.00"),
        ({}, {"expense_markup": D("7.50")}, "215.00"),
        ({"markup": D(0)}, {"expense_markup": D("7.50")}, "200.00"),
        ({"markup": D("12.25")}, {"expense_markup": D("7.50")}, "224.50"),
        ({"amount": D("0.05"), "markup": D(10)}, {}, "0.06"),
        ({"amount": D("0.05"), "markup": D(10)}, {"rounding": "half_even"}, "0.06"),
        ({"amount": D("0.05"), "markup": D(30)}, {}, "0.07"),
        ({"amount": D("0.05"), "markup": D(30)}, {"rounding": "half_even"}, "0.06"),
        ({}, {"billing_method": "milestone"}, "200.00"),
        ({}, {"billing_method": "per_diem", "per_diem_amount": D(900)}, "200.00"),
        ({}, {"billing_method": "retainer", "included_hours": D(10)}, "200.00"),
        ({}, {"billing_method": "prepaid", "included_hours": D(10)}, "200.00"),
        ({}, {"day_minimum_hours": D(4)}, "200.00"),
    ],
)
def test_the_net_cost_with_its_own_markup_else_the_lines(
    judge: Judge, columns: dict[str, Any], line: dict[str, Any], worth: str
) -> None:
    """Without recoverable tax; by the line's rounding; whatever else pays for the time of the line."""
    sources = Sources().put("contract_line", "L", **line).spend("X", "03-05", 200)
    sources.put("expense", "X", **columns)
    assert judge(sources).figures == {BASE: ("unbilled", 0, D(worth))}


def capped(scope: str, **engagement: Any) -> Sources:
    """A cap of 1,000; X of 6 h, an expense of 300 the day after, Y of 2 h the day after that."""
    sources = Sources().put("engagement", "E", cap_money=D(1000), **engagement)
    return sources.work(1, "03-05", 6).spend("X", "03-06", 300, cap_scope=scope).work(2, "03-07", 2)


@pytest.mark.parametrize("scope", ["line", "engagement"])
def test_an_expense_counts_against_a_cap(judge: Judge, scope: str) -> None:
    """X 6 h/600, the expense 300, and of Y's 200 only 100 are left."""
    assert judge(capped(scope)).figures == {
        ("time:1", "base"): ("unbilled", 6 * HOUR, D(600)),
        BASE: ("unbilled", 0, D(300)),
        ("time:2", "base"): ("unbilled", HOUR, D(100)),
        ("time:2", "over-engagement"): ("over_cap", HOUR, D(100)),
    }


@pytest.mark.parametrize("is_posted", [False, True])
def test_an_expense_that_counts_against_no_cap(judge: Judge, is_posted: bool) -> None:
    """Y keeps its 200, whether or not the expense is posted."""
    sources = capped("none")
    if is_posted:
        sources.charge("I", 0, 0, 300, entry_id="erp:X")
    figures = judge(sources).figures
    assert figures["time:2", "base"] == ("unbilled", 2 * HOUR, D(200))
    assert figures["erp:X", "inv:erp:I" if is_posted else "base"][2] == D(300)
    assert len(figures) == 3


@pytest.mark.parametrize(
    ("scope", "over_expense", "of_work"),
    [("line", {"over-line": D(100)}, D(0)), ("engagement", {}, D(200)), ("none", {}, D(200))],
)
def test_a_cap_of_the_line_binds_only_what_counts_against_it(
    judge: Judge, scope: str, over_expense: dict[str, Any], of_work: Any
) -> None:
    """Line cap 200, an expense of 300 first, then 2 h/200."""
    sources = Sources().put("contract_line", "L", cap_money=D(200))
    figures = judge(sources.spend("X", "03-05", 300, cap_scope=scope).work(2, "03-07", 2)).figures
    assert {s: f[2] for (e, s), f in figures.items() if e == "erp:X" and s != "base"} == over_expense
    assert figures.get(("time:2", "base"), ("", 0, D(0)))[2] == of_work


def test_a_cap_of_hours_never_binds_an_expense(judge: Judge) -> None:
    """No hours are left, and the expense passes; it takes none either."""
    sources = Sources().put("engagement", "E", cap_hours=D(6)).work(1, "03-05", 6)
    figures = judge(sources.spend("X", "03-06", 300).work(2, "03-07", 1)).figures
    assert figures[BASE] == ("unbilled", 0, D(300))
    assert figures["time:2", "over-engagement"] == ("over_cap", HOUR, D(100))


@pytest.mark.parametrize(
    ("action", "bucket"), [("hold", "over_cap"), ("write_off", "written_off"), ("bill", "unbilled")]
)
def test_what_passes_a_cap_goes_where_its_action_says(judge: Judge, action: str, bucket: str) -> None:
    """Of an expense of 300 with 250 left, 50 are over."""
    sources = Sources().put("engagement", "E", cap_money=D(250), over_cap_action=action)
    assert judge(sources.spend("X", "03-05", 300)).figures == {
        BASE: ("unbilled", 0, D(250)),
        ("erp:X", "over-engagement"): (bucket, 0, D(50)),
    }


@pytest.mark.parametrize(("approved_on", "left"), [("erp:X", 200), ("erp:1", 200)])
def test_time_comes_before_expenses_of_the_same_day(judge: Judge, approved_on: str, left: int) -> None:
    """2 h/200 of a day draw on a cap of 300 before an expense of 200, whatever their ids."""
    native = approved_on.removeprefix("erp:")
    sources = Sources().put("engagement", "E", cap_money=D(300)).spend(native, "03-05", 200)
    figures = judge(sources.work(2, "03-05", 2)).figures
    assert figures["time:2", "base"] == ("unbilled", 2 * HOUR, D(left))
    assert figures[approved_on, "base"] == ("unbilled", 0, D(100))
    assert figures[approved_on, "over-engagement"] == ("over_cap", 0, D(100))


def test_a_write_off_of_an_expense_is_of_money(judge: Judge) -> None:
    """Of 220.00, 50.00; then another of more than is left takes the rest."""
    sources = Sources().spend("X", "03-05", 200, markup=D(10))
    sources.put("bill_adjustment", "B1", entry_id="erp:X", hours=D(0), amount=D("50.00"))
    written = {("erp:X", "adj:erp:B1"): ("written_off", 0, D("50.00"))}
    assert judge(sources).figures == {BASE: ("unbilled", 0, D("170.00")), **written}
    sources.put("bill_adjustment", "B2", entry_id="erp:X", hours=D(3), amount=D("900.00"))
    assert judge(sources).figures == {**written, ("erp:X", "adj:erp:B2"): ("written_off", 0, D("170.00"))}


def test_a_write_off_gives_headroom_back(judge: Judge) -> None:
    """Of the cap of 1,000, Y gets the 100 that the expense of 300 does not take."""
    sources = capped("line").put("bill_adjustment", "B", entry_id="erp:X", hours=D(0), amount=D(100))
    assert judge(sources).figures["time:2", "base"] == ("unbilled", 2 * HOUR, D(200))


def test_a_discount_and_a_hold_of_an_expense(judge: Judge) -> None:
    """A discount takes money, a hold everything that is to be billed; a hold of hours finds none."""
    sources = Sources().spend("X", "03-05", 200)
    sources.put("bill_adjustment", "B1", entry_id="erp:X", kind="discount", amount=D(30))
    off = {("erp:X", "adj:erp:B1"): ("written_off", 0, D(30))}
    sources.put("bill_adjustment", "B2", entry_id="erp:X", kind="hold", hours=D(2))
    assert judge(sources).figures == {**off, BASE: ("unbilled", 0, D(170))}
    sources.put("bill_adjustment", "B2", entry_id="erp:X", kind="hold", hours=None)
    assert judge(sources).figures == {**off, ("erp:X", "adj:erp:B2"): ("on_hold", 0, D(170))}


def test_a_limit_holds_for_the_money_of_a_write_off(judge: Judge) -> None:
    """A limit of 40 does not reach for 50; it does for 40."""
    limit = {"approver_id": "B", "kind": "write_off", "currency": "EUR", "amount": D(40)}
    sources = Sources().spend("X", "03-05", 200).put("approval_limit", "AL", **limit)
    sources.put("bill_adjustment", "B1", entry_id="erp:X", hours=D(0), amount=D(50))
    judged = judge(sources)
    assert judged.refused == {
        ("erp:X", "adj:erp:B1"): ("APPROVAL_LIMIT", ("limit:erp:B/write_off/EUR",)),
    }
    assert judged.figures[BASE] == ("unbilled", 0, D(200))
    sources.put("bill_adjustment", "B1", amount=D(40))
    assert judge(sources).figures[BASE] == ("unbilled", 0, D(160))


def test_what_is_posted_is_frozen_until_it_is_credited(judge: Judge) -> None:
    """Posted 220.00: billed; a part credited is to be billed again, all of it too."""
    sources = Sources().spend("X", "03-05", 200, markup=D(10))
    sources.charge("I", 0, 0, "220.00", entry_id="erp:X")
    billed = {("erp:X", "inv:erp:I"): ("billed", 0, D("220.00"))}
    assert judge(sources).figures == billed
    of = {"kind": "credit", "credits_line_id": "I", "entry_id": "erp:X"}
    sources.charge("I2", 0, 0, "20.00", **of)
    assert judge(sources).figures == {
        ("erp:X", "inv:erp:I"): ("billed", 0, D("200.00")),
        BASE: ("unbilled", 0, D("20.00")),
    }
    sources.put("invoice_line", "I2", amount=D("220.00"))
    assert judge(sources).figures == {BASE: ("unbilled", 0, D("220.00"))}


def test_a_correction_after_posting_is_due_as_a_credit(judge: Judge) -> None:
    """Posted 200, corrected to 150: 200 are due back, and 150 to bill; rejected, the 200 alone."""
    sources = Sources().spend("X", "03-05", 200).charge("I", 0, 0, 200, entry_id="erp:X")
    posted = {
        ("erp:X", "inv:erp:I"): ("billed", 0, D(200)),
        ("erp:X", "due:erp:I"): ("unbilled", 0, D(-200)),
    }
    sources.spend("X", "03-05", 150, version=2)
    assert judge(sources).figures == {**posted, BASE: ("unbilled", 0, D(150))}
    assert judge(sources.spend("X", "03-05", 150, status="rejected")).figures == posted


def test_a_draft_takes_money_of_an_expense(judge: Judge) -> None:
    """A draft of what there is, and a stale one of more."""
    sources = Sources().spend("X", "03-05", 200)
    sources.charge("I", 0, 0, 200, entry_id="erp:X", status="draft", posted_at=None)
    judged = judge(sources)
    assert judged.figures == {("erp:X", "draft:erp:I"): ("on_draft", 0, D(200))}
    assert judged.drafts == {("erp:X", "erp:I"): (0, D(200), False)}
    assert judge(sources.put("invoice_line", "I", amount=D(250))).drafts["erp:X", "erp:I"][2]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda s: s.drop("project", "P"), ("MISSING_REFERENCE", ("project:erp:P",))),
        (
            lambda s: s.drop("consultant", "C").drop("client", "A"),
            ("MISSING_REFERENCE", ("client:erp:A", "consultant:erp:C")),
        ),
        (lambda s: s.put("project", "P", contract_line_id=None), ("MISSING_REFERENCE", ("line-of:erp:P",))),
        (lambda s: s.drop("contract_line", "L"), ("MISSING_REFERENCE", ("line:erp:L",))),
        (lambda s: s.drop("engagement", "E"), ("MISSING_REFERENCE", ("engagement:erp:E",))),
        (
            lambda s: s.put("engagement", "E", ends_on=day("03-05")),
            ("INACTIVE_CONTRACT", ("engagement:erp:E",)),
        ),
        (lambda s: s.put("expense", "X", approved_by="C"), ("SELF_APPROVAL", ("approver:erp:C",))),
        (
            lambda s: s.put("expense", "X", tax_basis="gross", tax_amount=D("200.01")),
            ("INVALID_VALUE", ("tax_amount:erp:X",)),
        ),
        (lambda s: s.put("expense", "X", currency="CHF"), ("MISSING_FX", ("fx:CHF:EUR:2026-03-05",))),
    ],
)
def test_what_is_missing_parks_it(judge: Judge, change: Any, why: tuple[str, tuple[str, ...]]) -> None:
    """Its money is unknown, not 0, and it shows what it waits for."""
    sources = Sources().spend("X", "03-05", 200)
    change(sources)
    judged = judge(sources)
    assert judged.parked == {"erp:X": why}
    assert judged.figures == {BASE: ("parked", 0, None)}


def test_a_late_approval_without_the_right_is_parked(judge: Judge) -> None:
    """As an entry's: by the period of the day on which it was incurred."""
    sources = Sources().put("legal_entity", "LE", late_acts="by_right")
    sources.put(
        "accounting_period",
        "03",
        starts_on=day("03-01"),
        ends_on=day("04-01"),
        status="closed",
        closed_at=at("04-03 18:00"),
    )
    sources.spend("X", "03-30", 200, approved_at=at("04-04 09:00"))
    assert judge(sources).parked == {"erp:X": ("CLOSED_PERIOD", ("period:erp:03", "right:erp:LE/erp:B"))}
    sources.put("period_right", "PR", person_id="B", granted_at=at("04-01 00:00"))
    judged = judge(sources)
    assert judged.parked == {}
    assert judged.months == {BASE: "2026-04"}


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.put("project", "P", engagement_id=None),
        lambda s: s.put("contract_line", "L", billing_method="non_billable"),
        lambda s: s.put("contract_line", "L", expenses_billed=False),
    ],
)
def test_what_nobody_is_billed_for_shows_as_nothing(judge: Judge, change: Any) -> None:
    """Whoever approved it."""
    sources = Sources().spend("X", "03-05", 200, approved_by="C")
    change(sources)
    judged = judge(sources)
    assert judged.figures == {BASE: ("non_chargeable", 0, D(0))}
    assert judged.parked == {}


def test_only_what_is_approved_counts(judge: Judge) -> None:
    """Submitted or rejected, there is nothing to bill."""
    sources = Sources().spend("X", "03-05", 200, status="submitted").spend("Z", "03-05", 1, status="rejected")
    assert judge(sources).figures == {}


def closed_march() -> Sources:
    """March closed on 3 April 18:00."""
    march = {"starts_on": day("03-01"), "ends_on": day("04-01"), "status": "closed"}
    sources = Sources().put("accounting_period", "03", closed_at=at("04-03 18:00"), **march)
    return sources.put("accounting_period", "04", starts_on=day("04-01"), ends_on=day("05-01"))


@pytest.mark.parametrize(("approved", "month"), [("04-02 09:00", "2026-03"), ("04-04 09:00", "2026-04")])
def test_the_approval_chooses_the_period(judge: Judge, approved: str, month: str) -> None:
    """Incurred on 30 March; approved before or after the close."""
    sources = closed_march().spend("X", "03-30", 200, approved_at=at(approved))
    assert judge(sources).months == {BASE: month}


def test_a_correction_leaves_a_closed_month_as_it_was(judge: Judge) -> None:
    """200 of March, approved on 2 April, corrected to 150 on 5 April: March keeps 200; April has -200 and 150."""
    sources = closed_march().spend("X", "03-30", 200, approved_at=at("04-02 09:00"))
    sources.respend("X", "04-05 10:00", amount=D(150), approved_at=at("04-05 11:00"))
    judged = judge(sources)
    assert judged.booked == {
        ("erp:X", "base", "unbilled", "2026-03"): (0, D(200)),
        ("erp:X", "base", "unbilled", "2026-04"): (0, D(-50)),
    }
    assert judged.figures == {BASE: ("unbilled", 0, D(150))}


def test_its_proposal(judge: Judge) -> None:
    """It is proposed beside the work of its month."""
    (proposal,) = judge(Sources().work(1, "03-05", 2).spend("X", "03-06", 300)).proposals.values()
    assert (proposal.state, proposal.unbilled) == ("proposed", (2, 2 * HOUR, D(500)))


def test_its_lines_in_the_ledger() -> None:
    """The net cost is the price, the markup its multiplier; a new markup reverses and charges."""
    agents, sources = Agents(), in_dollars().spend("X", "03-05", 200, currency="EUR", markup=D(10))
    agents(sources)
    (line,) = agents.lines
    of = line.segment
    assert (of.price, of.price_unit_seconds, of.multiplier, of.fx_rate) == (D(200), 0, D("1.1"), D("1.0837"))
    agents(sources.put("expense", "X", markup=D(20)))
    lines = [(line.kind, line.segment.amount) for line in agents.lines]
    assert lines == [("REVERSAL", D("-238.41")), ("CHARGE", D("260.09"))]
