"""The oracle's own rounding, by hand and beside the primitives of what it judges."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.exact import hours_to_seconds, minor_unit, round_money, seconds_for_money, to_places, whole

from streams import money

D = Decimal
currencies = st.sampled_from(["EUR", "USD", "JPY", "VND", "KWD", "TND"])
rules = st.sampled_from(["half_up", "half_even"])
amounts = st.decimals("-99999", "99999", places=6)


@pytest.mark.parametrize(
    ("exact", "rule", "expected"),
    [
        ("2.5", "half_up", 3),
        ("2.5", "half_even", 2),
        ("3.5", "half_even", 4),
        ("-2.5", "half_up", -3),
        ("-2.5", "half_even", -2),
        ("2.4999", "half_up", 2),
        ("2.5001", "half_even", 3),
    ],
)
def test_halves(exact: str, rule: str, expected: int) -> None:
    """Away from zero, or to the even number; what is no half is rounded alike."""
    assert whole(Fraction(exact), rule) == expected


def test_the_examples() -> None:
    """Money to the minor unit, hours to seconds, and what money buys."""
    assert round_money(Fraction(1000, 3), "EUR") == D("333.33")
    assert round_money(D("0.125"), "EUR", "half_even") == D("0.12")
    assert (round_money(D("2.5"), "JPY"), round_money(D("0.0005"), "TND")) == (3, D("0.001"))
    assert hours_to_seconds(D("0.3333")) == 1200
    assert seconds_for_money(D(100), D(1100), 28_800) == 2618
    assert to_places(Fraction(2, 3), 4) == D("0.6667")


@given(amount=amounts, currency=currencies, rule=rules)
def test_both_round_alike(amount: Decimal, currency: str, rule: str) -> None:
    """Two roundings that share no code."""
    assert round_money(amount, currency, rule) == money.round_money(amount, currency, rule)
    assert round_money(Fraction(amount) / 7, currency) == money.round_fraction(Fraction(amount) / 7, currency)
    assert minor_unit(currency) == money.minor_unit(currency)


def test_both_know_the_same_currencies() -> None:
    """Those with an unusual minor unit."""
    for currency in money.UNUSUAL_PLACES:
        assert minor_unit(currency) == money.minor_unit(currency)


@settings(max_examples=200)
@given(
    hours=st.decimals(0, 1000, places=4),
    seconds=st.integers(1, 10**6),
    bought=st.decimals(0, 1, places=6),
    worth=st.decimals("0.01", 99999, places=2),
)
def test_both_give_the_same_time(hours: Decimal, seconds: int, bought: Decimal, worth: Decimal) -> None:
    """Seconds of hours, and of money."""
    assert hours_to_seconds(hours) == money.hours_to_seconds(hours)
    part = worth * bought
    assert seconds_for_money(part, worth, seconds) == money.seconds_for_money(part, worth, seconds)
