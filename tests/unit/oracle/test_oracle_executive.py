"""The oracle's figures for management, by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from builders import (
    HOUR,
    D,
    charge,
    consultant,
    cost_rate,
    credit,
    day,
    deal,
    engagement,
    entry,
    firm,
    fx,
    line,
    milestone,
    period,
    put,
    rate,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Rows, compute_from_rows
from oracle.executive import Executive, ExecutiveKey, executive
from oracle.rows import Position

from streams.money import ZERO

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)


def key(practice: str | None = "data", month: date = MARCH, currency: str | None = "EUR") -> ExecutiveKey:
    """Client ``A``."""
    return ExecutiveKey("erp:A", practice, month, currency)


def figures(rows: Rows, **sells: str) -> dict[ExecutiveKey, Executive]:
    """What the oracle says."""
    return executive(compute_from_rows(rows), rows, sells)


def of(**values: Any) -> Executive:
    """Figures, those not given 0."""
    return Executive(**values)


def test_effort_revenue_cost_and_margin() -> None:
    """8 h at 150, of a person who costs 60 an hour: 1,200 earned, 480 cost, 720 margin."""
    rows = firm(rate("R0", "150"), entry(1, "03-05", 8 * HOUR), cost_rate("X", "60"))
    found = figures(rows)
    assert found == {key(): of(delivered=8 * HOUR, recognised=D(1200), cost=D(480))}
    assert found[key()].margin == D(720)


def test_work_is_of_the_practice_of_its_day() -> None:
    """Moved from data to cloud on Monday 9 March: Thursday's 8 h stay with data, Tuesday's 6 h are cloud's."""
    rows = firm(entry(1, "03-05", 8 * HOUR), entry(2, "03-10", 6 * HOUR), cost_rate("X", "60"))
    put(rows, Position("erp:Q", "erp:C", day("03-09"), None, practice="cloud"))
    assert figures(rows) == {
        key(): of(delivered=8 * HOUR, recognised=D(800), cost=D(480)),
        key("cloud"): of(delivered=6 * HOUR, recognised=D(600), cost=D(360)),
    }


def test_a_missing_cost_rate_blocks_the_margin_only() -> None:
    """Two of ten hours are after the cost rate ended: uncosted, cost and margin unknown, all else as it is."""
    until = cost_rate("X", "60", effective_to=day("03-06"))
    found = figures(firm(entry(1, "03-05", 8 * HOUR), entry(2, "03-06", 2 * HOUR), until))
    assert found == {key(): of(delivered=10 * HOUR, recognised=D(1000), cost=None, uncosted=2 * HOUR)}
    assert found[key()].margin is None
    twice = figures(firm(entry(1, "03-05", HOUR), cost_rate("X", "60"), cost_rate("Y", "61")))
    assert twice[key()].uncosted == HOUR


def test_costs_are_converted_at_spot_and_rounded_once_for_each_entry() -> None:
    """20 min at 61.33 USD, 0.9 EUR a dollar: 18.399, so 18.40; without a rate of five days it is uncosted."""
    cost = cost_rate("X", "61.33", "USD")
    found = figures(firm(entry(1, "03-05", 1200), cost, fx("F", "02-28", "0.9", "USD:EUR")))
    assert found[key()].cost == D("18.40")
    late = figures(firm(entry(1, "03-06", 1200), cost, fx("F", "02-28", "0.9", "USD:EUR")))
    assert (late[key()].cost, late[key()].uncosted) == (None, 1200)


def test_billing_is_of_the_day_of_posting() -> None:
    """10 h at 100 of March, of which 6 h are posted in April: effort and revenue in March, billing in April."""
    posted = charge("I", "time:1", 6 * HOUR, "600", posted_at=datetime(2026, 4, 2, 10, tzinfo=UTC))
    found = figures(firm(entry(1, "03-05", 10 * HOUR), posted, cost_rate("X", "0")))
    assert found[key()] == of(delivered=10 * HOUR, recognised=D(1000))
    assert found[key(month=APRIL)] == of(billed_seconds=6 * HOUR, billed=D(600))


def test_a_milestone_is_spread_by_the_hours_of_its_month() -> None:
    """100.00 over 1 h of cloud, 1 h of data and 1 h of strategy: 33.33, 33.34 and 33.33, in all 100.00."""
    people = [consultant(name, practice=name) for name in ("cloud", "data", "strategy")]
    entries = [entry(n, "03-04", HOUR, consultant_id=one.id) for n, one in enumerate(people, 1)]
    rows = firm(line(method="milestone"), milestone(amount="100"), *people, *entries)
    found = figures(rows)
    assert {at.practice: row.recognised for at, row in found.items()} == {
        "cloud": D("33.33"), "data": D("33.34"), "strategy": D("33.33"),
    }  # fmt: skip
    nobodys = figures(firm(line(method="milestone"), milestone(amount="100")))
    assert nobodys == {key(None): of(recognised=D(100))}


def test_work_of_before_takes_a_milestone_of_a_month_without_work() -> None:
    """Accepted in April, after 3 h of cloud and 1 h of data in March."""
    cloud = consultant("N", practice="cloud")
    entries = [entry(1, "03-04", 3 * HOUR, consultant_id="erp:N"), entry(2, "03-04", HOUR)]
    rows = firm(line(method="milestone"), milestone(amount="100", accepted="04-10"), cloud, *entries)
    found = figures(rows)
    assert {at.practice: row.recognised for at, row in found.items() if at.month == APRIL} == {
        "cloud": D(75),
        "data": D(25),
    }


def test_booked_are_won_deals_of_their_closing_day() -> None:
    """A deal belongs to the client it was signed with, else to the one client of its account."""
    rows = firm(
        deal("O1", "5000", service_line="build"),
        deal("O2", "700", won="04-02"),
        deal("O3", "9", won=None),
        engagement("E2", opportunity_id="crm:O2"),
        replace(firm().clients["erp:A"], account_id="crm:A"),
    )
    assert figures(rows, build="cloud") == {
        key("cloud"): of(booked=D(5000)),
        key(None, APRIL): of(booked=D(700)),
    }
    twins = firm(
        deal("O1", "5000"),
        replace(firm().clients["erp:A"], account_id="crm:A"),
        replace(firm().clients["erp:A"], id="erp:B", account_id="crm:A"),
    )
    assert list(figures(twins)) == [ExecutiveKey(None, None, MARCH, "EUR")]


def test_revenue_that_can_not_be_told_is_unknown() -> None:
    """A fixed price without its fee: the practice that works for it has unknown revenue and margin, not 0."""
    rows = firm(
        line(method="milestone", revenue_method="percent_complete"),
        entry(1, "03-05", HOUR),
        cost_rate("X", "60"),
    )
    assert figures(rows)[key()].recognised is None
    assert figures(rows)[key()].margin is None


work = st.lists(
    st.tuples(
        st.sampled_from("CNM"), st.sampled_from(("02-27", "03-04", "03-05", "04-02")), st.integers(1, 30_000)
    ),
    max_size=6,
)
accepted = st.lists(st.tuples(st.integers(1, 99_999), st.sampled_from(("03-10", "04-10"))), max_size=3)


@settings(deadline=None, max_examples=60)  # times a busy machine, not the code
@given(work, accepted, st.sampled_from(("tm", "milestone")))
def test_nothing_is_lost_between_practices(
    entries: list[tuple[str, str, int]], fees: list[tuple[int, str]], method: str
) -> None:
    """However work and fees are spread, seconds, billed and recognised money add up to those of the lines."""
    people = [consultant("N", practice="cloud"), consultant("M", practice="strategy")]
    worked = [entry(n, on, size, consultant_id=f"erp:{who}") for n, (who, on, size) in enumerate(entries, 1)]
    milestones = [
        milestone(f"M{n}", str(D(cents).scaleb(-2)), accepted=on) for n, (cents, on) in enumerate(fees)
    ]
    posted = [
        charge(f"I{n}", one.id, 0, str(one.amount), posted_at=datetime(2026, 4, 20, tzinfo=UTC))
        for n, one in enumerate(milestones[:2])
    ]
    rows = firm(line(method=method), *people, *worked, *milestones, *posted, cost_rate("X", "61.33"))
    expected = compute_from_rows(rows)
    found = executive(expected, rows).values()
    assert sum(row.delivered for row in found) == sum(expected.approved.values())
    assert sum(row.billed for row in found) == sum(one.amount for one in milestones[:2])
    assert sum(row.recognised or 0 for row in found) == sum(
        (row.recognised or 0) + (row.breakage or 0) for row in expected.revenue.values()
    )
    uncosted = sum(size for who, _, size in entries if who != "C")
    assert sum(row.uncosted for row in found) == uncosted


def test_what_a_closed_month_billed_does_not_move() -> None:
    """8 h/800 posted in March, which closes; 2 h/200 credited in April: March 800, April -200."""
    close = datetime(2026, 4, 3, 18, tzinfo=UTC)
    march = [
        period(3, close),
        period(4),
        entry(1, "03-05", 8 * HOUR),
        charge("I", "time:1", 8 * HOUR, "800", posted_at=datetime(2026, 3, 20, tzinfo=UTC)),
    ]
    back = credit("J", "I", "time:1", 2 * HOUR, "200", posted_at=datetime(2026, 4, 10, tzinfo=UTC))
    for rows, later in ((firm(*march), (ZERO, 0)), (firm(*march, back), (D(-200), -2 * HOUR))):
        found = figures(rows)
        assert (found[key()].billed, found[key()].billed_seconds) == (D(800), 8 * HOUR)
        april = found.get(key(month=APRIL), Executive())
        assert (april.billed, april.billed_seconds) == later


@pytest.mark.parametrize("is_posted", [False, True])
def test_work_approved_after_the_close_is_its_own_practices_in_the_next_month(is_posted: bool) -> None:
    """10 h of cloud and 10 h of data in March; 10 h of data of 30 March, approved on 4 April after the close on the 3rd.

    March 1,000 and 1,000; April data 1,000, posted or not, and cloud the 100 of its own hour.
    """
    late = datetime(2026, 4, 4, tzinfo=UTC)
    rows = firm(
        period(3, datetime(2026, 4, 3, 18, tzinfo=UTC)),
        period(4),
        consultant("N", practice="cloud"),
        entry(1, "03-10", 10 * HOUR, consultant_id="erp:N"),
        entry(2, "03-10", 10 * HOUR),
        entry(3, "03-30", 10 * HOUR, approved_at=late),
        entry(4, "04-10", HOUR, consultant_id="erp:N", approved_at=datetime(2026, 4, 11, tzinfo=UTC)),
    )
    if is_posted:
        put(rows, charge("I", "time:3", 10 * HOUR, "1000", posted_at=datetime(2026, 4, 20, tzinfo=UTC)))
    found = {(at.practice, at.month): row.recognised for at, row in figures(rows).items()}
    assert found == {
        ("cloud", MARCH): D(1000),
        ("data", MARCH): D(1000),
        ("cloud", APRIL): D(100),
        ("data", APRIL): D(1000),
    }
