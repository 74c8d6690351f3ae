"""Rating rule by rule: references, contract, method, rate, multiplier, exchange, rounding, period."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from billing_builders import (
    HOUR,
    ROOT,
    Firm,
    day,
    entry,
    field_names,
    money,
    put_rate,
    rated,
    record,
    small_firm,
)

from agents.billing import Entry, Item, Milestone, rate_entry, rate_milestone
from streams.errors import ContractViolation, InvalidValue


def rate(firm: Firm, on: str = "03-02", hours: str | int = 8, **fields: Any) -> Item:
    """The item of an entry of the firm."""
    result = rated(firm, entry(1, on, hours, **fields))
    assert result.item is not None
    return result.item


@pytest.mark.parametrize("status", ["draft", "submitted", "rejected", "withdrawn"])
def test_only_approved_entries_count(status: str) -> None:
    """An entry that is not approved is nothing to bill, and nothing is looked at."""
    made = Entry.from_record(record("time_entry", "time:1", status=status, seconds=HOUR))
    assert made is None
    result = rate_entry(made, small_firm().ref)
    assert (result.item, result.root_id, result.contribution, result.dependencies) == (None, None, None, ())


def test_a_deleted_entry_counts_for_nothing() -> None:
    """A delete carries only the id."""
    assert Entry.from_record(record("time_entry", "time:1", deleted=True)) is None


def test_an_approved_entry_without_a_work_date_is_an_error_of_the_record() -> None:
    """Half a record is rejected by name, not priced."""
    with pytest.raises(InvalidValue, match="time:1 has no work_date"):
        Entry.from_record(
            record("time_entry", "time:1", status="approved", consultant_id="c", project_id="p", seconds=HOUR)
        )


def test_a_priced_item_carries_all_that_its_amount_was_made_of() -> None:
    """Quantity, price, rate, multiplier and exchange rate are on the item, and make its amount."""
    item = rate(small_firm(), hours="7.5", task_id="erp:T1")
    assert (item.root_id, item.contract_line_id, item.client_id) == (ROOT, "erp:L1", "erp:CL1")
    assert (item.disposition, item.method, item.seconds, item.quantity_seconds) == (
        "priced",
        "tm",
        27000,
        27000,
    )
    assert (item.price, item.rate_id, item.multiplier, item.fx_rate) == (
        money(100),
        "erp:R-default",
        Decimal(1),
        Decimal(1),
    )
    assert (item.amount, item.currency, item.rounding_amount) == (Decimal("750.00"), "EUR", None)


def test_an_item_survives_the_wire() -> None:
    """The fields of an item are those of the schema, and make the same item again."""
    item = rate(small_firm())
    assert set(item.fields()) <= set(field_names("events/rated"))
    assert Item.from_record(item.fields()) == item
    parked = rate(small_firm().drop("consultant", "erp:C1"))
    assert Item.from_record(parked.fields()) == parked


@pytest.mark.parametrize(
    ("gone", "keys", "root", "method"),
    [
        ([("consultant", "erp:C1")], ["consultant:erp:C1"], ROOT, "tm"),
        ([("project", "erp:P1")], ["project:erp:P1"], "entry:time:1", None),
        ([("task", "erp:T1")], ["task:erp:T1"], ROOT, "tm"),
        ([("contract_line", "erp:L1")], ["line:erp:L1"], "entry:time:1", None),
        ([("engagement", ROOT)], ["engagement:erp:E1"], "entry:time:1", "tm"),
        ([("client", "erp:CL1")], ["client:erp:CL1"], ROOT, "tm"),
        (
            [("consultant", "erp:C1"), ("client", "erp:CL1"), ("legal_entity", "erp:LE1")],
            ["client:erp:CL1", "consultant:erp:C1", "legal_entity:erp:LE1"],
            ROOT,
            "tm",
        ),
        (
            [("task", "erp:T1"), ("project", "erp:P1"), ("consultant", "erp:C1")],
            ["consultant:erp:C1", "project:erp:P1", "task:erp:T1"],
            "entry:time:1",
            None,
        ),
    ],
)
def test_missing_references_park_with_all_keys(
    gone: list[tuple[str, str]], keys: list[str], root: str, method: str | None
) -> None:
    """Everything missing is named, sorted; the root is the engagement as soon as the chain leads there."""
    firm = small_firm()
    for entity, row_id in gone:
        firm.drop(entity, row_id)
    result = rated(firm, entry(1, "03-02", 8, task_id="erp:T1"))
    assert result.item is not None
    assert result.parking is not None
    assert result.item.disposition == "parked"
    assert result.item.amount is None
    assert (result.item.seconds, result.item.accounting_date) == (8 * HOUR, day("03-02"))
    assert result.parking.exception_class == result.item.exception_class == "MISSING_REFERENCE"
    assert list(result.item.missing_keys or ()) == keys
    assert (result.item.root_id, result.item.method) == (root, method)
    known = root == ROOT
    assert result.item.contract_line_id == ("erp:L1" if known else None)
    assert result.item.currency == ("EUR" if known else None)
    assert all(key in result.parking.message for key in keys)


def test_a_task_of_another_project_is_missing() -> None:
    """A task counts only on its own project."""
    firm = small_firm().put("task", "erp:T1", project_id="erp:P9")
    assert rate(firm, task_id="erp:T1").missing_keys == ("task:erp:T1",)


def test_a_project_without_a_line_waits_for_one() -> None:
    """Neither task nor project names a contract line: the key says of which project."""
    firm = small_firm().put("project", "erp:P1", contract_line_id=None)
    assert rate(firm, task_id="erp:T1").missing_keys == ("line-of:erp:P1",)


def test_a_task_overrides_the_line_of_its_project() -> None:
    """The task's contract line wins over the project's."""
    firm = small_firm().put("contract_line", "erp:L2", engagement_id=ROOT, billing_method="milestone")
    firm.put("task", "erp:T1", contract_line_id="erp:L2")
    assert rate(firm, task_id="erp:T1").contract_line_id == "erp:L2"
    assert rate(firm).contract_line_id == "erp:L1"


def test_internal_work_is_its_own_root() -> None:
    """A project without an engagement: non-chargeable, amount 0, no line, client or currency."""
    firm = small_firm().put("project", "erp:P1", engagement_id=None)
    item = rate(firm)
    assert (item.root_id, item.disposition, item.amount) == ("entry:time:1", "non_chargeable", Decimal(0))
    assert (item.contract_line_id, item.client_id, item.currency) == (None, None, None)


@pytest.mark.parametrize(
    ("on", "active"), [("02-28", False), ("03-01", True), ("03-31", True), ("04-01", False)]
)
def test_work_outside_the_engagement_is_parked(on: str, active: bool) -> None:
    """Active on [starts_on, ends_on): the end is exclusive."""
    firm = small_firm().put("engagement", ROOT, starts_on=day("03-01"), ends_on=day("04-01"))
    item = rate(firm, on)
    if active:
        assert item.disposition == "priced"
    else:
        assert (item.exception_class, item.missing_keys) == ("INACTIVE_CONTRACT", ("engagement:erp:E1",))
        assert (item.root_id, item.currency, item.amount) == (ROOT, "EUR", None)


@pytest.mark.parametrize(
    ("method", "disposition"),
    [
        ("tm", "priced"),
        ("retainer", "priced"),
        ("prepaid", "priced"),
        ("milestone", "fixed_fee"),
        ("per_diem", "fixed_fee"),
        ("non_billable", "non_chargeable"),
    ],
)
def test_the_method_decides_whether_a_rate_is_needed(method: str, disposition: str) -> None:
    """Fixed-fee and non-billable lines never ask for a rate, nor round the quantity."""
    firm = small_firm(billing_method=method, quantity_increment_seconds=900)
    item = rate(firm, hours="0.6")
    assert item.disposition == disposition
    if disposition != "priced":
        assert (item.amount, item.quantity_seconds, item.price) == (Decimal(0), 2160, None)
        firm.drop("rate", "erp:R-default")
        assert rate(firm, hours="0.6").disposition == disposition


def test_a_non_billable_task_is_non_chargeable() -> None:
    """The task's billing class wins over a billable line."""
    firm = small_firm().put("task", "erp:T1", billing_class="non_billable")
    result = rated(firm, entry(1, "03-02", 8, task_id="erp:T1"))
    assert result.item is not None
    assert (result.item.disposition, result.item.root_id) == ("non_chargeable", ROOT)
    assert result.contribution is not None
    assert result.contribution.billable_seconds == 0


@pytest.mark.parametrize(
    ("kind", "on", "multiplier"),
    [
        ("standard", "03-02", "1"),
        ("standard", "03-07", "1"),
        ("weekend", "03-07", "2"),
        ("weekend", "03-02", "2"),
        ("overtime", "03-02", "1.5"),
        ("overtime", "03-07", "2"),
        ("overtime", "03-08", "2"),
    ],
)
def test_the_highest_multiplier_applies_not_the_product(kind: str, on: str, multiplier: str) -> None:
    """Overtime on a Saturday or Sunday takes the larger of the two multipliers."""
    item = rate(small_firm(), on, 1, kind=kind)
    assert item.multiplier == Decimal(multiplier)
    assert item.amount == 100 * Decimal(multiplier)


def test_a_higher_overtime_multiplier_wins_on_sunday() -> None:
    """The larger of both, whichever it is."""
    firm = put_rate(small_firm(), "erp:R-default", 100, overtime_multiplier=Decimal(3))
    assert rate(firm, "03-08", 1, kind="overtime").multiplier == Decimal(3)


@pytest.mark.parametrize(
    ("on", "expected"), [("03-05", None), ("03-06", "1.1"), ("03-11", "1.1"), ("03-12", None)]
)
def test_an_exchange_rate_serves_five_days(on: str, expected: str | None) -> None:
    """The row of 6 March serves work from 6 to 11 March, never work before it was published."""
    firm = small_firm().put("engagement", ROOT, currency="USD")
    firm.put(
        "fx_rate", "erp:F1", from_currency="EUR", to_currency="USD", day=day("03-06"), rate=Decimal("1.1")
    )
    item = rate(firm, on, 1)
    if expected is None:
        assert (item.exception_class, item.missing_keys) == (
            "MISSING_FX",
            (f"fx:EUR:USD:{day(on)}",),
        )
    else:
        assert (item.fx_rate, item.amount, item.rate_currency) == (
            Decimal(expected),
            Decimal("110.00"),
            "EUR",
        )


def test_the_latest_day_then_the_greatest_id_wins() -> None:
    """Of several exchange rates the latest day counts; of one day, the greatest id."""
    firm = small_firm().put("engagement", ROOT, currency="USD")
    for row_id, on, value in [("F9", "03-03", "1.3"), ("F1", "03-04", "1.1"), ("F2", "03-04", "1.2")]:
        firm.put(
            "fx_rate",
            f"erp:{row_id}",
            from_currency="EUR",
            to_currency="USD",
            day=day(on),
            rate=Decimal(value),
        )
    assert rate(firm, "03-05").fx_rate == Decimal("1.2")


def test_the_contract_may_round_half_even() -> None:
    """0.125 is 0.13 half up and 0.12 half even; the line says which."""
    for rounding, expected in [("half_up", "0.13"), ("half_even", "0.12")]:
        firm = put_rate(small_firm(rounding=rounding), "erp:R-default", "0.125")
        assert rate(firm, hours=1).amount == Decimal(expected)


def test_yen_have_no_cents() -> None:
    """The document currency decides the minor unit."""
    firm = put_rate(small_firm(), "erp:R-default", "100", currency="JPY").put(
        "engagement", ROOT, currency="JPY"
    )
    assert rate(firm, hours=0, seconds=1234).amount == Decimal(34)


def periods(firm: Firm, closes: dict[int, datetime | None]) -> Firm:
    """Months of 2026 with their closes."""
    for month, closed_at in closes.items():
        firm.put(
            "period",
            f"erp:2026-{month:02}",
            legal_entity_id="erp:LE1",
            starts_on=day(f"{month:02}-01"),
            ends_on=day(f"{month + 1:02}-01"),
            closed_at=closed_at,
        )
    return firm


def at(text: str) -> datetime:
    """A time of 2026."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("approved_at", "expected"),
    [
        (at("04-03T17:59"), "03-30"),
        (at("04-03T18:00"), "04-01"),  # at the close is after it
        (at("05-05T12:00"), "05-01"),  # April is closed too by then
        (at("07-01T12:00"), "06-01"),  # all closed: the day after the last known period
        (None, "03-30"),
    ],
)
def test_a_late_act_goes_to_the_first_open_period(approved_at: datetime | None, expected: str) -> None:
    """The first later period that was open at the decision, however many are closed in between."""
    firm = periods(small_firm(), {3: at("04-03T18:00"), 4: at("05-05T12:00"), 5: at("06-03T00:00")})
    assert rate(firm, "03-30", approved_at=approved_at).accounting_date == day(expected)


def test_work_without_a_period_keeps_its_date() -> None:
    """No period row of the entity has the day: nothing is closed."""
    firm = periods(small_firm(), {4: None})
    assert rate(firm, "03-30", approved_at=at("06-01T00:00")).accounting_date == day("03-30")


def test_parked_and_internal_work_keep_their_date() -> None:
    """Only what is classified on a legal entity can be late."""
    firm = periods(small_firm(), {3: at("04-03T18:00"), 4: None}).drop("rate", "erp:R-default")
    assert rate(firm, "03-30", approved_at=at("04-04T00:00")).accounting_date == day("03-30")
    firm.put("project", "erp:P1", engagement_id=None)
    assert rate(firm, "03-30", approved_at=at("04-04T00:00")).accounting_date == day("03-30")


def test_fixed_fee_time_is_dated_by_the_period_too() -> None:
    """A late fixed-fee hour moves like a priced one."""
    firm = periods(small_firm(billing_method="milestone"), {3: at("04-03T18:00"), 4: None})
    assert rate(firm, "03-30", approved_at=at("04-04T00:00")).accounting_date == day("04-01")


def milestone(**fields: Any) -> Milestone | None:
    """Milestone M-1 of 5,000 accepted on 30 March."""
    return Milestone.from_record(
        record(
            "milestone",
            "erp:M-1",
            **{
                "engagement_id": ROOT,
                "contract_line_id": "erp:L1",
                "amount": money(5000),
                "status": "accepted",
                "accepted_on": day("03-30"),
                "accepted_at": at("04-04T00:00"),
                **fields,
            },
        )
    )


def test_an_accepted_milestone_is_worth_its_amount() -> None:
    """Dated by its acceptance and the period of the legal entity; no seconds, version 1."""
    firm = periods(small_firm(billing_method="milestone"), {3: at("04-03T18:00"), 4: None})
    result = rate_milestone(milestone(), firm.ref)
    item = result.item
    assert item is not None
    assert (item.item_kind, item.entry_id, item.root_id, item.version) == ("milestone", "erp:M-1", ROOT, 1)
    assert (item.disposition, item.method, item.seconds, item.amount) == (
        "priced",
        "milestone",
        0,
        money(5000),
    )
    assert (item.work_date, item.accounting_date) == (day("03-30"), day("04-01"))
    assert (item.currency, item.client_id, item.contract_line_id) == ("EUR", "erp:CL1", "erp:L1")
    assert result.contribution is None


@pytest.mark.parametrize(
    "fields", [{"status": "planned"}, {"accepted_on": None}, {"accepted_at": None}, {"deleted": True}]
)
def test_a_milestone_counts_from_its_acceptance(fields: dict[str, Any]) -> None:
    """Status, day and time of the acceptance must all be there."""
    assert rate_milestone(milestone(**fields), small_firm().ref).item is None


@pytest.mark.parametrize(
    ("gone", "root"),
    [("contract_line", ROOT), ("engagement", "entry:erp:M-1"), ("client", ROOT), ("legal_entity", ROOT)],
)
def test_a_milestone_without_its_references_is_parked(gone: str, root: str) -> None:
    """It waits on its engagement where that is known, with no seconds and no known amount."""
    ids = {"contract_line": "erp:L1", "engagement": ROOT, "client": "erp:CL1", "legal_entity": "erp:LE1"}
    result = rate_milestone(milestone(), small_firm().drop(gone, ids[gone]).ref)
    assert result.item is not None
    assert (result.item.disposition, result.item.amount, result.item.seconds) == ("parked", None, 0)
    assert result.item.root_id == root
    assert len(result.item.missing_keys or ()) == 1


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ([], (28800, 28800, 0)),
        ([("consultant", "erp:C1")], (28800, 28800, 0)),
        ([("engagement", ROOT)], (28800, 28800, 0)),
        ([("rate", "erp:R-default")], (28800, 28800, 0)),
        ([("project", "erp:P1")], (28800, 0, 28800)),
        ([("task", "erp:T1")], (28800, 0, 28800)),
        ([("contract_line", "erp:L1")], (28800, 0, 28800)),
    ],
)
def test_chargeability_needs_project_task_and_line_only(
    gone: list[tuple[str, str]], expected: tuple[int, int, int]
) -> None:
    """Worked, billable and unclassified: a missing rate or client doesn't make time unclassified."""
    firm = small_firm()
    for entity, row_id in gone:
        firm.drop(entity, row_id)
    part = rated(firm, entry(1, "03-02", 8, task_id="erp:T1")).contribution
    assert part is not None
    assert (part.worked_seconds, part.billable_seconds, part.unclassified_seconds) == expected


def test_fixed_fee_time_is_billable_and_internal_time_is_not() -> None:
    """Utilization counts fixed-fee hours, not internal or non-billable ones."""
    for method, billable in [("milestone", 28800), ("per_diem", 28800), ("non_billable", 0)]:
        part = rated(small_firm(billing_method=method), entry(1, "03-02", 8)).contribution
        assert part is not None
        assert (part.billable_seconds, part.unclassified_seconds) == (billable, 0)
    part = rated(small_firm().put("project", "erp:P1", engagement_id=None), entry(1, "03-02", 8)).contribution
    assert part is not None
    assert (part.billable_seconds, part.unclassified_seconds) == (0, 0)


def test_all_that_was_examined_is_reported() -> None:
    """The whole chain, each rate scope up to the winner with its misses, the pair and the periods."""
    firm = small_firm().put("engagement", ROOT, currency="USD")
    result = rated(firm, entry(1, "03-02", 8, task_id="erp:T1"))
    assert result.dependencies == (
        "consultant:erp:C1",
        "project:erp:P1",
        "task:erp:T1",
        "line:erp:L1",
        "engagement:erp:E1",
        "client:erp:CL1",
        "legal_entity:erp:LE1",
        "rate@tc:erp:T1/erp:C1",
        "rate@pc:erp:P1/erp:C1",
        "rate@pr:erp:P1/dev",
        "rate@lr:erp:L1/dev",
        "rate@cl:erp:CL1",
        "rate@default",
        "fx:EUR:USD",
    )
    firm.put("engagement", ROOT, currency="EUR")
    put_rate(firm, "erp:R1", 120, project_id="erp:P1", role="dev")
    assert rated(firm, entry(1, "03-02", 8)).dependencies[-3:] == (
        "rate@pc:erp:P1/erp:C1",
        "rate@pr:erp:P1/dev",
        "period:erp:LE1",
    )


def test_an_unknown_entity_is_refused() -> None:
    """A topic that billing has no table for is a wiring mistake, said by name."""
    with pytest.raises(ContractViolation, match="absence"):
        small_firm().ref.apply("absence", "time:1", None)
