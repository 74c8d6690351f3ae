"""The worked examples of the domain, each as the batch pass sees it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from oracle import DayKey, WindowKey
from unit.oracle.builders import (
    HOUR,
    D,
    absence,
    adjustment,
    billing,
    charge,
    consultant,
    credit,
    day,
    engagement,
    entry,
    expect,
    firm,
    fx,
    holiday,
    line,
    period,
    project,
    rate,
    the_key,
)


def test_e1_seconds_are_priced_exactly() -> None:
    """20 min at 1,234.56 is 411.52, not the 411.48 of a third of an hour in four decimals."""
    rows = firm(rate("R0", "1234.56"), entry(1, "03-05", 1200))
    assert billing(rows) == {("time:1", "base"): ("unbilled", 1200, D("411.52"))}


def test_e2_is_rounded_once() -> None:
    """EUR 133.33 x 7.5 h x 1.0837 is USD 1,083.67: the price is not rounded first."""
    rows = firm(
        engagement(currency="USD"), rate("R0", "133.33"), fx("F", "03-05", "1.0837"), entry(1, "03-05", 27000)
    )
    assert billing(rows) == {("time:1", "base"): ("unbilled", 27000, D("1083.67"))}


def test_e3_quantity_rounding_is_a_line_of_its_own() -> None:
    """3 x 20 min at 150 is 150.00; rounded to 0.33 h each it is 148.50 and 1.50 on rounding lines."""
    entries = [entry(n, "03-05", 1200) for n in (1, 2, 3)]
    plain = billing(firm(rate("R0", "150"), *entries))
    assert sum(amount or 0 for _, _, amount in plain.values()) == D("150.00")
    rounded = billing(firm(rate("R0", "150"), line(quantity_increment_seconds=1188), *entries))
    assert rounded[("time:1", "base")] == ("unbilled", 1188, D("49.50"))
    assert rounded[("time:1", "rounding")] == ("rounding", 12, D("0.50"))
    by_bucket = expect(
        firm(rate("R0", "150"), line(quantity_increment_seconds=1188), *entries)
    ).totals.money_by_bucket
    assert by_bucket == {("unbilled", "EUR"): D("148.50"), ("rounding", "EUR"): D("1.50")}


X, Y, W = entry(10, "03-05", 6 * HOUR), entry(11, "03-06", 6 * HOUR), entry(12, "03-04", 3 * HOUR)
CAPPED = engagement(cap_money=D(1000))
INV_X = charge("I1", "time:10", 6 * HOUR, "600.00")
INV_Y = charge("I2", "time:11", 4 * HOUR, "400.00")


def test_e4_first_step_the_cap_splits_the_later_entry() -> None:
    """Cap 1,000: X 600 fits, Y fits for 400, and 2 h/200 of it are over."""
    assert billing(firm(CAPPED, X, Y)) == {
        ("time:10", "base"): ("unbilled", 6 * HOUR, D(600)),
        ("time:11", "base"): ("unbilled", 4 * HOUR, D(400)),
        ("time:11", "over-engagement"): ("over_cap", 2 * HOUR, D(200)),
    }


def test_e4_second_step_a_late_entry_moves_nothing_posted() -> None:
    """X 600 and Y 400 posted, then W of an earlier day: W is over by 300, nothing else changes."""
    assert billing(firm(CAPPED, X, Y, W, INV_X, INV_Y)) == {
        ("time:10", "inv:erp:I1"): ("billed", 6 * HOUR, D(600)),
        ("time:11", "inv:erp:I2"): ("billed", 4 * HOUR, D(400)),
        ("time:11", "over-engagement"): ("over_cap", 2 * HOUR, D(200)),
        ("time:12", "over-engagement"): ("over_cap", 3 * HOUR, D(300)),
    }


def test_e4_third_step_a_posted_credit_releases_headroom() -> None:
    """Y's 400 credited: W 300 and Y 100 are unbilled, 5 h/500 of Y over."""
    back = credit("I3", "I2", "time:11", 4 * HOUR, "400.00")
    assert billing(firm(CAPPED, X, Y, W, INV_X, INV_Y, back)) == {
        ("time:10", "inv:erp:I1"): ("billed", 6 * HOUR, D(600)),
        ("time:12", "base"): ("unbilled", 3 * HOUR, D(300)),
        ("time:11", "base"): ("unbilled", HOUR, D(100)),
        ("time:11", "over-engagement"): ("over_cap", 5 * HOUR, D(500)),
    }


def test_e5_line_cap_then_engagement_cap() -> None:
    """Line cap 500, engagement 800: A 500 + 100 over its line; B 300 + 100 over the engagement."""
    rows = firm(
        engagement(cap_money=D(800)),
        line(cap_money=D(500)),
        line("L2"),
        project("P2", line="L2"),
        entry(1, "03-05", 6 * HOUR),
        entry(2, "03-06", 4 * HOUR, project_id="erp:P2"),
    )
    assert billing(rows) == {
        ("time:1", "base"): ("unbilled", 5 * HOUR, D(500)),
        ("time:1", "over-line"): ("over_cap", HOUR, D(100)),
        ("time:2", "base"): ("unbilled", 3 * HOUR, D(300)),
        ("time:2", "over-engagement"): ("over_cap", HOUR, D(100)),
    }


def test_e6_money_caps_split_money_exactly_and_seconds_half_up() -> None:
    """100.00 left, 8 h at 137.50: 2,618 s/100.00 and 26,182 s/1,000.00 over."""
    rows = firm(engagement(cap_money=D(100)), rate("R0", "137.50"), entry(1, "03-05", 8 * HOUR))
    assert billing(rows) == {
        ("time:1", "base"): ("unbilled", 2618, D("100.00")),
        ("time:1", "over-engagement"): ("over_cap", 26182, D("1000.00")),
    }


def test_e7_day_minimum_is_lifted_and_dropped_again() -> None:
    """Minimum 4 h: 1 h + 2 h give an uplift of 100; 2 h more that day and it is gone: 500 in all."""
    minimum = line(day_minimum_seconds=4 * HOUR)
    two = [entry(1, "03-05", HOUR), entry(2, "03-05", 2 * HOUR)]
    assert billing(firm(minimum, *two)) == {
        ("time:1", "base"): ("unbilled", HOUR, D(100)),
        ("time:2", "base"): ("unbilled", 2 * HOUR, D(200)),
        ("day:erp:C:erp:L:2026-03-05", "uplift"): ("unbilled", 0, D(100)),
    }
    late = billing(firm(minimum, *two, entry(3, "03-05", 2 * HOUR)))
    assert ("day:erp:C:erp:L:2026-03-05", "uplift") not in late
    assert sum(amount or Decimal(0) for _, _, amount in late.values()) == D(500)


def test_e7_per_diem_is_one_line_a_day() -> None:
    """Per diem 900 with entries of 3 h and 5 h: one line of 900, and their time is fixed fee."""
    rows = firm(
        line(method="per_diem", per_diem_amount=D(900)),
        entry(1, "03-05", 3 * HOUR),
        entry(2, "03-05", 5 * HOUR),
    )
    assert billing(rows) == {
        ("time:1", "base"): ("fixed_fee", 3 * HOUR, D(0)),
        ("time:2", "base"): ("fixed_fee", 5 * HOUR, D(0)),
        ("day:erp:C:erp:L:2026-03-05", "per-diem"): ("unbilled", 0, D(900)),
    }


def test_e8_a_timesheet_correction_changes_approved_time() -> None:
    """8 h at 150 corrected to 6 h: 900, and 6 h approved."""
    rows = firm(rate("R0", "150"), entry(1, "03-05", 6 * HOUR, version=2))
    assert billing(rows) == {("time:1", "base"): ("unbilled", 6 * HOUR, D(900))}
    assert expect(rows).totals.approved_seconds == 6 * HOUR


def test_e8_a_bill_adjustment_leaves_approved_time() -> None:
    """8 h at 150 with 2 h written off: 900 unbilled, 2 h/300 written off, and 8 h approved."""
    rows = firm(rate("R0", "150"), entry(1, "03-05", 8 * HOUR), adjustment("J", "time:1", 2 * HOUR))
    assert billing(rows) == {
        ("time:1", "base"): ("unbilled", 6 * HOUR, D(900)),
        ("time:1", "adj:erp:J"): ("written_off", 2 * HOUR, D(300)),
    }
    assert expect(rows).totals.approved_seconds == 8 * HOUR


def test_e9_a_correction_after_posting_is_due_back() -> None:
    """Posted 8 h/1,200, corrected to 6: billed stays, unbilled is -8 h/-1,200 and +6 h/+900."""
    corrected = [rate("R0", "150"), entry(1, "03-05", 6 * HOUR, version=2)]
    posted = charge("I1", "time:1", 8 * HOUR, "1200.00")
    assert billing(firm(*corrected, posted)) == {
        ("time:1", "inv:erp:I1"): ("billed", 8 * HOUR, D(1200)),
        ("time:1", "due:erp:I1"): ("unbilled", -8 * HOUR, D(-1200)),
        ("time:1", "base"): ("unbilled", 6 * HOUR, D(900)),
    }


def test_e9_credit_and_replacement_posted() -> None:
    """With the credit and the charge of the new version posted too, billed is 6 h/900 and no more."""
    rows = firm(
        rate("R0", "150"),
        entry(1, "03-05", 6 * HOUR, version=2),
        charge("I1", "time:1", 8 * HOUR, "1200.00"),
        credit("I2", "I1", "time:1", 8 * HOUR, "1200.00"),
        charge("I3", "time:1", 6 * HOUR, "900.00", entry_version=2),
    )
    assert billing(rows) == {("time:1", "inv:erp:I3"): ("billed", 6 * HOUR, D(900))}


def test_e11_the_accounting_date_follows_the_decision() -> None:
    """Work of 30 March, closed 3 April 18:00: approved 2 April it is March's, approved 4 April April's."""
    periods = [period(3, datetime(2026, 4, 3, 18, tzinfo=UTC)), period(4)]
    before = firm(*periods, entry(1, "03-30", approved_at=datetime(2026, 4, 2, 9, tzinfo=UTC)))
    after = firm(*periods, entry(1, "03-30", approved_at=datetime(2026, 4, 4, 9, tzinfo=UTC)))
    at_close = firm(*periods, entry(1, "03-30", approved_at=datetime(2026, 4, 3, 18, tzinfo=UTC)))
    assert the_key(before).month == "2026-03"
    assert the_key(after).month == "2026-04"
    assert the_key(at_close).month == "2026-04"


def test_e15_part_time_and_a_holiday() -> None:
    """FTE 0.5, five days of 8 h, one a holiday, 14 billable hours: 14 / 16 is 87.5 %."""
    entries = [entry(1, "03-02", 7 * HOUR), entry(2, "03-03", 7 * HOUR)]
    rows = firm(consultant(fte=D("0.5")), holiday("03-06"), *entries)
    week = expect(rows).windows[WindowKey("erp:C", "week", day("03-02"))]
    assert (week.billable, week.capacity, week.ratio) == (14 * HOUR, 16 * HOUR, D("0.875"))


def test_e16_two_half_days_absent() -> None:
    """40 h a week at FTE 1, two half-days absent, 30 billable hours: 30 / 32 is 93.75 %."""
    entries = [entry(n, f"03-0{n}", 6 * HOUR) for n in range(2, 7)]
    half_days = [absence("A1", "03-02", 4 * HOUR), absence("A2", "03-04", 4 * HOUR)]
    out = expect(firm(*half_days, *entries))
    week = out.windows[WindowKey("erp:C", "week", day("03-02"))]
    assert (week.billable, week.capacity, week.ratio) == (30 * HOUR, 32 * HOUR, D("0.9375"))
    assert out.daily[DayKey("erp:C", day("03-02"))].capacity == 4 * HOUR
