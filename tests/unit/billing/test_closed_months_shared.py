"""Closed months of contracts whose entries share something: late work moves a cap's boundary in open months only."""

from __future__ import annotations

import random

from closing import APRIL, MARCH, closing, contracts, histories
from hypothesis import given, settings
from hypothesis import strategies as st
from revenue_judges import Oracle as RevenueOracle
from revenue_judges import Stage
from source_databases import HOUR, D, Sources, at, day
from two_judges import Agents, Booked, Judge, Oracle

Row = tuple[str, str | int, dict[str, object]]
X, Y, W = 1, 2, 3


def capped(**cap: object) -> Sources:
    """At 100 an hour under a cap of 1,000: X of 5 March, 6 h, and Y of 6 March, 6 h, approved before the close."""
    sources = closing().drop("time_entry", 1).put("rate", "R", price=D(100))
    sources.put("engagement", "E", **{"cap_money": D(1000), **cap})
    for number, on in ((X, "03-05"), (Y, "03-06")):
        sources.work(number, on, 6, approved_at=at("03-31 09:00"))
    return sources


def late(sources: Sources) -> Sources:
    """W of 4 March, 3 h, approved after the close of March."""
    return sources.work(W, "03-04", 3, approved_at=at("04-05 09:00"))


def of(booked: Booked, number: int) -> dict[tuple[str, str | None], tuple[int, object]]:
    """Hours and money of an entry by bucket and month."""
    return {
        (bucket, month): (seconds // HOUR, amount)
        for (entry, _, bucket, month), (seconds, amount) in booked.items()
        if entry == f"time:{number}"
    }


MARCH_OF_X = {("unbilled", MARCH): (6, D(600))}
MARCH_OF_Y = {("unbilled", MARCH): (4, D(400)), ("over_cap", MARCH): (2, D(200))}


def test_late_work_before_the_boundary_of_a_cap(judge: Judge) -> None:
    """W takes 300 of the cap in April, of what Y has: March keeps X 600, Y 400 + 200 over."""
    sources = capped()
    booked = judge(sources).booked
    assert (of(booked, X), of(booked, Y)) == (MARCH_OF_X, MARCH_OF_Y)
    judgement = judge(late(sources))
    booked = judgement.booked
    assert of(booked, W) == {("unbilled", APRIL): (3, D(300))}
    assert of(booked, X) == MARCH_OF_X
    assert of(booked, Y) == {
        **MARCH_OF_Y,
        ("unbilled", APRIL): (-3, D(-300)),
        ("over_cap", APRIL): (3, D(300)),
    }
    assert judgement.figures["time:2", "base"] == ("unbilled", HOUR, D(100))
    assert judgement.figures["time:2", "over-engagement"] == ("over_cap", 5 * HOUR, D(500))


def test_the_ledger_says_what_was_and_what_is() -> None:
    """Y: -400 and 100, -200 over and 500 over, all on 1 April."""
    agents, sources = Agents(), capped()
    agents(sources)
    agents(late(sources))
    assert {line.segment.accounting_date for line in agents.lines} == {day("04-01")}
    assert [
        (line.segment.entry_id, line.kind, line.segment.bucket, line.segment.amount) for line in agents.lines
    ] == [
        ("time:3", "CHARGE", "unbilled", D(300)),
        ("time:2", "REVERSAL", "unbilled", D(-400)),
        ("time:2", "CHARGE", "unbilled", D(100)),
        ("time:2", "REVERSAL", "over_cap", D(-200)),
        ("time:2", "CHARGE", "over_cap", D(500)),
    ]


def test_work_that_was_decided_before_the_close_moves_the_boundary_in_march(judge: Judge) -> None:
    """Whenever it arrives."""
    sources = capped().work(W, "03-04", 3, approved_at=at("04-02 09:00"))
    booked = judge(sources).booked
    assert of(booked, W) == {("unbilled", MARCH): (3, D(300))}
    assert of(booked, Y) == {("unbilled", MARCH): (1, D(100)), ("over_cap", MARCH): (5, D(500))}


def test_a_withdrawal_after_the_close(judge: Judge) -> None:
    """X goes in April: 600 less, and Y's 200 that were over the cap are to bill then."""
    sources = capped().correct(X, "04-05 09:00", status="withdrawn", approved_at=None)
    booked = judge(sources).booked
    assert of(booked, X) == {**MARCH_OF_X, ("unbilled", APRIL): (-6, D(-600))}
    assert of(booked, Y) == {
        **MARCH_OF_Y,
        ("unbilled", APRIL): (2, D(200)),
        ("over_cap", APRIL): (-2, D(-200)),
    }


def test_only_what_was_posted_before_the_close_counts_against_the_cap_of_march(judge: Judge) -> None:
    """Y is posted whole on 10 April, its over-cap part too: X has 400 of the cap left then, and had 600 in March."""
    sources = capped().charge("I", Y, 6, 600, posted_at=at("04-10 09:00"))
    booked = judge(sources).booked
    assert of(booked, X) == {
        **MARCH_OF_X,
        ("unbilled", APRIL): (-2, D(-200)),
        ("over_cap", APRIL): (2, D(200)),
    }
    assert of(booked, Y) == {
        **MARCH_OF_Y,
        ("unbilled", APRIL): (-4, D(-400)),
        ("over_cap", APRIL): (-2, D(-200)),
        ("billed", APRIL): (6, D(600)),
    }


def test_a_day_minimum(judge: Judge) -> None:
    """E7: 4 h a day; 1 h and 2 h with an uplift of 100 in March. Late 2 h of that day: -100 in April."""
    sources = capped(cap_money=None).put("contract_line", "L", day_minimum_hours=D(4))
    for number, hours in ((X, 1), (Y, 2)):
        sources.work(number, "03-30", hours)
    uplift = ("day:erp:C:erp:L:2026-03-30", "uplift", "unbilled")
    assert judge(sources).booked[*uplift, MARCH] == (0, D(100))
    booked = judge(sources.work(W, "03-30", 2, approved_at=at("04-05 09:00"))).booked
    assert (booked[*uplift, MARCH], booked[*uplift, APRIL]) == ((0, D(100)), (0, D(-100)))
    assert of(booked, W) == {("unbilled", APRIL): (2, D(200))}


def test_hours_of_a_lot(judge: Judge) -> None:
    """6 h prepaid: X had them in March. Late W takes 3 h of them in April, when 3 h of X are to be billed."""
    sources = capped(cap_money=None).put("contract_line", "L", billing_method="prepaid", included_hours=D(0))
    late(sources.put("prepaid_lot", "B", contract_line_id="L", hours=D(6), fee=D(900)))
    booked = judge(sources).booked
    assert of(booked, X) == {
        ("covered", MARCH): (6, D(600)),
        ("covered", APRIL): (-3, D(-300)),
        ("unbilled", APRIL): (3, D(300)),
    }
    assert of(booked, W) == {("covered", APRIL): (3, D(300))}
    assert of(booked, Y) == {("unbilled", MARCH): (6, D(600))}


def test_a_cap_that_is_raised_after_the_close(judge: Judge) -> None:
    """To 1,300 on 10 April: March keeps its 200 over the cap, April takes them back and has them to bill."""
    sources = capped(cap_money=D(1300))
    sources.put("engagement_version", "V", engagement_id="E", cap_money=D(1000), ended_at=at("04-10 09:00"))
    booked = judge(sources).booked
    assert of(booked, X) == MARCH_OF_X
    assert of(booked, Y) == {
        **MARCH_OF_Y,
        ("unbilled", APRIL): (2, D(200)),
        ("over_cap", APRIL): (-2, D(-200)),
    }
    sources.put("engagement_version", "V", ended_at=at("04-02 09:00"))
    assert of(judge(sources).booked, Y) == {("unbilled", MARCH): (6, D(600))}


def test_a_cap_that_ends_after_the_close(judge: Judge) -> None:
    """Nothing is shared any more: what was over the cap of March is to bill in April all the same."""
    sources = capped(cap_money=None)
    sources.put("engagement_version", "V", engagement_id="E", cap_money=D(1000), ended_at=at("04-10 09:00"))
    booked = judge(sources).booked
    assert of(booked, X) == MARCH_OF_X
    assert of(booked, Y) == {
        **MARCH_OF_Y,
        ("unbilled", APRIL): (2, D(200)),
        ("over_cap", APRIL): (-2, D(-200)),
    }


def test_an_amount_a_day_that_changes_after_the_close(judge: Judge) -> None:
    """A per diem of 900 was 800 at the close: 100 more in April."""
    sources = capped(cap_money=None)
    sources.put("contract_line", "L", billing_method="per_diem", per_diem_amount=D(900))
    was = {"per_diem_amount": D(800), "ended_at": at("04-10 09:00"), "starts_on": None}
    sources.put("contract_line_version", "V", contract_line_id="L", **was)
    booked, diem = judge(sources).booked, ("day:erp:C:erp:L:2026-03-05", "per-diem", "unbilled")
    assert (booked[*diem, MARCH], booked[*diem, APRIL]) == ((0, D(800)), (0, D(100)))


def arrive(rows: list[Row], rng: random.Random) -> tuple[Agents, Sources]:
    """The rows one after the other, the agents looking now and then."""
    agents, sources = Agents(), Sources()
    for table in sources.tables.values():
        table.clear()
    for table_name, native, row in rows:
        sources.tables[table_name][native] = row
        if rng.random() < 0.3:
            agents(sources)
    return agents, sources


@settings(max_examples=150, deadline=None)
@given(histories(contracts(), 3), st.integers(0, 2**32))
def test_both_judges_agree_in_any_order(rows: list[Row], seed: int) -> None:
    """Whatever arrives first: the books, the present, and the ledger's laws."""
    agents, sources = arrive(rows, random.Random(seed))
    said, expected = agents(sources), Oracle()(sources)
    assert (said.booked, said.figures) == (expected.booked, expected.figures)
    agents(sources)
    assert agents.lines == ()


@settings(max_examples=60, deadline=None)
@given(histories(contracts(), 3), st.integers(0, 2**32))
def test_both_judges_of_revenue_agree(rows: list[Row], seed: int) -> None:
    """What is earned and billed in each month, lots and day lines among it."""
    stage, sources = Stage(seed), Sources()
    for table in sources.tables.values():
        table.clear()
    for number, (table_name, native, row) in enumerate(rows):
        sources.tables[table_name][native] = row
        if number == len(rows) // 2:
            stage(sources)
    assert stage(sources) == RevenueOracle()(sources)
