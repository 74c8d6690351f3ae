"""What is billed of an entry's time: increments, the nearest or every started one, and a minimum for an entry."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import HOUR, D, Sources
from two_judges import Agents, Judge, Oracle

from agents.billing.quantities import QuantityRule, round_quantity

MINUTE = 60
BASE, ROUNDING = ("time:1", "base"), ("time:1", "rounding")


def of(minutes: int, **line: Any) -> Sources:
    """One entry at 150 an hour; a source's hours have four places."""
    hours = (D(minutes) / 60).quantize(D("0.0001"))
    return Sources().put("rate", "R", price=D(150)).put("contract_line", "L", **line).work(1, "03-05", hours)


def test_every_started_hour(judge: Judge) -> None:
    """20 min at an hour up: 1 h/150; the 40 min that nobody worked are on the rounding line."""
    line = {"quantity_increment_seconds": HOUR, "quantity_rounding": "up"}
    assert judge(of(20, **line)).figures == {
        BASE: ("unbilled", HOUR, D(150)),
        ROUNDING: ("rounding", -40 * MINUTE, D(-100)),
    }


def test_to_the_nearest_hour_twenty_minutes_are_nothing(judge: Judge) -> None:
    """As it is without a rule; with a minimum of half an hour they are that."""
    line = {"quantity_increment_seconds": HOUR}
    expected = {ROUNDING: ("rounding", 20 * MINUTE, D(50))}
    assert judge(of(20, **line)).figures == expected
    assert judge(of(20, **line, quantity_rounding="nearest")).figures == expected
    assert judge(of(20, **line, minimum_quantity_hours=D("0.5"))).figures == {
        BASE: ("unbilled", 30 * MINUTE, D(75)),
        ROUNDING: ("rounding", -10 * MINUTE, D(-25)),
    }


def test_every_started_quarter_of_an_hour(judge: Judge) -> None:
    """61 min at 15 min up: 75 min; 60 min stay 60 min, without a rounding line."""
    line = {"quantity_increment_seconds": 900, "quantity_rounding": "up"}
    figures = judge(of(61, **line)).figures
    assert figures[BASE] == ("unbilled", 75 * MINUTE, D("187.50"))
    assert figures[ROUNDING] == ("rounding", -14 * MINUTE, D("-35.00"))
    assert judge(of(60, **line)).figures == {BASE: ("unbilled", HOUR, D(150))}


def test_at_least_half_an_hour(judge: Judge) -> None:
    """10 min with a minimum of 30 min: 30 min; 40 min are 40 min."""
    line = {"minimum_quantity_hours": D("0.5")}
    figures = judge(of(10, **line)).figures
    assert figures[BASE] == ("unbilled", 30 * MINUTE, D(75))
    assert figures[ROUNDING] == ("rounding", -20 * MINUTE, D(-50))
    assert judge(of(45, **line)).figures == {BASE: ("unbilled", 45 * MINUTE, D("112.50"))}


def test_an_entry_without_time_has_no_minimum(judge: Judge) -> None:
    """Nothing was worked, nothing is billed."""
    line = {"minimum_quantity_hours": D("0.5"), "quantity_increment_seconds": 900, "quantity_rounding": "up"}
    assert judge(of(0, **line)).figures == {}


def test_a_fixed_price_is_for_the_entry_however_long_it_is(judge: Judge) -> None:
    """Its time is not rounded."""
    sources = of(20, quantity_increment_seconds=HOUR, quantity_rounding="up", minimum_quantity_hours=D(2))
    sources.put("rate", "R", unit="fixed")
    assert judge(sources).figures == {BASE: ("unbilled", 20 * MINUTE, D(150))}


def test_each_entry_has_its_minimum_and_the_day_has_its_own(judge: Judge) -> None:
    """2 x 10 min at a minimum of 30 min are an hour: of a day's minimum of 2 h one is missing."""
    sources = of(10, minimum_quantity_hours=D("0.5"), day_minimum_hours=D(2)).work(2, "03-05", "0.1667")
    figures = judge(sources).figures
    assert figures["day:erp:C:erp:L:2026-03-05", "uplift"] == ("unbilled", 0, D(150))


def test_what_is_billed_draws_on_the_cap(judge: Judge) -> None:
    """61 min are 75 min, of which a cap of an hour lets an hour pass."""
    sources = of(61, quantity_increment_seconds=900, quantity_rounding="up", cap_hours=D(1))
    figures = judge(sources).figures
    assert figures[BASE] == ("unbilled", HOUR, D(150))
    assert figures["time:1", "over-line"] == ("over_cap", 15 * MINUTE, D("37.50"))


def test_a_changed_rule_is_a_reversal_and_a_new_charge() -> None:
    """From the nearest to every started quarter: 61 min were 60, and are 75."""
    agents, sources = Agents(), of(61, quantity_increment_seconds=900)
    agents(sources)
    agents(sources.put("contract_line", "L", quantity_rounding="up"))
    assert [(line.kind, line.segment.segment, line.segment.amount) for line in agents.lines] == [
        ("REVERSAL", "base", D("-150.00")),
        ("CHARGE", "base", D("187.50")),
        ("REVERSAL", "rounding", D("-2.50")),
        ("ROUNDING", "rounding", D("-35.00")),
    ]


@pytest.mark.parametrize(
    ("seconds", "rule", "expected"),
    [
        (1349, QuantityRule(900), 900),
        (1350, QuantityRule(900), 1800),
        (450, QuantityRule(900), 900),
        (449, QuantityRule(900), 0),
        (449, QuantityRule(900, minimum=600), 600),
        (1200, QuantityRule(), 1200),
        (7, QuantityRule(3), 6),
        (8, QuantityRule(3), 9),
        (901, QuantityRule(900, is_up=True), 1800),
        (900, QuantityRule(900, is_up=True), 900),
        (1, QuantityRule(900, is_up=True), 900),
        (0, QuantityRule(900, is_up=True, minimum=1800), 0),
    ],
)
def test_quantities(seconds: int, rule: QuantityRule, expected: int) -> None:
    """The nearest multiple, of a half the greater; every started one; the minimum last."""
    assert round_quantity(seconds, rule) == expected


@given(
    seconds=st.integers(1, 86_400),
    increment=st.integers(0, 7200),
    is_up=st.booleans(),
    minimum=st.integers(0, 7200),
)
def test_the_laws_of_a_quantity(seconds: int, increment: int, is_up: bool, minimum: int) -> None:
    """Never below the minimum; up is never less than was worked, nor an increment more; nearest at most half of it."""
    quantity = round_quantity(seconds, QuantityRule(increment, is_up, minimum))
    assert quantity >= minimum
    if quantity > minimum and increment:
        assert quantity % increment == 0
        assert 0 <= quantity - seconds < increment if is_up else abs(2 * (quantity - seconds)) <= increment
    if is_up:
        assert quantity >= seconds


lines = st.fixed_dictionaries(
    {
        "quantity_increment_seconds": st.sampled_from([None, 36, 900, 1188, HOUR]),
        "quantity_rounding": st.sampled_from([None, "nearest", "up"]),
        "minimum_quantity_hours": st.none() | st.decimals(0, 4, places=2),
        "day_minimum_hours": st.none() | st.integers(1, 12).map(Decimal),
        "cap_hours": st.none() | st.decimals(0, 12, places=2),
        "cap_money": st.none() | st.integers(0, 2000).map(Decimal),
    }
)


@settings(max_examples=150, deadline=None)
@given(
    before=lines,
    after=lines,
    unit=st.sampled_from([None, "hour", "day", "fixed"]),
    work=st.lists(st.tuples(st.integers(1, 4), st.decimals(0, 12, places=4)), min_size=1, max_size=5),
    late=st.integers(0, 5),
)
def test_both_judges_agree(
    before: dict[str, Any],
    after: dict[str, Any],
    unit: str | None,
    work: list[tuple[int, Decimal]],
    late: int,
) -> None:
    """Whatever the line says, also when it says something else in between two arrivals."""
    agents, sources = Agents(), Sources().put("contract_line", "L", **before)
    sources.put("rate", "R", price=D("133.33"), unit=unit, hours_per_day=D("7.5"))
    for number, (on, hours) in enumerate(work, start=1):
        if number == late:
            agents(sources)
            sources.put("contract_line", "L", **after)
        sources.work(number, f"03-0{on}", hours)
    said, expected = agents(sources), Oracle()(sources)
    assert (said.figures, said.booked) == (expected.figures, expected.booked)
    said.check_conservation()
