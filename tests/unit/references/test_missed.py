"""What the views say of rows that changed unseen, and the index that finds their entries."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.billing.index import ANY, DependencyIndex, entry_of
from agents.billing.touches import Touch
from agents.billing.view import BillingView
from agents.utilization.view import EVERYBODY, UtilizationView
from streams.contracts import load_schema
from streams.lanes.state import MemoryStore, Overlay

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(6)]
DEPENDENCIES = ["rate@default", "fx:EUR:USD", "fx:GBP:USD", "period:LE", "line:1", "line:10"]
SIGNATURES = ["c1|p1|", "c1|p1|t1", "c1|p10|", "c2|p1|"]


@cache
def names(entity: str) -> tuple[str, ...]:
    """Fields of a canonical entity."""
    return tuple(field["name"] for field in load_schema(f"canonical/{entity}")["fields"])


def row(entity: str, row_id: str, **fields: Any) -> dict[str, Any]:
    """A decoded record; what isn't given is null."""
    assert not set(fields) - set(names(entity))
    return {**dict.fromkeys(names(entity)), "id": row_id, "deleted": False, **fields}


entries = st.lists(
    st.tuples(
        st.sampled_from([b"e\0a", b"e\0b", b"e\0c", b"e\0d", b"e\0ab"]),
        st.sampled_from(SIGNATURES),
        st.sampled_from(DAYS),
        st.sets(st.sampled_from(DEPENDENCIES), max_size=3),
    ),
    max_size=12,
)
touches = st.tuples(
    st.sampled_from([*DEPENDENCIES, "fx:" + ANY, ANY, "rate@never"]),
    st.none() | st.sampled_from(DAYS),
    st.none() | st.sampled_from(DAYS),
).map(lambda parts: Touch(*parts))


def reports(dependency: str, touched: str) -> bool:
    """Whether a touch names a dependency."""
    return dependency == touched or (touched.endswith(ANY) and dependency.startswith(touched[:-1]))


@settings(max_examples=300)
@given(entries, st.lists(touches, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_every_entry_that_reported_a_touched_dependency_is_found(
    placed: list[tuple[bytes, str, date, set[str]]], touched: list[Touch], restart: bool, sliced: bool
) -> None:
    """Also entries that moved to another signature or day, after a restart, and inside the slice.

    More may be found (of the same signature), but none outside the touched days, and none twice. From any
    place on the same are found.
    """
    store = MemoryStore()
    overlay = Overlay(store)
    index = DependencyIndex()
    now: dict[bytes, tuple[str, date, set[str]]] = {}
    for key, signature, day, dependencies in placed:
        if key in now and now[key][:2] != (signature, day):
            index.remove(overlay, key, *now[key][:2])
        index.learn(overlay, signature, sorted(dependencies))
        index.place(overlay, key, signature, day)
        now[key] = (signature, day, dependencies)
        if not sliced:
            store.write(overlay.changes)
            overlay = Overlay(store)
    if restart:
        store.write(overlay.changes)
        overlay = Overlay(store)
        index = DependencyIndex()
    places = list(index.affected(touched, overlay))
    assert places == sorted(places)
    for at, place in enumerate(places):
        assert list(index.affected(touched, overlay, place)) == places[at + 1 :]
    found = [entry_of(place) for place in places]
    assert len(found) == len(set(found))
    due, possible = set(), set()
    for key, (_, day, dependencies) in now.items():
        for touch in touched:
            if touch.reaches(day):
                possible.add(key)
                if any(reports(dependency, touch.dependency) for dependency in dependencies):
                    due.add(key)
    assert due <= set(found) <= possible


# ---- billing: rows that changed while the lane was closed ----

CHAIN = {
    "client": [{"currency": "EUR"}, {"currency": "USD"}],
    "project": [
        {"engagement_id": "E1", "contract_line_id": "L1"},
        {"engagement_id": "E2", "contract_line_id": "L2"},
    ],
    "task": [{"project_id": "P1", "billing_class": "billable"}, {"project_id": "P2"}],
    "consultant": [{"role": "dev"}, {"role": "lead"}],
    "legal_entity": [{"currency": "EUR"}, {"currency": "USD"}],
}


@pytest.mark.parametrize("entity", sorted(CHAIN))
@pytest.mark.parametrize("gone", [False, True])
def test_a_row_looked_up_by_id_reaches_its_users_by_id(entity: str, gone: bool) -> None:
    """Whatever it was before, and whether it is still there."""
    view = BillingView()
    after = None if gone else row(entity, "X", **CHAIN[entity][0])
    view.apply(entity, "X", after)
    assert Touch(f"{entity}:X") in view.missed(entity, "X", after)


def rate(price: int = 100, **scope: Any) -> dict[str, Any]:
    """A rate."""
    return row(
        "rate",
        "R",
        currency="EUR",
        price=Decimal(price),
        overtime_multiplier=Decimal(1),
        weekend_multiplier=Decimal(1),
        effective_from=FIRST,
        applies_to_invoiced=False,
        **scope,
    )


def test_a_rate_reaches_where_it_is_now_and_whom_it_won_before() -> None:
    """A rate that moved from one project to another unseen: entries of both, on all days."""
    view = BillingView()
    moved = rate(project_id="P2", role="dev")
    view.apply("rate", "R", moved)
    missed = view.missed("rate", "R", moved)
    assert Touch("rate#R") in missed
    assert Touch("rate@pr:P2/dev") in missed
    assert all(touch.first_day is None and touch.last_day is None for touch in missed)


def test_missed_rows_are_applied_as_before() -> None:
    """Asking what a row reaches leaves the tables as they were."""
    view = BillingView()
    view.apply("rate", "R", rate())
    view.missed("rate", "R", rate())
    assert "R" in view.reference.rates.by_id


def test_what_a_rate_was_reaches_where_it_was_and_whom_the_rate_prices() -> None:
    """Taken away unseen, of which rate it was is not known: all that looked for any rate."""
    view = BillingView()
    version = row(
        "rate_version",
        "V",
        **{
            **rate(project_id="P2", role="dev"),
            "id": "V",
            "rate_id": "R",
            "ended_at": datetime(2026, 3, 9, tzinfo=UTC),
        },
    )
    view.apply("rate_version", "V", version)
    missed = view.missed("rate_version", "V", version)
    assert set(missed) == {Touch("rate#R"), Touch("rate@pr:P2/dev")}
    view.apply("rate_version", "V", None)
    assert view.missed("rate_version", "V", None) == [Touch("rate@*")]


@pytest.mark.parametrize("gone", [False, True])
def test_a_row_found_by_coordinates_reaches_all_lookups_of_its_kind(gone: bool) -> None:
    """An exchange rate that was of another pair before is not known to have been: all pairs are looked at."""
    view = BillingView()
    fx = row("fx_rate", "F", from_currency="USD", to_currency="EUR", day=FIRST, rate=Decimal("0.9"))
    view.apply("fx_rate", "F", None if gone else fx)
    assert view.missed("fx_rate", "F", None if gone else fx) == [Touch("fx:*")]
    period = row("period", "M", legal_entity_id="LE", starts_on=FIRST, ends_on=DAYS[-1])
    view.apply("period", "M", None if gone else period)
    assert view.missed("period", "M", None if gone else period) == [Touch("period:*")]


# ---- utilization ----


def utilization() -> UtilizationView:
    """Two consultants of two calendars."""
    view = UtilizationView()
    week = dict.fromkeys([f"{name}_seconds" for name in WEEKDAYS], 8 * 3600)
    for number in ("1", "2"):
        view.apply("calendar", f"K{number}", row("calendar", f"K{number}", **week))
        consultant = row(
            "consultant",
            f"C{number}",
            calendar_id=f"K{number}",
            fte=Decimal(1),
            hired_on=date(2020, 1, 1),
            grade=f"G{number}",
        )
        view.apply("consultant", f"C{number}", consultant)
    return view


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HALF = Decimal("0.5")
TARGET = {"ratio": Decimal("0.5"), "effective_from": FIRST}
UNSEEN = [
    ("consultant", {"calendar_id": "K1", "fte": Decimal("0.5"), "hired_on": FIRST}, "C1"),
    (
        "consultant_position",
        {"consultant_id": "C1", "effective_from": FIRST, "calendar_id": "K2", "fte": HALF},
        "Q",
    ),
    ("consultant_position", {"consultant_id": "C2", "effective_from": FIRST, "fte": HALF}, "Q"),
    ("calendar", {f"{name}_seconds": 3600 for name in WEEKDAYS}, "K1"),
    ("holiday", {"calendar_id": "K1", "day": FIRST}, "H"),
    ("holiday", {"calendar_id": "K2", "day": FIRST}, "H"),
    ("absence", {"consultant_id": "C1", "day": FIRST, "seconds": 3600}, "A"),
    ("absence", {"consultant_id": "C2", "day": FIRST, "seconds": 3600}, "A"),
    ("utilization_target", {"scope": "grade", "grade": "G1", **TARGET}, "T"),
    ("utilization_target", {"scope": "consultant", "consultant_id": "C2", **TARGET}, "T"),
]
BEFORE_AND_AFTER = [
    (before, after)
    for before, after in itertools.product([*UNSEEN, None], repeat=2)
    # The same row of the same table, there at least once.
    if (before or after) and not (before and after and before[::2] != after[::2])
]


def reached(view: UtilizationView, found: Sequence[Any]) -> set[str]:
    """Consultants that touches reach."""
    people = {touch[0] for touch in found}
    return {"C1", "C2"} if EVERYBODY in people else people


def measures(view: UtilizationView, who: str) -> tuple[Any, ...]:
    """Capacity and target of a day."""
    return view.reference.day_capacity(who, FIRST), view.reference.range_goal(who, FIRST, DAYS[1])


@pytest.mark.parametrize(("before", "after"), BEFORE_AND_AFTER)
def test_consultants_whose_day_changed_unseen_are_reached(
    before: tuple[str, dict[str, Any], str] | None, after: tuple[str, dict[str, Any], str] | None
) -> None:
    """For a row that was one thing and is another, or is gone: everybody whose day differs is reached."""
    entity, _, row_id = before or after  # type: ignore[misc]  # never both None
    view = utilization()
    if before is not None:
        view.apply(entity, row_id, row(entity, row_id, **before[1]))
    old = {who: measures(view, who) for who in ("C1", "C2")}
    now = None if after is None else row(entity, row_id, **after[1])
    view.apply(entity, row_id, now)
    new = {who: measures(view, who) for who in ("C1", "C2")}
    differ = {who for who in old if old[who] != new[who]}
    # The lane that was closed asks a view that never saw the row as it was before.
    fresh = utilization()
    fresh.apply(entity, row_id, now)
    assert differ <= reached(fresh, fresh.missed(entity, row_id, now))


PROJECTS = {
    "project": [
        {"engagement_id": "E", "contract_line_id": "L"},
        {"engagement_id": None},
        {"engagement_id": "E", "contract_line_id": "L2"},
    ],
    "contract_line": [{"billing_method": "tm"}, {"billing_method": "non_billable"}],
}


@pytest.mark.parametrize("entity", sorted(PROJECTS))
def test_projects_whose_plan_is_billed_otherwise_are_reached(entity: str) -> None:
    """Whatever the row was before, and whether it is still there: the project, or everybody."""
    row_id = {"project": "P", "contract_line": "L"}[entity]

    def view(fields: dict[str, Any] | None) -> UtilizationView:
        made = utilization()
        made.apply("project", "P", row("project", "P", **PROJECTS["project"][0]))
        made.apply("contract_line", "L", row("contract_line", "L", billing_method="per_diem"))
        made.apply(entity, row_id, None if fields is None else row(entity, row_id, **fields))
        return made

    for before, after in itertools.permutations([*PROJECTS[entity], None], 2):
        now, record = view(after), None if after is None else row(entity, row_id, **after)
        if view(before).reference.is_billable("P") != now.reference.is_billable("P"):
            assert {touch[0] for touch in now.missed(entity, row_id, record)} & {"P", EVERYBODY}


@pytest.mark.parametrize(
    ("entity", "kind"),
    [
        ("fx_rate", "fx:"),
        ("fx_rate_version", "fx:"),
        ("period", "period:"),
        ("period_right", "right:"),
        ("approval_limit", "limit:"),
        ("prepaid_lot", "terms:"),
        ("engagement_version", "terms:"),
        ("contract_line_version", "terms:"),
        ("payer_split", "terms:"),
        ("consultant_position", "consultant:"),
    ],
)
def test_a_row_looked_up_by_coordinates_reaches_all_who_looked_up_its_kind(entity: str, kind: str) -> None:
    """Its coordinates of before are not known any more; a right that was taken away unseen was somebody's."""
    assert BillingView().missed(entity, "X", None) == [Touch(kind + ANY)]
