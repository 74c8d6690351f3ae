"""Every point where money is rounded goes by the contract line's rule; see `agents.billing.rounding`.

The price is 0.125 an hour: 2 h are worth 0.25, and each of them half a cent more than 0.12.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_DOWN, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import HOUR, D, Sources, day
from two_judges import Agents, Judge, Oracle

from streams import money

Build = Callable[[Sources], object]
UP, EVEN = D("0.13"), D("0.12")
BASE = ("time:1", "base")
ADJUSTED = ("time:1", "adj:erp:B")


def two_hours(rounding: str, **line: Any) -> Sources:
    """Worth 0.25."""
    sources = Sources().put("contract_line", "L", rounding=rounding, **line)
    return sources.put("rate", "R", price=D("0.125")).work(1, "03-05", 2)


def adjusted(kind: str, **columns: Any) -> Build:
    """With a bill adjustment."""
    return lambda sources: sources.put("bill_adjustment", "B", kind=kind, entry_id="time:1", **columns)


def line(**columns: Any) -> Build:
    """With terms of the contract line."""
    return lambda sources: sources.put("contract_line", "L", **columns)


POINTS: dict[str, tuple[Build, tuple[str, str]]] = {
    "the amount of an entry": (lambda sources: sources.work(1, "03-05", 1), BASE),
    "an uplift": (line(day_minimum_hours=D(3)), ("day:erp:C:erp:L:2026-03-05", "uplift")),
    "hours of a retainer": (line(billing_method="retainer", included_hours=D(1)), ("time:1", "covered")),
    "prepaid hours": (line(billing_method="prepaid", included_hours=D(1)), ("time:1", "covered")),
    "a cap of the line": (line(cap_hours=D(1)), BASE),
    "a cap of the engagement": (lambda sources: sources.put("engagement", "E", cap_hours=D(1)), BASE),
    "a write-off": (adjusted("write_off", hours=D(1)), ADJUSTED),
    "a discount": (adjusted("discount", amount=D("0.125")), ADJUSTED),
    "a hold": (adjusted("hold", hours=D(1)), ADJUSTED),
    "what is left at a new price": (lambda sources: sources.charge("I", 1, 1, 5), BASE),
    "a draft": (
        lambda sources: sources.charge("I", 1, 1, "0.12", status="draft", posted_at=None),
        ("time:1", "draft:erp:I"),
    ),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(("rounding", "expected"), [("half_up", UP), ("half_even", EVEN)])
def test_the_line_decides(judge: Judge, point: str, rounding: str, expected: Decimal) -> None:
    """One of two hours: 0.13 half up, 0.12 half even; the other is the rest, so that both are 0.25."""
    build, key = POINTS[point]
    sources = two_hours(rounding)
    build(sources)
    figures = judge(sources).figures
    assert figures[key][2] == expected
    if point not in ("the amount of an entry", "an uplift", "what is left at a new price"):
        assert sum(amount or 0 for _, _, amount in figures.values()) == D("0.25")


@pytest.mark.parametrize(
    "adjustment",
    [{"kind": "write_off", "hours": D(1)}, {"kind": "discount", "amount": D("0.125")}],
    ids=["write_off", "discount"],
)
@pytest.mark.parametrize(("rounding", "bucket"), [("half_up", "refused"), ("half_even", "written_off")])
def test_an_approvers_limit(judge: Judge, adjustment: dict[str, Any], rounding: str, bucket: str) -> None:
    """What is asked for is 0.13 half up, beyond a limit of 0.12, and 0.12 half even, within it."""
    sources = two_hours(rounding).put("bill_adjustment", "B", entry_id="time:1", **adjustment)
    known = {"approver_id": "B", "kind": adjustment["kind"], "effective_from": day("01-01")}
    sources.put("approval_limit", "X", amount=D("0.12"), **known)
    assert judge(sources).figures[ADJUSTED][0] == bucket


def test_a_defect_of_the_money_primitives_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judges share no rounding: were the agents' halves to go down, the oracle would not go with them."""
    monkeypatch.setitem(money.ROUNDINGS, "half_up", ROUND_HALF_DOWN)
    sources = two_hours("half_up", cap_hours=D(1))
    assert (Agents()(sources).figures[BASE][2], Oracle()(sources).figures[BASE][2]) == (EVEN, UP)


def test_a_changed_rule_moves_what_is_split(judge: Judge) -> None:
    """The entry stays 0.25, and what is over its cap has the cent."""
    sources = two_hours("half_up", cap_hours=D(1))
    assert judge(sources).figures[BASE] == ("unbilled", HOUR, UP)
    figures = judge(sources.put("contract_line", "L", rounding="half_even")).figures
    assert (figures[BASE][2], figures["time:1", "over-line"][2]) == (EVEN, UP)


hours = st.sampled_from([D("0.5"), D(1), D("1.5"), D(2), D(3), D("0.0001")])
decisions = st.one_of(
    st.fixed_dictionaries({"kind": st.sampled_from(["write_off", "hold"]), "hours": hours}),
    st.fixed_dictionaries(
        {"kind": st.just("discount"), "amount": st.sampled_from([D("0.125"), D("0.005"), D("0.1")])}
    ),
)
posted = st.tuples(
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from(["0.12", "0.13", "0.25", "5"]),
    st.sampled_from(["draft", "posted"]),
)


@settings(max_examples=250, deadline=None)
@given(
    price=st.sampled_from([D("0.125"), D("0.25"), D("0.07"), D("133.33")]),
    terms=st.fixed_dictionaries(
        {
            "rounding": st.sampled_from(["half_up", "half_even"]),
            "billing_method": st.sampled_from(["tm", "tm", "retainer", "prepaid"]),
            "included_hours": st.none() | hours,
            "cap_hours": st.none() | hours,
            "cap_money": st.none() | st.sampled_from([D("0.2"), D("0.37")]),
            "day_minimum_hours": st.none() | hours,
            "quantity_increment_seconds": st.sampled_from([None, 900]),
            "quantity_rounding": st.sampled_from([None, "up"]),
        }
    ),
    cap=st.none() | hours,
    work=st.lists(hours, min_size=1, max_size=3),
    decided=st.lists(st.tuples(st.integers(1, 3), decisions), max_size=3),
    limit=st.none() | st.sampled_from([D("0.12"), D("0.13")]),
    lines=st.lists(posted, max_size=2),
)
def test_both_judges_agree(
    price: Decimal,
    terms: dict[str, Any],
    cap: Decimal | None,
    work: list[Decimal],
    decided: list[tuple[int, dict[str, Any]]],
    limit: Decimal | None,
    lines: list[tuple[int, int, str, str]],
) -> None:
    """Whatever is split, by whichever rule, at prices that fall on half a cent."""
    sources = Sources().put("contract_line", "L", **terms).put("engagement", "E", cap_hours=cap)
    sources.put("rate", "R", price=price)
    for number, worked in enumerate(work, start=1):
        sources.work(number, "03-05", worked)
    for number, (of, decision) in enumerate(decided):
        sources.put("bill_adjustment", f"B{number}", entry_id=f"time:{of}", **decision)
    if limit is not None:
        known = {"approver_id": "B", "kind": "write_off", "effective_from": day("01-01")}
        sources.put("approval_limit", "X", amount=limit, **known)
    for number, (of, charged, amount, status) in enumerate(lines):
        when = {} if status == "posted" else {"posted_at": None}
        sources.charge(f"I{number}", of, charged, amount, status=status, **when)
    said, expected = Agents()(sources), Oracle()(sources)
    assert (said.figures, said.refused, said.drafts) == (expected.figures, expected.refused, expected.drafts)
    said.check_conservation()
