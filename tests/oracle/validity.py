"""When a source row is fit to compute with.

A row that breaks a rule is quarantined: nothing downstream sees it, as if it had been deleted.
The rules, by table and column:

- hours of an entry, an absence, a holiday, an assignment, a calendar's weekday, or a day minimum lie in [0, 24],
  those of an adjustment in [0, 1,000], of a cap or an inclusion in [0, 1,000,000]; an FTE in [0, 2];
- a target lies in [0, 1], and names what its scope says: a consultant, a grade or a practice;
- prices, multipliers and exchange rates are above 0, quantity increments too;
- planned hours lie in [0, 1,000,000], and fees, caps of money, per diems, milestone amounts, discounts and invoiced
  amounts in [0, 10^12]; invoiced seconds are not negative;
- an expense's amount and tax lie in [0, 10^8], markups in [0, 1,000] percent; one of basis gross says its tax;
- hours of a prepaid lot lie in [0.01, 1,000,000]; a payer's share in [0.0001, 100];
- a code of a closed list is one of the list;
- an effective range, and that of an assignment, does not end before or when it starts;
- a date lies in the years 1900 to 2999; 9999-12-31 is an open end where a row need not have the date;
- a write-off has hours, a discount an amount; what is posted or closed says since when; a retainer whose hours roll
  over has a start, and they do so for 120 months at most;
- no number anywhere is NaN or infinite.

A null is not checked: whether a column may be null is the source's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

# Answers what is wrong with a value that is not null; None when it is fine.
Check = Callable[[Any], str | None]


def _between(low: int | Decimal, high: int) -> Check:
    return lambda value: None if low <= value <= high else f"is not in [{low}, {high}]"


def _at_least_zero(value: Any) -> str | None:
    return None if value >= 0 else "is negative"


def _money(value: Any) -> str | None:
    """An amount of a contract or a document: sums of some thousand of the greatest fit the ledger's digits."""
    return _at_least_zero(value) or (None if value <= 10**12 else "is more than 1000000000000")


def _above_zero(value: Any) -> str | None:
    return None if value > 0 else "is not above 0"


def _inside(high: int) -> Check:
    """More than 0 and less than a bound that keeps amounts within the ledger's digits."""
    return lambda value: None if 0 < value < high else f"is not in (0, {high})"


def _one_of(*allowed: str) -> Check:
    return lambda value: None if value in allowed else f"is none of {', '.join(allowed)}"


_ACTIVE_INACTIVE: Final = _one_of("active", "inactive")
_ACTIVE_CLOSED: Final = _one_of("active", "closed")
_OVER_CAP: Final = _one_of("hold", "write_off", "bill")
_DAY_HOURS: Final = _between(0, 24)
_CONTRACT_HOURS: Final = _between(0, 1_000_000)

_EXPENSE: Final[Mapping[str, Check]] = {
    "amount": _between(0, 100_000_000),
    "tax_basis": _one_of("net", "gross"),
    "tax_amount": _between(0, 100_000_000),
    "markup": _between(0, 1000),
    "cap_scope": _one_of("none", "line", "engagement"),
}

_RATE: Final[Mapping[str, Check]] = {
    "price": _inside(1_000_000),
    "unit": _one_of("hour", "day", "fixed"),
    "hours_per_day": _between(Decimal("0.5"), 24),
    "overtime_multiplier": _inside(100),
    "weekend_multiplier": _inside(100),
}

CHECKS: Final[Mapping[str, Mapping[str, Check]]] = {
    "account": {"status": _ACTIVE_INACTIVE},
    "opportunity": {"stage": _one_of("prospect", "proposal", "won", "lost")},
    "client": {"status": _ACTIVE_INACTIVE},
    "engagement": {
        "cap_money": _money,
        "cap_hours": _CONTRACT_HOURS,
        "over_cap_action": _OVER_CAP,
        "fx_direction": _one_of("direct", "inverse"),
        "status": _ACTIVE_CLOSED,
    },
    "contract_line": {
        "billing_method": _one_of("tm", "milestone", "retainer", "prepaid", "per_diem", "non_billable"),
        "cap_money": _money,
        "cap_hours": _CONTRACT_HOURS,
        "over_cap_action": _OVER_CAP,
        "included_hours": _CONTRACT_HOURS,
        "per_diem_amount": _money,
        "day_minimum_hours": _DAY_HOURS,
        "quantity_increment_seconds": _above_zero,
        "rounding": _one_of("half_up", "half_even"),
        "status": _ACTIVE_CLOSED,
        "revenue_method": _one_of(
            "as_delivered", "milestone", "percent_complete", "straight_line", "as_consumed"
        ),
        "fee": _money,
        "planned_hours": _CONTRACT_HOURS,
        "unused_hours": _one_of("expire", "roll_over"),
        "rollover_hours": _CONTRACT_HOURS,
        "rollover_months": _between(0, 24),
        "expense_markup": _between(0, 1000),
        "quantity_rounding": _one_of("nearest", "up"),
        "minimum_quantity_hours": _DAY_HOURS,
    },
    "engagement_version": {"cap_money": _money, "cap_hours": _CONTRACT_HOURS, "over_cap_action": _OVER_CAP},
    "contract_line_version": {
        "cap_money": _money,
        "cap_hours": _CONTRACT_HOURS,
        "over_cap_action": _OVER_CAP,
        "included_hours": _CONTRACT_HOURS,
        "per_diem_amount": _money,
        "day_minimum_hours": _DAY_HOURS,
        "unused_hours": _one_of("expire", "roll_over"),
        "rollover_hours": _CONTRACT_HOURS,
        "rollover_months": _between(0, 24),
    },
    "prepaid_lot": {"hours": _between(Decimal("0.01"), 1_000_000), "fee": _money},
    "payer_split": {"share": _between(Decimal("0.0001"), 100)},
    "plan_revision": {"fee": _money, "planned_hours": _CONTRACT_HOURS},
    "project": {"status": _ACTIVE_CLOSED},
    "task": {"billing_class": _one_of("billable", "non_billable"), "status": _ACTIVE_CLOSED},
    "consultant": {"fte": _between(0, 2)},
    "consultant_position": {"fte": _between(0, 2)},
    "assignment": {"hours_per_day": _DAY_HOURS, "status": _one_of("planned", "confirmed", "cancelled")},
    "utilization_target": {"scope": _one_of("consultant", "grade", "practice"), "ratio": _between(0, 1)},
    "rate": _RATE,
    "rate_version": _RATE,
    "calendar": dict.fromkeys(
        ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), _DAY_HOURS
    ),
    "holiday": {"hours": _DAY_HOURS},
    "fx_rate": {"rate": _inside(1_000_000)},
    "fx_rate_version": {"rate": _inside(1_000_000)},
    "legal_entity": {"late_acts": _one_of("anybody", "by_right")},
    "accounting_period": {"status": _one_of("open", "soft_closed", "closed")},
    "milestone": {"amount": _money, "status": _one_of("planned", "accepted", "cancelled")},
    "expense": {
        **_EXPENSE,
        "status": _one_of("submitted", "approved", "rejected"),
    },
    "expense_version": _EXPENSE,
    "invoice_line": {
        "kind": _one_of("charge", "credit"),
        "seconds": _at_least_zero,
        "amount": _money,
        "status": _one_of("draft", "posted"),
    },
    "bill_adjustment": {
        "kind": _one_of("write_off", "discount", "hold"),
        "hours": _between(0, 1000),
        "amount": _money,
    },
    "approval_limit": {"kind": _one_of("write_off", "discount", "hold"), "amount": _money},
    "time_entry": {
        "hours": _DAY_HOURS,
        "kind": _one_of("standard", "overtime", "weekend"),
        "status": _one_of("draft", "submitted", "approved", "rejected", "withdrawn"),
    },
    "time_entry_version": {"hours": _DAY_HOURS, "kind": _one_of("standard", "overtime", "weekend")},
    "time_entry_event": {
        "action": _one_of(
            "drafted", "submitted", "approved", "rejected", "corrected", "withdrawn", "deleted"
        ),
    },
    "absence": {"hours": _DAY_HOURS, "kind": _one_of("vacation", "sick")},
}


# Dates that a row need not have.
OPEN_ENDS: Final[Mapping[str, tuple[str, ...]]] = {
    "engagement": ("ends_on",),
    "contract_line": ("starts_on", "ends_on", "expires_on"),
    "contract_line_version": ("starts_on", "ends_on", "expires_on"),
    "plan_revision": ("ends_on",),
    "prepaid_lot": ("starts_on", "expires_on"),
    "payer_split": ("valid_to",),
    "consultant": ("left_on",),
    "consultant_position": ("effective_to",),
    "cost_rate": ("effective_to",),
    "rate": ("effective_to",),
    "rate_version": ("effective_to",),
    "approval_limit": ("effective_to",),
    "utilization_target": ("effective_to",),
    "milestone": ("accepted_on",),
    "opportunity": ("closed_on",),
    "invoice_line": ("work_date",),
}


def _is_day(day: date) -> bool:
    return 1900 <= day.year <= 2999


def without_open_end(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with no date where it says that there is no end."""
    open_ends = [column for column in OPEN_ENDS.get(table, ()) if row.get(column) == date.max]
    return {**row, **dict.fromkeys(open_ends)}


def what_is_wrong(table: str, row: Mapping[str, Any]) -> str | None:
    """The first rule that a source row breaks, in words; None when the row is fit to compute with.

    Example: an entry of 25 hours gives ``hours 25 is not in [0, 24]``.
    """
    for column, value in row.items():
        if isinstance(value, Decimal) and not value.is_finite():
            return f"{column} is {value}, not a number to compute with"
        if (
            type(value) is date
            and not _is_day(value)
            and not (value == date.max and column in OPEN_ENDS.get(table, ()))
        ):
            return f"{column} {value} is no date between the years 1900 and 2999"
    for column, check in CHECKS.get(table, {}).items():
        value = row[column]
        complaint = None if value is None else check(value)
        if complaint is not None:
            return f"{column} {value} {complaint}"
    if table == "bill_adjustment":
        needed = {"write_off": "hours", "discount": "amount"}.get(row["kind"])
        if needed is not None and row[needed] is None:
            return f"{needed} of a {row['kind']} is not there"
    if (
        table in ("contract_line", "contract_line_version")
        and row["unused_hours"] == "roll_over"
        and row["starts_on"] in (None, date.max)
    ):
        return "starts_on of unused_hours roll_over is not there"
    if table in ("expense", "expense_version") and row["tax_basis"] == "gross" and row["tax_amount"] is None:
        return "tax_amount of tax_basis gross is not there"
    since = {"invoice_line": ("posted", "posted_at"), "accounting_period": ("closed", "closed_at")}
    if table in since and row["status"] == since[table][0] and row[since[table][1]] is None:
        return f"{since[table][1]} of what is {since[table][0]} is not there"
    if table in ("rate", "rate_version") and row["unit"] == "day" and row["hours_per_day"] is None:
        return "hours_per_day of unit day is not there"
    if table == "utilization_target":
        named = "consultant_id" if row["scope"] == "consultant" else row["scope"]
        if row[named] is None:
            return f"{named} of a target of a {row['scope']} is not there"
    starts, ends = row.get("effective_from"), row.get("effective_to")
    if table == "assignment":
        starts, ends = row["starts_on"], row["ends_on"]
    if table == "payer_split":
        starts, ends = row["valid_from"], row["valid_to"]
    if ends == date.max:
        ends = None
    if starts is not None and ends is not None and not starts < ends:
        return f"effective range ends on {ends}, not after its start {starts}"
    return None
