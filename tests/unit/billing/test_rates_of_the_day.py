"""Rates as of the work date of a consultant's role, grade and region: judged by the agents and by the oracle.

Promoted from dev (EUR 120 an hour) to senior (150) on Monday 16 March.
"""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from source_databases import D, Sources, day
from two_judges import Agents, Judge, Oracle

from agents.billing import BillingReference, Touch
from agents.consultant_positions import Position, Positions, holding

PROMOTED = day("03-16")


def carded() -> Sources:
    """The firm with a default card by role."""
    sources = Sources().drop("rate", "R")
    for role, price in (("dev", 120), ("senior", 150), ("lead", 200)):
        sources.put("rate", f"R-{role}", role=role, price=D(price))
    return sources


def promoted(sources: Sources, since: date = PROMOTED, **columns: Any) -> Sources:
    """A position as senior from a day on."""
    return sources.put("consultant_position", "Q", **{"effective_from": since, "role": "senior", **columns})


def amounts(judge: Judge, sources: Sources) -> dict[str, Any]:
    """What entries are worth."""
    return {entry: amount for (entry, _), (_, _, amount) in judge(sources).figures.items()}


def test_a_promotion_leaves_earlier_work_at_the_earlier_rate(judge: Judge) -> None:
    """13 March: 8 h at 120 are 960; 17 March: 8 h at 150 are 1,200."""
    sources = promoted(carded().work(1, "03-13", 8).work(2, "03-17", 8))
    assert amounts(judge, sources) == {"time:1": D(960), "time:2": D(1200)}


def test_a_correction_after_the_promotion_is_at_the_rate_of_the_day(judge: Judge) -> None:
    """The entry of 13 March, corrected to 6 h on 20 March, stays at 120 an hour: 720."""
    sources = promoted(carded().work(1, "03-13", 8).work(2, "03-17", 8))
    assert amounts(judge, sources)["time:1"] == D(960)
    sources.correct(1, "03-20 09:00", hours=D(6))
    assert amounts(judge, sources) == {"time:1": D(720), "time:2": D(1200)}


def test_the_first_day_counts_and_the_end_does_not(judge: Judge) -> None:
    """A position of ``[16th, 18th)``: the 15th and the 18th are a dev's, the 16th and 17th a senior's."""
    sources = carded()
    for number, on in enumerate(("03-15", "03-16", "03-17", "03-18")):
        sources.work(number, on, 1)
    promoted(sources, effective_to=day("03-18"))
    assert list(amounts(judge, sources).values()) == [D(120), D(150), D(150), D(120)]


def test_of_positions_that_overlap_the_one_that_begins_last_holds(judge: Judge) -> None:
    """An acting lead within a seniority; of two from one day, the one of the greater id."""
    sources = promoted(carded().work(1, "03-17", 1).work(2, "03-18", 1).work(3, "03-19", 1))
    span = {"effective_from": day("03-18"), "effective_to": day("03-19")}
    sources.put("consultant_position", "A", **span, role="lead")
    assert list(amounts(judge, sources).values()) == [D(150), D(200), D(150)]
    sources.put("consultant_position", "B", **span, role="dev")
    assert list(amounts(judge, sources).values()) == [D(150), D(120), D(150)]


def test_what_a_position_leaves_open_is_as_in_the_row(judge: Judge) -> None:
    """Half time from 16 March says nothing of the role: it follows the row, whose changes it lets through."""
    sources = promoted(carded().work(1, "03-17", 1), role=None, fte=D("0.5"))
    assert amounts(judge, sources) == {"time:1": D(120)}
    sources.put("consultant", "C", role="lead")
    assert amounts(judge, sources) == {"time:1": D(200)}


def test_a_position_without_a_rate_parks_only_its_days(judge: Judge) -> None:
    """No card knows the role that they have from 16 March on."""
    sources = promoted(carded().work(1, "03-13", 8).work(2, "03-17", 8), role="fellow")
    said = judge(sources)
    assert said.parked == {"time:2": ("MISSING_RATE", ("rate:erp:L/erp:C",))}
    said.check_conservation()


def test_a_promotion_reaches_no_day_before_it() -> None:
    """Told late or early, changed or taken back: the days that differ, and no others."""
    ref = BillingReference()
    row = {"id": "C", "role": "dev", "grade": "g", "region": "eu", "deleted": False}
    open_fields = dict.fromkeys(("grade", "practice", "region", "calendar_id", "fte"))
    position = {
        "id": "Q",
        "consultant_id": "C",
        "effective_from": PROMOTED,
        "effective_to": None,
        "role": "senior",
    }
    position |= {**open_fields, "deleted": False}
    assert ref.apply("consultant_position", "Q", position) == []  # nobody knows them yet
    ref.apply("consultant", "C", row)
    assert ref.apply("consultant", "C", row | {"role": "lead"}) == [
        Touch("consultant:C", None, PROMOTED - timedelta(days=1))
    ]
    later = PROMOTED + timedelta(days=7)
    assert ref.apply("consultant_position", "Q", position | {"effective_from": later}) == [
        Touch("consultant:C", PROMOTED, later - timedelta(days=1))
    ]
    assert (
        ref.apply("consultant_position", "Q", position | {"effective_from": later, "practice": "data"}) == []
    )
    assert ref.apply("consultant_position", "Q", None) == [Touch("consultant:C", later)]


DAYS = [day("03-09") + timedelta(days=number) for number in range(12)]
roles = st.sampled_from([None, "dev", "senior", "lead", "fellow"])
positions = st.lists(
    st.tuples(st.sampled_from("CD"), st.sampled_from(DAYS), st.none() | st.integers(1, 8), roles),
    max_size=5,
)


@settings(max_examples=100, deadline=None)
@given(
    positions,
    st.lists(st.tuples(st.sampled_from(DAYS), st.sampled_from("CD")), min_size=1, max_size=5),
    roles,
)
def test_both_judges_agree(
    held: list[tuple[str, date, int | None, str | None]], work: list[tuple[date, str]], of_row: str | None
) -> None:
    """Whatever overlaps, before and after each change of a position: figures and what is parked."""
    sources, agents = carded().put("consultant", "D", role=of_row or "dev"), Agents()
    for number, (on, who) in enumerate(work):
        sources.work(number, f"{on:%m-%d}", 2, consultant_code=who)
    for number, (who, since, length, role) in enumerate([*held, *held[:2]]):
        until = None if length is None else since + timedelta(days=length)
        sources.put(
            "consultant_position",
            f"Q{number % 3}",
            consultant_id=who,
            effective_from=since,
            effective_to=until,
            role=role,
        )
        said, expected = agents(sources), Oracle()(sources)
        assert (said.figures, said.parked, said.booked) == (
            expected.figures,
            expected.parked,
            expected.booked,
        )
        said.check_conservation()


@settings(max_examples=200)
@given(positions, st.randoms(use_true_random=False))
def test_positions_hold_alike_in_any_order_of_arrival(
    held: list[tuple[str, date, int | None, str | None]], order: random.Random
) -> None:
    """The table of the latest rows is the same however they came, and whatever was there in between."""
    rows = {
        f"Q{number}": Position(
            f"Q{number}",
            who,
            since,
            None if length is None else since + timedelta(days=length),
            role,
            *(None,) * 5,
        )
        for number, (who, since, length, role) in enumerate(held)
    }
    straight, shuffled = Positions(), Positions()
    for row_id, row in rows.items():
        straight.replace(row_id, row)
    arrivals = [*rows.items(), *((row_id, None) for row_id in rows)]
    order.shuffle(arrivals)
    for row_id, came in arrivals:
        shuffled.replace(row_id, came)
    for row_id in order.sample(sorted(rows), len(rows)):
        shuffled.replace(row_id, rows[row_id])
    for who in "CD":
        assert shuffled.steps(who) == straight.steps(who)
        for on in DAYS:
            held_on = [one for one in rows.values() if one.consultant_id == who and _holds(one, on)]
            assert holding(straight.steps(who), on) == max(
                held_on, key=lambda one: (one.effective_from, one.id), default=None
            )


def _holds(one: Position, on: date) -> bool:
    return one.effective_from <= on and (one.effective_to is None or on < one.effective_to)
