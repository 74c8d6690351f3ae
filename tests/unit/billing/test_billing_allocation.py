"""Allocation rule by rule: dispositions, posted lines, write-offs, inclusions, caps, day lines."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from billing_builders import (
    HOUR,
    ROOT,
    Firm,
    allocated,
    credit,
    day,
    field_names,
    item,
    money,
    posted,
    put_rate,
    record,
    shown,
    small_firm,
    write_off,
)
from hypothesis import given
from hypothesis import strategies as st

from agents.billing import (
    Adjustment,
    Cap,
    Item,
    LineTerms,
    Milestone,
    PostedLine,
    Segment,
    Terms,
    allocate_item,
    rate_milestone,
)
from agents.billing.caps import split
from agents.billing.items import order_bytes, order_key
from streams.errors import InvalidValue

DAY_ID = "day:erp:C1:erp:L1:2026-03-02"


def milestone(firm: Firm) -> Item:
    """Milestone M-1 of 5,000, accepted on 2 March."""
    row = record(
        "milestone",
        "erp:M-1",
        engagement_id=ROOT,
        contract_line_id="erp:L1",
        amount=money(5000),
        status="accepted",
        accepted_on=day("03-02"),
        accepted_at=datetime(2026, 3, 2, 12, tzinfo=UTC),
    )
    result = rate_milestone(Milestone.from_record(row), firm.ref)
    assert result.item is not None
    return Item.from_record(result.item.fields())


def test_a_segment_has_the_dimensions_and_the_price_of_its_item() -> None:
    """Its fields are those of the schema, and make the same segment again."""
    firm = small_firm()
    (segment,) = allocated(firm, [item(firm, 1, "03-02", 8, task_id="erp:T1")]).values()
    assert set(segment.fields()) <= set(field_names("events/billing_current"))
    assert set(segment.fields()) <= set(field_names("events/billing_event"))
    assert Segment.from_record(segment.fields()) == segment
    assert (segment.root_id, segment.project_id, segment.task_id) == (ROOT, "erp:P1", "erp:T1")
    assert (segment.price, segment.rate_id, segment.fx_rate) == (money(100), "erp:R-default", Decimal(1))


@pytest.mark.parametrize(
    ("line", "bucket"),
    [({"billing_method": "milestone"}, "fixed_fee"), ({"billing_method": "non_billable"}, "non_chargeable")],
)
def test_unpriced_time_keeps_its_seconds_at_amount_zero(line: dict[str, Any], bucket: str) -> None:
    """Fixed-fee and non-chargeable time shows its seconds; the amount is known to be 0."""
    firm = small_firm(**line)
    assert shown(allocated(firm, [item(firm, 1, "03-02", 8)])) == {("time:1", "base"): (bucket, 8, "0.00")}


def test_parked_time_has_no_known_amount() -> None:
    """Parked money is unknown, not 0; the segment says what it waits for."""
    firm = small_firm().drop("rate", "erp:R-default")
    segments = allocated(firm, [item(firm, 1, "03-02", 8)])
    assert shown(segments) == {("time:1", "base"): ("parked", 8, None)}
    segment = segments["time:1", "base"]
    assert (segment.exception_class, segment.missing_keys) == ("MISSING_RATE", ("rate:erp:L1/erp:C1",))


def test_nothing_is_not_a_segment() -> None:
    """An entry of no time has no segment; a parked milestone shows all the same."""
    firm = small_firm()
    assert allocated(firm, [item(firm, 1, "03-02", 0)]) == {}
    firm.drop("client", "erp:CL1")
    assert shown(allocated(firm, [milestone(firm)])) == {("erp:M-1", "base"): ("parked", 0, None)}


def test_a_milestone_is_unbilled_until_posted_and_outside_caps() -> None:
    """Posted lines reduce it by money; caps don't hold it back."""
    firm = small_firm(billing_method="milestone").put("engagement", ROOT, cap_money=money(100))
    made = milestone(firm)
    assert shown(allocated(firm, [made])) == {("erp:M-1", "base"): ("unbilled", 0, "5000.00")}
    assert shown(allocated(firm, [made], [posted("erp:I1", "erp:M-1", 0, 2000)])) == {
        ("erp:M-1", "inv:erp:I1"): ("billed", 0, "2000.00"),
        ("erp:M-1", "base"): ("unbilled", 0, "3000.00"),
    }
    assert shown(allocated(firm, [made], [posted("erp:I1", "erp:M-1", 0, 5000)])) == {
        ("erp:M-1", "inv:erp:I1"): ("billed", 0, "5000.00"),
    }


RELEASED = datetime(2026, 4, 1, tzinfo=UTC)


def test_drafts_deletions_and_released_adjustments_have_no_effect() -> None:
    """Only posted lines and what is decided now count."""
    assert PostedLine.from_record(record("invoice_line", "erp:I1", status="draft")) is None
    assert PostedLine.from_record(record("invoice_line", "erp:I1", status="posted", deleted=True)) is None
    assert (
        Adjustment.from_record(record("bill_adjustment", "erp:A1", kind="hold", released_at=RELEASED)) is None
    )
    assert Adjustment.from_record(record("bill_adjustment", "erp:A1", deleted=True)) is None
    with pytest.raises(InvalidValue, match="erp:I1 is posted but has no posted_at"):
        PostedLine.from_record(record("invoice_line", "erp:I1", status="posted"))


def test_a_posted_line_is_dated_by_its_posting_in_utc() -> None:
    """The ERP's own figures, the UTC date of the posting, the line and currency of the contract."""
    firm = small_firm()
    line = posted("erp:I1", "time:1", 8, 790, posted_at=datetime.fromisoformat("2026-04-01T01:00+02:00"))
    segment = allocated(firm, [item(firm, 1, "03-02", 8)], [line])["time:1", "inv:erp:I1"]
    assert (segment.accounting_date, segment.work_date) == (day("03-31"), day("03-02"))
    assert (segment.amount, segment.currency, segment.contract_line_id) == (money(790), "EUR", "erp:L1")
    assert (segment.invoice_line_id, segment.client_id) == ("erp:I1", "erp:CL1")
    assert segment.price is None


def test_a_partial_credit_opens_what_it_takes_back() -> None:
    """Billed 8 h/800, credited 3 h/300: 5 h billed, 3 h unbilled again, never twice."""
    firm = small_firm()
    line = posted("erp:I1", "time:1", 8, 800)
    assert shown(allocated(firm, [item(firm, 1, "03-02", 8)], [line, credit("erp:I2", line, 3, 300)])) == {
        ("time:1", "inv:erp:I1"): ("billed", 5, "500.00"),
        ("time:1", "base"): ("unbilled", 3, "300.00"),
    }


def test_a_credited_invoice_leaves_the_time_to_invoice() -> None:
    """A wholly credited line is gone, and the time is unbilled: no silent leakage."""
    firm = small_firm()
    line = posted("erp:I1", "time:1", 8, 800)
    segments = allocated(firm, [item(firm, 1, "03-02", 8)], [credit("erp:I2", line, 8, 800), line])
    assert shown(segments) == {("time:1", "base"): ("unbilled", 8, "800.00")}


def test_a_credit_of_an_unposted_line_takes_back_nothing() -> None:
    """The credit names a charge that is not posted."""
    firm = small_firm()
    orphan = credit("erp:I2", posted("erp:I1", "time:1", 8, 800), 8, 800)
    segments = allocated(firm, [item(firm, 1, "03-02", 8)], [orphan])
    assert shown(segments) == {("time:1", "base"): ("unbilled", 8, "800.00")}


def test_a_withdrawal_after_posting_is_due_as_a_credit() -> None:
    """The entry is gone, the line stays billed, and as much is due: together 0 s."""
    firm = small_firm()
    segments = allocated(firm, [], [posted("erp:I1", "time:1", 8, 800)])
    assert shown(segments) == {
        ("time:1", "inv:erp:I1"): ("billed", 8, "800.00"),
        ("time:1", "due:erp:I1"): ("unbilled", -8, "-800.00"),
    }
    due = segments["time:1", "due:erp:I1"]
    assert (due.exception_class, due.invoice_line_id, due.accounting_date) == (
        "CREDIT_DUE",
        "erp:I1",
        day("03-31"),
    )


@pytest.mark.parametrize(
    ("price", "applies", "base"),
    [
        ("100", False, (4, "400.00")),
        (
            "100.01",
            False,
            (4, "400.04"),
        ),  # 0.04 more on what was posted is more than a cent and a second's worth
        ("150", False, (4, "600.00")),  # the posted part keeps its price
        ("150", True, (4, "800.00")),  # the rate says it re-prices what was invoiced
        ("50", True, (4, "0.00")),
    ],
)
def test_a_rate_change_after_posting(price: str, applies: bool, base: tuple[int, str]) -> None:
    """4 of 8 h are posted at 100, then the rate changes: posted is frozen unless the rate says otherwise."""
    firm = put_rate(small_firm(), "erp:R-default", price, applies_to_invoiced=applies)
    segments = shown(allocated(firm, [item(firm, 1, "03-02", 8)], [posted("erp:I1", "time:1", 4, 400)]))
    assert segments["time:1", "inv:erp:I1"] == ("billed", 4, "400.00")
    assert segments["time:1", "base"] == ("unbilled", *base)


def test_the_erp_may_round_its_own_way() -> None:
    """A cent of difference in what the ERP posted is settled by subtraction, not seen as a rate change."""
    firm = put_rate(small_firm(), "erp:R-default", "133.33")
    made = item(firm, 1, "03-02", 2)
    segments = shown(allocated(firm, [made], [posted("erp:I1", "time:1", 1, "133.34")]))
    assert segments["time:1", "base"] == ("unbilled", 1, "133.32")


def test_posted_parts_reduce_unpriced_and_parked_time() -> None:
    """Seconds are conserved whatever became of the item; the amount stays 0, or unknown."""
    line = posted("erp:I1", "time:1", 3, 300)
    firm = small_firm(billing_method="milestone")
    assert shown(allocated(firm, [item(firm, 1, "03-02", 8)], [line]))["time:1", "base"] == (
        "fixed_fee",
        5,
        "0.00",
    )
    firm = small_firm().drop("rate", "erp:R-default")
    assert shown(allocated(firm, [item(firm, 1, "03-02", 8)], [line]))["time:1", "base"] == (
        "parked",
        5,
        None,
    )
    whole = posted("erp:I1", "time:1", 8, 800)
    assert ("time:1", "base") not in allocated(firm, [item(firm, 1, "03-02", 8)], [whole])


def test_write_offs_take_what_is_left_in_the_order_of_their_ids() -> None:
    """8 h: A1 takes 3 h, A2 6 h of the 5 h that are left, A3 nothing; only what isn't posted can be taken."""
    firm = small_firm()
    made = item(firm, 1, "03-02", 8)
    three = [
        write_off("erp:A3", "time:1", 1),
        write_off("erp:A2", "time:1", 6),
        write_off("erp:A1", "time:1", 3),
    ]
    assert shown(allocated(firm, [made], (), three)) == {
        ("time:1", "adj:erp:A1"): ("written_off", 3, "300.00"),
        ("time:1", "adj:erp:A2"): ("written_off", 5, "500.00"),
    }
    posted_seven = allocated(firm, [made], [posted("erp:I1", "time:1", 7, 700)], three)
    assert shown(posted_seven)["time:1", "adj:erp:A1"] == ("written_off", 1, "100.00")


def test_a_write_off_of_unpriced_time_waits() -> None:
    """There is nothing priced to write off."""
    firm = small_firm(billing_method="milestone")
    segments = allocated(firm, [item(firm, 1, "03-02", 8)], (), [write_off("erp:A1", "time:1", 2)])
    assert shown(segments) == {("time:1", "base"): ("fixed_fee", 8, "0.00")}


def test_write_offs_release_headroom() -> None:
    """Cap 1,000, two entries of 600: writing off 2 h of the first lets 2 h more of the second in."""
    firm = small_firm(cap_money=money(1000))
    items = [item(firm, 1, "03-02", 6), item(firm, 2, "03-03", 6)]
    segments = allocated(firm, items, (), [write_off("erp:A1", "time:1", 2)])
    assert shown(segments)["time:2", "base"] == ("unbilled", 6, "600.00")
    assert ("time:2", "over-line") not in segments


def test_a_prepaid_lot_covers_in_order_then_time_is_billed() -> None:
    """A lot of 10 h: 6 h, then 4 of 6 h covered; the rest is unbilled as time and materials."""
    firm = small_firm(billing_method="prepaid", included_seconds=10 * HOUR)
    assert shown(allocated(firm, [item(firm, 2, "04-03", 6), item(firm, 1, "03-02", 6)])) == {
        ("time:1", "covered"): ("covered", 6, "600.00"),
        ("time:2", "covered"): ("covered", 4, "400.00"),
        ("time:2", "base"): ("unbilled", 2, "200.00"),
    }


def test_a_retainer_covers_each_calendar_month() -> None:
    """10 h a month: April starts anew, March's excess is unbilled and draws on the cap."""
    firm = small_firm(billing_method="retainer", included_seconds=10 * HOUR, cap_seconds=HOUR)
    items = [item(firm, 1, "03-02", 8), item(firm, 2, "03-31", 4), item(firm, 3, "04-01", 8)]
    assert shown(allocated(firm, items)) == {
        ("time:1", "covered"): ("covered", 8, "800.00"),
        ("time:2", "covered"): ("covered", 2, "200.00"),
        ("time:2", "base"): ("unbilled", 1, "100.00"),
        ("time:2", "over-line"): ("over_cap", 1, "100.00"),
        ("time:3", "covered"): ("covered", 8, "800.00"),
    }


def test_a_retainer_that_includes_nothing_covers_nothing() -> None:
    """No inclusion is none, not without limit."""
    firm = small_firm(billing_method="retainer")
    assert shown(allocated(firm, [item(firm, 1, "03-02", 8)])) == {
        ("time:1", "base"): ("unbilled", 8, "800.00")
    }


@pytest.mark.parametrize(
    ("action", "bucket"),
    [("hold", "over_cap"), ("write_off", "written_off"), ("bill", "unbilled"), (None, "over_cap")],
)
def test_the_over_cap_action_names_the_bucket(action: str | None, bucket: str) -> None:
    """Held by default; the segment is its own in every case."""
    firm = small_firm(cap_seconds=6 * HOUR, over_cap_action=action)
    assert shown(allocated(firm, [item(firm, 1, "03-02", 8)])) == {
        ("time:1", "base"): ("unbilled", 6, "600.00"),
        ("time:1", "over-line"): (bucket, 2, "200.00"),
    }


def test_a_cap_below_what_is_billed_is_no_headroom() -> None:
    """A cap cut to 500 after 800 were posted: no automatic credit, and nothing more passes."""
    firm = small_firm(cap_money=money(500))
    items = [item(firm, 1, "03-02", 8), item(firm, 2, "03-03", 1)]
    assert shown(allocated(firm, items, [posted("erp:I1", "time:1", 8, 800)])) == {
        ("time:1", "inv:erp:I1"): ("billed", 8, "800.00"),
        ("time:2", "over-line"): ("over_cap", 1, "100.00"),
    }


def test_stale_posted_lines_use_up_the_cap_until_they_are_credited() -> None:
    """Posted 8 h of version 1 under a cap of 8 h: version 2 of 6 h has no room yet."""
    firm = small_firm(cap_seconds=8 * HOUR)
    made = item(firm, 1, "03-02", 6, version=2)
    line = posted("erp:I1", "time:1", 8, 800)
    assert shown(allocated(firm, [made], [line])) == {
        ("time:1", "inv:erp:I1"): ("billed", 8, "800.00"),
        ("time:1", "due:erp:I1"): ("unbilled", -8, "-800.00"),
        ("time:1", "over-line"): ("over_cap", 6, "600.00"),
    }
    assert shown(allocated(firm, [made], [line, credit("erp:I2", line, 8, 800)])) == {
        ("time:1", "base"): ("unbilled", 6, "600.00"),
    }


def test_a_negative_remainder_passes_the_cap_and_frees_nothing() -> None:
    """Posted 4 h/400, the rate drops to 40 for invoiced time too: 4 h/-80 pass a cap that has 100 left."""
    firm = put_rate(small_firm(cap_money=money(500)), "erp:R-default", 40, applies_to_invoiced=True)
    items = [item(firm, 1, "03-02", 8), item(firm, 2, "03-03", 5)]
    assert shown(allocated(firm, items, [posted("erp:I1", "time:1", 4, 400)])) == {
        ("time:1", "inv:erp:I1"): ("billed", 4, "400.00"),
        ("time:1", "base"): ("unbilled", 4, "-80.00"),
        ("time:2", "base"): ("unbilled", Decimal("2.5"), "100.00"),
        ("time:2", "over-line"): ("over_cap", Decimal("2.5"), "100.00"),
    }


def test_a_posted_day_line_reduces_or_outlives_its_day() -> None:
    """A posted uplift of 100 covers the day's; when more time makes it void it is due as a credit."""
    firm = small_firm(day_minimum_seconds=4 * HOUR)
    line = posted("erp:I1", DAY_ID, 0, 100)
    three = [item(firm, 1, "03-02", 3)]
    assert shown(allocated(firm, three, [line])) == {
        ("time:1", "base"): ("unbilled", 3, "300.00"),
        (DAY_ID, "inv:erp:I1"): ("billed", 0, "100.00"),
    }
    two = [item(firm, 1, "03-02", 2)]
    assert shown(allocated(firm, two, [line]))[DAY_ID, "uplift"] == ("unbilled", 0, "100.00")
    five = [*three, item(firm, 2, "03-02", 2)]
    assert shown(allocated(firm, five, [line]))[DAY_ID, "due:erp:I1"] == ("unbilled", 0, "-100.00")
    assert (DAY_ID, "uplift") not in allocated(firm, five, [line])


def test_a_day_minimum_is_priced_by_the_first_item_without_its_multiplier() -> None:
    """time:9 is weekend time on a task at 150, time:10 is at 100: the missing 2 h are at 150, not 300 or 100."""
    firm = put_rate(
        small_firm(day_minimum_seconds=4 * HOUR), "erp:R1", 150, task_id="erp:T1", consultant_id="erp:C1"
    )
    items = [item(firm, 10, "03-02", 1), item(firm, 9, "03-02", 1, kind="weekend", task_id="erp:T1")]
    segment = allocated(firm, items)[DAY_ID, "uplift"]
    assert (segment.amount, segment.multiplier, segment.price) == (Decimal(300), Decimal(1), money(150))
    assert (segment.consultant_id, segment.project_id) == ("erp:C1", None)


def test_a_day_minimum_counts_a_consultant_and_a_line_apart() -> None:
    """Two consultants on one day are two days."""
    firm = small_firm(day_minimum_seconds=4 * HOUR).put("consultant", "erp:C2", role="dev")
    items = [item(firm, 1, "03-02", 3), item(firm, 2, "03-02", 3, consultant_id="erp:C2")]
    assert {key[0] for key in allocated(firm, items) if key[1] == "uplift"} == {
        DAY_ID,
        "day:erp:C2:erp:L1:2026-03-02",
    }


def test_items_are_ordered_by_date_system_and_number() -> None:
    """time:9 before time:10 before time:A1 before erp:M-1, whatever the text says; the day comes first."""
    firm = small_firm()
    made = [item(firm, 1, "03-02", 1)]
    ids = ["erp:M-1", "time:A1", "x:1", "time:10", "time:9"]
    rows = [*((entry_id, "03-02") for entry_id in ids), ("time:99", "03-01")]
    items = [Item.from_record({**made[0].fields(), "entry_id": e, "work_date": day(d)}) for e, d in rows]
    assert [i.entry_id for i in sorted(items, key=order_key)] == [
        "time:99",
        "time:9",
        "time:10",
        "time:A1",
        "erp:M-1",
        "x:1",
    ]


NATIVE = st.one_of(
    st.integers(0, 10**20).map(str), st.text("0A-:é", max_size=5), st.sampled_from(["007", "7", "10"])
)
PLACED = st.tuples(
    st.sampled_from([day("03-01"), day("03-02")]), st.tuples(st.sampled_from(["time", "erp", "x"]), NATIVE)
)


@given(st.lists(PLACED, max_size=8))
def test_the_order_is_the_same_in_bytes(placed: list[tuple[date, tuple[str, str]]]) -> None:
    """For keys of a store; the id is at their end."""
    items = [Placed(on, ":".join(names)) for on, names in placed]
    in_order = sorted(items, key=order_key)
    assert sorted(items, key=order_bytes) == in_order
    assert [order_bytes(one).rsplit(b"\0", 1)[1].decode() for one in in_order] == [
        o.entry_id for o in in_order
    ]


class Placed(NamedTuple):
    """What has an order."""

    work_date: date
    entry_id: str


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        ((None, None), (28800, "1100", 0, "0")),
        ((None, "100"), (2618, "100", 26182, "1000")),
        ((3600, None), (3600, "137.50", 25200, "962.50")),
        ((3600, "100"), (2618, "100", 26182, "1000")),
        ((1800, "100"), (1800, "68.75", 27000, "1031.25")),
        ((0, None), (0, "0", 28800, "1100")),
        ((None, "0"), (0, "0", 28800, "1100")),
    ],
)
def test_split(room: tuple[int | None, str | None], expected: tuple[int, str, int, str]) -> None:
    """8 h at 137.50 against room in seconds, in money, in both and in neither; the tighter one cuts."""
    seconds, text = room
    parts = split(28800, Decimal(1100), seconds, None if text is None else Decimal(text), "EUR", "half_up")
    assert parts == (expected[0], Decimal(expected[1]), expected[2], Decimal(expected[3]))


def test_room_in_money_never_lets_more_seconds_pass_than_room_in_seconds() -> None:
    """10 h worth 0.02, room for 9,001 s and 0.0099: the money would buy 17,820 s, of which 9,001 have room."""
    parts = split(36000, Decimal("0.02"), 9001, Decimal("0.0099"), "EUR", "half_up")
    assert parts == (9001, Decimal("0.0099"), 26999, Decimal("0.0101"))


@pytest.mark.parametrize(
    ("line", "cap", "independent"),
    [
        ({}, Cap(), True),
        ({"method": "retainer"}, Cap(), True),
        ({"included_seconds": 5}, Cap(), True),  # time and materials has no inclusion
        ({"method": "retainer", "included_seconds": 5}, Cap(), False),
        ({"method": "prepaid", "included_seconds": 5}, Cap(), False),
        ({"method": "per_diem"}, Cap(), False),
        ({"day_minimum_seconds": 5}, Cap(), False),
        ({"cap": Cap(seconds=0)}, Cap(), False),
        ({}, Cap(money=Decimal(0)), False),
    ],
)
def test_a_root_is_independent_when_its_items_share_nothing(
    line: dict[str, Any], cap: Cap, independent: bool
) -> None:
    """A cap of 0 is a cap; an inclusion that its method doesn't use is none."""
    terms = Terms(ROOT, "EUR", cap=cap, lines={"erp:L1": LineTerms(**{"method": "tm", **line})})
    assert terms.is_independent is independent


def test_terms_follow_the_contract() -> None:
    """A changed cap is in the terms at once; a root that is no engagement has none."""
    firm = small_firm()
    assert firm.ref.terms(ROOT).cap == Cap()
    firm.put("engagement", ROOT, cap_money=money(5))
    assert firm.ref.terms(ROOT).cap == Cap(money=money(5))
    firm.put("contract_line", "erp:L1", included_seconds=7)
    assert firm.ref.terms(ROOT).lines["erp:L1"].included_seconds == 7
    firm.put("contract_line", "erp:L1", engagement_id="erp:E2")
    assert firm.ref.terms(ROOT).lines == {}
    firm.drop("engagement", ROOT)
    assert firm.ref.terms(ROOT).is_independent
    assert firm.ref.terms("entry:time:1").currency is None


def test_the_fast_path_covers_a_withdrawn_entry() -> None:
    """Without its item, what was posted of an entry is due."""
    firm = small_firm()
    line = posted("erp:I1", "time:1", 8, 800)
    fast = allocate_item("time:1", None, [line], [], firm.ref.terms(ROOT))
    assert fast == allocated(firm, [], [line])
