"""Closed months of revenue do not move with late acts: the difference is earned in the first open month."""

from __future__ import annotations

from decimal import Decimal

import pytest
from closing import closing, histories
from hypothesis import given, settings
from hypothesis import strategies as st
from pricing import priced
from revenue_judges import Months, Oracle, RevenueJudge, Stage
from source_databases import D, Sources, at


@pytest.fixture(params=[Stage, Oracle], ids=["stage", "oracle"])
def judge(request: pytest.FixtureRequest) -> RevenueJudge:
    """Either judge."""
    made: RevenueJudge = request.param()
    return made


def figures(months: Months) -> dict[str, tuple[Decimal | None, Decimal | None]]:
    """What is recognised and billed, by month."""
    return {f"{key.month:%m}": (of.recognised, of.billed) for key, of in months.items()}


def test_a_correction_after_the_close(judge: RevenueJudge) -> None:
    """8 h/1,200 of March, corrected to 6 h: March 1,200 stays, April has -300."""
    sources = closing()
    assert figures(judge(sources)) == {"03": (D(1200), 0)}
    sources.correct(1, "04-05 09:00", hours=D(6), approved_at=at("04-05 10:00"))
    assert figures(judge(sources)) == {"03": (D(1200), 0), "04": (D(-300), 0)}


def test_a_posting_moves_no_revenue(judge: RevenueJudge) -> None:
    """E12: approved in March, invoiced in April; the credit of May is May's, and moves no revenue either."""
    sources = closing().charge("I", 1, 8, 1200, posted_at=at("04-10 09:00"))
    assert figures(judge(sources)) == {"03": (D(1200), 0), "04": (0, D(1200))}
    sources.credit("C", "I").put("invoice_line", "C", posted_at=at("05-10 09:00"))
    assert figures(judge(sources)) == {"03": (D(1200), 0), "04": (0, D(1200)), "05": (0, D(-1200))}


def test_posted_before_the_month_of_the_work_is_closed(judge: RevenueJudge) -> None:
    """Billed in April, earned in March, which then stays."""
    sources = closing().charge("I", 1, 8, 1200, posted_at=at("04-02 09:00"))
    assert figures(judge(sources)) == {"03": (D(1200), 0), "04": (0, D(1200))}
    sources.correct(1, "04-20 09:00", status="withdrawn", approved_at=None)
    assert figures(judge(sources)) == {"03": (D(1200), 0), "04": (D(-1200), D(1200))}


def test_a_write_off_after_the_close(judge: RevenueJudge) -> None:
    """2 h/300 less, in April."""
    given_away = {"entry_id": "time:1", "hours": D(2), "decided_at": at("04-10 09:00")}
    sources = closing().put("bill_adjustment", "W", **given_away)
    assert figures(judge(sources)) == {"03": (D(1200), 0), "04": (D(-300), 0)}


def test_a_new_price_after_the_close(judge: RevenueJudge) -> None:
    """8 h at 150 of March, at 160 since 10 April: March 1,200 stays, April has 80."""
    sources = closing().decide("rate", "R", "04-10 09:00", price=D(160))
    assert figures(judge(sources)) == {"03": (D(1200), 0), "04": (D(80), 0)}


def test_a_price_first_made_after_the_close(judge: RevenueJudge) -> None:
    """Of March nothing was known to be earned: all of it is April's."""
    months = judge(closing().put("rate", "R", decided_at=at("04-10 09:00")))
    assert {month: of for month, of in figures(months).items() if of[0]} == {"04": (D(1200), 0)}


def test_a_withdrawal_of_time_of_a_fixed_price(judge: RevenueJudge) -> None:
    """8 of 100 h of 10,000 earn 800 in March; withdrawn in April they take it back there."""
    terms = {"billing_method": "milestone", "revenue_method": "percent_complete", "fee": D(10_000)}
    sources = closing().put("contract_line", "L", **terms, planned_hours=D(100))
    assert figures(judge(sources))["03"] == (D(800), 0)
    sources.correct(1, "04-05 09:00", status="withdrawn", approved_at=None)
    months = figures(judge(sources))
    assert (months["03"], months["04"]) == ((D(800), 0), (D(-800), 0))


@settings(max_examples=40, deadline=None)
@given(histories() | priced(), st.integers(0, 2**32))
def test_both_judges_agree_in_any_order(
    rows: list[tuple[str, str | int, dict[str, object]]], seed: int
) -> None:
    """Whatever arrives first."""
    stage, sources = Stage(seed), Sources()
    for table in sources.tables.values():
        table.clear()
    for number, (table_name, native, row) in enumerate(rows):
        sources.tables[table_name][native] = row
        if number == len(rows) // 2:
            stage(sources)
    assert stage(sources) == Oracle()(sources)
