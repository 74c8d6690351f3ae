"""Sources: mapping to canonical rows, and what is quarantined."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from oracle import Quarantined, canonical_rows, compute_from_rows
from oracle.sources import COLUMNS
from oracle.validity import CHECKS

from connectors.reference.schema import SYSTEMS

ENTRY = {
    "id": 7,
    "consultant_code": "C",
    "project_code": "P",
    "task_code": None,
    "work_date": date(2026, 3, 5),
    "hours": Decimal("0.3333"),
    "kind": "standard",
    "status": "approved",
    "version": 1,
    "approved_at": datetime(2026, 3, 6, tzinfo=UTC),
    "approved_by": "M",
}
ABSENCE = {
    "id": "A",
    "consultant_code": "C",
    "day": date(2026, 3, 5),
    "hours": Decimal(4),
    "kind": "vacation",
}
LINE = {
    "id": "L",
    "engagement_id": "E",
    "billing_method": "tm",
    "cap_money": None,
    "cap_hours": Decimal("10.5"),
    "over_cap_action": "hold",
    "included_hours": None,
    "per_diem_amount": None,
    "day_minimum_hours": None,
    "quantity_increment_seconds": None,
    "rounding": "half_up",
    "status": "active",
    "revenue_method": None,
    "fee": None,
    "planned_hours": None,
    "starts_on": None,
    "ends_on": None,
    "expires_on": None,
    "unused_hours": None,
    "rollover_hours": None,
    "rollover_months": None,
    "expenses_billed": None,
    "expense_markup": None,
    "quantity_rounding": None,
    "minimum_quantity_hours": None,
}
PLAN_REVISION = {
    "id": "V",
    "contract_line_id": "L",
    "fee": None,
    "planned_hours": Decimal("12.5"),
    "ends_on": date(9999, 12, 31),
    "effective_on": date(2026, 3, 5),
    "decided_at": datetime(2026, 3, 6, tzinfo=UTC),
}
ENGAGEMENT = {
    "id": "E",
    "client_id": "A",
    "legal_entity_id": "LE",
    "currency": "EUR",
    "cap_money": None,
    "cap_hours": None,
    "over_cap_action": "hold",
    "status": "active",
    "starts_on": date(2026, 1, 1),
    "ends_on": None,
    "fx_rate_type": None,
    "fx_direction": None,
    "po_number": None,
    "opportunity_id": "O",
}
RATE: dict[str, Any] = {
    **dict.fromkeys(COLUMNS["erp"]["rate"].split()),
    "id": "R",
    "currency": "EUR",
    "price": Decimal(100),
    "overtime_multiplier": Decimal("1.5"),
    "weekend_multiplier": Decimal(2),
    "effective_from": date(2026, 1, 1),
    "applies_to_invoiced": False,
}
FX_RATE: dict[str, Any] = {
    "id": "F",
    "from_currency": "EUR",
    "to_currency": "USD",
    "day": date(2026, 3, 5),
    "rate": Decimal("1.1"),
    "rate_type": None,
    "decided_at": None,
}
ENDED_AT = datetime(2026, 1, 9, tzinfo=UTC)
INVOICE_LINE = {
    "id": "I",
    "engagement_id": "E",
    "contract_line_id": "L",
    "kind": "charge",
    "credits_line_id": None,
    "entry_id": "time:7",
    "entry_version": 1,
    "seconds": 1200,
    "amount": Decimal(5),
    "status": "posted",
    "posted_at": datetime(2026, 4, 1, tzinfo=UTC),
    "client_id": "A",
    "project_id": "P",
    "task_id": None,
    "consultant_id": "C",
    "work_date": date(2026, 3, 5),
}
VALID: dict[str, dict[str, Any]] = {
    "time_entry": ENTRY,
    "time_entry_version": {
        **{name: value for name, value in ENTRY.items() if name not in ("id", "status")},
        "id": 3,
        "entry_id": 7,
        "ended_at": datetime(2026, 3, 9, tzinfo=UTC),
    },
    "time_entry_event": {
        "id": 5,
        "entry_id": 7,
        "action": "rejected",
        "at": datetime(2026, 3, 8, tzinfo=UTC),
    },
    "absence": ABSENCE,
    "contract_line": LINE,
    "engagement_version": {
        **{name: ENGAGEMENT[name] for name in ("id", "cap_money", "cap_hours", "over_cap_action")},
        "engagement_id": "E",
        "ended_at": datetime(2026, 4, 10, tzinfo=UTC),
    },
    "contract_line_version": {
        **{name: LINE[name] for name in COLUMNS["erp"]["contract_line_version"].split() if name in LINE},
        "contract_line_id": "L",
        "ended_at": datetime(2026, 4, 10, tzinfo=UTC),
    },
    "plan_revision": PLAN_REVISION,
    "engagement": ENGAGEMENT,
    "rate": RATE,
    "rate_version": {**RATE, "id": "RV", "rate_id": "R", "ended_at": ENDED_AT},
    "invoice_line": INVOICE_LINE,
    "legal_entity": {"id": "LE", "late_acts": None, "currency": "EUR"},
    "client": {"id": "A", "status": "active", "tax_region": "EU", "crm_account_id": None},
    "account": {"id": "A", "status": "active"},
    "opportunity": {
        "id": "O",
        "account_id": "A",
        "stage": "won",
        "amount": Decimal(1),
        "currency": "EUR",
        "service_line": "build",
        "closed_on": date(2026, 3, 5),
    },
    "project": {"id": "P", "engagement_id": "E", "contract_line_id": "L", "status": "active"},
    "task": {
        "id": "T",
        "project_id": "P",
        "contract_line_id": None,
        "billing_class": "billable",
        "status": "active",
    },
    "consultant": {
        "id": "C",
        "role": "dev",
        "grade": "senior",
        "practice": "data",
        "region": "eu",
        "calendar_id": "K",
        "fte": Decimal(1),
        "hired_on": date(2020, 1, 1),
        "left_on": None,
    },
    "consultant_position": {
        "id": "Q",
        "consultant_id": "C",
        "effective_from": date(2026, 3, 16),
        "effective_to": date(9999, 12, 31),
        **dict.fromkeys(("role", "grade", "practice", "region", "calendar_id")),
        "fte": Decimal("0.5"),
    },
    "cost_rate": {
        "id": "X",
        "consultant_id": "C",
        "currency": "EUR",
        "cost": Decimal(50),
        "effective_from": date(2026, 1, 1),
        "effective_to": None,
    },
    "assignment": {
        "id": "S",
        "consultant_id": "C",
        "project_id": "P",
        "starts_on": date(2026, 3, 2),
        "ends_on": date(2026, 3, 7),
        "hours_per_day": Decimal(8),
        "status": "planned",
    },
    "utilization_target": {
        "id": "U",
        "scope": "grade",
        "consultant_id": None,
        "grade": "senior",
        "practice": None,
        "ratio": Decimal("0.75"),
        "effective_from": date(2026, 1, 1),
        "effective_to": None,
    },
    "calendar": {"id": "K", **dict.fromkeys(CHECKS["calendar"], Decimal(8))},
    "holiday": {"id": "H", "calendar_id": "K", "day": date(2026, 3, 6), "hours": None},
    "fx_rate": FX_RATE,
    "fx_rate_version": {**FX_RATE, "id": "FV", "fx_rate_id": "F", "ended_at": ENDED_AT},
    "accounting_period": {
        "id": "Y",
        "legal_entity_id": "LE",
        "starts_on": date(2026, 3, 1),
        "ends_on": date(2026, 4, 1),
        "status": "open",
        "closed_at": None,
        "soft_closed_at": None,
    },
    "period_right": {
        "id": "PR",
        "legal_entity_id": "LE",
        "person_id": "C",
        "granted_at": datetime(2026, 1, 1, tzinfo=UTC),
        "revoked_at": None,
    },
    "milestone": {
        "id": "M",
        "engagement_id": "E",
        "contract_line_id": "L",
        "amount": Decimal(10),
        "status": "planned",
        "due_on": date(2026, 3, 1),
        "accepted_on": None,
        "accepted_at": None,
    },
    "bill_adjustment": {
        "id": "J",
        "engagement_id": "E",
        "entry_id": "time:7",
        "kind": "write_off",
        "hours": Decimal(1),
        "amount": None,
        "decided_at": datetime(2026, 3, 9, tzinfo=UTC),
        "released_at": None,
        "preparer_id": "C",
        "approver_id": "B",
        "reason": "goodwill",
    },
    "prepaid_lot": {
        "id": "LOT",
        "contract_line_id": "L",
        "hours": Decimal(10),
        "fee": Decimal(1500),
        "starts_on": None,
        "expires_on": date(9999, 12, 31),
    },
    "payer_split": {
        "id": "PS",
        "engagement_id": "E",
        "client_id": "A",
        "share": Decimal(100),
        "valid_from": date(2026, 1, 1),
        "valid_to": date(9999, 12, 31),
    },
    "approval_limit": {
        "id": "AL",
        "approver_id": "B",
        "kind": "write_off",
        "currency": "EUR",
        "amount": Decimal(100),
        "effective_from": date(2026, 1, 1),
        "effective_to": date(9999, 12, 31),
    },
}
SYSTEM_OF = {table: system for system, tables in COLUMNS.items() for table in tables}


def tables(*changed: tuple[str, dict[str, Any]]) -> list[dict[str, list[dict[str, Any]]]]:
    """One valid row a table, with columns changed as told, as the three databases' tables."""
    rows = {table: dict(row) for table, row in VALID.items()}
    for table, columns in changed:
        rows[table] |= columns
    return [
        {table: [row] for table, row in rows.items() if SYSTEM_OF[table] == system}
        for system in ("erp", "crm", "time")
    ]


def test_the_columns_read_are_columns_of_the_sources() -> None:
    """Each table and column that the oracle selects exists in the reference systems' schemas."""
    for system, read in COLUMNS.items():
        known = SYSTEMS[system].metadata.tables
        for table, columns in read.items():
            assert set(columns.split()) <= set(known[table].columns.keys()), table


def test_every_rule_checks_a_column_that_is_read() -> None:
    """A rule on a column that isn't selected would never fire."""
    for table, rules in CHECKS.items():
        assert set(rules) <= set(COLUMNS[SYSTEM_OF[table]][table].split()), table


def test_rows_get_canonical_ids_and_whole_seconds() -> None:
    """Ids carry their system, codes of the time tracker are the ERP's, hours become seconds half up."""
    rows = canonical_rows(*tables())
    assert rows.quarantined == []
    entry = rows.time_entries["time:7"]
    assert (entry.consultant_id, entry.project_id, entry.task_id) == ("erp:C", "erp:P", None)
    assert entry.seconds == 1200
    assert rows.entry_versions["time:3"].entry.id == "time:7"
    assert rows.rate_versions["erp:RV"].row.id == "erp:R"
    assert rows.fx_rate_versions["erp:FV"].row.id == "erp:F"
    assert rows.contract_lines["erp:L"].cap_seconds == 37800
    assert rows.invoice_lines["erp:I"].entry_id == "time:7"
    assert rows.calendars["erp:K"].weekday_seconds == (28800,) * 7
    assert rows.absences["time:A"].seconds == 14400
    assert rows.periods["erp:Y"].legal_entity_id == "erp:LE"


def test_a_whole_pass_over_source_rows() -> None:
    """Mapped rows compute: 1,200 s at 100 are 33.33, of which 5.00 are posted, at the same version."""
    out = compute_from_rows(canonical_rows(*tables()))
    folds = {key.segment: fold.amount for key, fold in out.billing.items()}
    assert folds == {"inv:erp:I": Decimal(5)}


NAN, INFINITE = Decimal("NaN"), Decimal("-Infinity")


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("time_entry", "hours", Decimal("24.0001")),
        ("time_entry", "hours", Decimal("-0.0001")),
        ("time_entry", "hours", NAN),
        ("time_entry", "kind", "holiday"),
        ("time_entry", "status", "APPROVED"),
        ("time_entry_version", "hours", Decimal("24.0001")),
        ("time_entry_version", "kind", "holiday"),
        ("time_entry_event", "action", "lost"),
        ("absence", "hours", Decimal(25)),
        ("absence", "kind", "strike"),
        ("calendar", "sunday", Decimal(-1)),
        ("consultant", "fte", Decimal("2.01")),
        ("consultant", "fte", NAN),
        ("consultant_position", "fte", Decimal("2.01")),
        ("consultant_position", "effective_to", date(2026, 3, 16)),
        ("rate", "price", Decimal(0)),
        ("rate", "weekend_multiplier", Decimal(0)),
        ("rate", "effective_to", date(2026, 1, 1)),
        ("rate", "price", INFINITE),
        ("rate_version", "price", Decimal(0)),
        ("rate_version", "unit", "day"),
        ("rate_version", "effective_to", date(2026, 1, 1)),
        ("fx_rate_version", "rate", Decimal(0)),
        ("cost_rate", "effective_to", date(2025, 1, 1)),
        ("cost_rate", "cost", NAN),
        ("fx_rate", "rate", Decimal(0)),
        ("assignment", "hours_per_day", Decimal("24.5")),
        ("assignment", "status", "maybe"),
        ("assignment", "ends_on", date(2026, 3, 2)),
        ("assignment", "ends_on", date.max),
        ("utilization_target", "ratio", Decimal("1.0001")),
        ("utilization_target", "ratio", Decimal("-0.1")),
        ("utilization_target", "scope", "team"),
        ("utilization_target", "grade", None),
        ("utilization_target", "effective_to", date(2026, 1, 1)),
        ("engagement", "cap_money", Decimal(-1)),
        ("engagement", "over_cap_action", "ask"),
        ("engagement", "status", "paused"),
        ("contract_line", "billing_method", "fixed"),
        ("contract_line", "included_hours", Decimal(-1)),
        ("contract_line", "per_diem_amount", Decimal(-1)),
        ("contract_line", "day_minimum_hours", Decimal(-1)),
        ("contract_line", "quantity_increment_seconds", 0),
        ("contract_line", "rounding", "down"),
        ("contract_line", "quantity_rounding", "down"),
        ("contract_line", "minimum_quantity_hours", Decimal("24.5")),
        ("contract_line", "revenue_method", "when paid"),
        ("contract_line", "fee", Decimal(-1)),
        ("contract_line", "planned_hours", Decimal(-1)),
        ("contract_line", "expires_on", date(3000, 1, 1)),
        ("engagement_version", "cap_money", Decimal(-1)),
        ("contract_line_version", "day_minimum_hours", Decimal(25)),
        ("contract_line_version", "unused_hours", "roll_over"),
        ("plan_revision", "fee", Decimal(-1)),
        ("plan_revision", "planned_hours", NAN),
        ("plan_revision", "effective_on", date.max),
        ("project", "status", "open"),
        ("task", "billing_class", "free"),
        ("client", "status", "gone"),
        ("accounting_period", "status", "ajar"),
        ("milestone", "amount", Decimal(-1)),
        ("milestone", "status", "done"),
        ("invoice_line", "seconds", -1),
        ("invoice_line", "amount", Decimal("-0.01")),
        ("invoice_line", "kind", "refund"),
        ("invoice_line", "status", "paid"),
        ("bill_adjustment", "hours", Decimal(-1)),
        ("bill_adjustment", "amount", Decimal(-1)),
        ("bill_adjustment", "kind", "gift"),
        ("approval_limit", "kind", "gift"),
        ("prepaid_lot", "hours", Decimal("0.0099")),
        ("prepaid_lot", "fee", Decimal(-1)),
        ("approval_limit", "amount", Decimal(-1)),
        ("payer_split", "share", Decimal(0)),
        ("payer_split", "share", Decimal("100.01")),
        ("payer_split", "valid_to", date(2026, 1, 1)),
        ("approval_limit", "effective_to", date(2025, 12, 31)),
        ("contract_line", "unused_hours", "vanish"),
        ("contract_line", "unused_hours", "roll_over"),
        ("contract_line", "rollover_months", 121),
        ("holiday", "hours", NAN),
        ("account", "status", "new"),
        ("opportunity", "stage", "dreaming"),
        ("opportunity", "amount", NAN),
    ],
)
def test_a_row_that_breaks_a_rule_is_left_out_and_listed_once(table: str, column: str, value: object) -> None:
    """It is quarantined under its canonical id; all other rows stay."""
    rows = canonical_rows(*tables((table, {column: value})))
    (found,) = rows.quarantined
    entity = "period" if table == "accounting_period" else table
    assert (found.entity, found.id) == (entity, f"{SYSTEM_OF[table]}:{VALID[table]['id']}")
    assert column in found.reason or "effective range" in found.reason


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("time_entry", "hours", Decimal(24)),
        ("time_entry", "hours", Decimal(0)),
        ("consultant", "fte", Decimal(0)),
        ("consultant", "fte", Decimal(2)),
        ("utilization_target", "ratio", Decimal(1)),
        ("engagement", "cap_money", Decimal(0)),
        ("contract_line", "included_hours", Decimal(0)),
        ("milestone", "amount", Decimal(0)),
        ("invoice_line", "seconds", 0),
    ],
)
def test_the_edges_are_valid(table: str, column: str, value: object) -> None:
    """Bounds are inclusive where zero is allowed."""
    assert canonical_rows(*tables((table, {column: value}))).quarantined == []


def test_two_broken_rules_are_one_exception() -> None:
    """A row is quarantined once, for the first rule it breaks."""
    rows = canonical_rows(*tables(("time_entry", {"hours": Decimal(30), "kind": "odd"})))
    assert rows.quarantined == [Quarantined("time_entry", "time:7", "hours 30 is not in [0, 24]")]


def test_a_quarantined_entry_is_as_if_deleted() -> None:
    """Nothing is approved; what was posted for it is due back."""
    out = compute_from_rows(canonical_rows(*tables(("time_entry", {"hours": NAN}))))
    assert out.approved == {}
    assert {key.segment: fold.seconds for key, fold in out.billing.items()} == {
        "inv:erp:I": 1200,
        "due:erp:I": -1200,
    }


def test_a_quarantined_rate_parks_what_it_priced() -> None:
    """No price of 0: the entry waits for a rate."""
    invalid = compute_from_rows(canonical_rows(*tables(("rate", {"price": Decimal(0)}))))
    assert invalid.parked["time:7"] == ("MISSING_RATE", ("rate:erp:L/erp:C",))
