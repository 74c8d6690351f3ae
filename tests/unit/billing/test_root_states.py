"""What entries that share a cap were at each close: kept up to date by what changes, else made anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from billing_builders import ROOT, day, item, money, small_firm

from agents.billing import Item, PostedLine, Terms
from agents.billing.caps import Limits
from agents.billing.closes import Facts, Version
from agents.billing.contracts import Cap, LineTerms
from agents.billing.rootstates import RootStates
from agents.billing.termshistory import TermsHistory

MARCH = datetime(2026, 4, 3, 18, tzinfo=UTC)
APRIL = datetime(2026, 5, 4, 18, tzinfo=UTC)
BEFORE, AFTER = MARCH - timedelta(days=3), MARCH + timedelta(days=2)
WORK = item(small_firm(), 1, "03-05", 1)
CAPPED = TermsHistory(
    Terms(ROOT, "EUR", "erp:CL1", "erp:LE1", Cap(money=money(1000)), {"erp:L1": LineTerms("tm")})
)


def work(number: int, on: str, hours: int, decided_at: datetime, version: int = 1) -> Item:
    """At 100 an hour."""
    seconds = hours * 3600
    return WORK._replace(
        entry_id=f"time:{number}",
        work_date=day(on),
        seconds=seconds,
        quantity_seconds=seconds,
        amount=money(100 * hours),
        decided_at=decided_at,
        version=version,
    )


def of(*items: Item) -> dict[str, Facts]:
    """Entries of which nothing else is known."""
    return {one.entry_id: Facts(one.entry_id, one) for one in items}


X, Y, W = work(1, "03-05", 6, BEFORE), work(2, "03-06", 6, BEFORE), work(3, "03-04", 3, AFTER)


def amounts(states: RootStates, number: int) -> list[tuple[int, dict[str, Any]]]:
    """Money by segment, from which close on."""
    return [
        (one.interval, {segment: of.amount for (_, segment), of in one.segments.items()})
        for one in states.states(f"time:{number}")
    ]


def check_example(states: RootStates) -> None:
    """X stays as it was; Y gives 300 to W from the close on."""
    assert amounts(states, 1) == [(0, {"base": money(600)})]
    assert amounts(states, 2) == [
        (0, {"base": money(400), "over-engagement": money(200)}),
        (1, {"base": money(100), "over-engagement": money(500)}),
    ]
    assert amounts(states, 3) == [(1, {"base": money(300)})]


def test_late_work_moves_the_boundary_from_the_close_on() -> None:
    """Whether it is there at once or comes later."""
    states = RootStates(CAPPED, [MARCH])
    states.replay(of(X, Y, W))
    check_example(states)
    states = RootStates(CAPPED, [MARCH])
    states.replay(of(X, Y))
    assert states.takes(CAPPED, [MARCH], of(W))
    assert states.update([MARCH], of(W)).keys() == {"time:2", "time:3"}
    check_example(states)


def test_a_change_and_its_opposite_leave_no_trace() -> None:
    """W goes again before the next close: Y is what it was at the last."""
    states = RootStates(CAPPED, [MARCH])
    states.replay(of(X, Y, W))
    gone = {"time:3": Facts("time:3", None)}
    assert states.takes(CAPPED, [MARCH], gone)
    states.update([MARCH], gone)
    assert amounts(states, 2) == [(0, {"base": money(400), "over-engagement": money(200)})]
    assert amounts(states, 3) == []


def test_what_it_does_not_take() -> None:
    """A late fact, one that changes what was at a close, a close that came late or is another, other terms."""
    states = RootStates(CAPPED, [MARCH])
    states.replay(of(X, Y, W))
    late = of(work(4, "03-07", 1, BEFORE))
    corrected = of(work(1, "03-05", 5, AFTER, 2))
    ended = {"time:1": Facts("time:1", corrected["time:1"].item, versions=[Version("V", X, AFTER)])}
    line = PostedLine("erp:I", ROOT, "erp:L1", "charge", None, "time:1", 1, 3600, money(100), BEFORE)
    assert not states.takes(CAPPED, [MARCH], late)
    assert not states.takes(CAPPED, [MARCH], corrected)
    assert states.takes(CAPPED, [MARCH], ended)
    assert not states.takes(CAPPED, [MARCH], {"time:1": Facts("time:1", X, [line])})
    assert not states.takes(CAPPED, [MARCH, AFTER], {})
    assert not states.takes(CAPPED, [MARCH + timedelta(hours=1)], {})
    assert not states.takes(CAPPED, [], {})
    assert not states.takes(TermsHistory(Terms(ROOT)), [MARCH], {})
    assert states.takes(CAPPED, [MARCH, APRIL], {})
    assert not states.takes(CAPPED, [MARCH, APRIL], of(work(4, "04-02", 1, AFTER)))


def test_what_was_posted_before_a_close_counts_against_the_cap_then() -> None:
    """5 h of Y are posted after the close: X loses 100 of the cap to it then."""
    line = PostedLine("erp:I", ROOT, "erp:L1", "charge", None, "time:2", 1, 18_000, money(500), AFTER)
    states = RootStates(CAPPED, [MARCH])
    states.replay(of(X) | {"time:2": Facts("time:2", Y, [line])})
    assert amounts(states, 1) == [
        (0, {"base": money(600)}),
        (1, {"base": money(500), "over-engagement": money(100)}),
    ]


@pytest.mark.parametrize("cap", [money(1), money(150_000), money(1_200_000)])
def test_a_change_costs_no_more_on_a_large_root(cap: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 3,000 entries over two closes, one that is decided later places a handful; a close in time places none."""
    placed: list[Any] = []
    place = Limits.place

    def counted(self: Limits, made: Item, *rest: Any) -> Any:
        placed.append(made)
        return place(self, made, *rest)

    monkeypatch.setattr(Limits, "place", counted)
    terms = TermsHistory(
        Terms(ROOT, "EUR", "erp:CL1", "erp:LE1", Cap(money=cap), {"erp:L1": LineTerms("tm")})
    )
    many = [work(n, "03-05", 1, BEFORE) for n in range(2_000)]
    many += [work(n, "04-05", 1, AFTER + timedelta(days=3)) for n in range(2_000, 3_000)]
    states = RootStates(terms, [MARCH])
    states.replay(of(*many))
    assert len(placed) < 3_100
    placed.clear()
    assert states.takes(terms, [MARCH, APRIL], {})
    assert states.update([MARCH, APRIL], {}) == {}
    assert placed == []
    for number in (3_000, 3_001):
        placed.clear()
        change = of(work(number, "04-05", 1, APRIL + timedelta(days=1)))
        assert states.takes(terms, [MARCH, APRIL], change)
        states.update([MARCH, APRIL], change)
        assert len(placed) <= 16
