"""What expenses earn, before both judges of revenue: as they are incurred, beside whatever else the line earns."""

from __future__ import annotations

from typing import Any

import pytest
from closing import closing
from revenue_judges import Oracle, RevenueJudge, Stage, row
from source_databases import D, Sources, at

from agents.revenue import MonthSums
from streams.money import ZERO


@pytest.fixture(params=[Stage, Oracle], ids=["stage", "oracle"])
def judge(request: pytest.FixtureRequest) -> RevenueJudge:
    """Either judge."""
    made: RevenueJudge = request.param()
    return made


def test_it_is_earned_in_the_month_in_which_it_was_incurred(judge: RevenueJudge) -> None:
    """220.00 of March, posted in April: March has the revenue and an asset, April the bill."""
    sources = Sources().spend("X", "03-05", 200, markup=D(10))
    sources.charge("I", 0, 0, "220.00", entry_id="erp:X", posted_at=at("04-10 09:00"))
    march, april = row(judge(sources), "03"), row(judge(sources), "04")
    assert (march.recognised, march.asset) == (D("220.00"), D("220.00"))
    assert (april.recognised, april.billed, april.asset) == (ZERO, D("220.00"), ZERO)


@pytest.mark.parametrize(
    ("terms", "of_the_fee"),
    [
        (
            {"billing_method": "milestone", "revenue_method": "percent_complete", "planned_hours": D(80)},
            D(100),
        ),
        ({"billing_method": "milestone"}, ZERO),
        ({"billing_method": "prepaid", "included_hours": D(80)}, D(100)),
        ({"billing_method": "per_diem", "per_diem_amount": D(900)}, D(900)),
    ],
)
def test_the_expenses_of_a_fixed_price_are_extra(
    judge: RevenueJudge, terms: dict[str, Any], of_the_fee: Any
) -> None:
    """8 of 80 h of a fee of 1,000, or a day at 900, and an expense of 200: also the price grows by it."""
    sources = Sources().put("contract_line", "L", fee=D(1000), **terms).work(1, "03-05", 8)
    before = row(judge(sources), "03") if of_the_fee else None
    after = row(judge(sources.spend("X", "03-06", 200)), "03")
    assert after.recognised == of_the_fee + 200
    assert after.price == (ZERO if before is None else before.price or ZERO) + 200


def test_what_is_given_away_over_a_cap_or_parked_is_not_earned(judge: RevenueJudge) -> None:
    """Of 300, 50 written off and 150 over the cap; what is parked shows as such."""
    sources = Sources().put("contract_line", "L", cap_money=D(100)).spend("X", "03-05", 300)
    sources.put("bill_adjustment", "B", entry_id="erp:X", hours=D(0), amount=D(50))
    assert row(judge(sources), "03").recognised == D(100)
    march = row(judge(sources.spend("Z", "03-05", 300, currency="CHF")), "03")
    assert (march.recognised, march.parked_items, march.parked_seconds) == (D(100), 1, 0)


def test_a_correction_leaves_a_closed_month_of_a_fixed_price(judge: RevenueJudge) -> None:
    """Rejected in April, March keeps what the expense has earned there, and April takes it back."""
    terms = {"billing_method": "milestone", "revenue_method": "percent_complete", "fee": D(1000)}
    sources = closing().put("contract_line", "L", planned_hours=D(80), **terms)
    sources.spend("X", "03-30", 200, approved_at=at("04-01 09:00"))
    assert row(judge(sources), "03").recognised == D(300)
    sources.respend("X", "04-05 10:00", status="rejected")
    months = judge(sources)
    assert row(months, "03").recognised == D(300)
    assert row(months, "04").recognised == D(-200)


def test_sums_of_an_earlier_version_have_no_expenses() -> None:
    """As they were stored without, and without lots."""
    stored = ["1", "2", "3", 4, 5, 6, 7]
    sums = MonthSums(D(1), D(2), D(3), 4, 5, 6, 7)
    assert MonthSums.unpacked(stored) == sums
    lots = sums._replace(lots=(("erp:LOT", 9),))
    assert MonthSums.unpacked([*stored, [["erp:LOT", 9]]]) == lots
    new = lots._replace(expenses=D("0.05"))
    assert MonthSums.unpacked(new.packed()) == new
    assert not MonthSums(expenses=D(1)).is_nothing
