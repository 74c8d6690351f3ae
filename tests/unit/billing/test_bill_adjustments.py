"""Write-offs, discounts and holds of 8 h at 150, each judged by the agents and by the oracle."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import HOUR, D, Sources, at
from two_judges import Agents, Judge, Oracle


def eight_hours(**adjustment: Any) -> Sources:
    """8 h at 150, and a decision about them."""
    sources = Sources().put("rate", "R", price=D(150)).work(1, "03-05", 8)
    return sources.put("bill_adjustment", "B", entry_id="time:1", **adjustment) if adjustment else sources


def test_a_discount_takes_money_not_time(judge: Judge) -> None:
    """200 off: 8 h/1,000 to bill, and 200 stay visible."""
    assert judge(eight_hours(kind="discount", amount=D(200))).figures == {
        ("time:1", "base"): ("unbilled", 8 * HOUR, D(1000)),
        ("time:1", "adj:erp:B"): ("written_off", 0, D(200)),
    }


def test_discounts_take_at_most_what_the_entry_is_worth(judge: Judge) -> None:
    """1,000 and 300 of 1,200: the second has 200 left to take, whatever came first."""
    sources = eight_hours(kind="discount", amount=D(1000))
    sources.put("bill_adjustment", "C", kind="discount", entry_id="time:1", amount=D(300))
    assert judge(sources).figures == {
        ("time:1", "base"): ("unbilled", 8 * HOUR, D(0)),
        ("time:1", "adj:erp:B"): ("written_off", 0, D(1000)),
        ("time:1", "adj:erp:C"): ("written_off", 0, D(200)),
    }


@pytest.mark.parametrize(("posted", "rest"), [("1000", None), ("1200", D(-200))])
def test_a_discount_before_and_after_the_posting(judge: Judge, posted: str, rest: Decimal | None) -> None:
    """Posted at the discounted 1,000, nothing is left; posted at 1,200, a credit of 200 is due."""
    sources = eight_hours(kind="discount", amount=D(200)).charge("I1", 1, 8, posted)
    assert judge(sources).figures == {
        ("time:1", "inv:erp:I1"): ("billed", 8 * HOUR, D(posted)),
        ("time:1", "adj:erp:B"): ("written_off", 0, D(200)),
        **({} if rest is None else {("time:1", "base"): ("unbilled", 0, rest)}),
    }


def test_half_posted_at_the_full_price(judge: Judge) -> None:
    """4 h/600 posted, then 200 off: 4 h/400 are left."""
    sources = eight_hours(kind="discount", amount=D(200)).charge("I1", 1, 4, 600)
    assert judge(sources).figures["time:1", "base"] == ("unbilled", 4 * HOUR, D(400))


@pytest.mark.parametrize(
    ("posted", "discounts", "rest"),
    [
        (
            [(4, 600), (2, 200)],
            [200],
            (2, 200),
        ),  # the second invoice has half of the discount, the first none
        ([(8, 1000)], [200, 100], (0, -100)),  # one decided before, one after
        ([(8, 1000)], [250], (0, -50)),  # the discount became larger
        ([(4, 600), (4, 400)], [200], None),
    ],
)
def test_postings_with_some_of_the_discounts(
    judge: Judge, posted: list[tuple[int, int]], discounts: list[int], rest: tuple[int, int] | None
) -> None:
    """Whatever was posted at a price between none and all of them: billed and left are what it is worth."""
    sources = eight_hours()
    for number, amount in enumerate(discounts):
        sources.put("bill_adjustment", f"B{number}", kind="discount", entry_id="time:1", amount=D(amount))
    for number, (hours, amount) in enumerate(posted):
        sources.charge(f"I{number}", 1, hours, amount)
    figures = judge(sources).figures
    left = None if rest is None else ("unbilled", rest[0] * HOUR, D(rest[1]))
    assert figures.get(("time:1", "base")) == left
    assert sum(amount for _, _, amount in figures.values() if amount is not None) == 1200


def test_a_partial_credit_of_a_discounted_posting(judge: Judge) -> None:
    """Posted 1,200, discount of 200, 100 credited: 100 are still due."""
    sources = eight_hours(kind="discount", amount=D(200)).charge("I1", 1, 8, 1200).credit("K1", "I1")
    sources.put("invoice_line", "K1", seconds=0, amount=D(100))
    assert judge(sources).figures["time:1", "base"] == ("unbilled", 0, D(-100))


@pytest.mark.parametrize(("decided", "rest"), [("03-20 12:00", None), ("04-02 12:00", D(-200))])
def test_a_rate_change_keeps_what_is_due(judge: Judge, decided: str, rest: Decimal | None) -> None:
    """Posted at 1,200, then 160 an hour: what was posted keeps its price, and a discount decided since is due."""
    sources = eight_hours(kind="discount", amount=D(200), decided_at=at(decided)).charge("I1", 1, 8, 1200)
    sources.put("rate", "R", price=D(200))
    left = None if rest is None else ("unbilled", 0, rest)
    assert judge(sources).figures.get(("time:1", "base")) == left


@pytest.mark.parametrize(("decided", "rest"), [("03-20 12:00", 700), ("04-02 12:00", 600)])
def test_a_rate_change_of_half_posted_work(judge: Judge, decided: str, rest: int) -> None:
    """4 h/600 posted, 200 an hour for the rest: 800 less its share of the discount, or less all of a later one."""
    sources = eight_hours(kind="discount", amount=D(200), decided_at=at(decided)).charge("I1", 1, 4, 600)
    sources.put("rate", "R", price=D(200))
    assert judge(sources).figures["time:1", "base"] == ("unbilled", 4 * HOUR, D(rest))


def test_a_write_off_leaves_what_goes_back(judge: Judge) -> None:
    """6 h/900 posted, discount of 400: 2 h/-100 are left; with the 2 h written off the client still gets 100."""
    sources = eight_hours(kind="discount", amount=D(400)).charge("I1", 1, 6, 900)
    sources.put("bill_adjustment", "W", kind="write_off", entry_id="time:1", hours=D(2))
    figures = judge(sources).figures
    assert figures["time:1", "base"] == ("unbilled", 0, D(-100))
    assert figures["time:1", "adj:erp:W"] == ("written_off", 2 * HOUR, D(0))


@pytest.mark.parametrize("method", ["prepaid", "retainer"])
def test_what_goes_back_is_not_covered(judge: Judge, method: str) -> None:
    """100 h are included; 6 h/900 posted, discount of 400: -100 goes back, and the lot keeps its hours."""
    sources = eight_hours(kind="discount", amount=D(400)).charge("I1", 1, 6, 900)
    sources.put("contract_line", "L", billing_method=method, included_hours=D(100))
    assert judge(sources).figures["time:1", "base"] == ("unbilled", 2 * HOUR, D(-100))


@pytest.mark.parametrize("kind", ["write_off", "discount"])
def test_half_a_decision_is_none(judge: Judge, kind: str) -> None:
    """A write-off without hours, a discount without money: quarantined, and as if it were not there."""
    assert judge(eight_hours(kind=kind)).figures == {("time:1", "base"): ("unbilled", 8 * HOUR, D(1200))}


def test_a_write_off_takes_time_at_the_discounted_price(judge: Judge) -> None:
    """400 off, then 2 h written off: 2 h/200, and 6 h/600 to bill."""
    sources = eight_hours(kind="discount", amount=D(400))
    sources.put("bill_adjustment", "C", kind="write_off", entry_id="time:1", hours=D(2))
    assert judge(sources).figures == {
        ("time:1", "base"): ("unbilled", 6 * HOUR, D(600)),
        ("time:1", "adj:erp:B"): ("written_off", 0, D(400)),
        ("time:1", "adj:erp:C"): ("written_off", 2 * HOUR, D(200)),
    }


@pytest.mark.parametrize(("hours", "held", "left"), [(3, 3, 5), (20, 8, 0), (None, 8, 0)])
def test_what_is_on_hold_is_not_to_be_billed(judge: Judge, hours: int | None, held: int, left: int) -> None:
    """3 h/450 of it, or all where it is more, or of everything; what is left is 5 h/750, or nothing."""
    sources = eight_hours(kind="hold", hours=None if hours is None else D(hours))
    rest = {("time:1", "base"): ("unbilled", left * HOUR, D(150 * left))} if left else {}
    assert judge(sources).figures == {
        ("time:1", "adj:erp:B"): ("on_hold", held * HOUR, D(150 * held)),
        **rest,
    }


@pytest.mark.parametrize("kind", ["hold", "write_off", "discount"])
def test_a_released_decision_no_longer_counts(judge: Judge, kind: str) -> None:
    """As if it had been deleted; its lines stay in the ledger, reversed."""
    sources = eight_hours(kind=kind, hours=D(3), amount=D(100))
    judge(sources)
    released = judge(sources.put("bill_adjustment", "B", released_at=at("03-09 12:00")))
    assert released.figures == {("time:1", "base"): ("unbilled", 8 * HOUR, D(1200))}


def test_what_is_on_hold_keeps_its_headroom(judge: Judge) -> None:
    """Cap 1,500: the second entry has 300 of it, held or not; a write-off of the first gives it back."""
    sources = eight_hours(kind="hold").put("engagement", "E", cap_money=D(1500)).work(2, "03-06", 8)
    over = {
        ("time:2", "base"): ("unbilled", 2 * HOUR, D(300)),
        ("time:2", "over-engagement"): ("over_cap", 6 * HOUR, D(900)),
    }
    held = {("time:1", "adj:erp:B"): ("on_hold", 8 * HOUR, D(1200))}
    assert judge(sources).figures == {**held, **over}
    freed = judge(sources.put("bill_adjustment", "B", kind="write_off", hours=D(8))).figures
    assert freed["time:2", "base"] == ("unbilled", 8 * HOUR, D(1200))


def test_what_a_cap_lets_be_billed_all_the_same_is_held_too(judge: Judge) -> None:
    """Over-cap work that is billed with an alert: on hold with the rest, as one segment."""
    sources = eight_hours(kind="hold").put("engagement", "E", cap_money=D(900), over_cap_action="bill")
    assert judge(sources).figures == {("time:1", "adj:erp:B"): ("on_hold", 8 * HOUR, D(1200))}


def test_a_credit_due_is_never_held(judge: Judge) -> None:
    """Posted for 1,200, discounted by 200: the client gets it back whatever is on hold."""
    sources = eight_hours(kind="discount", amount=D(200)).charge("I1", 1, 8, 1200)
    sources.put("bill_adjustment", "H", kind="hold", entry_id="time:1")
    assert judge(sources).figures["time:1", "base"] == ("unbilled", 0, D(-200))


def test_parked_time_waits_with_its_decisions(judge: Judge) -> None:
    """Nothing is discounted or held of what has no price yet; it is once the rate is there."""
    sources = eight_hours(kind="discount", amount=D(200)).drop("rate", "R")
    assert judge(sources).figures == {("time:1", "base"): ("parked", 8 * HOUR, None)}
    priced = judge(sources.put("rate", "R", price=D(150)))
    assert priced.figures["time:1", "base"] == ("unbilled", 8 * HOUR, D(1000))


HOURS = st.sampled_from([D("0.25"), D(1), D("2.5"), D(7), D(30)])
MONEY = st.decimals(0, 900, places=2)
DECISION = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["write_off", "discount", "hold"]),
        "hours": st.one_of(st.none(), HOURS),
        "amount": st.one_of(st.none(), MONEY),
        "entry_id": st.sampled_from(["time:1", "time:2"]),
        "decided_at": st.sampled_from([at("03-09 12:00"), at("04-09 12:00")]),
        "released_at": st.sampled_from([None, None, at("03-20 12:00")]),
    }
)
CAP = st.fixed_dictionaries(
    {
        "cap_money": st.one_of(st.none(), MONEY),
        "cap_hours": st.one_of(st.none(), HOURS),
        "over_cap_action": st.sampled_from(["hold", "write_off", "bill"]),
    }
)


@given(
    decisions=st.lists(DECISION, max_size=4),
    line=CAP,
    root=CAP,
    price=st.sampled_from(["150", "33.33", "99.99"]),
    later=st.sampled_from(["150", "40"]),
    method=st.sampled_from(["tm", "prepaid", "retainer"]),
    posted=st.lists(st.tuples(st.integers(1, 2), st.integers(0, 8), MONEY), max_size=2),
)
@settings(max_examples=250, deadline=None)
def test_both_judges_agree(
    decisions: list[dict[str, Any]],
    line: dict[str, Any],
    root: dict[str, Any],
    price: str,
    later: str,
    method: str,
    posted: list[tuple[int, int, Decimal]],
) -> None:
    """On any decisions about two entries under any caps, whatever was posted of them, and at a price that came
    later; change by change."""
    sources = Sources().put("rate", "R", price=D(price)).work(1, "03-05", 8).work(2, "03-06", "6.5")
    sources.put("contract_line", "L", billing_method=method, included_hours=D(5), **line)
    sources.put("engagement", "E", **root)
    agents, oracle = Agents(), Oracle()
    for number, decision in enumerate(decisions):
        sources.put("bill_adjustment", f"B{number}", **decision)
        assert agents(sources).figures == oracle(sources).figures
    for number, (entry, hours, amount) in enumerate(posted):
        sources.charge(f"I{number}", entry, hours, amount)
        judgement = agents(sources)
        assert judgement.figures == oracle(sources).figures
        judgement.check_conservation()
    sources.put("rate", "R", price=D(later))
    assert agents(sources).figures == oracle(sources).figures
