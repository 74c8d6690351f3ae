"""The rows that the oracle computes from: plain values with canonical ids.

An id is ``<system>:<native id>``. Durations are integer seconds, money and factors are `Decimal`,
ranges are half-open. Only the fields that some rule reads are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class LegalEntity:
    """A company of the group; ``by_right``: only some may act on its closed periods."""

    id: str
    by_right: bool = False
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """A customer."""

    id: str
    tax_region: str | None = None
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Engagement:
    """A contract: the allocation root that its caps are shared in. Active in ``[starts_on, ends_on)``.

    It converts by rates of ``fx_rate_type`` (None: spot), where ``fx_inverse`` by the opposite pair's.
    """

    id: str
    client_id: str
    legal_entity_id: str
    currency: str
    cap_money: Decimal | None
    cap_seconds: int | None
    over_cap_action: str
    starts_on: date
    ends_on: date | None
    fx_rate_type: str | None = None
    fx_inverse: bool = False
    po_number: str | None = None
    opportunity_id: str | None = None


@dataclass(frozen=True, slots=True)
class ContractLine:
    """One way of billing inside an engagement."""

    id: str
    engagement_id: str
    billing_method: str
    cap_money: Decimal | None
    cap_seconds: int | None
    over_cap_action: str
    included_seconds: int | None
    per_diem_amount: Decimal | None
    day_minimum_seconds: int | None
    quantity_increment_seconds: int | None
    rounding: str
    revenue_method: str | None = None
    fee: Decimal | None = None
    planned_seconds: int | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    expires_on: date | None = None
    unused_hours: str | None = None
    rollover_seconds: int | None = None
    rollover_months: int | None = None
    expenses_billed: bool | None = None
    expense_markup: Decimal | None = None
    quantity_rounding: str | None = None
    minimum_quantity_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class TermsVersion:
    """Fields of an engagement or a contract line, ``of``, as they were until ``ended_at``."""

    id: str
    of: str
    was: Mapping[str, object]
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class PrepaidLot:
    """Hours bought of a prepaid line, for work from ``starts_on`` to ``expires_on``, both included."""

    id: str
    contract_line_id: str
    seconds: int
    fee: Decimal
    starts_on: date | None
    expires_on: date | None


@dataclass(frozen=True, slots=True)
class PayerSplit:
    """The percent of a contract's work dates in ``[valid_from, valid_to)`` that a client pays."""

    id: str
    engagement_id: str
    client_id: str
    share: Decimal
    valid_from: date
    valid_to: date | None


@dataclass(frozen=True, slots=True)
class PlanRevision:
    """A decision to plan a contract line anew; what is None stays as it was."""

    id: str
    contract_line_id: str
    fee: Decimal | None
    planned_seconds: int | None
    ends_on: date | None
    effective_on: date
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Project:
    """Where time is booked; without an engagement it is internal."""

    id: str
    engagement_id: str | None
    contract_line_id: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """Work inside a project; its own contract line wins over the project's."""

    id: str
    project_id: str
    contract_line_id: str | None
    billing_class: str


@dataclass(frozen=True, slots=True)
class Consultant:
    """A person who logs time, employed in ``[hired_on, left_on)``."""

    id: str
    role: str
    grade: str
    practice: str
    region: str
    calendar_id: str
    fte: Decimal
    hired_on: date
    left_on: date | None


@dataclass(frozen=True, slots=True)
class Position:
    """What a consultant is in ``[effective_from, effective_to)``; what is None is as in their own row."""

    id: str
    consultant_id: str
    effective_from: date
    effective_to: date | None
    role: str | None = None
    grade: str | None = None
    practice: str | None = None
    region: str | None = None
    calendar_id: str | None = None
    fte: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """A price for ``unit``: hour, day (of ``day_seconds``) or fixed, an entry.

    Its scope is exactly the set of scope fields that are not null. It is so since ``decided_at`` (None: long ago).
    """

    id: str
    task_id: str | None
    project_id: str | None
    contract_line_id: str | None
    client_id: str | None
    consultant_id: str | None
    role: str | None
    grade: str | None
    region: str | None
    currency: str
    price: Decimal
    overtime_multiplier: Decimal
    weekend_multiplier: Decimal
    effective_from: date
    effective_to: date | None
    applies_to_invoiced: bool
    unit: str = "hour"
    day_seconds: int | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RateVersion:
    """What a rate was until it was changed or taken away at ``ended_at``."""

    id: str
    row: Rate
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Calendar:
    """Working seconds of each weekday, Monday first."""

    id: str
    weekday_seconds: tuple[int, int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Holiday:
    """Time off of a calendar's day; ``seconds`` null is the whole day."""

    id: str
    calendar_id: str
    day: date
    seconds: int | None


@dataclass(frozen=True, slots=True)
class FxRate:
    """Units of ``to_currency`` for one of ``from_currency``, published for ``day``; ``rate_type`` None is spot.

    It is so since ``decided_at`` (None: long ago).
    """

    id: str
    from_currency: str
    to_currency: str
    day: date
    rate: Decimal
    rate_type: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FxRateVersion:
    """What an exchange rate was until it was corrected or taken away at ``ended_at``."""

    id: str
    row: FxRate
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Period:
    """An accounting period ``[starts_on, ends_on)`` of a legal entity.

    ``closed_at`` is its hard close, ``soft_closed_at`` the close to those without the right to late acts.
    """

    id: str
    legal_entity_id: str
    starts_on: date
    ends_on: date
    closed_at: datetime | None
    soft_closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PeriodRight:
    """A person's right to late acts on a legal entity's periods, in ``[granted_at, revoked_at)``."""

    id: str
    legal_entity_id: str
    person_id: str
    granted_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Milestone:
    """A price for a deliverable, in the engagement's currency."""

    id: str
    engagement_id: str
    contract_line_id: str
    amount: Decimal
    status: str
    accepted_on: date | None
    accepted_at: datetime | None
    due_on: date = date.max


@dataclass(frozen=True, slots=True)
class Expense:
    """Current state of an expense; ``markup`` is in percent, None that of the contract line."""

    id: str
    project_id: str
    consultant_id: str
    incurred_on: date
    amount: Decimal
    currency: str
    tax_basis: str
    tax_amount: Decimal | None
    markup: Decimal | None
    cap_scope: str
    status: str
    version: int
    approved_at: datetime | None
    approved_by: str | None


@dataclass(frozen=True, slots=True)
class ExpenseVersion:
    """What an approved expense was until it was corrected, rejected or deleted at ``ended_at``."""

    id: str
    expense: Expense
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """What the ERP charged or credited, with the entry and the version of it that was billed."""

    id: str
    engagement_id: str
    contract_line_id: str
    kind: str
    credits_line_id: str | None
    entry_id: str
    entry_version: int
    seconds: int
    amount: Decimal
    status: str
    posted_at: datetime | None
    client_id: str | None = None
    project_id: str | None = None
    task_id: str | None = None
    consultant_id: str | None = None
    work_date: date | None = None


@dataclass(frozen=True, slots=True)
class BillAdjustment:
    """A decision to bill less of approved time, or not yet: a write_off, a discount or a hold."""

    id: str
    engagement_id: str
    entry_id: str
    kind: str
    seconds: int | None
    amount: Decimal | None = None
    decided_at: datetime | None = None
    released_at: datetime | None = None
    preparer_id: str | None = None
    approver_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalLimit:
    """The most that somebody approves of a kind of adjustment, in ``[effective_from, effective_to)``."""

    id: str
    approver_id: str
    kind: str
    currency: str
    amount: Decimal
    effective_from: date
    effective_to: date | None


@dataclass(frozen=True, slots=True)
class TimeEntry:
    """Current state of a time entry; ``work_date`` is the consultant's local date."""

    id: str
    consultant_id: str
    project_id: str
    task_id: str | None
    work_date: date
    seconds: int
    kind: str
    status: str
    version: int
    approved_at: datetime | None
    approved_by: str | None = None


@dataclass(frozen=True, slots=True)
class TimeEntryVersion:
    """What an approved entry was until it was corrected, withdrawn or deleted at ``ended_at``."""

    id: str
    entry: TimeEntry
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class TimeEntryEvent:
    """What was done to an entry, and when."""

    id: str
    entry_id: str
    action: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Absence:
    """Time of a day that a consultant is away."""

    id: str
    consultant_id: str
    day: date
    seconds: int


@dataclass(frozen=True, slots=True)
class Target:
    """Billable share of capacity to reach in a range, of one consultant, one grade or one practice."""

    id: str
    scope: str
    consultant_id: str | None
    grade: str | None
    practice: str | None
    ratio: Decimal
    effective_from: date
    effective_to: date | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """A person planned on a project for so many seconds of each day of ``[starts_on, ends_on)``."""

    id: str
    consultant_id: str
    project_id: str
    starts_on: date
    ends_on: date
    seconds_per_day: int
    status: str


@dataclass(frozen=True, slots=True)
class CostRate:
    """What an hour of a consultant costs, ``[effective_from, effective_to)``."""

    id: str
    consultant_id: str
    currency: str
    cost: Decimal
    effective_from: date
    effective_to: date | None


@dataclass(frozen=True, slots=True)
class Opportunity:
    """A deal of an account; booked on ``closed_on`` if it is won."""

    id: str
    account_id: str
    stage: str
    amount: Decimal
    currency: str
    service_line: str | None
    closed_on: date | None


@dataclass(frozen=True, slots=True, order=True)
class Quarantined:
    """A source row that breaks a rule, and is therefore treated as if it did not exist."""

    entity: str
    id: str
    reason: str


@dataclass(slots=True)
class Rows:
    """Everything the oracle looks at: the valid rows by id, and those left out."""

    legal_entities: dict[str, LegalEntity] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    engagements: dict[str, Engagement] = field(default_factory=dict)
    contract_lines: dict[str, ContractLine] = field(default_factory=dict)
    engagement_versions: dict[str, TermsVersion] = field(default_factory=dict)
    line_versions: dict[str, TermsVersion] = field(default_factory=dict)
    plan_revisions: dict[str, PlanRevision] = field(default_factory=dict)
    prepaid_lots: dict[str, PrepaidLot] = field(default_factory=dict)
    payer_splits: dict[str, PayerSplit] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    consultants: dict[str, Consultant] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    rates: dict[str, Rate] = field(default_factory=dict)
    rate_versions: dict[str, RateVersion] = field(default_factory=dict)
    calendars: dict[str, Calendar] = field(default_factory=dict)
    holidays: dict[str, Holiday] = field(default_factory=dict)
    fx_rates: dict[str, FxRate] = field(default_factory=dict)
    fx_rate_versions: dict[str, FxRateVersion] = field(default_factory=dict)
    periods: dict[str, Period] = field(default_factory=dict)
    period_rights: dict[str, PeriodRight] = field(default_factory=dict)
    milestones: dict[str, Milestone] = field(default_factory=dict)
    expenses: dict[str, Expense] = field(default_factory=dict)
    expense_versions: dict[str, ExpenseVersion] = field(default_factory=dict)
    invoice_lines: dict[str, InvoiceLine] = field(default_factory=dict)
    bill_adjustments: dict[str, BillAdjustment] = field(default_factory=dict)
    approval_limits: dict[str, ApprovalLimit] = field(default_factory=dict)
    time_entries: dict[str, TimeEntry] = field(default_factory=dict)
    entry_versions: dict[str, TimeEntryVersion] = field(default_factory=dict)
    entry_events: dict[str, TimeEntryEvent] = field(default_factory=dict)
    absences: dict[str, Absence] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    assignments: dict[str, Assignment] = field(default_factory=dict)
    cost_rates: dict[str, CostRate] = field(default_factory=dict)
    opportunities: dict[str, Opportunity] = field(default_factory=dict)
    quarantined: list[Quarantined] = field(default_factory=list)
