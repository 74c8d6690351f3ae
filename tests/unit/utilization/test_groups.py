"""Groups: worked examples for both judges, what a change sends to whom, and sums over the members."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.billing.source_databases import HOUR, D, Sources, day
from utilization_builders import Person, firm, position
from utilization_judges import Group, Judge, agents, oracle

from agents.utilization.groups import Figures, GroupSum, group_window

MONDAY = day("03-02")
FIRM = ("firm", "firm")
NO_PLAN = (0, 0, 0, D(0))


def staff(*people: tuple[str, dict[str, object]]) -> Sources:
    """Consultants with columns of their own."""
    sources = Sources()
    for native, columns in people:
        sources.put("consultant", native, **columns)
    return sources


def test_a_ratio_is_of_sums(judge: Judge) -> None:
    """30 of 40 h and 10 of 20 h are 40 of 60 h, 66.6667%, and not the mean of 75% and 50%."""
    sources = staff(("B", {"fte": D("0.5")}))
    for number in range(5):
        sources.work(number, f"03-0{number + 2}", 6)
    sources.work(5, "03-02", 6, consultant_code="B").work(6, "03-03", 4, consultant_code="B")
    whole = Group(2, 0, 0, 7, 40 * HOUR, 40 * HOUR, 0, 60 * HOUR, D("0.666667"), *NO_PLAN)
    groups = judge(sources).weeks_of_groups(MONDAY)
    assert groups == dict.fromkeys([FIRM, ("practice", "data"), ("region", "eu"), ("grade", "senior")], whole)


def test_each_dimension_is_a_group_of_its_own(judge: Judge) -> None:
    """Two people of one region and two practices; each practice has its own, the region and firm both."""
    sources = staff(("B", {"practice": "cloud", "grade": "partner"}))
    sources.work(1, "03-02", 8).work(2, "03-02", 4, consultant_code="B")
    groups = judge(sources).weeks_of_groups(MONDAY)
    billable = {key: group.billable // HOUR for key, group in groups.items()}
    assert billable == {
        FIRM: 12,
        ("practice", "data"): 8,
        ("practice", "cloud"): 4,
        ("region", "eu"): 12,
        ("grade", "senior"): 8,
        ("grade", "partner"): 4,
    }


def test_who_is_on_the_bench_counts(judge: Judge) -> None:
    """30 of 40 h, and a colleague hired on Wednesday without any entry: 30 of 64 h, 46.875%."""
    sources = staff(("B", {"hired_on": day("03-04"), "grade": "junior"}))
    for number in range(5):
        sources.work(number, f"03-0{number + 2}", 6)
    groups = judge(sources).weeks_of_groups(MONDAY)
    assert groups["practice", "data"][:2] == (2, 1)
    assert groups["practice", "data"][7:9] == (64 * HOUR, D("0.46875"))
    assert groups["grade", "senior"][:2] == (1, 0)
    assert ("grade", "junior") not in groups, "nobody of them has anything"


def test_the_bench_of_an_unknown_calendar_is_no_capacity(judge: Judge) -> None:
    """Somebody idle whose calendar is missing is counted, and in no ratio; who has left is not there at all."""
    sources = staff(("B", {"calendar_id": "never"}), ("G", {"left_on": MONDAY})).work(1, "03-02", 8)
    whole = judge(sources).weeks_of_groups(MONDAY)[FIRM]
    assert whole == Group(2, 1, 1, 1, 8 * HOUR, 8 * HOUR, 0, 40 * HOUR, D("0.2"), *NO_PLAN)


def test_who_is_unknown_is_in_the_firm_alone_and_in_no_ratio(judge: Judge) -> None:
    """Their time shows in the sums; the ratio is of the others, and null without any."""
    sources = staff().work(1, "03-02", 8).work(2, "03-02", 8, consultant_code="ghost")
    groups = judge(sources).weeks_of_groups(MONDAY)
    assert groups[FIRM] == Group(2, 0, 1, 2, 16 * HOUR, 16 * HOUR, 0, 40 * HOUR, D("0.2"), *NO_PLAN)
    assert groups["practice", "data"].consultants == 1
    sources.drop("calendar", "K")
    assert judge(sources).weeks_of_groups(MONDAY)[FIRM][7:9] == (None, None)


def test_zero_capacity_of_a_group_has_no_ratio(judge: Judge) -> None:
    """Known to be nothing: 0, and null for the ratio."""
    sources = Sources().put("consultant", "C", fte=D(0)).work(1, "03-02", 8)
    assert judge(sources).weeks_of_groups(MONDAY)[FIRM][7:9] == (0, None)


def sent(person: Person) -> dict[str, Figures]:
    """What the groups have of a person, by dimension and value of the week."""
    return {key: figures for key, figures in person.live()[3].items() if "|week|" in key}


def test_a_move_to_another_practice_in_mid_week_tells_only_those_two() -> None:
    """The days since then are taken out of one and put into the other; region, grade and firm hear nothing."""
    person = Person(firm())
    person.put("time:1", date(2024, 5, 6), 8, 8)  # a Monday
    person.put("time:2", date(2024, 5, 8), 7, 6)
    before = person.members
    person.members = dict(before)
    person.change("consultant_position", "erp:CP", position(date(2024, 5, 8), practice="cloud"))
    changed = {key: row for key, row in person.members.items() if row is not before.get(key)}
    week = {
        key: (row["op"], row["revision"], row["days"], row["worked_seconds"], row["capacity_seconds"])
        for key, row in changed.items()
        if row["window"] == "week"
    }
    assert week == {
        "practice|data|week|2024-05-06": ("PUT", 3, 1, 8 * HOUR, 16 * HOUR),
        "practice|cloud|week|2024-05-06": ("PUT", 3, 1, 7 * HOUR, 24 * HOUR),
    }
    assert {row["dimension"] for row in changed.values()} == {"practice"}
    person.restart()
    person.change("consultant_position", "erp:CP", None)
    assert person.members["practice|cloud|week|2024-05-06"]["op"] == "REMOVE"
    assert person.members["practice|data|week|2024-05-06"]["worked_seconds"] == 15 * HOUR


def test_a_target_is_nothing_to_a_group() -> None:
    """What changes a person's window and adds nothing else to its groups isn't sent to them."""
    person = Person(firm())
    person.put("time:1", date(2024, 5, 6), 8, 8)
    before = dict(person.members)
    names = {"scope": "practice", "practice": "data", "consultant_id": None, "grade": None}
    since = {"effective_from": date(2024, 1, 1), "effective_to": None, "deleted": False}
    person.change("utilization_target", "erp:T", {**names, **since, "ratio": D("0.5")})
    assert person.windows["week", date(2024, 5, 6)]["target_seconds"] == 20 * HOUR
    assert person.members == before


def test_the_last_entry_takes_the_member_out() -> None:
    """No entry, no member; capacity goes with it."""
    person = Person(firm())
    person.put("time:1", date(2024, 5, 6), 8, 8)
    assert len(sent(person)) == 4
    person.put("time:1", None, 0, revision=2)
    assert sent(person) == {}


def test_keys_of_groups_do_not_collide() -> None:
    """A practice whose name has the separator in it is still one part."""
    assert group_window("practice", "a|b", "week") != group_window("practice", "a", "b|week")
    assert group_window("practice", "a|b") == "practice|a%7Cb"
    assert group_window("practice", "a%7Cb") == "practice|a%257Cb"


FIGURES = st.builds(
    Figures,
    st.integers(1, 5),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.none() | st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
)


@given(st.lists(FIGURES, max_size=6), st.lists(FIGURES, max_size=6))
def test_taking_out_undoes_adding(kept: list[Figures], gone: list[Figures]) -> None:
    """Sums are those of the members that are left, whatever came and went."""
    total, left = GroupSum(), GroupSum()
    for part in (*gone, *kept):
        total.add(part, 1)
    for part in gone:
        total.add(part, -1)
    for part in kept:
        left.add(part, 1)
    assert total == left
    assert total.fields() == left.fields()


def test_who_is_on_the_bench_may_swap_unseen() -> None:
    """Somebody who had only a plan of nothing billable, and somebody idle: the other way round, the record is the same."""
    one, other = GroupSum(), GroupSum()
    for total, busy, idle in ((one, 40, 36), (other, 36, 40)):
        total.add(Figures(0, 0, 0, 0, busy, 8, 0, 0), 1)
        total.add_idle(idle, 1)
    assert one.values() != other.values()
    assert one.content() == other.content()


PEOPLE = st.sampled_from(["C", "B", "ghost"])
WORK = st.tuples(PEOPLE, st.integers(0, 12), st.sampled_from(["1", "7.5"]), st.booleans())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(WORK, max_size=8),
    st.sampled_from(["data", "cloud"]),
    st.sampled_from(["senior", "junior"]),
    st.sampled_from(["K", "K2"]),
)
def test_both_judges_agree(
    work: list[tuple[str, int, str, bool]], practice: str, grade: str, calendar: str
) -> None:
    """On all windows of all groups, and both on the firm being the sum of its people."""
    sources = staff(("B", {"practice": practice, "grade": grade, "calendar_id": calendar}))
    sources.put("task", "T", billing_class="non_billable")
    for number, (who, offset, hours, billable) in enumerate(work):
        on = f"{day('03-27') + timedelta(days=offset):%m-%d}"
        sources.work(number, on, hours, consultant_code=who, task_code=None if billable else "T")
    verdict = agents(sources)
    assert verdict == oracle(sources)
    for (dimension, _, kind, starts_on), group in verdict.groups.items():
        if dimension == "firm":
            members = [w for (_, k, at), w in verdict.windows.items() if (k, at) == (kind, starts_on)]
            assert group.consultants - group.idle == len(members)
            assert group.worked == sum(member.worked for member in members)
            assert (group.capacity or 0) >= sum(member.capacity or 0 for member in members)


@pytest.mark.parametrize("dimension", ["practice", "region", "grade"])
def test_the_groups_of_a_dimension_add_up_to_the_firm(judge: Judge, dimension: str) -> None:
    """Where everybody is known."""
    sources = staff(("B", {"practice": "cloud", "region": "us", "grade": "junior"}))
    sources.work(1, "03-02", 8).work(2, "03-03", 4, consultant_code="B")
    groups = judge(sources).weeks_of_groups(MONDAY)
    parts = [group for key, group in groups.items() if key[0] == dimension]
    assert len(parts) == 2
    sums = [sum(values) for values in zip(*(part[:7] for part in parts), strict=True)]
    assert sums == list(groups[FIRM][:7])
