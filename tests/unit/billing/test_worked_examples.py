"""The worked examples of the billing rules, each judged by the agents and by the oracle.

The rate is 100 an hour unless stated. What only a ledger with its history shows is asked of the agents.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from source_databases import HOUR, D, Sources, at, day
from two_judges import Agents, Judge, Judgement

THIRD = "0.3333"  # 20 min as a column of hours with four places has them


def lines_of(agents: Agents) -> list[tuple[str, str, Decimal | None]]:
    """Kind, segment and amount of the lines last appended."""
    return [(line.kind, line.segment.segment, line.segment.amount) for line in agents.lines]


def total(judgement: Judgement, *buckets: str) -> Decimal:
    """The money in some buckets."""
    return sum(
        (amount or D(0) for bucket, _, amount in judgement.figures.values() if bucket in buckets), D(0)
    )


def test_e1_seconds_are_priced_not_rounded_hours(judge: Judge) -> None:
    """20 min at 1,234.56: 411.52; 0.3333 h would be 411.48."""
    sources = Sources().put("rate", "R", price=D("1234.56")).work(1, "03-05", THIRD)
    assert judge(sources).figures == {("time:1", "base"): ("unbilled", 1200, D("411.52"))}


def test_e2_money_is_rounded_once(judge: Judge) -> None:
    """EUR 133.33 x 7.5 h x 1.0837: 1,083.67; rounding the price first gives 1,083.68."""
    sources = Sources().put("engagement", "E", currency="USD").put("rate", "R", price=D("133.33"))
    usd = {"from_currency": "EUR", "to_currency": "USD", "day": day("03-05")}
    sources.put("fx_rate", "F", rate=D("1.0837"), **usd).work(1, "03-05", "7.5")
    assert judge(sources).figures == {("time:1", "base"): ("unbilled", 27_000, D("1083.67"))}


def test_e3_three_times_twenty_minutes(judge: Judge) -> None:
    """3 x 20 min at 150: 150.00."""
    sources = Sources().put("rate", "R", price=D(150))
    for number in (1, 2, 3):
        sources.work(number, "03-05", THIRD)
    judgement = judge(sources)
    assert total(judgement, "unbilled") == D("150.00")
    assert set(judgement.figures) == {("time:1", "base"), ("time:2", "base"), ("time:3", "base")}


def test_e3_rounded_hours_have_a_rounding_line(judge: Judge) -> None:
    """Each entry rounded to 0.33 h (1,188 s): 148.50, and 1.50 on the rounding line."""
    sources = (
        Sources().put("rate", "R", price=D(150)).put("contract_line", "L", quantity_increment_seconds=1188)
    )
    for number in (1, 2, 3):
        sources.work(number, "03-05", THIRD)
    judgement = judge(sources)
    assert (total(judgement, "unbilled"), total(judgement, "rounding")) == (D("148.50"), D("1.50"))
    assert judgement.figures["time:1", "rounding"] == ("rounding", 12, D("0.50"))


def test_e4_posted_work_keeps_its_part_of_the_cap(judge: Judge) -> None:
    """Cap 1,000, X and Y of 6 h; INV1; the late W; the credit of Y."""
    sources = Sources().put("engagement", "E", cap_money=D(1000))
    sources.work(10, "03-05", 6).work(11, "03-06", 6)
    over_y = {("time:11", "over-engagement"): ("over_cap", 2 * HOUR, D(200))}
    assert judge(sources).figures == {
        ("time:10", "base"): ("unbilled", 6 * HOUR, D(600)),
        ("time:11", "base"): ("unbilled", 4 * HOUR, D(400)),
        **over_y,
    }
    sources.charge("I1", 10, 6, 600).charge("I2", 11, 4, 400)
    posted = {
        ("time:10", "inv:erp:I1"): ("billed", 6 * HOUR, D(600)),
        ("time:11", "inv:erp:I2"): ("billed", 4 * HOUR, D(400)),
        **over_y,
    }
    assert judge(sources).figures == posted
    sources.work(12, "03-04", 3)
    over_w = {("time:12", "over-engagement"): ("over_cap", 3 * HOUR, D(300))}
    assert judge(sources).figures == posted | over_w
    sources.credit("I3", "I2")
    assert judge(sources).figures == {
        ("time:10", "inv:erp:I1"): ("billed", 6 * HOUR, D(600)),
        ("time:12", "base"): ("unbilled", 3 * HOUR, D(300)),
        ("time:11", "base"): ("unbilled", HOUR, D(100)),
        ("time:11", "over-engagement"): ("over_cap", 5 * HOUR, D(500)),
    }


def test_e4_a_late_entry_moves_nothing_else() -> None:
    """W arrives after INV1: one line of W is all that the ledger gets."""
    agents, sources = Agents(), Sources().put("engagement", "E", cap_money=D(1000))
    sources.work(10, "03-05", 6).work(11, "03-06", 6).charge("I1", 10, 6, 600).charge("I2", 11, 4, 400)
    agents(sources)
    agents(sources.work(12, "03-04", 3))
    (line,) = agents.lines
    assert (line.segment.entry_id, line.segment.bucket, line.segment.amount) == (
        "time:12",
        "over_cap",
        D(300),
    )


def test_e5_the_line_then_the_engagement(judge: Judge) -> None:
    """Line cap 500, engagement 800: A 500 + 100 over; B 300 + 100 over."""
    sources = Sources().put("engagement", "E", cap_money=D(800)).put("contract_line", "L", cap_money=D(500))
    sources.put("contract_line", "L2").put("project", "P2", contract_line_id="L2")
    sources.work(1, "03-05", 6).work(2, "03-06", 4, project_code="P2")
    assert judge(sources).figures == {
        ("time:1", "base"): ("unbilled", 5 * HOUR, D(500)),
        ("time:1", "over-line"): ("over_cap", HOUR, D(100)),
        ("time:2", "base"): ("unbilled", 3 * HOUR, D(300)),
        ("time:2", "over-engagement"): ("over_cap", HOUR, D(100)),
    }


@pytest.mark.parametrize("is_posted", [False, True])
def test_e6_a_money_cap_splits_money_exactly(judge: Judge, is_posted: bool) -> None:
    """100.00 left of a cap, after unbilled or posted work; 8 h at 137.50: 2,618 s and 26,182 s over."""
    sources = Sources().put("engagement", "E", cap_money=D(650)).put("rate", "R", price=D("137.50"))
    sources.work(1, "03-04", 4).work(2, "03-05", 8)
    if is_posted:
        sources.charge("I1", 1, 4, "550.00")
    figures = judge(sources).figures
    assert figures["time:2", "base"] == ("unbilled", 2_618, D("100.00"))
    assert figures["time:2", "over-engagement"] == ("over_cap", 26_182, D("1000.00"))
    first = ("billed" if is_posted else "unbilled", 4 * HOUR, D("550.00"))
    assert figures["time:1", "inv:erp:I1" if is_posted else "base"] == first


UPLIFT = ("day:erp:C:erp:L:2026-03-05", "uplift")


def test_e7_a_day_minimum(judge: Judge) -> None:
    """Minimum 4 h: 1 h + 2 h are 100, 200 and UPLIFT 100; 2 h late, the uplift goes, and 500 in all."""
    sources = Sources().put("contract_line", "L", day_minimum_hours=D(4))
    sources.work(1, "03-05", 1).work(2, "03-05", 2)
    entries = {
        ("time:1", "base"): ("unbilled", HOUR, D(100)),
        ("time:2", "base"): ("unbilled", 2 * HOUR, D(200)),
    }
    assert judge(sources).figures == {**entries, UPLIFT: ("unbilled", 0, D(100))}
    late = judge(sources.work(3, "03-05", 2))
    assert late.figures == {**entries, ("time:3", "base"): ("unbilled", 2 * HOUR, D(200))}
    assert total(late, "unbilled") == D(500)


def test_e7_the_lines_of_a_late_entry() -> None:
    """The ledger gets +200 and UPLIFT -100, no more."""
    agents, sources = Agents(), Sources().put("contract_line", "L", day_minimum_hours=D(4))
    agents(sources.work(1, "03-05", 1).work(2, "03-05", 2))
    assert ("UPLIFT", "uplift", D(100)) in lines_of(agents)
    agents(sources.work(3, "03-05", 2))
    assert lines_of(agents) == [("REVERSAL", "uplift", D(-100)), ("CHARGE", "base", D(200))]


def test_e7_a_per_diem(judge: Judge) -> None:
    """Per diem 900, entries of 3 h and 5 h: one line of 900."""
    sources = Sources().put("contract_line", "L", billing_method="per_diem", per_diem_amount=D(900))
    assert judge(sources.work(1, "03-05", 3).work(2, "03-05", 5)).figures == {
        ("time:1", "base"): ("fixed_fee", 3 * HOUR, D(0)),
        ("time:2", "base"): ("fixed_fee", 5 * HOUR, D(0)),
        ("day:erp:C:erp:L:2026-03-05", "per-diem"): ("unbilled", 0, D(900)),
    }


def test_e8_a_correction_changes_approved_time(judge: Judge) -> None:
    """8 h at 150 corrected to 6: from 1,200 to 900; approved 6."""
    sources = Sources().put("rate", "R", price=D(150)).work(1, "03-05", 8)
    assert judge(sources).figures == {("time:1", "base"): ("unbilled", 8 * HOUR, D(1200))}
    corrected = judge(sources.work(1, "03-05", 6, version=2))
    assert corrected.figures == {("time:1", "base"): ("unbilled", 6 * HOUR, D(900))}
    assert corrected.approved == {"time:1": 6 * HOUR}


def test_e8_a_bill_adjustment_leaves_approved_time(judge: Judge) -> None:
    """8 h at 150, adjusted by 2 h: 900, WRITE_OFF 2 h/300; approved 8."""
    sources = Sources().put("rate", "R", price=D(150)).work(1, "03-05", 8)
    adjusted = judge(sources.put("bill_adjustment", "B", entry_id="time:1", hours=D(2)))
    assert adjusted.figures == {
        ("time:1", "base"): ("unbilled", 6 * HOUR, D(900)),
        ("time:1", "adj:erp:B"): ("written_off", 2 * HOUR, D(300)),
    }
    assert adjusted.approved == {"time:1": 8 * HOUR}


@pytest.mark.parametrize("is_correction", [True, False])
def test_e8_the_lines_of_either_act(is_correction: bool) -> None:
    """Both reverse 1,200 and charge 900; only the adjustment writes 300 off."""
    agents, sources = Agents(), Sources().put("rate", "R", price=D(150)).work(1, "03-05", 8)
    agents(sources)
    act = {"entry_id": "time:1", "hours": D(2)}
    agents(
        sources.work(1, "03-05", 6, version=2)
        if is_correction
        else sources.put("bill_adjustment", "B", **act)
    )
    written_off = [] if is_correction else [("CHARGE", "adj:erp:B", D(300))]
    assert lines_of(agents) == [*written_off, ("REVERSAL", "base", D(-1200)), ("CHARGE", "base", D(900))]


def test_e9_a_correction_after_posting(judge: Judge) -> None:
    """Posted 8 h/1,200, corrected to 6: -8 h/-1,200 and 6 h/900 unbilled; both posted, billed 6 h/900."""
    sources = Sources().put("rate", "R", price=D(150)).work(1, "03-05", 8).charge("I1", 1, 8, 1200)
    billed = {("time:1", "inv:erp:I1"): ("billed", 8 * HOUR, D(1200))}
    assert judge(sources).figures == billed
    corrected = judge(sources.work(1, "03-05", 6, version=2))
    assert corrected.figures == {
        **billed,
        ("time:1", "due:erp:I1"): ("unbilled", -8 * HOUR, D(-1200)),
        ("time:1", "base"): ("unbilled", 6 * HOUR, D(900)),
    }
    assert (total(corrected, "billed"), total(corrected, "unbilled")) == (D(1200), D(-300))
    sources.credit("I2", "I1").charge("I3", 1, 6, 900, entry_version=2)
    assert judge(sources).figures == {("time:1", "inv:erp:I3"): ("billed", 6 * HOUR, D(900))}


def usd_work_in_pounds() -> Sources:
    """One hour at USD 1,083.67 on a contract in GBP, at 0.79 on its day."""
    sources = Sources().put("engagement", "E", currency="GBP")
    sources.put("rate", "R", currency="USD", price=D("1083.67")).work(1, "03-05", 1)
    pair = {"from_currency": "USD", "to_currency": "GBP"}
    return sources.put("fx_rate", "F1", day=day("03-05"), rate=D("0.79"), **pair)


def test_e10_posting_freezes_the_exchange_rate(judge: Judge) -> None:
    """USD 1,083.67 at 0.79 is GBP 856.10; due back when the rate is 0.81, it is -856.10; credited, nothing."""
    sources = usd_work_in_pounds()
    assert judge(sources).figures == {("time:1", "base"): ("unbilled", HOUR, D("856.10"))}
    billed = {("time:1", "inv:erp:I1"): ("billed", HOUR, D("856.10"))}
    assert judge(sources.charge("I1", 1, 1, "856.10")).figures == billed
    assert judge(sources.put("fx_rate", "F1", rate=D("0.81"))).figures == billed
    due = judge(sources.put("time_entry", 1, status="withdrawn"))
    assert due.figures == {**billed, ("time:1", "due:erp:I1"): ("unbilled", -HOUR, D("-856.10"))}
    assert judge(sources.credit("I2", "I1")).figures == {}


def test_e10_a_reversal_copies_the_exchange_rate() -> None:
    """Not posted, the work follows the rate: 856.10 is reversed at 0.79, and 877.77 charged at 0.81."""
    agents, sources = Agents(), usd_work_in_pounds()
    agents(sources)
    agents(sources.put("fx_rate", "F1", rate=D("0.81")))
    lines = [(line.kind, line.segment.amount, line.segment.fx_rate) for line in agents.lines]
    assert lines == [("REVERSAL", D("-856.10"), D("0.79")), ("CHARGE", D("877.77"), D("0.81"))]


@pytest.mark.parametrize(
    ("approved", "month", "on"), [("04-02 09:00", "2026-03", "03-30"), ("04-04 09:00", "2026-04", "04-01")]
)
def test_e11_the_decision_chooses_the_period(judge: Judge, approved: str, month: str, on: str) -> None:
    """Work of 30 March, arriving after March closed on 3 April 18:00: approved before or after."""
    march = {"starts_on": day("03-01"), "ends_on": day("04-01"), "status": "closed"}
    sources = Sources().put("accounting_period", "03", closed_at=at("04-03 18:00"), **march)
    sources.put("accounting_period", "04", starts_on=day("04-01"), ends_on=day("05-01"))
    assert judge(sources).figures == {}
    judgement = judge(sources.work(1, "03-30", 1, approved_at=at(approved)))
    assert judgement.figures == {("time:1", "base"): ("unbilled", HOUR, D(100))}
    assert judgement.dates == {"time:1": day(on)}
    assert judgement.months == {("time:1", "base"): month}


WEEK: tuple[str, date] = ("erp:C", day("03-02"))


def test_e15_part_time_with_a_holiday(judge: Judge) -> None:
    """FTE 0.5, five days of 8 h, one holiday, 14 billable h: 14 / 16 = 87.5%."""
    sources = Sources().put("consultant", "C", fte=D("0.5")).put("holiday", "H", day=day("03-05"))
    for number in (2, 3, 4, 6):
        sources.work(number, f"03-0{number}", "3.5")
    assert judge(sources).weeks == {WEEK: (14 * HOUR, 16 * HOUR, D("0.875"))}


def test_e16_two_half_days_absent(judge: Judge) -> None:
    """Two half-days absent in a 40 h week at FTE 1, 30 billable: 30 / 32 = 93.75%."""
    sources = Sources()
    for number in range(2, 7):
        sources.work(number, f"03-0{number}", 6)
    for number in (3, 5):
        sources.put("absence", f"A{number}", day=day(f"03-0{number}"), hours=D(4))
    assert judge(sources).weeks == {WEEK: (30 * HOUR, 32 * HOUR, D("0.9375"))}
