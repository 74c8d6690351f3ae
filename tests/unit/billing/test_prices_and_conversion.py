"""What a price is for, and how a contract converts it: each example judged by the agents and by the oracle."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import HOUR, D, Sources, day
from two_judges import Agents, Judge, Oracle

BASE = ("time:1", "base")


def by_the_day(price: int = 1000, hours: str = "7.5", **columns: Any) -> Sources:
    """The firm with a default price of a day."""
    return Sources().put("rate", "R", price=D(price), unit="day", hours_per_day=D(hours), **columns)


def in_dollars(**columns: Any) -> Sources:
    """The firm with a contract in USD; its price is 133.33 EUR an hour."""
    return Sources().put("engagement", "E", currency="USD", **columns).put("rate", "R", price=D("133.33"))


def published(sources: Sources, native: str, pair: str, rate: str, **columns: Any) -> Sources:
    """A rate published for 5 March."""
    first, second = pair.split(":")
    columns = {"day": day("03-05"), **columns}
    return sources.put("fx_rate", native, from_currency=first, to_currency=second, rate=D(rate), **columns)


def test_a_price_of_a_day_is_for_its_hours(judge: Judge) -> None:
    """3 h at 1,000 a day of 7.5 h: 400.00; by the hour of 133.33 it would be 399.99."""
    assert judge(by_the_day().work(1, "03-05", 3)).figures == {BASE: ("unbilled", 3 * HOUR, D("400.00"))}


def test_a_day_is_as_long_as_its_rate_says(judge: Judge) -> None:
    """8 h at 1,000: a day of 8 h is 1,000.00, one of 7.5 h is 1,066.67."""
    assert judge(by_the_day(hours="8").work(1, "03-05", 8)).figures[BASE][2] == D("1000.00")
    assert judge(by_the_day().work(1, "03-05", 8)).figures[BASE][2] == D("1066.67")


def test_overtime_raises_the_price_of_a_day(judge: Judge) -> None:
    """3 h of overtime at 1,000 a day of 7.5 h x 1.5: 600.00."""
    assert judge(by_the_day().work(1, "03-05", 3, kind="overtime")).figures[BASE][2] == D("600.00")


def test_a_day_without_a_length_is_refused(judge: Judge) -> None:
    """The rate is quarantined, so the work waits for one; it is never priced by a length that nobody gave."""
    sources = Sources().put("rate", "R", unit="day").work(1, "03-05", 3)
    assert judge(sources).parked == {"time:1": ("MISSING_RATE", ("rate:erp:L/erp:C",))}


@pytest.mark.parametrize("kind", ["standard", "overtime"])
@pytest.mark.parametrize("hours", ["0.5", "3"])
def test_a_fixed_price_is_for_the_entry(judge: Judge, hours: str, kind: str) -> None:
    """A call at 250: 250.00, however long, of whatever kind, and its quantity is not rounded."""
    sources = Sources().put("rate", "R", price=D(250), unit="fixed")
    sources.put("contract_line", "L", quantity_increment_seconds=3600).work(1, "03-05", hours, kind=kind)
    seconds = int(D(hours) * HOUR)
    assert judge(sources).figures == {BASE: ("unbilled", seconds, D("250.00"))}


def test_a_cap_splits_a_fixed_price(judge: Judge) -> None:
    """Cap 400, two calls at 250 of 1 h and 2 h: the second has 150 for 4,320 s, and 100 for 2,880 s over."""
    sources = Sources().put("rate", "R", price=D(250), unit="fixed").put("engagement", "E", cap_money=D(400))
    figures = judge(sources.work(1, "03-05", 1).work(2, "03-06", 2)).figures
    assert figures["time:2", "base"] == ("unbilled", 4320, D("150.00"))
    assert figures["time:2", "over-engagement"] == ("over_cap", 2880, D("100.00"))


def test_a_day_minimum_is_of_time_that_is_paid_as_such(judge: Judge) -> None:
    """Minimum 4 h: 1 h at 1,000 a day of 8 h and a call at 250 of 3 h: the uplift is 3 h, 375.00."""
    sources = by_the_day(hours="8").put("contract_line", "L", day_minimum_hours=D(4))
    sources.put("task", "T", project_id="P", billing_class="billable")
    sources.put("rate", "R2", price=D(250), unit="fixed", task_id="T", consultant_id="C", role=None)
    figures = judge(sources.work(1, "03-05", 1).work(2, "03-05", 3, task_code="T")).figures
    assert figures[BASE] == ("unbilled", HOUR, D("125.00"))
    assert figures["time:2", "base"] == ("unbilled", 3 * HOUR, D("250.00"))
    assert figures["day:erp:C:erp:L:2026-03-05", "uplift"] == ("unbilled", 0, D("375.00"))


def test_a_change_of_unit_is_a_change_of_price() -> None:
    """From an hour to a day of 8 h at the same 100: the line is reversed, and charged at an eighth."""
    agents, sources = Agents(), Sources().work(1, "03-05", 8)
    agents(sources)
    agents(sources.put("rate", "R", unit="day", hours_per_day=D(8)))
    assert [(line.kind, line.segment.amount) for line in agents.lines] == [
        ("REVERSAL", D("-800.00")),
        ("CHARGE", D("100.00")),
    ]


def test_the_contract_names_the_type_of_its_rate(judge: Judge) -> None:
    """A spot rate does not serve a contract that converts by the corporate one."""
    sources = published(
        in_dollars(fx_rate_type="corporate").work(1, "03-05", "7.5"), "F", "EUR:USD", "1.0837"
    )
    missing = ("MISSING_FX", ("fx:corporate:EUR:USD:2026-03-05",))
    assert judge(sources).parked == {"time:1": missing}
    published(sources, "G", "EUR:USD", "1.1", rate_type="corporate")
    assert judge(sources).figures == {BASE: ("unbilled", 27_000, D("1099.97"))}


def test_a_typed_rate_is_no_spot_rate(judge: Judge) -> None:
    """Nor the other way round."""
    sources = published(in_dollars().work(1, "03-05", 1), "G", "EUR:USD", "1.1", rate_type="corporate")
    assert judge(sources).parked == {"time:1": ("MISSING_FX", ("fx:EUR:USD:2026-03-05",))}


def test_an_inverse_contract_divides(judge: Judge) -> None:
    """7.5 h at EUR 133.33, USD:EUR at 0.9228: divided, 1,083.63; EUR:USD is not looked at."""
    sources = in_dollars(fx_direction="inverse").work(1, "03-05", "7.5")
    published(sources, "F", "EUR:USD", "1.0837")
    assert judge(sources).parked == {"time:1": ("MISSING_FX", ("fx:USD:EUR:2026-03-05",))}
    published(sources, "G", "USD:EUR", "0.9228")
    assert judge(sources).figures == {BASE: ("unbilled", 27_000, D("1083.63"))}


def test_a_division_is_rounded_once(judge: Judge) -> None:
    """8 h at VND 999,999 and EUR:VND at 30,512.40: 262.19; by a reciprocal of eight places it would be 262.16."""
    sources = Sources().put("engagement", "E", fx_direction="inverse")
    sources.put("rate", "R", price=D(999_999), currency="VND").work(1, "03-05", 8)
    published(sources, "F", "EUR:VND", "30512.40")
    assert judge(sources).figures[BASE][2] == D("262.19")


def test_a_reciprocal_has_the_bound_of_a_published_rate(judge: Judge) -> None:
    """1 over 0.000001 is a million, as no rate may be: the amount might not fit the ledger."""
    sources = in_dollars(fx_direction="inverse").work(1, "03-05", 1)
    published(sources, "G", "USD:EUR", "0.000001")
    assert judge(sources).parked == {"time:1": ("MISSING_FX", ("fx:USD:EUR:2026-03-05",))}


amounts = st.decimals(min_value="0.0001", max_value="9999", places=4)


@settings(max_examples=150, deadline=None)
@given(
    unit=st.sampled_from([None, "hour", "day", "fixed"]),
    price=amounts,
    day_hours=st.decimals(min_value="0.5", max_value=24, places=4),
    rates=st.dictionaries(
        st.sampled_from(["EUR:USD", "USD:EUR"]),
        st.tuples(st.decimals("0.00000001", "1500", places=8), st.sampled_from([None, "corporate"])),
    ),
    direction=st.sampled_from([None, "direct", "inverse"]),
    rate_type=st.sampled_from([None, "corporate"]),
    work=st.lists(st.tuples(st.integers(1, 9), st.decimals("0.01", 24, places=2)), min_size=1, max_size=4),
    line=st.fixed_dictionaries(
        {
            "cap_money": st.none() | st.integers(0, 2000).map(Decimal),
            "day_minimum_hours": st.none() | st.integers(1, 12).map(Decimal),
            "quantity_increment_seconds": st.sampled_from([None, 900]),
            "rounding": st.sampled_from(["half_up", "half_even"]),
        }
    ),
)
def test_both_judges_agree(
    unit: str | None,
    price: Decimal,
    day_hours: Decimal,
    rates: dict[str, tuple[Decimal, str | None]],
    direction: str | None,
    rate_type: str | None,
    work: list[tuple[int, Decimal]],
    line: dict[str, Any],
) -> None:
    """Whatever a price is for, however it converts, and whatever limits the line has."""
    sources = in_dollars(fx_direction=direction, fx_rate_type=rate_type)
    sources.put("rate", "R", price=price, unit=unit, hours_per_day=day_hours).put(
        "contract_line", "L", **line
    )
    for native, (pair, (rate, type_)) in enumerate(rates.items()):
        published(sources, f"F{native}", pair, str(rate), rate_type=type_)
    for number, (on, hours) in enumerate(work, start=1):
        sources.work(number, f"03-0{on}", hours, kind="overtime" if number % 2 else "standard")
    said, expected = Agents()(sources), Oracle()(sources)
    assert (said.figures, said.parked) == (expected.figures, expected.parked)
    said.check_conservation()
