"""The oracle's close cockpit, by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from builders import (
    HOUR,
    D,
    adjustment,
    charge,
    credit,
    engagement,
    entry,
    firm,
    line,
    period,
    project,
    rate,
    without,
)
from oracle import Rows, compute_from_rows
from oracle.cockpit import Cockpit, Money, cockpits

CLOSED = datetime(2026, 4, 3, 18, tzinfo=UTC)
MARCH, APRIL = "erp:2026-03", "erp:2026-04"


def of(rows: Rows, period_id: str = MARCH) -> Cockpit:
    """What the oracle says of a period."""
    return cockpits(compute_from_rows(rows), rows)[period_id]


def eur(rows: Rows, period_id: str = MARCH) -> Money:
    """Its money in EUR."""
    return of(rows, period_id).money["EUR"]


def months(*more: Any) -> Rows:
    """The firm with March, closed, and April."""
    return firm(rate("R0", "150"), period(3, CLOSED), period(4), *more)


def at(day: int, month: int = 4) -> datetime:
    """Ten in the morning."""
    return datetime(2026, month, day, 10, tzinfo=UTC)


def test_e12_a_contract_asset_rolls_forward() -> None:
    """10 h at 150 approved in March, posted in April: asset 0, 1,500, and 0 again; earned in March, billed in April."""
    rows = months(entry(1, "03-05", 10 * HOUR), charge("I1", "time:1", 10 * HOUR, "1500", posted_at=at(20)))
    march, april = eur(rows), eur(rows, APRIL)
    assert (march.asset_opening, march.recognised, march.billed_on_contracts, march.asset_closing) == (
        0,
        1500,
        0,
        1500,
    )
    assert (april.asset_opening, april.recognised, april.billed_on_contracts, april.asset_closing) == (
        1500,
        0,
        1500,
        0,
    )
    assert (march.billed, april.billed, april.erp_posted, april.difference) == (0, 1500, 1500, 0)


def test_unbilled_work_is_as_old_as_its_work_date_on_the_last_day() -> None:
    """1,200 of 5 March: 26 days at the end of March, 56 at the end of April."""
    rows = months(entry(1, "03-05", 8 * HOUR))
    assert eur(rows).ages == [1200, 0, 0, 0]
    assert eur(rows, APRIL).ages == [0, 1200, 0, 0]


def test_e9_what_is_due_back_is_no_unbilled_work() -> None:
    """Posted 8 h/1,200 of March and corrected to 6 h in April: 900 unbilled, -1,200 due back, 1,200 billed."""
    corrected = entry(1, "03-05", 6 * HOUR, version=2, approved_at=at(10))
    rows = months(corrected, charge("I1", "time:1", 8 * HOUR, "1200", posted_at=at(20, 3)))
    april = eur(rows, APRIL)
    assert (sum(april.ages, D(0)), april.credit_due) == (900, -1200)
    assert (eur(rows).billed, eur(rows).erp_posted, eur(rows).difference) == (1200, 1200, 0)


def test_e8_what_is_written_off_is_of_its_month() -> None:
    """2 h of 8 h at 150 in March: 300 in March, nothing in April."""
    rows = months(entry(1, "03-05", 8 * HOUR), adjustment("J", "time:1", 2 * HOUR))
    assert (eur(rows).written_off, eur(rows, APRIL).written_off) == (300, 0)
    assert eur(rows).ages == [900, 0, 0, 0]


def test_a_credit_in_the_next_month_is_dated_as_its_charge_while_that_is_open() -> None:
    """1,200 posted on 20 March, 200 credited on 2 April before the close: 1,000 and 1,200, then 0 and -200."""
    rows = months(
        entry(1, "03-05", 8 * HOUR),
        charge("I1", "time:1", 8 * HOUR, "1200", posted_at=at(20, 3)),
        credit("I2", "I1", "time:1", 0, "200", posted_at=at(2)),
    )
    march, april = eur(rows), eur(rows, APRIL)
    assert (march.billed, march.erp_posted, march.difference) == (1000, 1200, 0)
    assert (april.billed, april.erp_posted, april.difference) == (0, -200, 0)


def test_a_credit_of_nothing_does_not_tie() -> None:
    """The ERP posted it, and nothing is taken back for it."""
    rows = months(credit("I2", "I9", "time:1", 0, "200", posted_at=at(20, 3)))
    assert (eur(rows).erp_posted, eur(rows).difference) == (Decimal(-200), Decimal(200))


def test_over_caps_holds_and_who_has_not_approved() -> None:
    """E4's cap of 1,000: of 12 h at 100, 2 h/200 are over it. Submitted and rejected time waits, internal time does not."""
    capped = replace(engagement(), cap_money=D(1000))
    rows = firm(
        capped,
        period(3),
        entry(1, "03-05", 6 * HOUR),
        entry(2, "03-06", 6 * HOUR),
        entry(3, "03-07", HOUR, status="submitted"),
        entry(4, "03-07", HOUR, status="rejected"),
        project("I", None, None),
        entry(5, "03-07", HOUR, status="draft", project_id="erp:I"),
        entry(6, "03-07", HOUR, status="draft", project_id="erp:nobody's"),
    )
    found = of(rows)
    assert (found.over_cap_seconds, found.money["EUR"].over_cap) == (2 * HOUR, 200)
    assert (found.unapproved, found.unapproved_seconds, found.unassigned) == (2, 2 * HOUR, 1)


def test_what_is_parked_is_counted_and_worth_nothing_known() -> None:
    """No price: one item, eight hours, and no money in it."""
    found = of(without(months(entry(1, "03-05", 8 * HOUR)), "erp:R0"))
    assert (found.parked, found.parked_seconds) == (1, 8 * HOUR)
    assert found.money["EUR"].ages == [0, 0, 0, 0]


def test_terms_that_are_missing_make_sums_unknown() -> None:
    """A fixed price without its plan beside delivered work: balances are null, and the line is counted."""
    fixed = line("F", method="milestone", revenue_method="percent_complete")
    found = eur(months(entry(1, "03-05", 8 * HOUR), fixed))
    assert (found.unknown_lines, found.asset_closing, found.recognised) == (1, None, None)
