"""Approved time of which it is not known what it costs."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from utilization_builders import ADA, HOUR, Person, firm

THURSDAY, FRIDAY = date(2026, 3, 5), date(2026, 3, 6)


def cost(since: date = date(2020, 1, 1), until: date | None = None, who: str = ADA) -> dict[str, Any]:
    """A canonical cost rate."""
    return {
        "deleted": False,
        "consultant_id": who,
        "currency": "EUR",
        "cost": Decimal(60),
        "effective_from": since,
        "effective_to": until,
    }


def told(person: Person) -> tuple[list[str], int, str] | None:
    """Missing keys, seconds at stake and message of what is raised."""
    raised = person.uncosted
    if raised is None:
        return None
    assert (raised["exception_class"], raised["blocks"], raised["subject"]) == (
        "MISSING_COST_RATE",
        "margin",
        ADA,
    )
    return raised["missing_keys"], raised["seconds"], raised["message"]


def test_time_after_a_cost_rate_ended_is_raised_and_clears() -> None:
    """8 h with a cost, 2 h without: 7,200 s at stake since the 6th; the next rate clears it, and nothing else moved."""
    person = Person(firm())
    person.change("cost_rate", "erp:1", cost(until=FRIDAY))
    person.put("time:1", THURSDAY, 8, 8)
    assert told(person) is None
    person.put("time:2", FRIDAY, 2, 2)
    assert told(person) == (
        [f"cost_rate:{ADA}"],
        2 * HOUR,
        "1 days have no one cost rate, the first is 2026-03-06",
    )
    published = person.records
    person.change("cost_rate", "erp:2", cost(since=FRIDAY))
    assert told(person) is None
    assert person.records == published + 1
    assert person.raised is None


def test_none_and_several_cost_rates_are_the_same() -> None:
    """Without any, all time is uncosted; so it is under two that overlap; and none once the time is withdrawn."""
    person = Person(firm())
    person.put("time:1", THURSDAY, 8, 8)
    assert told(person) is not None
    person.change("cost_rate", "erp:1", cost())
    assert told(person) is None
    person.change("cost_rate", "erp:2", cost(since=THURSDAY))
    assert told(person) is not None
    person.restart()
    person.put("time:1", None, 0, revision=2)
    assert told(person) is None


def test_a_rate_that_moves_to_another_person_is_theirs() -> None:
    """Both are looked at again."""
    person = Person(firm())
    person.change("cost_rate", "erp:1", cost())
    person.put("time:1", THURSDAY, 8, 8)
    touched = person.change("cost_rate", "erp:1", cost(who="erp:other"))
    assert {touch.consultant_id for touch in touched if hasattr(touch, "consultant_id")} == {ADA, "erp:other"}
    assert told(person) is not None
    person.change("cost_rate", "erp:1", None)
    assert told(person) is not None


DAYS = [date(2026, 3, number) for number in range(2, 8)]
changes = st.one_of(
    st.tuples(st.just("entry"), st.integers(1, 3), st.sampled_from(DAYS), st.integers(0, 2)),
    st.tuples(st.just("rate"), st.integers(1, 3), st.sampled_from(DAYS), st.integers(0, 6)),
    st.tuples(st.just("restart"), st.just(0), st.just(DAYS[0]), st.just(0)),
)


@settings(deadline=None)  # times a busy machine, not the code
@given(st.lists(changes, max_size=20))
def test_the_order_makes_no_difference(history: list[tuple[str, int, date, int]]) -> None:
    """However entries, cost rates and restarts follow each other, what is raised is that of the last state."""
    person = Person(firm())
    entries: dict[int, tuple[date, int]] = {}
    rates: dict[int, tuple[date, date | None]] = {}
    for revision, (kind, number, on, size) in enumerate(history, 1):
        if kind == "entry":
            entries[number] = (on, size)
            person.put(f"time:{number}", on, size, size, revision=revision)
        elif kind == "rate":
            until = None if size == 6 else date.fromordinal(on.toordinal() + size + 1)
            rates[number] = (on, until)
            person.change("cost_rate", f"erp:{number}", cost(on, until))
        else:
            person.restart()
    worked = {day: sum(hours for on, hours in entries.values() if on == day) for day in DAYS}
    covered = {
        day: sum(since <= day and (until is None or day < until) for since, until in rates.values())
        for day in DAYS
    }
    lacking = sum(worked[day] for day in DAYS if covered[day] != 1)
    assert (told(person) or ([], 0, ""))[1] == lacking * HOUR
