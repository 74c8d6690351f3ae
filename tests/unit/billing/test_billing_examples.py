"""The worked examples of the billing rules, in money; rate 100 an hour unless said otherwise."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from billing_builders import (
    ROOT,
    allocated,
    credit,
    day,
    entry,
    item,
    money,
    posted,
    put_rate,
    rated,
    shown,
    small_firm,
    write_off,
)

from agents.billing import RatedResult, diff


def amount_of(result: RatedResult) -> Decimal | None:
    """The amount of a rating."""
    return None if result.item is None else result.item.amount


def test_a_third_of_an_hour_is_priced_from_seconds() -> None:
    """20 min at 1,234.56 is 411.52, not the 411.48 of 0.3333 h."""
    firm = put_rate(small_firm(), "erp:R-default", "1234.56")
    assert amount_of(rated(firm, entry(1, "03-02", 0, seconds=1200))) == Decimal("411.52")


def test_fx_is_applied_before_the_only_rounding() -> None:
    """EUR 133.33 x 7.5 h x 1.0837 is USD 1,083.67; rounding the price first would give 1,083.68."""
    firm = put_rate(small_firm(), "erp:R-default", "133.33").put("engagement", ROOT, currency="USD")
    firm.put(
        "fx_rate",
        "erp:F1",
        from_currency="EUR",
        to_currency="USD",
        day=day("03-02"),
        rate=Decimal("1.08370000"),
    )
    result = rated(firm, entry(1, "03-02", "7.5"))
    assert amount_of(result) == Decimal("1083.67")
    assert result.item is not None
    assert result.item.fx_rate == Decimal("1.0837")


def test_quantity_rounding_goes_to_its_own_line() -> None:
    """3 x 20 min at 150 is 150.00; rounded to 0.33 h (1,188 s) each, 148.50 and 1.50 on the rounding line."""
    plain = put_rate(small_firm(), "erp:R-default", 150)
    items = [item(plain, n, "03-02", 0, seconds=1200) for n in (1, 2, 3)]
    assert sum(s.amount or 0 for s in allocated(plain, items).values()) == Decimal("150.00")

    firm = put_rate(small_firm(quantity_increment_seconds=1188), "erp:R-default", 150)
    items = [item(firm, n, "03-02", 0, seconds=1200) for n in (1, 2, 3)]
    segments = allocated(firm, items)
    base = [s for s in segments.values() if s.segment == "base"]
    rounding = [s for s in segments.values() if s.segment == "rounding"]
    assert sum(s.amount or 0 for s in base) == Decimal("148.50")
    assert sum(s.amount or 0 for s in rounding) == Decimal("1.50")
    assert sum(s.seconds for s in segments.values()) == 3600


def test_posted_work_keeps_its_part_of_a_cap() -> None:
    """Cap 1,000: X 600, Y 400 + 200 over; late W is over after INV1; a credit of Y lets W and Y in."""
    firm = small_firm().put("engagement", ROOT, cap_money=money(1000))
    x, y = item(firm, 10, "03-05", 6), item(firm, 11, "03-06", 6)
    assert shown(allocated(firm, [x, y])) == {
        ("time:10", "base"): ("unbilled", 6, "600.00"),
        ("time:11", "base"): ("unbilled", 4, "400.00"),
        ("time:11", "over-engagement"): ("over_cap", 2, "200.00"),
    }
    invoice = [posted("erp:I1", "time:10", 6, 600), posted("erp:I2", "time:11", 4, 400)]
    billed = {
        ("time:10", "inv:erp:I1"): ("billed", 6, "600.00"),
        ("time:11", "inv:erp:I2"): ("billed", 4, "400.00"),
        ("time:11", "over-engagement"): ("over_cap", 2, "200.00"),
    }
    assert shown(allocated(firm, [x, y], invoice)) == billed

    w = item(firm, 12, "03-04", 3)
    assert shown(allocated(firm, [x, y, w], invoice)) == {
        **billed,
        ("time:12", "over-engagement"): ("over_cap", 3, "300.00"),
    }

    credited = [*invoice, credit("erp:I3", invoice[1], 4, 400)]
    assert shown(allocated(firm, [x, y, w], credited)) == {
        ("time:10", "inv:erp:I1"): ("billed", 6, "600.00"),
        ("time:12", "base"): ("unbilled", 3, "300.00"),
        ("time:11", "base"): ("unbilled", 1, "100.00"),
        ("time:11", "over-engagement"): ("over_cap", 5, "500.00"),
    }


def test_the_line_cap_comes_before_the_engagement_cap() -> None:
    """Line cap 500, engagement 800: A is 500 + 100 over the line, B 300 + 100 over the engagement."""
    firm = small_firm(cap_money=money(500)).put("engagement", ROOT, cap_money=money(800))
    firm.put("contract_line", "erp:L2", engagement_id=ROOT, billing_method="tm")
    firm.put("project", "erp:P2", engagement_id=ROOT, contract_line_id="erp:L2")
    a, b = item(firm, 1, "03-02", 6), item(firm, 2, "03-03", 4, project_id="erp:P2")
    assert shown(allocated(firm, [b, a])) == {
        ("time:1", "base"): ("unbilled", 5, "500.00"),
        ("time:1", "over-line"): ("over_cap", 1, "100.00"),
        ("time:2", "base"): ("unbilled", 3, "300.00"),
        ("time:2", "over-engagement"): ("over_cap", 1, "100.00"),
    }


def test_a_money_cap_splits_money_exactly_and_seconds_half_up() -> None:
    """100.00 left, 8 h at 137.50: 2,618 s/100.00 pass and 26,182 s/1,000.00 are over."""
    firm = put_rate(small_firm(cap_money=money(100)), "erp:R-default", "137.50")
    segments = allocated(firm, [item(firm, 1, "03-02", 8)])
    parts = {key[1]: (s.seconds, s.amount) for key, s in segments.items()}
    assert parts == {"base": (2618, Decimal("100.00")), "over-line": (26182, Decimal("1000.00"))}


def test_a_day_minimum_is_an_uplift_of_the_day() -> None:
    """Minimum 4 h: 1 h + 2 h get an uplift of 100; a late 2 h the same day makes it 500 in all, no uplift."""
    firm = small_firm(day_minimum_seconds=4 * 3600)
    items = [item(firm, 1, "03-02", 1), item(firm, 2, "03-02", 2)]
    uplift = ("day:erp:C1:erp:L1:2026-03-02", "uplift")
    first = allocated(firm, items)
    assert shown(first) == {
        ("time:1", "base"): ("unbilled", 1, "100.00"),
        ("time:2", "base"): ("unbilled", 2, "200.00"),
        uplift: ("unbilled", 0, "100.00"),
    }
    ledger = diff({}, first)
    assert [line.kind for line in ledger.lines] == ["UPLIFT", "CHARGE", "CHARGE"]

    late = diff(ledger.live({}), allocated(firm, [*items, item(firm, 3, "03-02", 2)]))
    assert [(line.kind, line.segment.segment, line.segment.amount) for line in late.lines] == [
        ("REVERSAL", "uplift", Decimal("-100.00")),
        ("CHARGE", "base", Decimal("200.00")),
    ]
    total = sum(line.segment.amount or 0 for line in (*ledger.lines, *late.lines))
    assert total == Decimal("500.00")


def test_a_per_diem_is_one_line_a_day() -> None:
    """Per diem 900, entries of 3 h and 5 h: one line of 900, the hours are fixed fee."""
    firm = small_firm(billing_method="per_diem", per_diem_amount=money(900))
    segments = allocated(firm, [item(firm, 1, "03-02", 3), item(firm, 2, "03-02", 5)])
    assert shown(segments) == {
        ("time:1", "base"): ("fixed_fee", 3, "0.00"),
        ("time:2", "base"): ("fixed_fee", 5, "0.00"),
        ("day:erp:C1:erp:L1:2026-03-02", "per-diem"): ("unbilled", 0, "900.00"),
    }


def test_a_correction_and_a_bill_adjustment_are_two_acts() -> None:
    """8 h at 150: corrected to 6, -1,200 +900 and approved 6; adjusted by 2 h, the same and 2 h/300 off."""
    firm = put_rate(small_firm(), "erp:R-default", 150)
    original = item(firm, 1, "03-02", 8)
    live = diff({}, allocated(firm, [original])).live({})

    corrected = diff(live, allocated(firm, [item(firm, 1, "03-02", 6, version=2)]))
    assert [line.segment.amount for line in corrected.lines] == [Decimal(-1200), Decimal(900)]
    assert sum(s.segment.seconds for s in corrected.live(live).values() if s.segment) == 6 * 3600

    adjusted = diff(live, allocated(firm, [original], (), [write_off("erp:A1", "time:1", 2)]))
    assert [(line.segment.bucket, line.segment.amount) for line in adjusted.lines] == [
        ("written_off", Decimal(300)),
        ("unbilled", Decimal(-1200)),
        ("unbilled", Decimal(900)),
    ]
    assert sum(s.segment.seconds for s in adjusted.live(live).values() if s.segment) == 8 * 3600


def test_a_correction_after_posting_leaves_billed_alone() -> None:
    """Posted 8 h/1,200, corrected to 6: billed stays, -8 h and 6 h/900 are unbilled; both posted: 6 h/900."""
    firm = put_rate(small_firm(), "erp:R-default", 150)
    line = posted("erp:I1", "time:1", 8, 1200)
    live = diff({}, allocated(firm, [item(firm, 1, "03-02", 8)], [line])).live({})
    corrected = item(firm, 1, "03-02", 6, version=2)
    segments = allocated(firm, [corrected], [line])
    assert shown(segments) == {
        ("time:1", "inv:erp:I1"): ("billed", 8, "1200.00"),
        ("time:1", "due:erp:I1"): ("unbilled", -8, "-1200.00"),
        ("time:1", "base"): ("unbilled", 6, "900.00"),
    }
    assert segments["time:1", "due:erp:I1"].exception_class == "CREDIT_DUE"
    assert {line.segment.bucket for line in diff(live, segments).lines} == {"unbilled"}

    both = [
        line,
        credit("erp:I2", line, 8, 1200),
        posted("erp:I3", "time:1", 6, 900, entry_version=2),
    ]
    assert shown(allocated(firm, [corrected], both)) == {("time:1", "inv:erp:I3"): ("billed", 6, "900.00")}


@pytest.mark.parametrize(
    ("approved", "expected"),
    [(datetime(2026, 4, 2, 9, tzinfo=UTC), "03-30"), (datetime(2026, 4, 4, 9, tzinfo=UTC), "04-01")],
)
def test_the_decision_not_the_arrival_chooses_the_period(approved: datetime, expected: str) -> None:
    """Work of 30 March, closed 3 April 18:00: approved 2 April counts in March, 4 April on 1 April."""
    firm = small_firm()
    closed = datetime(2026, 4, 3, 18, tzinfo=UTC)
    firm.put(
        "period", "erp:2026-03", legal_entity_id="erp:LE1", starts_on=day("03-01"), ends_on=day("04-01"),
        closed_at=closed,
    )  # fmt: skip
    firm.put("period", "erp:2026-04", legal_entity_id="erp:LE1", starts_on=day("04-01"), ends_on=day("05-01"))
    result = rated(firm, entry(1, "03-30", 8, approved_at=approved))
    assert result.item is not None
    assert result.item.accounting_date == day(expected)
