"""What entries that share a cap were at each close: kept up to date by what changes, else made anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from billing_builders import ROOT, day, item, money, small_firm
from hypothesis import given, settings
from hypothesis import strategies as st

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
    """Of 3,000 entries over two closes, one that is decided later places a handful; a close in time places none, and a
    late one a handful of each close, where these are kept."""
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
    states = RootStates(terms, [MARCH, APRIL])
    states.replay(of(*many), keep=True)
    for number in (0, 1_500, 3_000):
        placed.clear()
        late = of(work(number, "03-05", 2, BEFORE))
        assert states.takes(terms, [MARCH, APRIL], late)
        states.update([MARCH, APRIL], late)
        assert len(placed) <= 3 * 16


def test_late_facts_change_what_was_where_that_is_kept() -> None:
    """W turns out to have been approved before the close: Y was 1 h/100 with 5 h/500 over from the first day on."""
    states = RootStates(CAPPED, [MARCH])
    states.replay(of(X, Y, W), keep=True)
    early = of(work(3, "03-04", 3, BEFORE))
    assert states.takes(CAPPED, [MARCH], early)
    assert states.update([MARCH], early).keys() == {"time:2", "time:3"}
    assert amounts(states, 2) == [(0, {"base": money(100), "over-engagement": money(500)})]
    assert amounts(states, 3) == [(0, {"base": money(300)})]


ENTRIES = [f"time:{number}" for number in range(8)]
MOMENTS = [MARCH + timedelta(days=days) for days in (-5, -1, 0, 1, 20, 40)]


@st.composite
def facts(draw: st.DrawFn, entry_id: str) -> Facts:
    """An entry as it may be at some time, with what it was before, and what is posted of it."""
    number, moments = int(entry_id.removeprefix("time:")), st.sampled_from(MOMENTS)

    def one(version: int) -> Item:
        on = draw(st.sampled_from(["03-05", "03-06", "04-06"]))
        return work(number, on, draw(st.integers(1, 6)), draw(moments), version)

    versions = [Version(f"V{entry_id}{n}", one(n), draw(moments)) for n in range(draw(st.integers(0, 2)))]
    lines = [
        PostedLine(
            f"I{entry_id}", ROOT, "erp:L1", "charge", None, entry_id, 2, 3600, money(100), draw(moments)
        )
        for _ in range(draw(st.sampled_from([0, 0, 1])))
    ]
    return Facts(entry_id, draw(st.none() | st.just(one(2))), lines, versions=versions)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_comes_it_is_what_a_replay_gives(data: st.DataObject) -> None:
    """Facts that are late or not, changed or gone, with closes that come in time, and with minimums a day."""
    minimum = data.draw(st.sampled_from([0, 30_000]))
    cap = Cap(money=data.draw(st.sampled_from([None, money(700), money(2000)])))
    lines = {"erp:L1": LineTerms("tm", day_minimum_seconds=minimum)}
    history = TermsHistory(Terms(ROOT, "EUR", "erp:CL1", "erp:LE1", cap, lines))
    present = {entry_id: data.draw(facts(entry_id)) for entry_id in ENTRIES}
    closes = (MARCH, MARCH + timedelta(days=10))
    states = RootStates(history, closes)
    found = states.replay(present, keep=True)
    for _ in range(data.draw(st.integers(1, 4))):
        changed = data.draw(st.lists(st.sampled_from(ENTRIES), min_size=1, max_size=2, unique=True))
        changes = {entry_id: data.draw(facts(entry_id)) for entry_id in changed}
        if data.draw(st.integers(0, 3)) == 0:
            closes = (*closes, closes[-1] + timedelta(days=31))
        present |= changes
        if states.takes(history, closes, changes):
            found |= states.update(closes, changes)
        else:
            states = RootStates(history, closes)
            found = states.replay(present, keep=True)
        anew = RootStates(history, closes)
        expected = anew.replay(present)
        assert {entry: of for entry, of in found.items() if of} == {e: of for e, of in expected.items() if of}
        for entry_id in expected:
            assert states.states(entry_id) == anew.states(entry_id)
