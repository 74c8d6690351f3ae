"""Rating: references, rate scopes, exchange rates, dates; what is missing parks the item."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from oracle import FoldKey, Parked
from oracle.books import Books
from oracle.rating import multiplier_of, rate_entry, rounded_quantity
from unit.oracle.builders import (
    HOUR,
    D,
    billing,
    charge,
    day,
    engagement,
    entry,
    expect,
    firm,
    fx,
    line,
    milestone,
    period,
    project,
    put,
    rate,
    task,
    the_key,
    without,
)


def test_no_references_are_collected_together_under_a_root_of_its_own() -> None:
    """Consultant, project and task unknown: all three keys, sorted, and no line, currency or money."""
    rows = without(firm(entry(1, "03-05", task_id="erp:T")), "erp:C", "erp:P")
    out = expect(rows)
    assert out.parked == {
        "time:1": Parked("MISSING_REFERENCE", ("consultant:erp:C", "project:erp:P", "task:erp:T"))
    }
    key = FoldKey("entry:time:1", "time:1", "base", "parked", None, None, "2026-03")
    key = key._replace(project="erp:P", task="erp:T", consultant="erp:C", day=day("03-05"))
    assert list(out.billing) == [key]
    assert (out.billing[key].seconds, out.billing[key].amount) == (HOUR, None)


def test_a_task_of_another_project_is_missing() -> None:
    """A task must belong to the entry's project; the project's own line still gives the root."""
    rows = firm(project("P2"), task("T", project="P2"), entry(1, "03-05", task_id="erp:T"))
    assert expect(rows).parked == {"time:1": Parked("MISSING_REFERENCE", ("task:erp:T",))}
    assert the_key(rows)[:2] == ("erp:E", "time:1")


def test_a_missing_consultant_is_parked_on_the_engagement() -> None:
    """The chain to the contract resolves, so the parked time shows there, with line and currency."""
    rows = without(firm(entry(1, "03-05")), "erp:C")
    assert the_key(rows)[:7] == ("erp:E", "time:1", "base", "parked", "erp:L", "EUR", "2026-03")


@pytest.mark.parametrize(
    ("gone", "keys", "root"),
    [
        (["erp:L"], ("line:erp:L",), "entry:time:1"),
        (["erp:E"], ("engagement:erp:E",), "entry:time:1"),
        (["erp:E", "erp:C"], ("consultant:erp:C", "engagement:erp:E"), "entry:time:1"),
        (["erp:A"], ("client:erp:A",), "erp:E"),
        (["erp:A", "erp:LE"], ("client:erp:A", "legal_entity:erp:LE"), "erp:E"),
    ],
)
def test_each_link_of_the_chain_is_named(gone: list[str], keys: tuple[str, ...], root: str) -> None:
    """The key says what is missing; the root is the engagement as soon as it is known."""
    rows = without(firm(entry(1, "03-05")), *gone)
    assert expect(rows).parked == {"time:1": Parked("MISSING_REFERENCE", keys)}
    assert the_key(rows).root == root


def test_a_project_without_a_line() -> None:
    """Neither project nor task names a contract line: the project is asked for one."""
    rows = firm(project(line=None), entry(1, "03-05"))
    assert expect(rows).parked == {"time:1": Parked("MISSING_REFERENCE", ("line-of:erp:P",))}


def test_internal_work_is_non_chargeable_and_needs_no_rate() -> None:
    """A project without an engagement: own root, no line, no currency, worth 0."""
    rows = without(firm(project(engagement=None, line=None), entry(1, "03-05")), "erp:R0")
    assert billing(rows) == {("time:1", "base"): ("non_chargeable", HOUR, D(0))}
    assert the_key(rows)[:7] == ("entry:time:1", "time:1", "base", "non_chargeable", None, None, "2026-03")


@pytest.mark.parametrize(
    ("on", "active"), [("02-28", False), ("03-01", True), ("03-31", True), ("04-01", False)]
)
def test_the_engagement_must_be_active_on_the_work_date(on: str, active: bool) -> None:
    """The engagement's dates are half-open."""
    dated = engagement(starts_on=day("03-01"), ends_on=day("04-01"))
    parked = expect(firm(dated, entry(1, on))).parked
    assert parked == ({} if active else {"time:1": Parked("INACTIVE_CONTRACT", ("engagement:erp:E",))})


@pytest.mark.parametrize(
    ("method", "billing_class", "bucket"),
    [
        ("non_billable", "billable", "non_chargeable"),
        ("tm", "non_billable", "non_chargeable"),
        ("milestone", "non_billable", "non_chargeable"),
        ("milestone", "billable", "fixed_fee"),
        ("per_diem", "billable", "fixed_fee"),
        ("tm", "billable", "unbilled"),
    ],
)
def test_methods_decide_the_bucket(method: str, billing_class: str, bucket: str) -> None:
    """Non-billable line or task: non-chargeable; milestone and per diem: fixed fee; T&M: priced."""
    rows = firm(
        line(method=method),
        task("T", billing_class=billing_class),
        entry(1, "03-05", task_id="erp:T"),
    )
    assert billing(rows)[("time:1", "base")][0] == bucket


def test_unpriced_time_is_not_rounded() -> None:
    """A quantity increment is for priced time."""
    rows = firm(line(method="milestone", quantity_increment_seconds=HOUR), entry(1, "03-05", 100))
    assert billing(rows) == {("time:1", "base"): ("fixed_fee", 100, D(0))}


LEVELS = [
    {"task_id": "erp:T", "consultant_id": "erp:C"},
    {"project_id": "erp:P", "consultant_id": "erp:C"},
    {"project_id": "erp:P", "role": "dev"},
    {"contract_line_id": "erp:L", "role": "dev"},
    {"client_id": "erp:A", "role": "dev", "grade": "senior", "region": "eu"},
    {"client_id": "erp:A", "role": "dev", "region": "eu"},
    {"client_id": "erp:A", "grade": "senior"},
    {"client_id": "erp:A"},
    {"role": "dev", "grade": "senior", "region": "eu"},
    {"grade": "senior", "region": "eu"},
    {"region": "eu"},
    {},
]


@pytest.mark.parametrize("most_specific", range(len(LEVELS)))
def test_the_most_specific_scope_wins(most_specific: int) -> None:
    """Of the rates from one level down to the default card, the first level's price is taken."""
    rates = [rate(f"R{n}", str(10 + n), **LEVELS[n]) for n in range(most_specific, len(LEVELS))]
    rows = without(firm(task("T"), entry(1, "03-05", task_id="erp:T")), "erp:R0")
    put(rows, *rates)
    item = rate_entry(rows.time_entries["time:1"], rows, Books(rows))
    assert item.price == D(10 + most_specific)


@pytest.mark.parametrize(
    "scope",
    [
        {"task_id": "erp:T"},
        {"project_id": "erp:P"},
        {"consultant_id": "erp:C"},
        {"contract_line_id": "erp:L"},
        {"project_id": "erp:P", "role": "dev", "grade": "senior"},
        {"client_id": "erp:A", "consultant_id": "erp:C"},
        {"project_id": "erp:P", "role": "qa"},
        {"client_id": "erp:B"},
        {"region": "us"},
    ],
)
def test_a_scope_of_another_shape_or_value_never_matches(scope: dict[str, str]) -> None:
    """Only the listed combinations are scopes, and each field set must match."""
    rows = without(firm(task("T"), entry(1, "03-05", task_id="erp:T")), "erp:R0")
    put(rows, rate("R1", **scope))
    assert expect(rows).parked == {"time:1": Parked("MISSING_RATE", ("rate:erp:L/erp:C",))}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"project_id": "erp:P", "role": "dev"}, {"project_id": "erp:P", "role": "dev"}),
        ({"client_id": "erp:A", "role": "dev"}, {"client_id": "erp:A", "region": "eu"}),
        ({"role": "dev", "grade": "senior"}, {"grade": "senior", "region": "eu"}),
    ],
)
def test_a_tie_is_ambiguous(one: dict[str, str], other: dict[str, str]) -> None:
    """Two rates that are equally specific: neither is taken, both are named."""
    rows = firm(rate("R2", **one), rate("R1", **other), entry(1, "03-05"))
    assert expect(rows).parked == {"time:1": Parked("AMBIGUOUS_RATE", ("rate:erp:R1", "rate:erp:R2"))}


def test_a_rate_is_effective_in_a_half_open_range() -> None:
    """The price changes on the day that one range ends and the next starts."""
    rates = [rate("R0", "100", effective_to=day("03-05")), rate("R1", "110", effective_from=day("03-05"))]
    rows = firm(*rates, entry(1, "03-04"), entry(2, "03-05"))
    assert [amount for _, _, amount in billing(rows).values()] == [D(100), D(110)]


def test_a_specific_rate_that_is_not_effective_gives_way() -> None:
    """A level without a rate for the day is passed over."""
    old = rate("R1", "500", effective_to=day("03-01"), project_id="erp:P", consultant_id="erp:C")
    assert billing(firm(old, entry(1, "03-05")))[("time:1", "base")][2] == D(100)


@pytest.mark.parametrize(
    ("kind", "on", "multiplier"),
    [
        ("standard", "03-07", "1"),
        ("weekend", "03-05", "2"),
        ("overtime", "03-05", "1.5"),
        ("overtime", "03-07", "2"),
        ("overtime", "03-08", "2"),
    ],
)
def test_multipliers_are_not_multiplied(kind: str, on: str, multiplier: str) -> None:
    """Overtime on a Saturday or Sunday takes the larger of both."""
    assert multiplier_of(kind, day(on), rate("R")) == D(multiplier)


@pytest.mark.parametrize(
    ("published", "value"),
    [
        ([("F1", "03-05", "1.1"), ("F2", "03-04", "1.2")], "1.1"),
        ([("F1", "02-28", "1.3")], "1.3"),
        ([("F1", "02-27", "1.3")], None),
        ([("F1", "03-06", "1.3")], None),
        ([("F1", "03-05", "1.1"), ("F2", "03-05", "1.4")], "1.4"),
    ],
)
def test_fx_is_the_last_published_at_most_five_days_old(
    published: list[tuple[str, str, str]], value: str | None
) -> None:
    """From five days before to the work date; of two on one day the greater id; else parked."""
    rates = [fx(*row) for row in published]
    rows = firm(engagement(currency="USD"), *rates, entry(1, "03-05"))
    if value is None:
        assert expect(rows).parked == {"time:1": Parked("MISSING_FX", ("fx:EUR:USD:2026-03-05",))}
    else:
        assert billing(rows) == {("time:1", "base"): ("unbilled", HOUR, 100 * D(value))}


def test_an_inverse_fx_rate_is_not_used() -> None:
    """The direction is given: USD to EUR says nothing about EUR to USD."""
    rows = firm(engagement(currency="USD"), fx("F", "03-05", "0.9", "USD:EUR"), entry(1, "03-05"))
    assert expect(rows).parked["time:1"].exception_class == "MISSING_FX"


@pytest.mark.parametrize("status", ["draft", "submitted", "rejected", "withdrawn"])
def test_only_approved_entries_count(status: str) -> None:
    """Other statuses produce nothing, here or in utilization."""
    out = expect(firm(entry(1, "03-05", status=status)))
    assert (out.billing, out.daily, out.windows, out.parked, out.approved) == ({}, {}, {}, {}, {})


def test_quantities_round_half_up_to_a_multiple() -> None:
    """450 of 900 rounds up, 449 down; without an increment nothing is rounded."""
    quarters = line(quantity_increment_seconds=900)
    assert [rounded_quantity(s, quarters) for s in (449, 450, 900, 1349)] == [0, 900, 900, 900]
    assert rounded_quantity(449, line()) == 449


def test_every_started_increment_and_a_minimum() -> None:
    """Up to a multiple; then at least the minimum, unless there is no time."""
    started = line(quantity_increment_seconds=900, quantity_rounding="up")
    assert [rounded_quantity(s, started) for s in (0, 1, 900, 901)] == [0, 900, 900, 1800]
    at_least = line(quantity_increment_seconds=900, minimum_quantity_seconds=1000)
    assert [rounded_quantity(s, at_least) for s in (0, 1, 1000, 1350)] == [0, 1000, 1000, 1800]


def test_amounts_round_as_the_line_says() -> None:
    """Half even on the line: 0.125 is 0.12; half up 0.13."""
    half = entry(1, "03-05", 45)
    assert billing(firm(rate("R0", "10"), half))[("time:1", "base")][2] == D("0.13")
    assert billing(firm(rate("R0", "10"), line(rounding="half_even"), half))[("time:1", "base")][2] == D(
        "0.12"
    )


def test_a_yen_contract_has_no_decimals() -> None:
    """Amounts round to the minor unit of the engagement's currency."""
    rows = firm(engagement(currency="JPY"), rate("R0", "1001", currency="JPY"), entry(1, "03-05", 1800))
    assert billing(rows)[("time:1", "base")][2] == D(501)


CLOSE = datetime(2026, 4, 3, 18, tzinfo=UTC)
LATE = datetime(2026, 5, 20, tzinfo=UTC)


def test_a_late_act_goes_to_the_first_period_open_at_the_decision() -> None:
    """Closed later periods are passed over if they were closed at the decision."""
    may = datetime(2026, 5, 4, tzinfo=UTC)
    rows = firm(period(3, CLOSE), period(4, may), period(5), entry(1, "03-30", approved_at=LATE))
    assert the_key(rows).month == "2026-05"
    put(rows, entry(1, "03-30", approved_at=datetime(2026, 4, 20, tzinfo=UTC)))
    assert the_key(rows).month == "2026-04"
    put(rows, entry(1, "03-30", approved_at=may))
    assert the_key(rows).month == "2026-05"


def test_without_an_open_period_it_is_the_day_after_the_last() -> None:
    """All known periods closed: the end of the last one. No period at all: the work date."""
    rows = firm(period(3, CLOSE), period(4, CLOSE), entry(1, "03-30", approved_at=LATE))
    assert the_key(rows).month == "2026-05"
    assert the_key(firm(period(4), entry(1, "03-30", approved_at=LATE))).month == "2026-03"


def test_parked_and_internal_time_is_dated_by_its_work_date() -> None:
    """A period matters only for what is booked on a contract."""
    closed = [period(3, CLOSE), period(4)]
    parked = without(firm(*closed, entry(1, "03-30", approved_at=LATE)), "erp:R0")
    internal = firm(*closed, project(engagement=None), entry(1, "03-30", approved_at=LATE))
    assert the_key(parked).month == "2026-03"
    assert the_key(internal).month == "2026-03"


def test_an_accepted_milestone_is_unbilled_from_its_acceptance() -> None:
    """Its amount, no time, and no cap; planned and cancelled ones are nothing."""
    others = [milestone("N", accepted=None), replace(milestone("O"), status="cancelled")]
    rows = firm(engagement(cap_money=D(100)), line(method="milestone"), milestone(), *others)
    assert billing(rows) == {("erp:M", "base"): ("unbilled", 0, D(5000))}


def test_an_accepted_milestone_is_dated_by_its_acceptance() -> None:
    """Accepted after the close of its month it belongs to the next open one."""
    rows = firm(period(3, datetime(2026, 3, 10, 8, tzinfo=UTC)), period(4), milestone())
    assert the_key(rows).month == "2026-04"


def test_a_parked_milestone_exists_without_time_or_money() -> None:
    """Missing line and client: parked on the engagement; without the engagement, on its own."""
    rows = without(firm(milestone()), "erp:L", "erp:A")
    assert expect(rows).parked == {"erp:M": Parked("MISSING_REFERENCE", ("client:erp:A", "line:erp:L"))}
    assert billing(rows) == {("erp:M", "base"): ("parked", 0, None)}
    assert the_key(rows).root == "erp:E"
    rows = without(firm(milestone()), "erp:E")
    assert expect(rows).parked == {"erp:M": Parked("MISSING_REFERENCE", ("engagement:erp:E",))}
    assert the_key(rows)[:7] == ("entry:erp:M", "erp:M", "base", "parked", None, None, "2026-03")


def test_a_posted_milestone_leaves_the_rest() -> None:
    """A partial invoice of a milestone reduces what is unbilled of it."""
    rows = firm(milestone(), charge("I1", "erp:M", 0, "2000.00"))
    assert billing(rows) == {
        ("erp:M", "inv:erp:I1"): ("billed", 0, D(2000)),
        ("erp:M", "base"): ("unbilled", 0, D(3000)),
    }
