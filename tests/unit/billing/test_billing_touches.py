"""Touches: nothing that could change is missed, and nothing is visited for a change that can't matter."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from billing_builders import ROOT, Firm, day, entry, money, put_rate, rated, record, small_firm
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.billing import (
    Adjustment,
    BillingReference,
    Entry,
    Milestone,
    RatedResult,
    Terms,
    Touch,
    rate_entry,
    rate_milestone,
)
from agents.billing.atclose import AtCloses, at_closes

# Two weeks around a month's end: ranges, ages of exchange rates and periods all have their edges inside.
DAYS = [day("03-26") + timedelta(days=number) for number in range(14)]
CLOSES = [datetime(2026, 4, on, 18, tzinfo=UTC) for on in (1, 3, 5)]
DECISIONS = [moment + timedelta(hours=shift) for moment in CLOSES for shift in (-1, 0, 1)]

one_of = st.sampled_from


def some(*values: Any) -> st.SearchStrategy[Any]:
    """One of the values, or null."""
    return st.sampled_from([None, *values])


# Few ids and few values, so that edits hit what the entries look at.
FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "consultant": {"role": some("dev", "qa"), "grade": some("senior"), "region": one_of(["eu", "us"])},
    "consultant_position": {
        "consultant_id": one_of(["erp:C1", "erp:C1", "erp:C2"]),
        "effective_from": one_of(DAYS),
        "effective_to": some(*DAYS),
        "role": some("dev", "qa"),
        "grade": some("senior", "junior"),
        "region": some("us"),
        "fte": some(Decimal("0.5")),
    },
    "project": {"engagement_id": some("erp:E1", "erp:E1"), "contract_line_id": some("erp:L1", "erp:L2")},
    "task": {
        "project_id": one_of(["erp:P1", "erp:P1", "erp:P2"]),
        "contract_line_id": some("erp:L2"),
        "billing_class": one_of(["billable", "non_billable"]),
    },
    "contract_line": {
        "engagement_id": one_of(["erp:E1", "erp:E2"]),
        "billing_method": one_of(["tm", "tm", "retainer", "milestone", "non_billable"]),
        "quantity_increment_seconds": some(900),
        "quantity_rounding": some("up"),
        "minimum_quantity_seconds": some(7200),
        "rounding": one_of(["half_up", "half_even"]),
        "included_seconds": some(3600),
        "cap_seconds": some(7200),
    },
    "engagement": {
        "client_id": one_of(["erp:CL1", "erp:CL2"]),
        "legal_entity_id": one_of(["erp:LE1", "erp:LE2"]),
        "currency": one_of(["EUR", "USD"]),
        "starts_on": one_of(DAYS[:3]),
        "ends_on": some(*DAYS[-3:]),
        "cap_money": some(money(500)),
        "fx_rate_type": some("corporate"),
        "fx_direction": some("inverse"),
    },
    "client": {},
    "legal_entity": {"late_acts": some("by_right")},
    "rate": {
        "currency": one_of(["EUR", "USD"]),
        "price": one_of([money(100), money(120)]),
        "effective_from": one_of(DAYS),
        "effective_to": some(*DAYS),
        "applies_to_invoiced": st.booleans(),
        "unit": some("hour", "day", "fixed"),
        "day_seconds": one_of([27_000, 28_800]),
        "decided_at": some(*DECISIONS),
    },
    "fx_rate": {
        "from_currency": one_of(["EUR", "USD"]),
        "to_currency": one_of(["EUR", "USD"]),
        "day": one_of(DAYS),
        "rate": one_of([Decimal("1.1"), Decimal("1.2")]),
        "rate_type": some("corporate"),
        "decided_at": some(*DECISIONS),
    },
    "period": {
        "legal_entity_id": one_of(["erp:LE1", "erp:LE1", "erp:LE2"]),
        "starts_on": one_of([day("03-01"), day("03-29"), day("04-01"), day("04-04")]),
        "ends_on": one_of([day("03-29"), day("04-01"), day("04-04"), day("05-01")]),
        "closed_at": some(*CLOSES),
        "soft_closed_at": some(*CLOSES),
    },
    "period_right": {
        "legal_entity_id": one_of(["erp:LE1", "erp:LE1", "erp:LE2"]),
        "person_id": one_of(["erp:B", "erp:B", "erp:D"]),
        "granted_at": one_of(DECISIONS),
        "revoked_at": some(*DECISIONS),
    },
    "prepaid_lot": {
        "contract_line_id": one_of(["erp:L1", "erp:L2"]),
        "seconds": one_of([3600, 7200]),
        "expires_on": some(*DAYS),
    },
    "payer_split": {"engagement_id": one_of([ROOT, "erp:E2"]), "client_id": one_of(["erp:CL1", "erp:CL2"])},
    "approval_limit": {
        "approver_id": one_of(["erp:B", "erp:D"]),
        "kind": st.just("write_off"),
        "currency": one_of(["EUR", "USD"]),
        "amount": one_of([money(0), money(500)]),
        "effective_from": one_of(DAYS),
        "effective_to": some(*DAYS),
    },
}
FIELDS["rate_version"] = {
    **FIELDS["rate"],
    "rate_id": one_of(["erp:R1", "erp:R2"]),
    "ended_at": one_of(DECISIONS),
}
FIELDS["fx_rate_version"] = {
    **FIELDS["fx_rate"],
    "fx_rate_id": one_of(["erp:F1", "erp:F2"]),
    "ended_at": one_of(DECISIONS),
}
SCOPE = ("task_id", "project_id", "contract_line_id", "client_id", "consultant_id", "role", "grade")
SHAPES: list[dict[str, Any]] = [
    {"task_id": "erp:T1", "consultant_id": "erp:C1"},
    {"project_id": "erp:P1", "consultant_id": "erp:C1"},
    {"project_id": "erp:P1", "role": "dev"},
    {"contract_line_id": "erp:L1", "role": "dev"},
    {"client_id": "erp:CL1"},
    {"client_id": "erp:CL1", "role": "dev"},
    {"grade": "senior"},
    {"consultant_id": "erp:C1"},  # a shape that never matches
    {},
]
IDS = {
    "consultant": ["erp:C1", "erp:C2"],
    "consultant_position": ["erp:Q1", "erp:Q2", "erp:Q3"],
    "project": ["erp:P1", "erp:P2"],
    "task": ["erp:T1"],
    "contract_line": ["erp:L1", "erp:L2"],
    "engagement": [ROOT, "erp:E2"],
    "client": ["erp:CL1", "erp:CL2"],
    "legal_entity": ["erp:LE1", "erp:LE2"],
    "rate": ["erp:R1", "erp:R2", "erp:R3"],
    "rate_version": ["erp:RV1", "erp:RV2", "erp:RV3"],
    "fx_rate": ["erp:F1", "erp:F2"],
    "fx_rate_version": ["erp:FV1", "erp:FV2"],
    "period": ["erp:A1", "erp:A2", "erp:A3"],
    "period_right": ["erp:W1", "erp:W2"],
    "approval_limit": ["erp:X1", "erp:X2"],
    "prepaid_lot": ["erp:O1", "erp:O2"],
    "payer_split": ["erp:S1", "erp:S2"],
}
# Most edits are of what depends on days; edits of the chain change everything and teach little.
WEIGHTED = [
    *FIELDS,
    *["consultant_position"] * 4,
    *["rate"] * 8,
    *["rate_version"] * 6,
    *["fx_rate"] * 4,
    *["fx_rate_version"] * 3,
    *["period"] * 6,
    *["period_right"] * 4,
    *["legal_entity"] * 2,
]

Edit = tuple[str, str, dict[str, Any] | None]  # entity, id, fields to change; None deletes


def lively_firm() -> Firm:
    """The small firm with every row that the edits know, closed and open months, and a dollar engagement."""
    firm = (
        small_firm()
        .put("client", "erp:CL2")
        .put("legal_entity", "erp:LE2")
        .put("consultant", "erp:C2", role="dev")
    )
    firm.put(
        "engagement",
        "erp:E2",
        client_id="erp:CL2",
        legal_entity_id="erp:LE1",
        currency="USD",
        starts_on=DAYS[0],
    )
    firm.put("contract_line", "erp:L2", engagement_id="erp:E2", billing_method="tm")
    firm.put("project", "erp:P2", engagement_id="erp:E2", contract_line_id="erp:L2")
    firm.put("fx_rate", "erp:F1", from_currency="EUR", to_currency="USD", day=DAYS[2], rate=Decimal("1.1"))
    for row_id, first, end, closed_at in [
        ("erp:A1", "03-01", "03-29", CLOSES[0]),
        ("erp:A2", "03-29", "04-01", CLOSES[1]),
        ("erp:A3", "04-01", "05-01", None),
    ]:
        fields = {"starts_on": day(first), "ends_on": day(end), "closed_at": closed_at}
        firm.put("period", row_id, legal_entity_id="erp:LE1", **fields)
    firm.put("legal_entity", "erp:LE1", late_acts="by_right")
    firm.put("period_right", "erp:W1", legal_entity_id="erp:LE1", person_id="erp:B", granted_at=DECISIONS[2])
    return put_rate(firm, "erp:R1", 110, project_id="erp:P1", role="dev")


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """A row put, changed in a field or two, or deleted."""
    entity = draw(one_of(WEIGHTED))
    row_id = draw(one_of(IDS[entity]))
    if draw(st.integers(0, 7)) == 0:
        return (entity, row_id, None)
    if entity in ("rate", "rate_version") and draw(st.booleans()):
        return (entity, row_id, {**dict.fromkeys(SCOPE), **draw(one_of(SHAPES))})
    names = draw(st.lists(one_of(sorted(FIELDS[entity])), max_size=2, unique=True)) if FIELDS[entity] else []
    return (entity, row_id, {name: draw(FIELDS[entity][name]) for name in names})


# What a row that an edit creates has besides the fields that the edit sets.
NEW_ROWS: dict[str, dict[str, Any]] = {
    "consultant_position": {"consultant_id": "erp:C1", "effective_from": DAYS[0]},
    "prepaid_lot": {"contract_line_id": "erp:L1", "seconds": 60},
    "payer_split": {"engagement_id": ROOT, "client_id": "erp:CL2"},
    "contract_line": {"engagement_id": ROOT, "billing_method": "tm"},
    "engagement": {"client_id": "erp:CL1", "legal_entity_id": "erp:LE1", "currency": "EUR"},
    "rate": {"currency": "EUR", "price": money(90)},
    "rate_version": {"currency": "EUR", "price": money(95), "rate_id": "erp:R1", "ended_at": DECISIONS[4]},
    "fx_rate": {"from_currency": "EUR", "to_currency": "USD", "day": DAYS[0], "rate": Decimal("1.3")},
    "fx_rate_version": {"from_currency": "EUR", "to_currency": "USD", "day": DAYS[2], "rate": Decimal("1.4")}
    | {"fx_rate_id": "erp:F1", "ended_at": DECISIONS[4]},
    "period": {"legal_entity_id": "erp:LE1", "starts_on": day("04-01"), "ends_on": day("04-04")},
    "period_right": {"legal_entity_id": "erp:LE1", "person_id": "erp:B", "granted_at": DECISIONS[0]},
    "approval_limit": {"approver_id": "erp:B", "kind": "write_off", "currency": "EUR", "amount": money(200)}
    | {"effective_from": DAYS[0]},
}


def apply_to_firm(firm: Firm, edit: Edit) -> list[Touch]:
    """Apply an edit to the rows and the tables."""
    entity, row_id, fields = edit
    if fields is None:
        firm.rows.pop((entity, row_id), None)
        return firm.ref.apply(entity, row_id, None)
    old = firm.rows.get((entity, row_id)) or record(entity, row_id, **NEW_ROWS.get(entity, {}))
    firm.rows[entity, row_id] = {**old, **fields}
    return firm.ref.apply(entity, row_id, firm.rows[entity, row_id])


@st.composite
def subjects(draw: st.DrawFn) -> Entry | Milestone:
    """An entry or a milestone of the firm."""
    decided = draw(one_of(DECISIONS))
    if draw(st.integers(0, 6)) == 0:
        return Milestone(
            "erp:M1", draw(one_of(IDS["engagement"])), "erp:L1", money(5), draw(one_of(DAYS)), decided
        )
    return Entry(
        id="time:1",
        consultant_id=draw(one_of(["erp:C1", "erp:C1", "erp:C2"])),
        project_id=draw(one_of(["erp:P1", "erp:P1", "erp:P2"])),
        task_id=draw(some("erp:T1")),
        work_date=draw(one_of(DAYS)),
        seconds=5000,
        kind=draw(one_of(["standard", "overtime"])),
        version=1,
        approved_at=draw(st.one_of(st.just(decided), st.none())),
        approved_by="erp:B",
    )


def rate(subject: Entry | Milestone, ref: BillingReference) -> RatedResult:
    """The rating of either, but for when prices were decided: that says only which closes to look at."""
    result = rate_entry(subject, ref) if isinstance(subject, Entry) else rate_milestone(subject, ref)
    return result._replace(moments=frozenset())


def decision(subject: Entry | Milestone) -> tuple[date, datetime | None]:
    """Work date and time of the decision of either."""
    if isinstance(subject, Entry):
        return (subject.work_date, subject.approved_at)
    return (subject.accepted_on, subject.accepted_at)


@given(st.lists(subjects(), min_size=8, max_size=16), st.lists(edits(), max_size=25))
@settings(max_examples=300, deadline=None)
def test_re_rating_what_is_touched_is_re_rating_everything(
    entries: list[Entry | Milestone], changes: list[Edit]
) -> None:
    """After any edit, an entry that reported no touched dependency on its day rates as before."""
    firm = lively_firm()
    results = [rate(subject, firm.ref) for subject in entries]
    for change in changes:
        touches = apply_to_firm(firm, change)
        for index, subject in enumerate(entries):
            expected = rate(subject, firm.ref)
            held = results[index]
            if any(t.dependency in held.dependencies and t.reaches(*decision(subject)) for t in touches):
                results[index] = held = expected
            assert held == expected, (change, touches)


@given(st.lists(subjects(), min_size=8, max_size=16), st.lists(edits(), max_size=25))
@settings(max_examples=300, deadline=None)
def test_what_closes_knew_changes_only_for_what_is_touched(
    subjects_of_all: list[Entry | Milestone], changes: list[Edit]
) -> None:
    """By a dependency on its day, or a close no later than the last decision about its prices that it told of."""
    firm = lively_firm()
    entries = [subject for subject in subjects_of_all if isinstance(subject, Entry)]

    def look(subject: Entry) -> tuple[RatedResult, AtCloses]:
        result = rate_entry(subject, firm.ref)
        return result, at_closes(subject.id, subject, result, firm.ref)

    held = [look(subject) for subject in entries]
    told = [{of.last} for _, of in held]
    for change in changes:
        touches = apply_to_firm(firm, change)
        for index, subject in enumerate(entries):
            result, of_closes = held[index]
            examined = {*result.dependencies, *of_closes.dependencies}
            item = result.item
            closes = [
                touch.decided_from
                for touch in touches
                if item is not None and touch.dependency == f"period:{item.legal_entity_id}"
            ]
            expected = look(subject)
            if any(t.dependency in examined and t.reaches(*decision(subject)) for t in touches) or any(
                last is not None and since is not None and last >= since
                for last in told[index]
                for since in closes
            ):
                held[index] = expected
                told[index].add(expected[1].last)
            assert held[index][1].versions == expected[1].versions, (change, touches)


@given(st.lists(edits(), max_size=20))
@settings(deadline=None)
def test_terms_change_only_with_their_touch(changes: list[Edit]) -> None:
    """The caps and inclusions of a root change only where ``terms:<root>`` is touched."""
    firm = lively_firm()
    roots = [ROOT, "erp:E2"]
    held: dict[str, Terms] = {root: firm.ref.terms(root) for root in roots}
    for change in changes:
        touched = {touch.dependency for touch in apply_to_firm(firm, change)}
        for root in roots:
            if f"terms:{root}" in touched:
                held[root] = firm.ref.terms(root)
            assert firm.ref.terms(root) == held[root]


@given(st.lists(edits(), max_size=20))
@settings(deadline=None)
def test_what_an_approver_may_changes_only_with_their_touch(changes: list[Edit]) -> None:
    """The limits of a decision change only where ``limit:<person>`` is touched."""
    firm = lively_firm()
    decided = [
        Adjustment("erp:J", ROOT, "time:1", "write_off", 60, decided_at=on, approver_id=person)
        for on in DECISIONS
        for person in ("erp:B", "erp:D")
    ]
    held = firm.ref.limits.limited(decided)
    for change in changes:
        touched = {touch.dependency for touch in apply_to_firm(firm, change)}
        found = firm.ref.limits.limited(decided)
        held = [
            new if f"limit:{new.approver_id}" in touched else old
            for old, new in zip(held, found, strict=True)
        ]
        assert found == held


@given(st.lists(edits(), max_size=20))
@settings(deadline=None)
def test_the_same_row_again_touches_nothing(changes: list[Edit]) -> None:
    """A row whose business fields are those we hold is no change."""
    firm = lively_firm()
    for change in changes:
        apply_to_firm(firm, change)
        assert apply_to_firm(firm, change) == []


@given(st.lists(edits(), max_size=25))
@settings(deadline=None)
def test_the_order_of_loading_does_not_matter(changes: list[Edit]) -> None:
    """Tables loaded from the latest state of each row rate like tables that saw every change."""
    firm, latest = lively_firm(), BillingReference()
    for change in changes:
        apply_to_firm(firm, change)
    for (entity, row_id), row in sorted(firm.rows.items(), key=lambda pair: pair[0], reverse=True):
        latest.apply(entity, row_id, row)
    for on in DAYS:
        made = entry(1, f"{on:%m-%d}", 2, task_id="erp:T1", approved_at=DECISIONS[-1])
        assert rate_entry(made, firm.ref) == rate_entry(made, latest)
    assert firm.ref.terms(ROOT) == latest.terms(ROOT)


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
    row |= {"rounding": "half_even"}  # of the entries' amounts, and of what is split of them
    assert firm.ref.apply("contract_line", "erp:L1", row) == [Touch("line:erp:L1"), Touch("terms:erp:E1")]
    for field, value in (
        ("quantity_increment_seconds", 900),
        ("quantity_rounding", "up"),
        ("minimum_quantity_seconds", 60),
    ):
        row |= {field: value}
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


@pytest.mark.parametrize(
    ("field", "before", "after", "first", "last"),
    [
        ("effective_to", "07-01", "08-01", "07-01", "07-31"),
        ("effective_to", "08-01", "07-01", "07-01", "07-31"),
        ("effective_to", "08-01", None, "08-01", None),
        ("effective_from", "02-01", "03-01", "02-01", "02-28"),
        ("effective_from", "03-01", "02-01", "02-01", "02-28"),
        ("effective_from", "03-01", None, None, "02-28"),
    ],
)
def test_a_rate_whose_range_moves_touches_the_difference(
    field: str, before: str, after: str | None, first: str | None, last: str | None
) -> None:
    """Days gained or lost at either end, both ways, with open ends."""
    firm = put_rate(small_firm(), "erp:R1", 100, client_id="erp:CL1", **{field: day(before)})
    row = {**firm.rows["rate", "erp:R1"], field: None if after is None else day(after)}
    (touch,) = firm.ref.apply("rate", "erp:R1", row)
    assert touch == Touch(
        "rate@cl:erp:CL1", None if first is None else day(first), None if last is None else day(last)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"price": money(90)},
        {"currency": "USD"},
        {"overtime_multiplier": Decimal("1.7")},
        {"weekend_multiplier": Decimal("1.7")},
        {"applies_to_invoiced": True},
        {"role": "dev"},  # the same card, other attributes
    ],
)
def test_a_rate_that_changes_touches_all_its_days(change: dict[str, Any]) -> None:
    """Whatever of it changes, the range that it holds on is looked at again."""
    firm = put_rate(small_firm(), "erp:R1", 100, client_id="erp:CL1", effective_to=day("07-01"))
    row = {**firm.rows["rate", "erp:R1"], **change}
    assert firm.ref.apply("rate", "erp:R1", row) == [Touch("rate@cl:erp:CL1", day("01-01"), day("06-30"))]


def test_an_exchange_rate_touches_the_days_it_can_serve() -> None:
    """From its day to five days later; a moved row also those of its old day and pair."""
    firm = small_firm()
    row = record(
        "fx_rate", "erp:F1", from_currency="EUR", to_currency="USD", day=day("03-06"), rate=Decimal("1.1")
    )
    assert firm.ref.apply("fx_rate", "erp:F1", row) == [Touch("fx:EUR:USD", day("03-06"), day("03-11"))]
    moved = {**row, "to_currency": "GBP", "day": day("03-07")}
    assert firm.ref.apply("fx_rate", "erp:F1", moved) == [
        Touch("fx:EUR:USD", day("03-06"), day("03-11")),
        Touch("fx:EUR:GBP", day("03-07"), day("03-12")),
    ]


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


def test_a_moved_close_reaches_what_was_decided_since_the_earlier_one() -> None:
    """A close moved from 3 to 5 April, or back: decisions from 3 April on may change."""
    early, late = CLOSES[1], CLOSES[2]
    for before, after in [(early, late), (late, early)]:
        firm = small_firm()
        fields = {"legal_entity_id": "erp:LE1", "starts_on": day("03-01"), "ends_on": day("04-01")}
        firm.ref.apply("period", "erp:A1", record("period", "erp:A1", closed_at=before, **fields))
        (touch,) = firm.ref.apply("period", "erp:A1", record("period", "erp:A1", closed_at=after, **fields))
        assert touch.decided_from == early


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
