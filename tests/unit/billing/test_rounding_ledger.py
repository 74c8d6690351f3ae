"""What rounding takes or gives, cent by cent, beside the exact product of time, price, multiplier and FX."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import D, Sources, day
from two_judges import Agents, Figures, Judge, Oracle

HALF_A_CENT = Fraction(1, 200)
MULTIPLIER = {"standard": Fraction(1), "overtime": Fraction(3, 2)}
ROUNDING = "rounding"


class Worked(NamedTuple):
    """An entry of 5 March, a Thursday."""

    hours: Decimal
    kind: str

    @property
    def seconds(self) -> int:
        """As approved: whole ones, half up."""
        return int(Fraction(self.hours) * 3600 + Fraction(1, 2))


works = st.lists(
    st.builds(Worked, st.decimals("0.0003", 12, places=4), st.sampled_from(list(MULTIPLIER))),
    min_size=1,
    max_size=4,
)
lines = st.fixed_dictionaries(
    {
        "rounding": st.sampled_from(["half_up", "half_even"]),
        "quantity_increment_seconds": st.sampled_from([None, 7, 36, 900, 1188]),
        "quantity_rounding": st.sampled_from([None, "up"]),
        "minimum_quantity_hours": st.none() | st.just(D("0.5")),
    }
)
prices = st.decimals("0.0001", 500, places=4)
rates = st.none() | st.decimals("0.5", 2, places=8)


def firm(price: Decimal, rate: Decimal | None, line: dict[str, Any], work: list[Worked]) -> Sources:
    """A EUR price, converted into dollars if there is a rate."""
    sources = Sources().put("contract_line", "L", **line).put("rate", "R", price=price)
    if rate is not None:
        usd = {"from_currency": "EUR", "to_currency": "USD", "day": day("03-05")}
        sources.put("engagement", "E", currency="USD").put("fx_rate", "F", rate=rate, **usd)
    for number, worked in enumerate(work, start=1):
        sources.work(number, "03-05", worked.hours, kind=worked.kind)
    return sources


def of_entry(figures: Figures, number: int) -> dict[str, tuple[int, Decimal]]:
    """Seconds and money of an entry's segments."""
    entry = f"time:{number}"
    return {
        name: (seconds, amount or D(0)) for (of, name), (_, seconds, amount) in figures.items() if of == entry
    }


def cents(exact: Fraction, rounding: str) -> Fraction:
    """An amount that is not negative, to the cent."""
    units = exact * 100
    return Fraction(round(units) if rounding == "half_even" else int(units + Fraction(1, 2)), 100)


@settings(max_examples=150, deadline=None)
@given(price=prices, rate=rates, line=lines, work=works)
def test_each_cent_is_explained(
    price: Decimal, rate: Decimal | None, line: dict[str, Any], work: list[Worked]
) -> None:
    """By two differences only, of which the second is a line of its own.

    1. What is billed is the exact product of the rounded time, to the nearest cent: half of one away at most.
    2. The rounding line is the rounded worth of the approved time less that, to the cent: what rounding the time
       took. Both together are the exact product of the approved time, half a cent away at most.
    """
    sources = firm(price, rate, line, work)
    for judge in (Agents(), Oracle()):
        figures = judge(sources).figures
        for number, worked in enumerate(work, start=1):
            own = of_entry(figures, number)
            a_second = Fraction(price) * Fraction(rate or 1) * MULTIPLIER[worked.kind] / 3600
            lost_seconds, lost = own.pop(ROUNDING, (0, D(0)))
            quantity, billed = own.pop("base", (0, D(0)))
            assert own == {}
            assert quantity + lost_seconds == worked.seconds
            assert abs(Fraction(billed) - a_second * quantity) <= HALF_A_CENT
            exact = a_second * worked.seconds
            assert Fraction(lost) == cents(exact, line["rounding"]) - cents(
                a_second * quantity, line["rounding"]
            )
            assert abs(Fraction(billed) + Fraction(lost) - exact) <= HALF_A_CENT


@settings(max_examples=150, deadline=None)
@given(price=prices, line=lines, work=works, cap=st.decimals(0, 12, places=4))
def test_splitting_takes_and_gives_nothing(
    price: Decimal, line: dict[str, Any], work: list[Worked], cap: Decimal
) -> None:
    """What a cap in hours lets pass is its share to half a cent; what is over it has the rest of the same entry."""
    whole, split = firm(price, None, line, work), firm(price, None, {**line, "cap_hours": cap}, work)
    for judge in (Agents(), Oracle()):
        before, after = judge(whole).figures, judge(split).figures
        for number in range(1, len(work) + 1):
            entire, parts = of_entry(before, number), of_entry(after, number)
            assert parts.pop(ROUNDING, None) == entire.pop(ROUNDING, None)
            quantity, amount = entire.pop("base", (0, D(0)))
            assert sum(seconds for seconds, _ in parts.values()) == quantity
            assert sum((money for _, money in parts.values()), D(0)) == amount
            seconds, money = parts.get("base", (0, D(0)))
            if quantity:
                assert abs(Fraction(money) - Fraction(amount) * seconds / quantity) <= HALF_A_CENT


def test_three_times_twenty_minutes_cent_by_cent(judge: Judge) -> None:
    """E3 at 133.33: 20 min are 44.44 (exactly 44.4433), 0.33 h are 44.00 (43.9989); the line says 0.44."""
    line = {"quantity_increment_seconds": 1188}
    figures = judge(firm(D("133.33"), None, line, [Worked(D("0.3333"), "standard")])).figures
    assert of_entry(figures, 1) == {"base": (1188, D("44.00")), ROUNDING: (12, D("0.44"))}
