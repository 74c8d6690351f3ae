"""Touches: nothing that could change is missed, and nothing is visited for a change that can't matter."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from billing_builders import ROOT, Firm, day, entry, money, put_rate, rated, record, small_firm
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.billing import (
    BillingReference,
    Entry,
    Milestone,
    RatedResult,
    Terms,
    Touch,
    rate_entry,
    rate_milestone,
)

DAYS = [day("02-27"), day("03-01"), day("03-05"), day("03-31"), day("04-01"), day("04-10")]
TIMES = [datetime(2026, month, 3, 18, tzinfo=UTC) for month in (3, 4, 5)]
DECISIONS = [*TIMES, datetime(2026, 4, 2, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)]

one_of = st.sampled_from


def some(*values: Any) -> st.SearchStrategy[Any]:
    """One of the values, or null."""
    return st.sampled_from([None, *values])


# Rows of few ids and few values, so that edits hit what the entries look at.
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "consultant": {"role": some("dev", "qa"), "grade": some("senior"), "region": one_of(["eu", "us"])},
    "project": {"engagement_id": some("erp:E1"), "contract_line_id": some("erp:L1", "erp:L2")},
    "task": {
        "project_id": one_of(["erp:P1", "erp:P2"]),
        "contract_line_id": some("erp:L2"),
        "billing_class": one_of(["billable", "non_billable"]),
    },
    "contract_line": {
        "engagement_id": one_of(["erp:E1", "erp:E2"]),
        "billing_method": one_of(["tm", "tm", "retainer", "milestone", "non_billable"]),
        "quantity_increment_seconds": some(900),
        "included_seconds": some(3600),
        "cap_seconds": some(7200),
    },
    "engagement": {
        "client_id": one_of(["erp:CL1", "erp:CL2"]),
        "legal_entity_id": one_of(["erp:LE1", "erp:LE2"]),
        "currency": one_of(["EUR", "USD"]),
        "starts_on": one_of(DAYS[:2]),
        "ends_on": some(*DAYS[4:]),
        "cap_money": some(money(500)),
    },
    "client": {},
    "legal_entity": {},
    "rate": {
        "task_id": some("erp:T1"),
        "project_id": some("erp:P1"),
        "contract_line_id": some("erp:L1"),
        "client_id": some("erp:CL1", "erp:CL2"),
        "consultant_id": some("erp:C1"),
        "role": some("dev"),
        "grade": some("senior"),
        "currency": one_of(["EUR", "USD"]),
        "price": one_of([money(100), money(120)]),
        "effective_from": one_of(DAYS[:3]),
        "effective_to": some(*DAYS[3:]),
        "applies_to_invoiced": st.booleans(),
    },
    "fx_rate": {
        "from_currency": one_of(["EUR", "USD"]),
        "to_currency": one_of(["EUR", "USD"]),
        "day": one_of(DAYS),
        "rate": one_of([Decimal("1.1"), Decimal("1.2")]),
    },
    "period": {
        "legal_entity_id": one_of(["erp:LE1", "erp:LE2"]),
        "starts_on": one_of([day("02-01"), day("03-01"), day("04-01")]),
        "ends_on": one_of([day("03-01"), day("04-01"), day("05-01")]),
        "closed_at": some(*TIMES),
    },
}
IDS = {
    "consultant": ["erp:C1", "erp:C2"],
    "project": ["erp:P1", "erp:P2"],
    "task": ["erp:T1"],
    "contract_line": ["erp:L1", "erp:L2"],
    "engagement": ["erp:E1", "erp:E2"],
    "client": ["erp:CL1", "erp:CL2"],
    "legal_entity": ["erp:LE1", "erp:LE2"],
    "rate": ["erp:R1", "erp:R2", "erp:R3", "erp:R4"],
    "fx_rate": ["erp:F1", "erp:F2"],
    "period": ["erp:A1", "erp:A2", "erp:A3"],
}
# What a rate's scope needs to match at all; random columns rarely do.
SHAPES: list[dict[str, Any]] = [
    {"task_id": "erp:T1", "consultant_id": "erp:C1"},
    {"project_id": "erp:P1", "consultant_id": "erp:C1"},
    {"project_id": "erp:P1", "role": "dev"},
    {"contract_line_id": "erp:L1", "role": "dev"},
    {"client_id": "erp:CL1"},
    {"client_id": "erp:CL1", "role": "dev"},
    {"grade": "senior"},
    {},
]
SCOPE = ("task_id", "project_id", "contract_line_id", "client_id", "consultant_id", "role", "grade")

Edit = tuple[str, str, dict[str, Any] | None]


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """A row put, changed or deleted."""
    entity = draw(one_of([*FIELDS, "rate", "rate", "fx_rate", "period", "period"]))
    row_id = draw(one_of(IDS[entity]))
    if draw(st.integers(0, 5)) == 0:
        return (entity, row_id, None)
    fields = {name: draw(values) for name, values in FIELDS[entity].items()}
    if entity == "rate" and draw(st.integers(0, 4)):
        fields |= {**dict.fromkeys(SCOPE), **draw(one_of(SHAPES))}
    return (entity, row_id, record(entity, row_id, **fields))


@st.composite
def subjects(draw: st.DrawFn) -> Entry | Milestone:
    """An entry or a milestone of the small universe."""
    decided = draw(one_of(DECISIONS))
    if draw(st.integers(0, 6)) == 0:
        return Milestone(
            "erp:M1", draw(one_of(IDS["engagement"])), "erp:L1", money(5), draw(one_of(DAYS)), decided
        )
    return Entry(
        id="time:1",
        consultant_id=draw(one_of(IDS["consultant"])),
        project_id=draw(one_of(IDS["project"])),
        task_id=draw(some("erp:T1")),
        work_date=draw(one_of(DAYS)),
        seconds=5000,
        kind=draw(one_of(["standard", "overtime"])),
        version=1,
        approved_at=draw(st.one_of(st.none(), st.just(decided))),
    )


def rate(subject: Entry | Milestone, ref: BillingReference) -> RatedResult:
    """The rating of either."""
    return rate_entry(subject, ref) if isinstance(subject, Entry) else rate_milestone(subject, ref)


def decision(subject: Entry | Milestone) -> tuple[date, datetime | None]:
    """Work date and time of the decision of either."""
    if isinstance(subject, Entry):
        return (subject.work_date, subject.approved_at)
    return (subject.accepted_on, subject.accepted_at)


def apply_to_firm(firm: Firm, edit: Edit) -> list[Touch]:
    """Apply an edit to the tables."""
    entity, row_id, row = edit
    return firm.ref.apply(entity, row_id, row)


@given(st.lists(subjects(), min_size=4, max_size=12), st.lists(edits(), max_size=30))
@settings(max_examples=400, deadline=None)
def test_re_rating_what_is_touched_is_re_rating_everything(
    entries: list[Entry | Milestone], changes: list[Edit]
) -> None:
    """After any edit, an entry that reported no touched dependency on its day rates as before."""
    firm = small_firm()
    results = [rate(subject, firm.ref) for subject in entries]
    for change in changes:
        touches = apply_to_firm(firm, change)
        for index, subject in enumerate(entries):
            expected = rate(subject, firm.ref)
            held = results[index]
            if any(t.dependency in held.dependencies and t.reaches(*decision(subject)) for t in touches):
                results[index] = held = expected
            assert held == expected, (change, touches)


@given(st.lists(edits(), max_size=20))
@settings(deadline=None)
def test_terms_change_only_with_their_touch(changes: list[Edit]) -> None:
    """The caps and inclusions of a root change only where ``terms:<root>`` is touched."""
    firm = small_firm()
    roots = ["erp:E1", "erp:E2"]
    held: dict[str, Terms] = {root: firm.ref.terms(root) for root in roots}
    for change in changes:
        touched = {touch.dependency for touch in apply_to_firm(firm, change)}
        for root in roots:
            if f"terms:{root}" in touched:
                held[root] = firm.ref.terms(root)
            assert firm.ref.terms(root) == held[root]


@given(st.lists(edits(), max_size=20))
@settings(deadline=None)
def test_the_same_row_again_touches_nothing(changes: list[Edit]) -> None:
    """A row whose business fields are those we hold is no change."""
    firm = small_firm()
    for change in changes:
        apply_to_firm(firm, change)
        assert apply_to_firm(firm, change) == []


@given(st.lists(edits(), max_size=25))
@settings(deadline=None)
def test_the_order_of_loading_does_not_matter(changes: list[Edit]) -> None:
    """Tables loaded from the latest state of each row rate like tables that saw every change."""
    firm, latest = Firm(), Firm()
    last = {(entity, row_id): row for entity, row_id, row in changes}
    for change in changes:
        apply_to_firm(firm, change)
    for (entity, row_id), row in sorted(last.items(), key=lambda pair: pair[0]):
        apply_to_firm(latest, (entity, row_id, row))
    made = entry(1, "03-05", 2, task_id="erp:T1", approved_at=DECISIONS[-1])
    assert rate_entry(made, firm.ref) == rate_entry(made, latest.ref)
    assert firm.ref.terms(ROOT) == latest.ref.terms(ROOT)


@pytest.mark.parametrize(
    ("entity", "row_id", "fields"),
    [
        ("consultant", "erp:C1", {"name": "Ada", "time_zone": "UTC", "practice": "data"}),
        ("project", "erp:P1", {"name": "Apollo", "delivery_model": "remote"}),
        ("client", "erp:CL1", {"tax_region": "DE"}),
        ("engagement", ROOT, {"po_number": "PO-1", "status": "closed"}),
        ("contract_line", "erp:L1", {"name": "Build"}),
    ],
)
def test_fields_that_billing_does_not_use_touch_nothing(
    entity: str, row_id: str, fields: dict[str, Any]
) -> None:
    """A rename re-rates nobody."""
    firm = small_firm()
    row = {**firm.rows[entity, row_id], **fields}
    assert firm.ref.apply(entity, row_id, row) == []


def test_a_cap_re_allocates_without_re_rating() -> None:
    """Caps touch the terms of the root, never an entry."""
    firm = small_firm()
    row = {**firm.rows["engagement", ROOT], "cap_money": money(9)}
    assert firm.ref.apply("engagement", ROOT, row) == [Touch("terms:erp:E1")]
    row = {**firm.rows["contract_line", "erp:L1"], "cap_seconds": 9}
    assert firm.ref.apply("contract_line", "erp:L1", row) == [Touch("terms:erp:E1")]
    row |= {"rounding": "half_even"}
    assert firm.ref.apply("contract_line", "erp:L1", row) == [Touch("line:erp:L1")]


def test_closing_a_rate_touches_only_the_days_it_loses() -> None:
    """An open rate ended on 1 July is no news for June."""
    scope = {"project_id": "erp:P1", "consultant_id": "erp:C1"}
    firm = put_rate(small_firm(), "erp:R1", 100, **scope)
    row = {**firm.rows["rate", "erp:R1"], "effective_to": day("07-01")}
    assert firm.ref.apply("rate", "erp:R1", row) == [Touch("rate@pc:erp:P1/erp:C1", day("07-01"), None)]
    row |= {"price": money(110)}
    touches = firm.ref.apply("rate", "erp:R1", row)
    assert touches == [Touch("rate@pc:erp:P1/erp:C1", day("01-01"), day("06-30"))]


def test_a_rate_that_moves_touches_both_scopes() -> None:
    """Entries it no longer serves, and entries it now wins."""
    firm = put_rate(small_firm(), "erp:R1", 100, client_id="erp:CL1")
    row = {**firm.rows["rate", "erp:R1"], "client_id": None, "role": "dev"}
    names = [touch.dependency for touch in firm.ref.apply("rate", "erp:R1", row)]
    assert names == ["rate@cl:erp:CL1", "rate@default"]


def test_closing_a_month_reaches_only_later_decisions() -> None:
    """The close of March at 3 April 18:00 leaves alone what was decided before."""
    firm = small_firm()
    firm.put("period", "erp:2026-03", legal_entity_id="erp:LE1", starts_on=day("03-01"), ends_on=day("04-01"))
    close = datetime(2026, 4, 3, 18, tzinfo=UTC)
    row = {**firm.rows["period", "erp:2026-03"], "closed_at": close}
    (touch,) = firm.ref.apply("period", "erp:2026-03", row)
    assert touch == Touch("period:erp:LE1", None, day("03-31"), close)
    assert not touch.reaches(day("03-30"), datetime(2026, 4, 3, 17, tzinfo=UTC))
    assert not touch.reaches(day("03-30"), None)
    assert touch.reaches(day("03-30"), close)
    assert touch.reaches(day("02-27"), close)
    assert not touch.reaches(day("04-01"), close)


def test_an_open_month_is_no_news_where_nothing_is_closed() -> None:
    """The next month's row is added: the touch names the entity's periods and reaches no item."""
    firm = small_firm()
    row = record("period", "erp:A1", legal_entity_id="erp:LE1", starts_on=day("03-01"), ends_on=day("04-01"))
    (touch,) = firm.ref.apply("period", "erp:A1", row)
    assert touch.dependency == "period:erp:LE1"
    assert not touch.reaches(day("03-30"), datetime(2099, 1, 1, tzinfo=UTC))


def test_an_arrival_releases_what_waits_for_it() -> None:
    """A parked entry reported the missing key: the row's arrival touches it."""
    firm = small_firm().drop("consultant", "erp:C1")
    parked = rated(firm, entry(1, "03-02", 8))
    row = record("consultant", "erp:C1", role="dev")
    (touch,) = firm.ref.apply("consultant", "erp:C1", row)
    assert touch.dependency in parked.dependencies
