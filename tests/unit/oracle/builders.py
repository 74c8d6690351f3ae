"""Tiny builders of rows for the oracle's tests: a small firm, and only what a test says differs.

The firm: consultant ``C`` (role dev, grade senior, region eu, 8 h Monday to Friday, FTE 1), client
``A``, entity ``LE``, engagement ``E`` in EUR with line ``L`` (T&M), project ``P`` on it, and a
default rate of 100 EUR an hour. Ids are given natively and become canonical.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from oracle import rows as r
from oracle.expected import Expected, FoldKey, compute_from_rows

HOUR = 3600
APPROVED = datetime(2026, 3, 31, 12, tzinfo=UTC)


def D(value: str | int) -> Decimal:
    return Decimal(value)


def day(text: str) -> date:
    """``05 Mar`` style dates of 2026 as ``03-05``; a full ISO date is taken as it is."""
    return date.fromisoformat(text if len(text) == 10 else f"2026-{text}")


def erp(native: str | None) -> str | None:
    return None if native is None else f"erp:{native}"


def firm(*more: Any) -> r.Rows:
    """The firm, with ``more`` rows added; a row with the id of one that is there replaces it."""
    rows = r.Rows()
    put(rows, r.LegalEntity("erp:LE"), r.Client("erp:A"), engagement(), line(), project())
    put(rows, consultant(), calendar(), rate("R0"), *more)
    return rows


def without(rows: r.Rows, *ids: str) -> r.Rows:
    """Delete every row with one of these canonical ids."""
    for table in _TABLES.values():
        for gone in ids:
            getattr(rows, table).pop(gone, None)
    return rows


_TABLES = {
    r.LegalEntity: "legal_entities",
    r.Client: "clients",
    r.Engagement: "engagements",
    r.ContractLine: "contract_lines",
    r.Project: "projects",
    r.Task: "tasks",
    r.Consultant: "consultants",
    r.Position: "positions",
    r.Rate: "rates",
    r.Calendar: "calendars",
    r.Holiday: "holidays",
    r.FxRate: "fx_rates",
    r.Period: "periods",
    r.Milestone: "milestones",
    r.Expense: "expenses",
    r.ExpenseVersion: "expense_versions",
    r.InvoiceLine: "invoice_lines",
    r.BillAdjustment: "bill_adjustments",
    r.TimeEntry: "time_entries",
    r.Absence: "absences",
    r.Target: "targets",
    r.Assignment: "assignments",
    r.CostRate: "cost_rates",
    r.Opportunity: "opportunities",
}


def put(rows: r.Rows, *values: Any) -> r.Rows:
    for value in values:
        getattr(rows, _TABLES[type(value)])[value.id] = value
    return rows


def engagement(native: str = "E", **other: Any) -> r.Engagement:
    values: dict[str, Any] = {
        "client_id": "erp:A",
        "legal_entity_id": "erp:LE",
        "currency": "EUR",
        "cap_money": None,
        "cap_seconds": None,
        "over_cap_action": "hold",
        "starts_on": day("2026-01-01"),
        "ends_on": None,
    }
    return r.Engagement(id=f"erp:{native}", **(values | other))


def line(native: str = "L", engagement: str = "E", method: str = "tm", **other: Any) -> r.ContractLine:
    values: dict[str, Any] = {
        "cap_money": None,
        "cap_seconds": None,
        "over_cap_action": "hold",
        "included_seconds": None,
        "per_diem_amount": None,
        "day_minimum_seconds": None,
        "quantity_increment_seconds": None,
        "rounding": "half_up",
    }
    return r.ContractLine(
        id=f"erp:{native}", engagement_id=f"erp:{engagement}", billing_method=method, **(values | other)
    )


def project(native: str = "P", engagement: str | None = "E", line: str | None = "L") -> r.Project:
    return r.Project(f"erp:{native}", erp(engagement), erp(line))


def task(native: str, project: str = "P", line: str | None = None, billing_class: str = "billable") -> r.Task:
    return r.Task(f"erp:{native}", f"erp:{project}", erp(line), billing_class)


def consultant(native: str = "C", **other: Any) -> r.Consultant:
    values: dict[str, Any] = {
        "role": "dev",
        "grade": "senior",
        "practice": "data",
        "region": "eu",
        "calendar_id": "erp:K",
        "fte": D(1),
        "hired_on": day("2020-01-01"),
        "left_on": None,
    }
    return r.Consultant(id=f"erp:{native}", **(values | other))


def calendar(native: str = "K", hours: int = 8) -> r.Calendar:
    weekday = hours * HOUR
    return r.Calendar(f"erp:{native}", (weekday, weekday, weekday, weekday, weekday, 0, 0))


def holiday(on: str, seconds: int | None = None, native: str = "H") -> r.Holiday:
    return r.Holiday(f"erp:{native}", "erp:K", day(on), seconds)


def absence(native: str, on: str, seconds: int, consultant: str = "C") -> r.Absence:
    return r.Absence(f"time:{native}", f"erp:{consultant}", day(on), seconds)


def target(native: str, ratio: str, scope: str, name: str, **other: Any) -> r.Target:
    """A target of a consultant (native id), grade or practice, from 2026 on unless told otherwise."""
    names: dict[str, Any] = dict.fromkeys(("consultant_id", "grade", "practice"))
    names["consultant_id" if scope == "consultant" else scope] = erp(name) if scope == "consultant" else name
    values: dict[str, Any] = {"effective_from": day("2026-01-01"), "effective_to": None, **names}
    return r.Target(f"erp:{native}", scope, ratio=D(ratio), **(values | other))


def rate(native: str, price: str = "100", currency: str = "EUR", **other: Any) -> r.Rate:
    """A rate of the default card unless scope fields are given (canonical ids there)."""
    values: dict[str, Any] = dict.fromkeys(
        ("task_id", "project_id", "contract_line_id", "client_id", "consultant_id", "role", "grade", "region")
    )
    values |= {
        "overtime_multiplier": D("1.5"),
        "weekend_multiplier": D(2),
        "effective_from": day("2020-01-01"),
        "effective_to": None,
        "applies_to_invoiced": False,
    }
    return r.Rate(id=f"erp:{native}", currency=currency, price=D(price), **(values | other))


def fx(native: str, on: str, value: str, pair: str = "EUR:USD") -> r.FxRate:
    from_currency, to_currency = pair.split(":")
    return r.FxRate(f"erp:{native}", from_currency, to_currency, day(on), D(value))


def cost_rate(native: str, cost: str, currency: str = "EUR", **other: Any) -> r.CostRate:
    """What an hour of ``C`` costs."""
    values: dict[str, Any] = {
        "consultant_id": "erp:C",
        "effective_from": day("2020-01-01"),
        "effective_to": None,
    }
    return r.CostRate(id=f"erp:{native}", currency=currency, cost=D(cost), **(values | other))


def deal(native: str, amount: str, won: str | None = "03-10", **other: Any) -> r.Opportunity:
    """A deal of account ``crm:A`` in EUR: won on a day, or a proposal."""
    stage, on = ("proposal", None) if won is None else ("won", day(won))
    values: dict[str, Any] = {"account_id": "crm:A", "currency": "EUR", "service_line": None}
    return r.Opportunity(id=f"crm:{native}", stage=stage, amount=D(amount), closed_on=on, **(values | other))


def expense(native: str, on: str, amount: str, **other: Any) -> r.Expense:
    """An approved expense of ``C`` on ``P`` in EUR, net, approved by another at the end of March."""
    values: dict[str, Any] = {
        "project_id": "erp:P",
        "consultant_id": "erp:C",
        "currency": "EUR",
        "tax_basis": "net",
        "tax_amount": None,
        "markup": None,
        "cap_scope": "line",
        "status": "approved",
        "version": 1,
        "approved_at": APPROVED,
        "approved_by": "erp:B",
    }
    return r.Expense(id=f"erp:{native}", incurred_on=day(on), amount=D(amount), **(values | other))


def period(month: int, closed_at: datetime | None = None) -> r.Period:
    """A month of 2026 of entity ``LE``."""
    ends_on = date(2026, month + 1, 1)
    return r.Period(f"erp:2026-{month:02}", "erp:LE", date(2026, month, 1), ends_on, closed_at)


def entry(native: int, on: str, seconds: int = HOUR, **other: Any) -> r.TimeEntry:
    values: dict[str, Any] = {
        "consultant_id": "erp:C",
        "project_id": "erp:P",
        "task_id": None,
        "kind": "standard",
        "status": "approved",
        "version": 1,
        "approved_at": APPROVED,
    }
    return r.TimeEntry(id=f"time:{native}", work_date=day(on), seconds=seconds, **(values | other))


def milestone(native: str = "M", amount: str = "5000", accepted: str | None = "03-10") -> r.Milestone:
    on = None if accepted is None else day(accepted)
    at = None if on is None else datetime(on.year, on.month, on.day, 9, tzinfo=UTC)
    status = "planned" if on is None else "accepted"
    return r.Milestone(f"erp:{native}", "erp:E", "erp:L", D(amount), status, on, at)


def charge(native: str, entry: str, seconds: int, amount: str, **other: Any) -> r.InvoiceLine:
    """A posted charge of version 1 on engagement ``E``, line ``L``; ``entry`` is canonical."""
    values: dict[str, Any] = {
        "engagement_id": "erp:E",
        "contract_line_id": "erp:L",
        "kind": "charge",
        "credits_line_id": None,
        "entry_version": 1,
        "status": "posted",
        "posted_at": datetime(2026, 4, 2, 10, tzinfo=UTC),
    }
    return r.InvoiceLine(
        id=f"erp:{native}", entry_id=entry, seconds=seconds, amount=D(amount), **(values | other)
    )


def credit(native: str, of: str, entry: str, seconds: int, amount: str, **other: Any) -> r.InvoiceLine:
    """A posted credit that names the charge ``of``."""
    return charge(native, entry, seconds, amount, kind="credit", credits_line_id=f"erp:{of}", **other)


def adjustment(native: str, entry: str, seconds: int, engagement: str = "E") -> r.BillAdjustment:
    return r.BillAdjustment(f"erp:{native}", f"erp:{engagement}", entry, "write_off", seconds)


def billing(rows: r.Rows) -> dict[tuple[str, str], tuple[str, int, Decimal | None]]:
    """(entry, segment) to (bucket, seconds, amount) of everything computed from rows."""
    return {(k.entry, k.segment): (k.bucket, f.seconds, f.amount) for k, f in expect(rows).billing.items()}


def expect(rows: r.Rows) -> Expected:
    return compute_from_rows(rows)


def the_key(rows: r.Rows) -> FoldKey:
    """The key of the only segment."""
    (key,) = expect(rows).billing
    return key
