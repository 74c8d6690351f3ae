"""Allocation: posted lines, moves and withdrawals, write-offs, lots, caps and day lines."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Rows
from oracle.allocation import item_order
from oracle.books import Books
from oracle.caps import Allowance, Split, split
from oracle.rating import rate_entry
from unit.oracle.builders import (
    HOUR,
    D,
    adjustment,
    billing,
    charge,
    credit,
    day,
    engagement,
    entry,
    expect,
    firm,
    fx,
    line,
    milestone,
    project,
    put,
    rate,
    without,
)

POSTED_8H = charge("I1", "time:1", 8 * HOUR, "800.00")


def test_a_draft_bills_nothing() -> None:
    """Only posted lines bill anything, and only posted credits take back."""
    draft = charge("I1", "time:1", 8 * HOUR, "800.00", status="draft")
    assert billing(firm(entry(1, "03-05", 8 * HOUR), draft)) == {
        ("time:1", "draft:erp:I1"): ("on_draft", 8 * HOUR, D(800))
    }
    draft_credit = credit("I2", "I1", "time:1", 8 * HOUR, "800.00", status="draft")
    assert billing(firm(entry(1, "03-05", 8 * HOUR), POSTED_8H, draft_credit)) == {
        ("time:1", "inv:erp:I1"): ("billed", 8 * HOUR, D(800))
    }


def test_a_posted_line_is_dated_by_its_posting_in_utc() -> None:
    """Posted on 1 May 01:00 at +02:00, it belongs to April, the month in UTC."""
    at = datetime.fromisoformat("2026-05-01T01:00:00+02:00")
    rows = firm(entry(1, "03-05", 8 * HOUR), charge("I1", "time:1", 8 * HOUR, "800.00", posted_at=at))
    assert [key.month for key in expect(rows).billing] == ["2026-04"]


def test_a_posted_line_is_whose_work_it_says() -> None:
    """Client, project, person and day as printed, and of its credit due the same, whatever the entry is today."""
    printed = replace(
        POSTED_8H, client_id="erp:B", project_id="erp:P9", consultant_id="erp:C9", work_date=day("03-01")
    )
    corrected = entry(1, "03-05", 6 * HOUR, version=2)
    work = {key.segment: key[-5:] for key in expect(firm(corrected, printed)).billing}
    said = ("erp:B", "erp:P9", None, "erp:C9", day("03-01"))
    today = ("erp:A", "erp:P", None, "erp:C", day("03-05"))
    assert work == {"inv:erp:I1": said, "due:erp:I1": said, "base": today}


def test_a_posted_line_that_says_nothing_is_the_work_of_its_entry() -> None:
    """Of the entry as it is today; of nobody once it is gone."""
    (key,) = expect(firm(entry(1, "03-05", 8 * HOUR), POSTED_8H)).billing
    assert key[-5:] == ("erp:A", "erp:P", None, "erp:C", day("03-05"))
    gone = expect(firm(POSTED_8H)).billing
    assert {key[-5:] for key in gone} == {("erp:A", None, None, None, None)}


def test_a_partial_credit_does_not_bill_twice() -> None:
    """Of 8 h posted, 3 h are credited: 5 h stay billed, and 3 h are unbilled again."""
    rows = firm(entry(1, "03-05", 8 * HOUR), POSTED_8H, credit("I2", "I1", "time:1", 3 * HOUR, "300.00"))
    assert billing(rows) == {
        ("time:1", "inv:erp:I1"): ("billed", 5 * HOUR, D(500)),
        ("time:1", "base"): ("unbilled", 3 * HOUR, D(300)),
    }


def test_a_credited_invoice_shows_its_time_again() -> None:
    """A credit in full leaves no trace of the line, and everything unbilled."""
    rows = firm(entry(1, "03-05", 8 * HOUR), POSTED_8H, credit("I2", "I1", "time:1", 8 * HOUR, "800.00"))
    assert billing(rows) == {("time:1", "base"): ("unbilled", 8 * HOUR, D(800))}


def test_withdrawing_a_posted_entry_makes_a_credit_due() -> None:
    """Billed stays as posted; the same is due back; nothing is approved."""
    rows = firm(entry(1, "03-05", 8 * HOUR, status="withdrawn"), POSTED_8H)
    assert billing(rows) == {
        ("time:1", "inv:erp:I1"): ("billed", 8 * HOUR, D(800)),
        ("time:1", "due:erp:I1"): ("unbilled", -8 * HOUR, D(-800)),
    }
    assert expect(rows).totals.approved_seconds == 0


def test_a_stale_line_still_uses_the_cap() -> None:
    """Until the credit is posted, what is due back takes headroom."""
    rows = firm(engagement(cap_money=D(1000)), POSTED_8H, entry(2, "03-06", 4 * HOUR))
    out = billing(rows)
    assert out[("time:2", "base")] == ("unbilled", 2 * HOUR, D(200))
    assert out[("time:2", "over-engagement")] == ("over_cap", 2 * HOUR, D(200))


def test_an_entry_that_moves_away_is_due_back_there_and_whole_here() -> None:
    """Its project now names a line of another engagement; the version is the same."""
    rows = firm(
        engagement("E2", currency="USD"),
        line("L2", "E2"),
        project(engagement="E2", line="L2"),
        rate("R0", currency="USD"),
        entry(1, "03-05", 8 * HOUR),
        POSTED_8H,
        adjustment("J", "time:1", HOUR),
    )
    folds = {(key.root, key.segment, key.currency): fold for key, fold in expect(rows).billing.items()}
    assert {at: (fold.seconds, fold.amount) for at, fold in folds.items()} == {
        ("erp:E", "inv:erp:I1", "EUR"): (8 * HOUR, D(800)),
        ("erp:E", "due:erp:I1", "EUR"): (-8 * HOUR, D(-800)),
        ("erp:E2", "base", "USD"): (8 * HOUR, D(800)),
    }


def test_a_parked_entry_keeps_what_is_posted() -> None:
    """Its rate is gone after 5 of 8 h were posted: 5 h billed, 3 h parked, their worth unknown."""
    rows = without(firm(entry(1, "03-05", 8 * HOUR), charge("I1", "time:1", 5 * HOUR, "500")), "erp:R0")
    assert billing(rows) == {
        ("time:1", "inv:erp:I1"): ("billed", 5 * HOUR, D(500)),
        ("time:1", "base"): ("parked", 3 * HOUR, None),
    }
    put(rows, POSTED_8H)
    assert ("time:1", "base") not in billing(rows)
    assert "time:1" in expect(rows).parked


def test_posted_fixed_fee_time_leaves_the_rest_worth_nothing() -> None:
    """Time posted on a milestone line reduces its fixed-fee time."""
    rows = firm(line(method="milestone"), entry(1, "03-05", 8 * HOUR), charge("I1", "time:1", HOUR, "0"))
    assert billing(rows) == {
        ("time:1", "inv:erp:I1"): ("billed", HOUR, D(0)),
        ("time:1", "base"): ("fixed_fee", 7 * HOUR, D(0)),
    }


def test_a_rate_change_leaves_posted_time_alone() -> None:
    """5 of 8 h posted at 100; at 150 now the 3 h left are 450."""
    part = charge("I1", "time:1", 5 * HOUR, "500.00")
    rows = firm(rate("R0", "150"), entry(1, "03-05", 8 * HOUR), part)
    assert billing(rows)[("time:1", "base")] == ("unbilled", 3 * HOUR, D(450))
    all_posted = firm(rate("R0", "150"), entry(1, "03-05", 8 * HOUR), POSTED_8H)
    assert ("time:1", "base") not in billing(all_posted)


def test_a_rate_that_applies_to_invoiced_time_bills_the_difference() -> None:
    """8 h posted at 100, at 150 now: 400 more, without time."""
    rows = firm(rate("R0", "150", applies_to_invoiced=True), entry(1, "03-05", 8 * HOUR), POSTED_8H)
    assert billing(rows)[("time:1", "base")] == ("unbilled", 0, D(400))
    cut = firm(rate("R0", "90", applies_to_invoiced=True), entry(1, "03-05", 8 * HOUR), POSTED_8H)
    assert billing(cut)[("time:1", "base")] == ("unbilled", 0, D(-80))


def test_a_split_by_money_counts_as_the_same_price() -> None:
    """2,618 s/100.00 of 28,800 s/1,100.00 posted: the rest is 1,000.00 by subtraction."""
    rows = firm(rate("R0", "137.50"), entry(1, "03-05", 8 * HOUR), charge("I1", "time:1", 2618, "100.00"))
    assert billing(rows)[("time:1", "base")] == ("unbilled", 26182, D("1000.00"))


def test_write_offs_are_taken_in_order_while_time_is_left() -> None:
    """2 h and 3 h of 4 h: 2 h, then the 2 h left; a third finds nothing."""
    decided = [adjustment("J2", "time:1", 3 * HOUR), adjustment("J1", "time:1", 2 * HOUR)]
    rows = firm(entry(1, "03-05", 4 * HOUR), *decided, adjustment("J3", "time:1", HOUR))
    assert billing(rows) == {
        ("time:1", "adj:erp:J1"): ("written_off", 2 * HOUR, D(200)),
        ("time:1", "adj:erp:J2"): ("written_off", 2 * HOUR, D(200)),
    }


def test_a_fraction_of_a_yen_that_an_invoice_left_is_not_rounded_away() -> None:
    """1,000 less 499.50 posted: all that is left is written off, to the fraction."""
    rows = firm(
        engagement(currency="JPY"),
        rate("R0", "1000", currency="JPY"),
        entry(1, "03-05"),
        charge("I1", "time:1", HOUR // 2, "499.50"),
        adjustment("J", "time:1", HOUR),
    )
    assert billing(rows) == {
        ("time:1", "inv:erp:I1"): ("billed", HOUR // 2, D("499.50")),
        ("time:1", "adj:erp:J"): ("written_off", HOUR // 2, D("500.50")),
    }


def test_written_off_time_releases_headroom() -> None:
    """Cap 1,000: with 2 h of X written off, 2 h more of Y fit."""
    cap = engagement(cap_money=D(1000))
    two = [entry(1, "03-05", 6 * HOUR), entry(2, "03-06", 6 * HOUR)]
    out = billing(firm(cap, *two, adjustment("J", "time:1", 2 * HOUR)))
    assert out[("time:2", "base")] == ("unbilled", 6 * HOUR, D(600))


def test_a_prepaid_lot_covers_the_first_hours() -> None:
    """A lot of 7 h: 5 h and 2 of 4 h are covered, 2 h are unbilled; posting them moves nothing."""
    lot = line(method="prepaid", included_seconds=7 * HOUR)
    two = [entry(1, "03-05", 5 * HOUR), entry(2, "04-05", 4 * HOUR)]
    covered = {
        ("time:1", "covered"): ("covered", 5 * HOUR, D(500)),
        ("time:2", "covered"): ("covered", 2 * HOUR, D(200)),
    }
    assert billing(firm(lot, *two)) == covered | {("time:2", "base"): ("unbilled", 2 * HOUR, D(200))}
    posted = billing(firm(lot, *two, charge("I1", "time:2", 2 * HOUR, "200.00")))
    assert posted == covered | {("time:2", "inv:erp:I1"): ("billed", 2 * HOUR, D(200))}


def test_a_retainer_covers_hours_of_each_month() -> None:
    """4 h a calendar month: the excess of March is unbilled, April starts anew."""
    retainer = line(method="retainer", included_seconds=4 * HOUR)
    rows = firm(retainer, entry(1, "03-05", 5 * HOUR), entry(2, "04-01", 3 * HOUR))
    assert billing(rows) == {
        ("time:1", "covered"): ("covered", 4 * HOUR, D(400)),
        ("time:1", "base"): ("unbilled", HOUR, D(100)),
        ("time:2", "covered"): ("covered", 3 * HOUR, D(300)),
    }


def test_nothing_included_covers_nothing() -> None:
    """A prepaid line without hours is T&M."""
    assert billing(firm(line(method="prepaid"), entry(1, "03-05"))) == {
        ("time:1", "base"): ("unbilled", HOUR, D(100))
    }


@pytest.mark.parametrize(
    ("action", "bucket"), [("hold", "over_cap"), ("write_off", "written_off"), ("bill", "unbilled")]
)
def test_the_over_cap_action_decides_the_bucket(action: str, bucket: str) -> None:
    """What is over a cap is held, written off, or billed anyway."""
    rows = firm(engagement(cap_seconds=HOUR, over_cap_action=action), entry(1, "03-05", 3 * HOUR))
    assert billing(rows)[("time:1", "over-engagement")] == (bucket, 2 * HOUR, D(200))


def test_hours_and_money_caps_both_hold() -> None:
    """3 h allowed by time, 250 by money: 250 it is, and the time it buys."""
    rows = firm(line(cap_seconds=3 * HOUR, cap_money=D(250)), entry(1, "03-05", 4 * HOUR))
    assert billing(rows)[("time:1", "base")] == ("unbilled", 9000, D(250))


def test_a_cap_below_what_is_billed_is_no_headroom() -> None:
    """Headroom is never negative, and nothing is credited by itself."""
    rows = firm(engagement(cap_money=D(500)), entry(1, "03-05", 8 * HOUR), entry(2, "03-06"), POSTED_8H)
    assert billing(rows) == {
        ("time:1", "inv:erp:I1"): ("billed", 8 * HOUR, D(800)),
        ("time:2", "over-engagement"): ("over_cap", HOUR, D(100)),
    }


def test_splitting_a_price_difference_and_a_negative_amount() -> None:
    """No time to split: money only. Below zero: it passes whole."""
    assert split(0, D(50), Allowance(None, D(20)), "EUR", "half_up") == Split(0, D(20), 0, D(30))
    assert split(-60, D(-5), Allowance(0, D(0)), "EUR", "half_up") == Split(-60, D(-5), 0, D(0))


def test_a_negative_remainder_passes_caps_and_uses_nothing() -> None:
    """5 of 8 h posted at 100, all 8 h now worth 400: 3 h/-100 pass a full cap; the next entry's room stays."""
    cut = rate("R0", "50", applies_to_invoiced=True)
    posted = charge("I1", "time:1", 5 * HOUR, "500.00")
    rows = firm(engagement(cap_seconds=6 * HOUR), cut, posted, entry(1, "03-05", 8 * HOUR), entry(2, "03-06"))
    assert billing(rows) == {
        ("time:1", "inv:erp:I1"): ("billed", 5 * HOUR, D(500)),
        ("time:1", "base"): ("unbilled", 3 * HOUR, D(-100)),
        ("time:2", "base"): ("unbilled", HOUR, D(50)),
    }


def test_a_lot_covers_hours_and_not_a_price_difference() -> None:
    """All hours posted, then a dearer rate that applies to them: 400 more, unbilled."""
    lot = line(method="prepaid", included_seconds=20 * HOUR)
    dearer = rate("R0", "150", applies_to_invoiced=True)
    rows = firm(lot, dearer, entry(1, "03-05", 8 * HOUR), POSTED_8H)
    assert billing(rows)[("time:1", "base")] == ("unbilled", 0, D(400))


def test_items_are_ordered_by_date_then_system_then_native_id() -> None:
    """Numbers by value, so 9 before 10; time before ERP; an earlier day first."""
    rows = firm()
    books = Books(rows)
    ids = [(10, "03-05"), (9, "03-05"), (11, "03-04")]
    items = [rate_entry(entry(n, on), rows, books) for n, on in ids]
    assert [item.entry_id for item in sorted(items, key=item_order)] == ["time:11", "time:9", "time:10"]


def test_a_day_minimum_ignores_time_that_is_not_priced() -> None:
    """A day of non-chargeable time alone has no minimum, and doesn't count towards one."""
    minimum = line(day_minimum_seconds=4 * HOUR)
    parked = entry(1, "03-05", HOUR, kind="standard", project_id="erp:P", consultant_id="erp:C")
    rows = without(firm(minimum, parked), "erp:R0")
    assert billing(rows) == {("time:1", "base"): ("parked", HOUR, None)}


def test_an_uplift_is_at_the_plain_price_of_the_first_item() -> None:
    """Overtime of 1 h costs 150; the 3 h missing to the minimum are 300."""
    rows = firm(line(day_minimum_seconds=4 * HOUR), entry(1, "03-05", kind="overtime"))
    assert billing(rows)[("day:erp:C:erp:L:2026-03-05", "uplift")] == ("unbilled", 0, D(300))


def test_an_uplift_is_at_the_first_items_exchange_rate() -> None:
    """1 h of 100 EUR at 1.10 on a 2 h minimum in USD: 110, and 110 more."""
    minimum = line(day_minimum_seconds=2 * HOUR)
    rows = firm(engagement(currency="USD"), minimum, fx("F", "03-05", "1.1"), entry(1, "03-05"))
    assert billing(rows)[("day:erp:C:erp:L:2026-03-05", "uplift")] == ("unbilled", 0, D(110))


def test_a_posted_uplift_is_due_back_when_the_day_fills_up() -> None:
    """Posted while it was there it is billed; once the day line is gone it is stale."""
    minimum = line(day_minimum_seconds=2 * HOUR)
    posted = charge("I1", "day:erp:C:erp:L:2026-03-05", 0, "100.00")
    rows = firm(minimum, entry(1, "03-05"), posted)
    assert billing(rows) == {
        ("day:erp:C:erp:L:2026-03-05", "inv:erp:I1"): ("billed", 0, D(100)),
        ("time:1", "base"): ("unbilled", HOUR, D(100)),
    }
    put(rows, entry(2, "03-05"))
    assert billing(rows)[("day:erp:C:erp:L:2026-03-05", "due:erp:I1")] == ("unbilled", 0, D(-100))


# -- laws --------------------------------------------------------------------------------------------

SECONDS = st.integers(0, 24 * HOUR)
MONEY = st.decimals(0, 3000, places=2)
DATES = st.dates(day("2026-02-25"), day("2026-03-08"))


@st.composite
def firms(draw: st.DrawFn, posted: bool = True) -> Rows:
    """A firm with three kinds of lines, any caps, entries in all states, and invoices that may be wrong."""
    options: dict[str, Any] = {"over_cap_action": draw(st.sampled_from(["hold", "write_off", "bill"]))}
    caps: dict[str, Any] = {
        "cap_money": draw(st.none() | MONEY),
        "cap_seconds": draw(st.none() | st.integers(0, 40 * HOUR)),
    }
    rows = firm(
        engagement(**options, **caps, ends_on=draw(st.sampled_from([None, day("03-06")]))),
        rate("R0", str(draw(st.sampled_from(["100", "137.5", "0.01"])))),
        milestone(),
    )
    for number, method in enumerate(draw(st.lists(st.sampled_from(METHODS), min_size=1, max_size=3))):
        terms: dict[str, Any] = {
            "cap_money": draw(st.none() | MONEY),
            "cap_seconds": draw(st.none() | st.integers(0, 20 * HOUR)),
            "included_seconds": draw(st.none() | st.integers(0, 10 * HOUR)),
            "per_diem_amount": draw(st.none() | MONEY),
            "day_minimum_seconds": draw(st.none() | st.just(4 * HOUR)),
            "quantity_increment_seconds": draw(st.sampled_from([None, 360, 900])),
            "quantity_rounding": draw(st.sampled_from([None, "up"])),
            "minimum_quantity_seconds": draw(st.sampled_from([None, 1800])),
            "rounding": draw(st.sampled_from(["half_up", "half_even"])),
        }
        put(rows, line(f"L{number}", method=method, **terms, **options))
        put(rows, project(f"P{number}", line=f"L{number}"))
    projects = [*sorted(rows.projects), "erp:GONE"]
    for number in range(draw(st.integers(1, 8))):
        status = draw(st.sampled_from(["approved", "approved", "withdrawn"]))
        where = draw(st.sampled_from(projects))
        dated = entry(number, str(draw(DATES)), draw(SECONDS), project_id=where, status=status)
        put(rows, dated)
        if draw(st.booleans()):
            put(rows, adjustment(f"J{number}", dated.id, draw(SECONDS)))
        if posted and draw(st.booleans()):
            version = draw(st.sampled_from([1, 1, 2]))
            billed, worth = draw(SECONDS), str(draw(MONEY))
            put(rows, charge(f"I{number}", dated.id, billed, worth, entry_version=version))
            if draw(st.booleans()):
                put(rows, credit(f"K{number}", f"I{number}", dated.id, billed // 2, str(D(worth) / 2)))
    return rows


METHODS = ["tm", "tm", "retainer", "prepaid", "per_diem", "milestone", "non_billable"]


@settings(max_examples=150, deadline=None)
@given(firms())
def test_seconds_are_conserved(rows: Rows) -> None:
    """Whatever is posted, capped, covered or withdrawn, an entry's segments add up to its approved time."""
    out = expect(rows)
    placed: dict[str, int] = {}
    for key, fold in out.billing.items():
        placed[key.entry] = placed.get(key.entry, 0) + fold.seconds
    for entry_id in {*placed, *out.approved}:
        assert placed.get(entry_id, 0) == out.approved.get(entry_id, 0)


@settings(max_examples=100, deadline=None)
@given(firms(posted=False))
def test_money_is_conserved_and_caps_hold(rows: Rows) -> None:
    """Without invoices the money of an entry's segments is its price, and no cap is passed."""
    books = Books(rows)
    out = expect(rows)
    worth = {}
    for each in rows.time_entries.values():
        if each.status == "approved":
            item = rate_entry(each, rows, books)
            worth[each.id] = None if item.amount is None else item.amount + item.rounding_amount
    placed: dict[str, Decimal | None] = {}
    within: dict[str, tuple[int, Decimal]] = {}
    for key, fold in out.billing.items():
        if key.entry in worth:
            so_far = placed.get(key.entry)
            placed[key.entry] = fold.amount if so_far is None else so_far + (fold.amount or 0)
        if key.segment == "base" and key.bucket == "unbilled" and key.entry != "erp:M":
            for scope in (key.root, str(key.line)):
                seconds, money = within.get(scope, (0, D(0)))
                within[scope] = (seconds + fold.seconds, money + (fold.amount or D(0)))
    for entry_id, amount in placed.items():
        assert amount == worth[entry_id]
    for scope, (seconds, money) in within.items():
        terms = rows.engagements.get(scope) or rows.contract_lines[scope]
        assert terms.cap_seconds is None or seconds <= terms.cap_seconds
        assert terms.cap_money is None or money <= terms.cap_money


@given(
    st.integers(1, 24 * HOUR),
    st.decimals("0.01", 5000, places=2),
    st.none() | SECONDS,
    st.none() | MONEY,
)
def test_a_split_adds_up_and_stays_inside(
    seconds: int, money: Decimal, left_seconds: int | None, left_money: Decimal | None
) -> None:
    """Both parts add up to the whole, neither is negative, the first is inside both limits."""
    parts = split(seconds, money, Allowance(left_seconds, left_money), "EUR", "half_up")
    assert (parts.seconds + parts.over_seconds, parts.money + parts.over_money) == (seconds, money)
    assert min(parts.seconds, parts.over_seconds) >= 0
    assert min(parts.money, parts.over_money) >= 0
    assert left_seconds is None or parts.seconds <= left_seconds
    assert left_money is None or parts.money <= left_money


def test_a_posted_line_without_its_time_of_posting_has_no_month() -> None:
    """It is billed all the same, on no accounting date."""
    rows = firm(entry(1, "03-05"), charge("I1", "time:1", HOUR, "100", posted_at=None))
    assert [key.month for key in expect(rows).billing] == [None]
