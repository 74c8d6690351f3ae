"""Who may approve a bill adjustment of 8 h at 150, judged by the agents and by the oracle."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import HOUR, D, Sources, at, day
from two_judges import Agents, Judge, Oracle

one_of = st.sampled_from
WHOLE = {("time:1", "base"): ("unbilled", 8 * HOUR, D(1200))}
NOTHING = ("refused", 0, D(0))
ADJUSTMENT = ("time:1", "adj:erp:J")


def adjusted(kind: str = "write_off", hours: int | None = 2, **columns: Any) -> Sources:
    """8 h at 150; ``B`` approved on 31 March what ``A`` prepared: 2 h less, unless it is said otherwise."""
    sources = Sources().put("rate", "R", price=D(150)).work(1, "03-05", 8)
    given = {"preparer_id": "A", "hours": None if hours is None else D(hours), **columns}
    return sources.put("bill_adjustment", "J", kind=kind, entry_id="time:1", **given)


def limit(sources: Sources, amount: int | str | Decimal, native: str = "X", **columns: Any) -> Sources:
    """``B`` approves write-offs up to an amount, from 1 March on."""
    given = {"approver_id": "B", "kind": "write_off", "currency": "EUR", "effective_from": day("03-01")}
    return sources.put("approval_limit", native, **{**given, "amount": D(amount), **columns})


def why(currency: str = "EUR", kind: str = "write_off") -> dict[tuple[str, str], tuple[str, tuple[str, ...]]]:
    """What is said of an adjustment beyond the limit."""
    return {ADJUSTMENT: ("APPROVAL_LIMIT", (f"limit:erp:B/{kind}/{currency}",))}


@pytest.mark.parametrize(("amount", "stands"), [("300", True), ("299.99", False), ("0", False)])
def test_a_write_off_is_held_against_the_limit_by_its_worth(judge: Judge, amount: str, stands: bool) -> None:
    """2 of 8 h are worth 300: within 300, beyond 299.99. What is refused shows, and all stays to bill."""
    judgement = judge(limit(adjusted(), amount))
    if stands:
        assert judgement.figures[ADJUSTMENT] == ("written_off", 2 * HOUR, D(300))
        assert judgement.refused == {}
    else:
        assert judgement.figures == {**WHOLE, ADJUSTMENT: NOTHING}
        assert judgement.refused == why()


@pytest.mark.parametrize(
    ("kind", "hours", "amount", "worth"),
    [
        ("discount", None, 200, 200),
        ("discount", None, 5000, 5000),  # it asks for it, though there are 1,200 to take
        ("hold", 3, None, 450),
        ("hold", None, None, 1200),
        ("hold", 20, None, 1200),
        ("write_off", 20, None, 1200),
    ],
)
def test_what_an_adjustment_asks_for(
    judge: Judge, kind: str, hours: int | None, amount: int | None, worth: int
) -> None:
    """A discount its money, hours what they are worth, a hold of everything all: to the cent."""
    sources = adjusted(kind, hours, amount=None if amount is None else D(amount))
    assert judge(limit(sources, worth, kind=kind)).refused == {}
    refused = judge(limit(sources, D(worth) - D("0.01"), kind=kind))
    assert refused.refused == why(kind=kind)
    assert refused.figures == {**WHOLE, ADJUSTMENT: NOTHING}


def test_who_has_no_limit_is_not_limited(judge: Judge) -> None:
    """Others' limits, and those of other kinds, are no matter."""
    sources = limit(adjusted(), 0, approver_id="A")
    assert judge(limit(sources, 0, "Y", kind="discount")).refused == {}


@pytest.mark.parametrize(
    ("columns", "refused"),
    [
        ({"effective_to": day("04-01")}, False),
        ({"effective_to": day("03-31")}, True),  # decided on the day on which it ended
        ({"effective_from": day("03-31")}, False),
        ({"effective_from": day("04-01")}, True),
        ({"currency": "USD"}, True),
    ],
)
def test_where_no_limit_holds_who_has_some_approves_nothing(
    judge: Judge, columns: dict[str, Any], refused: bool
) -> None:
    """Effective on the day of the decision, in the currency of the contract."""
    assert judge(limit(adjusted(), 1000, **columns)).refused == (why() if refused else {})


def test_the_limit_that_begins_last_holds(judge: Judge) -> None:
    """Raised from 100 to 300 as of then, the write-off takes effect; lowered to 10, it does not."""
    sources = limit(adjusted(), 100)
    assert judge(sources).refused == why()
    assert judge(limit(sources, 300, "Y", effective_from=day("03-20"))).refused == {}
    assert judge(limit(sources, 10, "Z", effective_from=day("03-20"))).refused == why()


def test_nobody_approves_what_they_prepared(judge: Judge) -> None:
    """Whatever the limit; it takes effect when somebody else signs."""
    sources = limit(adjusted(preparer_id="B"), 5000)
    own = judge(sources)
    assert own.figures == {**WHOLE, ADJUSTMENT: NOTHING}
    assert own.refused == {ADJUSTMENT: ("SELF_APPROVAL", ("approver:erp:B",))}
    signed = judge(sources.put("bill_adjustment", "J", approver_id="D", decided_at=at("04-02 09:00")))
    assert signed.refused == {}
    assert signed.figures[ADJUSTMENT] == ("written_off", 2 * HOUR, D(300))


def test_what_is_refused_leaves_the_others(judge: Judge) -> None:
    """The first of two write-offs is refused, the second counts; a released one is not even refused."""
    sources = limit(adjusted(), 100)
    sources.put("bill_adjustment", "K", kind="write_off", entry_id="time:1", hours=D(3), approver_id="D")
    figures = judge(sources).figures
    assert figures[ADJUSTMENT] == NOTHING
    assert figures["time:1", "adj:erp:K"] == ("written_off", 3 * HOUR, D(450))
    assert judge(sources.put("bill_adjustment", "J", released_at=at("04-09 12:00"))).refused == {}


def test_a_refused_write_off_gives_no_headroom(judge: Judge) -> None:
    """Cap 1,200: without it the second entry is over the cap."""
    sources = limit(adjusted(), 100).put("engagement", "E", cap_money=D(1200)).work(2, "03-06", 8)
    assert judge(sources).figures["time:2", "over-engagement"] == ("over_cap", 8 * HOUR, D(1200))
    assert judge(limit(sources, 300)).figures["time:2", "base"] == ("unbilled", 2 * HOUR, D(300))


def test_of_what_has_no_price_nobody_can_say(judge: Judge) -> None:
    """Parked time: no adjustment takes effect, and none is refused."""
    sources = limit(adjusted(preparer_id="B"), 0).drop("rate", "R")
    judgement = judge(sources)
    assert (judgement.refused, judgement.figures) == ({}, {("time:1", "base"): ("parked", 8 * HOUR, None)})


DECISION = st.fixed_dictionaries(
    {
        "kind": one_of(["write_off", "discount", "hold"]),
        "hours": one_of([None, D("0.5"), D(2), D(30)]),
        "amount": one_of([None, D(75), D(300), D("1200.005")]),
        "entry_id": one_of(["time:1", "time:2"]),
        "preparer_id": one_of([None, "A", "B"]),
        "approver_id": one_of(["A", "B"]),
        "decided_at": one_of([at("03-09 00:00"), at("03-31 23:59"), at("04-09 12:00")]),
        "released_at": one_of([None, None, None, at("04-20 12:00")]),
    }
)
LIMIT = st.fixed_dictionaries(
    {
        "approver_id": one_of(["A", "B"]),
        "kind": one_of(["write_off", "discount", "hold"]),
        "currency": one_of(["EUR", "EUR", "USD"]),
        "amount": one_of([D(0), D(75), D("299.99"), D(300), D(5000)]),
        "effective_from": one_of([day("03-09"), day("03-31"), day("04-01")]),
        "effective_to": one_of([None, day("04-09"), date(9999, 12, 31)]),
    }
)


@given(
    st.lists(DECISION, min_size=1, max_size=4),
    st.lists(LIMIT, max_size=4),
    one_of([None, D(300), D(1500)]),
    one_of(["tm", "retainer"]),
    one_of([D(150), D("33.33")]),
    st.lists(st.tuples(st.integers(1, 2), st.integers(0, 8), one_of([D(0), D(600)])), max_size=2),
)
@settings(max_examples=200, deadline=None)
def test_both_judges_agree(
    decisions: list[dict[str, Any]],
    limits: list[dict[str, Any]],
    cap: Decimal | None,
    method: str,
    price: Decimal,
    posted: list[tuple[int, int, Decimal]],
) -> None:
    """Limits and decisions come in turns, and whichever came last; what is refused has nothing in it."""
    sources = Sources().put("rate", "R", price=price).work(1, "03-05", 8).work(2, "03-06", "6.5")
    sources.put("engagement", "E", cap_money=cap)
    sources.put(
        "contract_line", "L", billing_method=method, included_hours=D(5), quantity_increment_seconds=900
    )
    agents, oracle = Agents(), Oracle()
    for number in range(4):
        if number < len(limits):
            sources.put("approval_limit", f"X{number}", **limits[number])
        if number < len(decisions):
            sources.put("bill_adjustment", f"J{number}", **decisions[number])
        if number < len(posted):
            entry, hours, amount = posted[number]
            sources.charge(f"I{number}", entry, hours, amount)
        said, must_be = agents(sources), oracle(sources)
        assert (said.figures, said.refused) == (must_be.figures, must_be.refused)
        assert {said.figures[key] for key in said.refused} <= {NOTHING}
        said.check_conservation()
