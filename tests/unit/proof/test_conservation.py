"""Conservation: what was approved is in the buckets, to the second and the cent."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from connectors.proof.conservation import Line, conserve

D = Decimal
HOUR = 3600


def test_buckets_that_add_up_have_no_gap() -> None:
    """8 h approved, 6 h billed and 2 h unbilled; money is added up by bucket and currency."""
    lines = [
        Line("time:1", "billed", 6 * HOUR, "EUR", D("600.00")),
        Line("time:1", "unbilled", 2 * HOUR, "EUR", D("200.00")),
        Line("time:2", "parked", HOUR),
    ]
    found = conserve({"time:1": 8 * HOUR, "time:2": HOUR}, lines, {("time:1", "EUR"): D("800.00")})
    assert found.holds
    assert (found.approved_seconds, found.booked_seconds, found.gap_seconds) == (9 * HOUR, 9 * HOUR, 0)
    assert found.seconds == {"billed": 6 * HOUR, "unbilled": 2 * HOUR, "parked": HOUR}
    assert found.money == {("billed", "EUR"): D("600.00"), ("unbilled", "EUR"): D("200.00")}
    assert found.booked_money == {"EUR": D("800.00")}
    assert found.unpriced_seconds == HOUR
    assert found.gap_money == {}


def test_missing_time_and_money_are_a_gap_of_their_entry() -> None:
    """The 2 unbilled hours are missing: 7200 s and 200.00."""
    lines = [Line("time:1", "billed", 6 * HOUR, "EUR", D("600.00"))]
    found = conserve({"time:1": 8 * HOUR}, lines, {("time:1", "EUR"): D("800.00")})
    assert not found.holds
    assert found.gap_seconds == 2 * HOUR
    assert found.gap_money == {"EUR": D("200.00")}
    assert found.gaps["time:1"].seconds == 2 * HOUR


def test_gaps_that_cancel_out_are_still_gaps() -> None:
    """An hour booked on the wrong entry: nothing is missing in all, and two entries do not add up."""
    found = conserve({"time:1": HOUR, "time:2": HOUR}, [Line("time:1", "unbilled", 2 * HOUR)])
    assert found.gap_seconds == 0
    assert not found.holds
    assert {entry: gap.seconds for entry, gap in found.gaps.items()} == {"time:1": -HOUR, "time:2": HOUR}


def test_what_was_billed_of_a_withdrawn_entry_is_due_back() -> None:
    """An hour billed and minus an hour unbilled are no approved time, and no gap."""
    lines = [Line("time:1", "billed", HOUR, "EUR", D(100)), Line("time:1", "unbilled", -HOUR, "EUR", D(-100))]
    assert conserve({}, lines, {}).holds


def test_money_of_another_currency_does_not_make_up_for_it() -> None:
    """100 USD are not the 100 EUR that the entry is worth."""
    lines = [Line("time:1", "unbilled", HOUR, "USD", D(100))]
    found = conserve({"time:1": HOUR}, lines, {("time:1", "EUR"): D(100)})
    assert found.gap_money == {"EUR": D(100), "USD": D(-100)}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("a", "b", "c")),
            st.sampled_from(("billed", "unbilled", "parked")),
            st.integers(-9999, 9999),
            st.decimals(-9999, 9999, places=2),
        )
    ),
    st.integers(1, 9999),
)
def test_lines_are_conserved_by_their_own_sums_and_by_no_others(
    drawn: list[tuple[str, str, int, Decimal]], more: int
) -> None:
    """Any lines agree with what they add up to; one second or cent more is a gap of just that."""
    lines = [Line(entry, bucket, seconds, "EUR", amount) for entry, bucket, seconds, amount in drawn]
    approved: dict[str, int] = {}
    worth: dict[tuple[str, str], Decimal] = {}
    for entry, _, seconds, amount in drawn:
        approved[entry] = approved.get(entry, 0) + seconds
        worth[entry, "EUR"] = worth.get((entry, "EUR"), D(0)) + amount
    assert conserve(approved, lines, worth).holds
    approved["a"] = approved.get("a", 0) + more
    worth["a", "EUR"] = worth.get(("a", "EUR"), D(0)) + more
    changed = conserve(approved, lines, worth)
    assert list(changed.gaps) == ["a"]
    assert (changed.gap_seconds, changed.gap_money) == (more, {"EUR": D(more)})
