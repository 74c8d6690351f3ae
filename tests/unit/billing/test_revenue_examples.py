"""The worked examples of revenue, each judged by the stage and by the oracle. 100 an hour unless stated."""

from __future__ import annotations

from dataclasses import replace as changed
from datetime import date
from typing import Any

import pytest
from revenue_judges import Months, Oracle, RevenueJudge, Stage, row
from source_databases import HOUR, D, Sources, at, day

from agents.revenue import entries
from agents.revenue.stage import REVENUE, RevenueStage


@pytest.fixture(params=[Stage, Oracle], ids=["stage", "oracle"])
def judge(request: pytest.FixtureRequest) -> RevenueJudge:
    """Either judge."""
    made: RevenueJudge = request.param()
    return made


def with_periods(sources: Sources, *closed: int, known: int = 12) -> Sources:
    """The months of 2026, of which those are closed on the 3rd of the next one, 18:00."""
    for number in range(1, known + 1):
        starts, ends = date(2026, number, 1), date(2026 + number // 12, number % 12 + 1, 1)
        close: dict[str, Any] = {}
        if number in closed:
            close = {"status": "closed", "closed_at": at(f"{number + 1:02}-03 18:00")}
        sources.put("accounting_period", f"P{number:02}", starts_on=starts, ends_on=ends, **close)
    return sources


def fixed_price(**columns: Any) -> Sources:
    """100,000 for 1,000 h, percent complete."""
    terms = {"billing_method": "milestone", "revenue_method": "percent_complete", "fee": D(100_000)}
    return Sources().put("contract_line", "L", **{**terms, "planned_hours": D(1000), **columns})


def worked(sources: Sources, first: int, on: str, days: int) -> Sources:
    """So many entries of 20 h."""
    for number in range(first, first + days):
        sources.work(number, on, 20)
    return sources


def replan(sources: Sources, native: str, about: str, decided: str, **plan: Any) -> Sources:
    """A revision of the line's plan."""
    return sources.put(
        "plan_revision",
        native,
        contract_line_id="L",
        effective_on=day(about),
        decided_at=at(decided),
        **plan,
    )


def schedule(months: Months) -> dict[str, Any]:
    """What each month has and is to have of the price, by month."""
    return {
        f"{key.month:%m}": (of.recognised or 0) + (of.breakage or 0) + (of.scheduled or 0)
        for key, of in months.items()
    }


def test_e12_approved_in_march_invoiced_in_april(judge: RevenueJudge) -> None:
    """10 h at 150: March revenue 1,500 and asset 1,500; April asset -1,500 and revenue 0."""
    sources = Sources().put("rate", "R", price=D(150)).work(1, "03-05", 10)
    months = judge(sources)
    assert list(months) == [("erp:E", "erp:L", day("03-01"))]
    march = row(months, "03")
    assert (march.recognised, march.asset, march.billed, march.deferred) == (D(1500), D(1500), 0, 0)
    assert (march.price, march.remaining) == (D(1500), 0)
    months = judge(sources.charge("I1", 1, 10, 1500, posted_at=at("04-10 10:00")))
    assert row(months, "03") == march
    april = row(months, "04")
    assert (april.recognised, april.billed, april.asset, april.to_date) == (0, D(1500), 0, D(1500))


def test_e12_the_asset_falls_by_what_is_billed() -> None:
    """The movement of April, -1,500, is in the record."""
    stage = Stage()
    sources = Sources().put("rate", "R", price=D(150)).work(1, "03-05", 10)
    stage(sources.charge("I1", 1, 10, 1500, posted_at=at("04-10 10:00")))
    changes = {record["period_start"]: record["net_change"] for record in stage.records()}
    assert changes == {day("03-01"): D(1500), day("04-01"): D(-1500)}


def test_e13_percent_complete_with_a_new_plan(judge: RevenueJudge) -> None:
    """400 of 1,000 h are 40,000; planned anew, 500 of 1,250 h are 0 more."""
    sources = worked(fixed_price(), 0, "03-05", 20)
    march = row(judge(sources), "03")
    assert (march.recognised, march.progress, march.planned) == (D(40_000), 400 * HOUR, 1000 * HOUR)
    assert (march.price, march.remaining) == (D(100_000), D(60_000))
    replan(sources, "V1", "04-07", "04-07 09:00", planned_hours=D(1250))
    months = judge(worked(sources, 20, "04-08", 5))
    assert (row(months, "03").recognised, row(months, "03").price) == (D(40_000), D(100_000))
    april = row(months, "04")
    assert (april.recognised, april.to_date, april.remaining) == (0, D(40_000), D(60_000))
    assert (april.progress, april.planned, april.scheduled) == (500 * HOUR, 1250 * HOUR, D(60_000))


def test_a_plan_decided_after_the_close_is_caught_up_in_the_next_month(judge: RevenueJudge) -> None:
    """About March, decided when it was closed: March keeps 40,000, April takes 8,000 back."""
    sources = with_periods(worked(fixed_price(), 0, "03-05", 20), 3)
    replan(sources, "V1", "03-31", "04-04 09:00", planned_hours=D(1250))
    months = judge(sources)
    assert (row(months, "03").recognised, row(months, "04").recognised) == (D(40_000), D(-8_000))


def test_a_plan_decided_before_the_close_is_of_the_month_it_is_about(judge: RevenueJudge) -> None:
    """About March, decided on 2 April, while March was open: it is March's."""
    sources = with_periods(worked(fixed_price(), 0, "03-05", 20), 3)
    replan(sources, "V1", "03-31", "04-02 09:00", planned_hours=D(1250))
    months = judge(sources)
    assert row(months, "03").recognised == D(32_000)
    assert [of.recognised for of in months.values()] == [D(32_000)]


def test_percent_complete_is_at_most_all_of_it(judge: RevenueJudge) -> None:
    """1,200 of 1,000 h: 100,000. A higher fee counts from its own month on."""
    sources = worked(fixed_price(), 0, "03-05", 60)
    replan(sources, "V1", "04-10", "04-10 09:00", fee=D(110_000))
    months = judge(sources)
    assert (row(months, "03").to_date, row(months, "03").remaining) == (D(100_000), 0)
    assert (row(months, "04").recognised, row(months, "04").price) == (D(10_000), D(110_000))


def test_milestones_of_a_fee_say_when_it_is_billed(judge: RevenueJudge) -> None:
    """Half of the fee is accepted and posted at the start: deferred revenue, until work has earned it."""
    sources = fixed_price().put(
        "milestone",
        "M",
        amount=D(50_000),
        status="accepted",
        due_on=day("02-10"),
        accepted_on=day("02-10"),
        accepted_at=at("02-10 12:00"),
    )
    sources.charge("I1", 0, 0, 50_000, entry_id="erp:M", posted_at=at("02-11 10:00"))
    months = judge(worked(sources, 0, "03-05", 20))
    february, march = row(months, "02"), row(months, "03")
    assert (february.recognised, february.deferred, february.asset) == (0, D(50_000), 0)
    assert (march.recognised, march.deferred, march.asset) == (D(40_000), D(10_000), 0)


def lot(**columns: Any) -> Sources:
    """10 h for 1,500, until 31 March."""
    terms = {"billing_method": "prepaid", "included_hours": D(10), "fee": D(1500), "expires_on": day("03-31")}
    return Sources().put("contract_line", "L", **{**terms, **columns})


def test_e14_breakage_of_a_lot_that_expires(judge: RevenueJudge) -> None:
    """7 of 10 h used: 1,050 and breakage 450; 2 h late: breakage -300 and revenue 300 in April."""
    sources = with_periods(lot().work(1, "03-10", 7), 3)
    march = row(judge(sources), "03")
    assert (march.recognised, march.breakage, march.to_date) == (D(1050), D(450), D(1500))
    sources.work(2, "03-30", 2, approved_at=at("04-04 09:00"))
    months = judge(sources)
    assert row(months, "03") == march
    april = row(months, "04")
    assert (april.recognised, april.breakage, april.to_date, april.remaining) == (D(300), D(-300), D(1500), 0)


def two_lots(**columns: Any) -> Sources:
    """10 h for 1,500 until 31 March, and 20 h for 2,000 from 1 April on; of March 7 h are used."""
    sources = Sources().put("contract_line", "L", billing_method="prepaid", **columns)
    first = {"hours": D(10), "fee": D(1500), "starts_on": None, "expires_on": day("03-31")}
    second = {"hours": D(20), "fee": D(2000), "starts_on": day("04-01")}
    sources.put("prepaid_lot", "B", contract_line_id="L", **first)
    sources.put("prepaid_lot", "C", contract_line_id="L", **second)
    return with_periods(sources.work(1, "03-10", 7), 3)


def test_each_lot_is_earned_by_itself(judge: RevenueJudge) -> None:
    """E14 of the first, which is all of March's price; 5 h of April are 500 of the second's 2,000."""
    sources = two_lots()
    march = row(judge(sources), "03")
    assert (march.recognised, march.breakage, march.price, march.remaining) == (D(1050), D(450), D(1500), 0)
    assert (march.progress, march.planned) == (7 * HOUR, 10 * HOUR)
    months = judge(sources.work(2, "04-10", 5))
    assert row(months, "03") == march
    april = row(months, "04")
    assert (april.recognised, april.breakage, april.price, april.remaining) == (D(500), 0, D(3500), D(1500))
    assert (april.scheduled, april.progress, april.planned) == (D(1500), 12 * HOUR, 30 * HOUR)


def test_late_work_of_an_expired_lot_gives_back_of_its_breakage(judge: RevenueJudge) -> None:
    """2 h of 30 March, approved after the close: covered by the first lot; revenue 300 and breakage -300 in April."""
    sources = two_lots().work(2, "03-30", 2, approved_at=at("04-04 09:00"))
    april = row(judge(sources), "04")
    assert (april.recognised, april.breakage, april.to_date) == (D(300), D(-300), D(1500))


def test_what_the_line_includes_has_the_lines_fee_beside_the_lots(judge: RevenueJudge) -> None:
    """10 h for 1,000 of the line itself, with no expiry: used after the first lot, 3 h of 5 from that."""
    sources = two_lots(included_hours=D(10), fee=D(1000)).work(2, "03-11", 5)
    march = row(judge(sources), "03")
    assert (march.recognised, march.breakage, march.price) == (D(1700), 0, D(2500))


def test_a_line_of_lots_lacks_nothing_but_half_of_its_own(judge: RevenueJudge) -> None:
    """Neither fee nor hours: there are the lots; a fee without hours is half a lot."""
    assert row(judge(two_lots()), "03").missing == ()
    assert row(judge(two_lots(fee=D(5))), "03").missing == ("included_hours:erp:L",)


def test_work_after_the_expiry_is_no_matter_of_the_lot(judge: RevenueJudge) -> None:
    """2 h of 2 April are billed, at 100: the breakage of March stays."""
    sources = with_periods(lot().work(1, "03-10", 7), 3).work(2, "04-02", 2)
    months = judge(sources)
    assert row(months, "03").breakage == D(450)
    april = row(months, "04")
    assert (april.recognised, april.breakage, april.to_date) == (D(200), 0, D(1700))


def test_a_lot_does_not_expire_before_its_month_is_closed(judge: RevenueJudge) -> None:
    """Until then the rest is scheduled for it."""
    march = row(judge(with_periods(lot().work(1, "03-10", 7))), "03")
    assert (march.recognised, march.breakage, march.scheduled) == (D(1050), 0, D(450))


def test_work_beyond_a_lot_is_earned_as_delivered(judge: RevenueJudge) -> None:
    """12 h of 10 h: the lot's 1,500, and 2 h at 100."""
    march = row(judge(lot().work(1, "03-10", 12)), "03")
    assert (march.recognised, march.price, march.remaining) == (D(1700), D(1700), 0)


def retainer(**columns: Any) -> Sources:
    """12,000 for 2026."""
    terms = {"billing_method": "retainer", "included_hours": D(5), "fee": D(12_000)}
    days = {"starts_on": day("01-01"), "ends_on": date(2027, 1, 1)}
    return Sources().put("contract_line", "L", **{**terms, **days, **columns})


def test_a_retainer_is_earned_by_days_as_months_are_closed(judge: RevenueJudge) -> None:
    """January's 31 of 365 days once it is closed; the rest is scheduled, and all of it sums to the fee."""
    months = judge(with_periods(retainer(), 1))
    january, february = row(months, "01"), row(months, "02")
    assert (january.recognised, january.remaining) == (D("1019.18"), D("10980.82"))
    assert (february.recognised, february.scheduled) == (0, D("920.55"))
    assert len(months) == 12
    assert sum(schedule(months).values()) == D(12_000)


@pytest.mark.parametrize("unused", ["expire", "roll_over"])
def test_a_retainer_stands_ready_whatever_rolls_over(judge: RevenueJudge, unused: str) -> None:
    """The month's fee for the month, used or not; what neither it nor an earlier month covers is earned beside it."""
    sources = with_periods(retainer(unused_hours=unused).work(1, "02-10", 8), 1, 2)
    months = judge(sources)
    assert row(months, "01").recognised == D("1019.18")
    beside = D(300) if unused == "expire" else 0
    assert row(months, "02").recognised == D("920.55") + beside


def test_a_new_plan_of_a_retainer_spreads_what_is_left(judge: RevenueJudge) -> None:
    """6,000 more from July on: the first half keeps its months, the second has half the old fee and the new."""
    sources = with_periods(retainer(), 1, 2)
    before = schedule(judge(sources))
    replan(sources, "V1", "07-01", "03-10 09:00", fee=D(18_000))
    after = judge(sources)
    assert {month: of for month, of in schedule(after).items() if month < "07"} == {
        month: of for month, of in before.items() if month < "07"
    }
    assert sum(schedule(after).values()) == D(18_000)
    # 12,000 x 181 / 365 are earned by July, and July has 31 of the 184 days that are left
    assert row(after, "07").scheduled == D("2030.05")
    assert (row(after, "06").price, row(after, "07").price) == (D(12_000), D(18_000))


def test_what_a_retainer_covers_is_paid_by_it(judge: RevenueJudge) -> None:
    """7 h of 5 h in January: the month's part of the fee, and 2 h at 100."""
    january = row(judge(with_periods(retainer().work(1, "01-10", 7), 1)), "01")
    assert january.recognised == D("1219.18")


def test_acceptance_is_revenue_without_an_invoice(judge: RevenueJudge) -> None:
    """Two milestones, one accepted in March: its 5,000 are earned, the other's 7,000 are to come in May."""
    sources = Sources().put("contract_line", "L", billing_method="milestone")
    done = {"status": "accepted", "accepted_on": day("03-20"), "accepted_at": at("03-20 10:00")}
    sources.put("milestone", "M1", amount=D(5000), due_on=day("03-15"), **done)
    sources.put("milestone", "M2", amount=D(7000), due_on=day("05-15"), status="planned")
    sources.put("milestone", "M3", amount=D(9000), due_on=day("05-15"), status="cancelled")
    months = judge(sources)
    march, may = row(months, "03"), row(months, "05")
    assert (march.recognised, march.asset, march.price, march.remaining) == (
        D(5000),
        D(5000),
        D(12_000),
        D(7000),
    )
    assert (may.recognised, may.scheduled) == (0, D(7000))


def test_no_right_no_revenue(judge: RevenueJudge) -> None:
    """Of 8 h, 2 h are over the cap and held, 1 h is written off: 500. A higher cap releases the 200."""
    sources = Sources().put("engagement", "E", cap_hours=D(5)).work(1, "03-05", 8)
    sources.put("bill_adjustment", "B", entry_id="time:1", hours=D(1))
    assert row(judge(sources), "03").recognised == D(500)
    assert row(judge(sources.put("engagement", "E", cap_hours=D(50))), "03").recognised == D(700)
    sources.put("engagement", "E", cap_hours=D(5), over_cap_action="bill")
    assert row(judge(sources), "03").recognised == D(700)


def test_what_is_on_hold_is_earned(judge: RevenueJudge) -> None:
    """A hold is about when to bill."""
    sources = Sources().work(1, "03-05", 8).put("bill_adjustment", "B", entry_id="time:1", kind="hold")
    march = row(judge(sources), "03")
    assert (march.recognised, march.asset) == (D(800), D(800))


def test_a_correction_after_posting_is_owed_back(judge: RevenueJudge) -> None:
    """Posted 8 h/800, corrected to 6 h: 600 earned, 800 billed, 200 to give back."""
    sources = Sources().work(1, "03-05", 8).charge("I1", 1, 8, 800)
    months = judge(sources.work(1, "03-05", 6, version=2))
    march = row(months, "03")
    assert (march.recognised, march.billed, march.deferred) == (D(600), D(800), D(200))


def test_a_per_diem_stays_in_the_month_of_its_day(judge: RevenueJudge) -> None:
    """Two entries of a day in March, posted in April: 900 in March."""
    sources = Sources().put("contract_line", "L", billing_method="per_diem", per_diem_amount=D(900))
    sources.work(2, "03-05", 3).work(1, "03-05", 5)
    day_line = {"entry_id": "day:erp:C:erp:L:2026-03-05", "posted_at": at("04-10 10:00")}
    months = judge(sources.charge("I1", 0, 0, 900, **day_line))
    assert (row(months, "03").recognised, row(months, "04").recognised) == (D(900), 0)
    assert row(months, "04").billed == D(900)


def test_a_day_line_stays_in_the_month_that_it_was_earned_in(judge: RevenueJudge) -> None:
    """Entry 10 was approved before March was closed and entry 9, now the first, after: the day is March's all the same.

    Had both been approved after the close, it were April's.
    """
    sources = with_periods(Sources(), 3)
    sources.put("contract_line", "L", billing_method="per_diem", per_diem_amount=D(900)).work(10, "03-05", 3)
    day_line = {"entry_id": "day:erp:C:erp:L:2026-03-05", "posted_at": at("05-10 10:00")}
    sources.charge("I1", 0, 0, 900, **day_line)
    assert row(judge(sources), "03").recognised == D(900)
    months = judge(sources.work(9, "03-05", 3, approved_at=at("04-04 09:00")))
    assert [f"{key.month:%m}" for key in sorted(months)] == ["03", "05"]
    assert row(months, "03").recognised == D(900)
    months = judge(sources.work(10, "03-05", 3, approved_at=at("04-04 09:00")))
    assert [f"{key.month:%m}" for key in sorted(months)] == ["04", "05"]
    assert row(months, "04").recognised == D(900)


def test_what_is_not_priced_shows(judge: RevenueJudge) -> None:
    """Without a rate nothing is earned, and the month says that something waits."""
    sources = Sources().put("rate", "R", project_id="elsewhere").work(1, "03-05", 8)
    march = row(judge(sources), "03")
    assert (march.recognised, march.parked_items, march.parked_seconds) == (0, 1, 8 * HOUR)


@pytest.mark.parametrize(
    ("terms", "missing"),
    [
        ({"billing_method": "retainer"}, ("ends_on:erp:L", "fee:erp:L", "starts_on:erp:L")),
        ({"billing_method": "prepaid", "fee": D(1)}, ("included_hours:erp:L",)),
        ({"revenue_method": "percent_complete", "fee": D(1)}, ("planned_hours:erp:L",)),
        (
            {
                "billing_method": "retainer",
                "fee": D(1),
                "starts_on": day("03-01"),
                "ends_on": day("03-01"),
            },
            ("ends_on:erp:L",),
        ),
    ],
)
def test_missing_terms_are_no_zero(
    judge: RevenueJudge, terms: dict[str, Any], missing: tuple[str, ...]
) -> None:
    """What is earned is unknown, and what is missing is named; what is billed is known all the same."""
    sources = Sources().put("contract_line", "L", **terms).work(1, "03-05", 8).charge("I1", 1, 8, 800)
    march = row(judge(sources), "03")
    assert (march.recognised, march.to_date, march.asset, march.price) == (None,) * 4
    assert (march.billed, march.missing) == (D(800), missing)


def test_missing_terms_are_shown_until_they_come() -> None:
    """An exception that blocks revenue, and ends by itself."""
    stage, sources = (
        Stage(),
        Sources().put("contract_line", "L", billing_method="prepaid").work(1, "03-05", 8),
    )
    stage(sources)
    stage(sources.put("contract_line", "L", included_hours=D(10), fee=D(1000)))
    raised = [
        (record["op"], record["subject"], record["blocks"], record["missing_keys"])
        for record in stage.driver.records("exceptions.raised")
    ]
    keys = ["fee:erp:L", "included_hours:erp:L"]
    assert raised == [("RAISE", "erp:E|erp:L", "revenue", keys), ("CLEAR", "erp:E|erp:L", None, None)]


def test_a_line_under_another_engagement_has_no_fee_there(judge: RevenueJudge) -> None:
    """An invoice of E names a retainer of E2: what was billed shows, and nothing of the fee."""
    sources = retainer(engagement_id="E2").put("engagement", "E2")
    sources.put("contract_line", "L1").put("project", "P", contract_line_id="L1").work(1, "03-05", 8)
    months = judge(sources.charge("I1", 1, 8, 800))
    assert (row(months, "03").recognised, row(months, "03").price) == (D(800), D(800))


def test_a_lane_begins_with_the_lines_that_were_there() -> None:
    """A retainer that nobody has worked for is earned all the same, once, also after a restart."""
    stage, sources = Stage(), with_periods(retainer(), 1)
    for _ in stage.tell(sources):
        stage.driver.feed_references()
    months = stage.hear()
    assert row(months, "01").recognised == D("1019.18")
    said = len(stage.records())
    stage.driver.crash_all()
    assert stage.hear() == months
    assert len(stage.records()) == said


class _Stricter(RevenueStage):
    rules = "revenue/2"


def test_newer_rules_are_applied_to_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules by which nothing on hold is earned take it back, entry by entry."""
    stage = Stage()
    sources = Sources().work(1, "03-05", 8).put("bill_adjustment", "B", entry_id="time:1", kind="hold")
    assert row(stage(sources), "03").recognised == D(800)
    monkeypatch.setattr(entries, "EARNED", entries.EARNED - {"on_hold"})
    stage.driver.replace(0, [changed(REVENUE, stages=[changed(REVENUE.stages[0], build=_Stricter)])])
    assert stage.hear() == {}


def test_a_retainer_without_an_end_shows_before_anything_happens(judge: RevenueJudge) -> None:
    """Its first month says what is missing, and nothing of money: unknown is not 0."""
    terms = {"billing_method": "retainer", "fee": D(12_000), "starts_on": day("02-10")}
    sources = with_periods(Sources().put("contract_line", "L", **terms), 1, 2, 3)
    months = judge(sources)
    assert [key.month for key in months] == [day("02-01")]
    assert (row(months, "02").recognised, row(months, "02").missing) == (None, ("ends_on:erp:L",))
    months = judge(sources.put("contract_line", "L", ends_on=day("05-10")))
    assert sum(schedule(months).values()) == D(12_000)


def test_what_lacks_its_terms_is_reported_before_anything_happens() -> None:
    """The exception names the terms, and goes when they come."""
    stage = Stage()
    sources = Sources().put("contract_line", "L", billing_method="prepaid", fee=D(1500))
    stage(sources)
    (raised,) = stage.driver.records("exceptions.raised")
    assert (raised["op"], raised["exception_class"]) == ("RAISE", "MISSING_TERMS")
    assert raised["missing_keys"] == ["included_hours:erp:L"]
    stage(sources.put("contract_line", "L", included_hours=D(10)))
    assert stage.driver.records("exceptions.raised")[-1]["op"] == "CLEAR"


@pytest.mark.parametrize(("ends", "missing"), [("2055-12-31", ()), ("2957-01-01", ("ends_on:erp:L",))])
def test_nothing_is_spread_over_more_than_thirty_years(
    judge: RevenueJudge, ends: str, missing: tuple[str, ...]
) -> None:
    """An end that is centuries away is a typing error, not twelve thousand months."""
    terms = {"billing_method": "retainer", "fee": D(12_000), "starts_on": day("01-01")}
    months = judge(Sources().put("contract_line", "L", **terms, ends_on=date.fromisoformat(ends)))
    assert {of.missing for of in months.values()} == {missing}


def test_months_before_the_first_period_are_closed_with_it(judge: RevenueJudge) -> None:
    """A retainer from January in books that begin in April: it is earned once April is closed."""
    terms = {
        "billing_method": "retainer",
        "fee": D(12_000),
        "starts_on": day("01-01"),
        "ends_on": day("07-01"),
    }
    sources = Sources().put("contract_line", "L", **terms)
    for number in (4, 5, 6):
        starts, ends = date(2026, number, 1), date(2026, number + 1, 1)
        sources.put("accounting_period", f"P{number:02}", starts_on=starts, ends_on=ends)
    assert all(of.recognised == 0 for of in judge(sources).values())
    sources.put("accounting_period", "P04", status="closed", closed_at=at("05-03 18:00"))
    earned = {f"{key.month:%m}": of.recognised for key, of in judge(sources).items()}
    assert [month for month, amount in earned.items() if amount] == ["01", "02", "03", "04"]


def test_a_plan_about_the_time_before_the_books_moves_no_closed_month(judge: RevenueJudge) -> None:
    """Decided in April about last December: it counts from the first month that was open then."""
    terms = {
        "billing_method": "retainer",
        "fee": D(12_000),
        "starts_on": day("01-01"),
        "ends_on": day("07-01"),
    }
    sources = with_periods(Sources().put("contract_line", "L", **terms), 1, 2, 3)
    before = judge(sources)
    later = {"effective_on": date(2025, 12, 15), "decided_at": at("04-10 09:00")}
    months = judge(sources.put("plan_revision", "V1", contract_line_id="L", fee=D(24_000), **later))
    for month in ("01", "02", "03"):
        assert row(months, month).recognised == row(before, month).recognised
    assert sum(schedule(months).values()) == D(24_000)


def test_a_day_minimum_is_of_the_month_of_its_first_entry_that_is_paid_by_time(judge: RevenueJudge) -> None:
    """A call at 250 that is approved after the close dates no uplift: March has 1 h and 3 h of the minimum, 400."""
    sources = with_periods(Sources(), 3).put("contract_line", "L", day_minimum_hours=D(4))
    sources.put("task", "T", project_id="P", billing_class="billable")
    sources.put("rate", "R2", price=D(250), unit="fixed", task_id="T", consultant_id="C", role=None)
    sources.work(1, "03-05", 3, task_code="T", approved_at=at("04-04 09:00")).work(2, "03-05", 1)
    months = judge(sources)
    assert (row(months, "03").recognised, row(months, "04").recognised) == (D(400), D(250))
