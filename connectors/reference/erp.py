"""The reference ERP: contracts, projects, people, rates, calendars, periods, invoices.

Effective ranges are half-open, ``[effective_from, effective_to)``; an open end is null. Native ids are
text codes. Every table has replica identity FULL so that deletes carry the whole row.
"""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped

from connectors.reference.columns import (
    Code,
    Day,
    Factor,
    FxRate,
    Hours,
    Instant,
    Key,
    Money,
    OptionalCode,
    OptionalDay,
    OptionalFactor,
    OptionalHours,
    OptionalInstant,
    OptionalMoney,
    OptionalPercent,
    OptionalSeconds,
    Price,
    Seconds,
)


class Erp(DeclarativeBase):
    """Base of the ERP's tables (database ``erp``, schema ``public``)."""


class LegalEntity(Erp):
    """A company of the group; owns accounting periods, on which only some may act late if ``by_right``."""

    __tablename__ = "legal_entity"
    id: Mapped[Key]
    name: Mapped[Code]
    currency: Mapped[Code]
    time_zone: Mapped[Code]
    region: Mapped[Code]
    late_acts: Mapped[OptionalCode]  # anybody (also null) | by_right


class Client(Erp):
    """A customer as finance knows it; ``name`` is owned by the CRM and only copied here."""

    __tablename__ = "client"
    id: Mapped[Key]
    name: Mapped[Code]
    parent_id: Mapped[OptionalCode]
    crm_account_id: Mapped[OptionalCode]
    tax_region: Mapped[Code]
    currency: Mapped[Code]
    status: Mapped[Code]  # active | inactive


class Engagement(Erp):
    """A contract with a client: the allocation root of caps. Caps are in ``currency``, excluding tax."""

    __tablename__ = "engagement"
    id: Mapped[Key]
    client_id: Mapped[Code]
    legal_entity_id: Mapped[Code]
    opportunity_id: Mapped[OptionalCode]
    name: Mapped[Code]
    currency: Mapped[Code]
    cap_money: Mapped[OptionalMoney]
    cap_hours: Mapped[OptionalHours]
    over_cap_action: Mapped[Code]  # hold | write_off | bill
    fx_rate_type: Mapped[OptionalCode]  # null: spot
    fx_direction: Mapped[OptionalCode]  # direct (also null) | inverse: divided by the opposite pair's rate
    po_number: Mapped[OptionalCode]
    status: Mapped[Code]  # active | closed
    starts_on: Mapped[Day]
    ends_on: Mapped[OptionalDay]


class ContractLine(Erp):
    """One way of billing inside an engagement.

    ``billing_method``: tm | milestone | retainer | prepaid | per_diem | non_billable. T&M is capped
    where the line or the engagement has a cap.
    """

    __tablename__ = "contract_line"
    id: Mapped[Key]
    engagement_id: Mapped[Code]
    name: Mapped[Code]
    billing_method: Mapped[Code]
    cap_money: Mapped[OptionalMoney]
    cap_hours: Mapped[OptionalHours]
    over_cap_action: Mapped[Code]  # hold | write_off | bill
    included_hours: Mapped[OptionalHours]  # retainer: covered hours a calendar month; prepaid: of the lot
    per_diem_amount: Mapped[OptionalMoney]
    day_minimum_hours: Mapped[OptionalHours]
    quantity_increment_seconds: Mapped[OptionalSeconds]  # quantities of entries round to a multiple
    rounding: Mapped[Code]  # half_up | half_even
    status: Mapped[Code]  # active | closed
    # as_delivered | milestone | percent_complete | straight_line | as_consumed; null: as the billing method is
    revenue_method: Mapped[OptionalCode]
    fee: Mapped[OptionalMoney]  # of the fixed price, the retainer or the lot, in the engagement's currency
    planned_hours: Mapped[OptionalHours]  # that the fixed price takes
    starts_on: Mapped[OptionalDay]
    ends_on: Mapped[OptionalDay]  # exclusive
    expires_on: Mapped[OptionalDay]  # the last day of a prepaid lot
    unused_hours: Mapped[OptionalCode]  # of a retainer's month: expire (also null) | roll_over
    rollover_hours: Mapped[OptionalHours]  # the most of a month's that roll on; null: all
    rollover_months: Mapped[OptionalSeconds]  # for so many months; null: for 24
    expenses_billed: Mapped[bool | None]  # null: yes, unless the line is non_billable
    expense_markup: Mapped[OptionalPercent]  # on expenses that have none of their own; null: 0
    quantity_rounding: Mapped[OptionalCode]  # to an increment: nearest (also null; a half goes up) | up
    minimum_quantity_hours: Mapped[OptionalHours]  # of an entry with any time, after rounding


class EngagementVersion(Erp):
    """The cap of an engagement as it was until an amendment ended it. Append-only.

    Closed months are told from it: at a close the cap was that of the first version that ended no earlier.
    """

    __tablename__ = "engagement_version"
    id: Mapped[Key]
    engagement_id: Mapped[Code]
    cap_money: Mapped[OptionalMoney]
    cap_hours: Mapped[OptionalHours]
    over_cap_action: Mapped[Code]
    ended_at: Mapped[Instant]


class ContractLineVersion(Erp):
    """What the work of a contract line shares, as it was until an amendment ended it. Append-only."""

    __tablename__ = "contract_line_version"
    id: Mapped[Key]
    contract_line_id: Mapped[Code]
    cap_money: Mapped[OptionalMoney]
    cap_hours: Mapped[OptionalHours]
    over_cap_action: Mapped[Code]
    included_hours: Mapped[OptionalHours]
    per_diem_amount: Mapped[OptionalMoney]
    day_minimum_hours: Mapped[OptionalHours]
    starts_on: Mapped[OptionalDay]
    ends_on: Mapped[OptionalDay]
    expires_on: Mapped[OptionalDay]
    unused_hours: Mapped[OptionalCode]
    rollover_hours: Mapped[OptionalHours]
    rollover_months: Mapped[OptionalSeconds]
    ended_at: Mapped[Instant]


class PlanRevision(Erp):
    """A decision to plan a contract line anew; what is null stays as it was planned before. Append-only.

    ``effective_on`` is the day that the new plan is about, as a work date is of an entry.
    """

    __tablename__ = "plan_revision"
    id: Mapped[Key]
    contract_line_id: Mapped[Code]
    fee: Mapped[OptionalMoney]
    planned_hours: Mapped[OptionalHours]
    ends_on: Mapped[OptionalDay]
    effective_on: Mapped[Day]
    decided_at: Mapped[Instant]


class Project(Erp):
    """Where time is booked; carries the contract line unless its task names another."""

    __tablename__ = "project"
    id: Mapped[Key]
    engagement_id: Mapped[OptionalCode]  # null: internal work
    contract_line_id: Mapped[OptionalCode]
    name: Mapped[Code]
    service_line: Mapped[Code]
    delivery_model: Mapped[Code]
    status: Mapped[Code]  # active | closed


class Task(Erp):
    """Work inside a project; ``billing_class`` non_billable makes its time non-chargeable."""

    __tablename__ = "task"
    id: Mapped[Key]
    project_id: Mapped[Code]
    contract_line_id: Mapped[OptionalCode]
    name: Mapped[Code]
    billing_class: Mapped[Code]  # billable | non_billable
    status: Mapped[Code]  # active | closed


class Consultant(Erp):
    """A person who logs time, as they are on days without a position.

    Dates are of employment, ``left_on`` exclusive.
    """

    __tablename__ = "consultant"
    id: Mapped[Key]
    name: Mapped[Code]
    role: Mapped[Code]
    grade: Mapped[Code]
    practice: Mapped[Code]
    region: Mapped[Code]
    legal_entity_id: Mapped[Code]
    calendar_id: Mapped[Code]
    fte: Mapped[Factor]
    time_zone: Mapped[Code]
    hired_on: Mapped[Day]
    left_on: Mapped[OptionalDay]


class ConsultantPosition(Erp):
    """What a consultant is in ``[effective_from, effective_to)``, instead of what their own row says.

    A column that is null is as in the row, which holds alone on days without a position. Of positions that
    overlap the one that begins last holds, then that of the greatest id.
    """

    __tablename__ = "consultant_position"
    id: Mapped[Key]
    consultant_id: Mapped[Code]
    effective_from: Mapped[Day]
    effective_to: Mapped[OptionalDay]
    role: Mapped[OptionalCode]
    grade: Mapped[OptionalCode]
    practice: Mapped[OptionalCode]
    region: Mapped[OptionalCode]
    legal_entity_id: Mapped[OptionalCode]
    calendar_id: Mapped[OptionalCode]
    fte: Mapped[OptionalFactor]


class CostRate(Erp):
    """What an hour of a consultant costs. Sensitive: under its own permission."""

    __tablename__ = "cost_rate"
    id: Mapped[Key]
    consultant_id: Mapped[Code]
    currency: Mapped[Code]
    cost: Mapped[Price]
    effective_from: Mapped[Day]
    effective_to: Mapped[OptionalDay]


class Assignment(Erp):
    """A person planned on a project, so many hours of each working day of ``[starts_on, ends_on)``."""

    __tablename__ = "assignment"
    id: Mapped[Key]
    consultant_id: Mapped[Code]
    project_id: Mapped[Code]
    starts_on: Mapped[Day]
    ends_on: Mapped[Day]
    hours_per_day: Mapped[Hours]
    status: Mapped[Code]  # planned | confirmed | cancelled


class UtilizationTarget(Erp):
    """Billable share of capacity that a consultant, a grade or a practice is to reach in a range.

    The most specific target in effect on a day holds: consultant, then grade, then practice.
    """

    __tablename__ = "utilization_target"
    id: Mapped[Key]
    scope: Mapped[Code]  # consultant | grade | practice
    consultant_id: Mapped[OptionalCode]
    grade: Mapped[OptionalCode]
    practice: Mapped[OptionalCode]
    ratio: Mapped[Factor]  # 0.75 is 75%
    effective_from: Mapped[Day]
    effective_to: Mapped[OptionalDay]


class Rate(Erp):
    """A price. Its scope is given by which of the scope columns are set (see the rating rules).

    It is for an hour, for a day of so many hours, or fixed: for an entry, however long that is. What the row was before
    it was changed or deleted is in ``rate_version``.
    """

    __tablename__ = "rate"
    id: Mapped[Key]
    task_id: Mapped[OptionalCode]
    project_id: Mapped[OptionalCode]
    contract_line_id: Mapped[OptionalCode]
    client_id: Mapped[OptionalCode]
    consultant_id: Mapped[OptionalCode]
    role: Mapped[OptionalCode]
    grade: Mapped[OptionalCode]
    region: Mapped[OptionalCode]
    currency: Mapped[Code]
    price: Mapped[Price]
    unit: Mapped[OptionalCode]  # hour (also null) | day | fixed
    hours_per_day: Mapped[OptionalHours]  # of unit day
    overtime_multiplier: Mapped[Factor]
    weekend_multiplier: Mapped[Factor]
    effective_from: Mapped[Day]
    effective_to: Mapped[OptionalDay]
    applies_to_invoiced: Mapped[bool]
    decided_at: Mapped[OptionalInstant]  # when it became what it is; null: long ago


class RateVersion(Erp):
    """What a rate was until it was changed or deleted, which ended it. Append-only.

    Closed months are told from it: what was known at a close is what was decided before and ended no earlier.
    """

    __tablename__ = "rate_version"
    id: Mapped[Key]
    rate_id: Mapped[Code]
    task_id: Mapped[OptionalCode]
    project_id: Mapped[OptionalCode]
    contract_line_id: Mapped[OptionalCode]
    client_id: Mapped[OptionalCode]
    consultant_id: Mapped[OptionalCode]
    role: Mapped[OptionalCode]
    grade: Mapped[OptionalCode]
    region: Mapped[OptionalCode]
    currency: Mapped[Code]
    price: Mapped[Price]
    unit: Mapped[OptionalCode]  # hour (also null) | day | fixed
    hours_per_day: Mapped[OptionalHours]  # of unit day
    overtime_multiplier: Mapped[Factor]
    weekend_multiplier: Mapped[Factor]
    effective_from: Mapped[Day]
    effective_to: Mapped[OptionalDay]
    applies_to_invoiced: Mapped[bool]
    decided_at: Mapped[OptionalInstant]
    ended_at: Mapped[Instant]


class Calendar(Erp):
    """Working hours of each weekday."""

    __tablename__ = "calendar"
    id: Mapped[Key]
    name: Mapped[Code]
    monday: Mapped[Hours]
    tuesday: Mapped[Hours]
    wednesday: Mapped[Hours]
    thursday: Mapped[Hours]
    friday: Mapped[Hours]
    saturday: Mapped[Hours]
    sunday: Mapped[Hours]


class Holiday(Erp):
    """A day off of a calendar; ``hours`` null means the whole working day."""

    __tablename__ = "holiday"
    id: Mapped[Key]
    calendar_id: Mapped[Code]
    day: Mapped[Day]
    name: Mapped[Code]
    hours: Mapped[OptionalHours]


class FxRateRow(Erp):
    """Units of ``to_currency`` for one unit of ``from_currency``, as published for ``day``.

    Each contract says which type of rate it converts by; null is the daily spot rate. What a row was before it was
    corrected is in ``fx_rate_version``.
    """

    __tablename__ = "fx_rate"
    id: Mapped[Key]
    from_currency: Mapped[Code]
    to_currency: Mapped[Code]
    day: Mapped[Day]
    rate: Mapped[FxRate]
    rate_type: Mapped[OptionalCode]  # such as month_average
    decided_at: Mapped[OptionalInstant]  # when it became what it is; null: long ago


class FxRateVersion(Erp):
    """What an exchange rate was until it was corrected or deleted, which ended it. Append-only."""

    __tablename__ = "fx_rate_version"
    id: Mapped[Key]
    fx_rate_id: Mapped[Code]
    from_currency: Mapped[Code]
    to_currency: Mapped[Code]
    day: Mapped[Day]
    rate: Mapped[FxRate]
    rate_type: Mapped[OptionalCode]
    decided_at: Mapped[OptionalInstant]
    ended_at: Mapped[Instant]


class AccountingPeriod(Erp):
    """A month of a legal entity, ``[starts_on, ends_on)``; ``closed_at`` is the hard close.

    A soft close before it is for those without the right to late acts, where the entity asks for one.
    """

    __tablename__ = "accounting_period"
    id: Mapped[Key]
    legal_entity_id: Mapped[Code]
    starts_on: Mapped[Day]
    ends_on: Mapped[Day]
    status: Mapped[Code]  # open | soft_closed | closed
    closed_at: Mapped[OptionalInstant]
    soft_closed_at: Mapped[OptionalInstant]


class PeriodRight(Erp):
    """A person's right to late acts on the periods of a legal entity, in ``[granted_at, revoked_at)``."""

    __tablename__ = "period_right"
    id: Mapped[Key]
    legal_entity_id: Mapped[Code]
    person_id: Mapped[Code]
    granted_at: Mapped[Instant]
    revoked_at: Mapped[OptionalInstant]


class Milestone(Erp):
    """A price for a deliverable; billable from its acceptance."""

    __tablename__ = "milestone"
    id: Mapped[Key]
    engagement_id: Mapped[Code]
    contract_line_id: Mapped[Code]
    name: Mapped[Code]
    amount: Mapped[Money]  # in the engagement's currency
    status: Mapped[Code]  # planned | accepted | cancelled
    due_on: Mapped[Day]
    accepted_on: Mapped[OptionalDay]
    accepted_at: Mapped[OptionalInstant]


class Invoice(Erp):
    """Header of an invoice or credit note."""

    __tablename__ = "invoice"
    id: Mapped[Key]
    engagement_id: Mapped[Code]
    number: Mapped[Code]
    currency: Mapped[Code]
    amount: Mapped[Money]  # inserted as 0, updated in the same transaction from its lines
    status: Mapped[Code]  # draft | posted
    posted_at: Mapped[OptionalInstant]


class InvoiceLine(Erp):
    """What was billed, with its source link: the entry, and the version of it, that was billed.

    ``entry_id`` is the canonical id (``time:123``, ``erp:M-1`` for a milestone, ``erp:X-1`` for an expense). A
    credit line has positive seconds and amount, ``kind`` credit, and names the charge line it takes back. Bill-to client,
    project, task, person and work date are as printed; a milestone's line has the day of its acceptance.
    """

    __tablename__ = "invoice_line"
    id: Mapped[Key]
    invoice_id: Mapped[Code]
    engagement_id: Mapped[Code]
    contract_line_id: Mapped[Code]
    kind: Mapped[Code]  # charge | credit
    credits_line_id: Mapped[OptionalCode]
    entry_id: Mapped[Code]
    entry_version: Mapped[Seconds]
    client_id: Mapped[OptionalCode]
    project_id: Mapped[OptionalCode]
    task_id: Mapped[OptionalCode]
    consultant_id: Mapped[OptionalCode]
    work_date: Mapped[OptionalDay]
    seconds: Mapped[Seconds]
    amount: Mapped[Money]
    status: Mapped[Code]  # draft | posted
    posted_at: Mapped[OptionalInstant]


class BillAdjustment(Erp):
    """A decision to bill less of approved time, or not yet; the time itself stays approved.

    A ``write_off`` is of hours (of an expense, of ``amount``), a ``discount`` of money in the engagement's currency,
    a ``hold`` of hours or (null) of everything, until it is released. Signed by another, it has another approver and
    time of decision.
    """

    __tablename__ = "bill_adjustment"
    id: Mapped[Key]
    engagement_id: Mapped[Code]
    entry_id: Mapped[Code]
    kind: Mapped[Code]  # write_off | discount | hold
    hours: Mapped[OptionalHours]
    amount: Mapped[OptionalMoney]
    reason: Mapped[Code]
    preparer_id: Mapped[OptionalCode]
    approver_id: Mapped[Code]
    decided_at: Mapped[Instant]
    released_at: Mapped[OptionalInstant]


class ApprovalLimit(Erp):
    """The most that a person approves of one kind of bill adjustment: what it is worth, in ``currency``.

    Who has none of a kind is not limited; who has some approves nothing on days or in currencies without one.
    """

    __tablename__ = "approval_limit"
    id: Mapped[Key]
    approver_id: Mapped[Code]
    kind: Mapped[Code]  # write_off | discount | hold
    currency: Mapped[Code]
    amount: Mapped[Money]
    effective_from: Mapped[Day]
    effective_to: Mapped[OptionalDay]


class PrepaidLot(Erp):
    """Hours that a client bought of a prepaid line, beside those that the line itself includes."""

    __tablename__ = "prepaid_lot"
    id: Mapped[Key]
    contract_line_id: Mapped[Code]
    hours: Mapped[Hours]
    fee: Mapped[Money]  # in the engagement's currency
    starts_on: Mapped[OptionalDay]
    expires_on: Mapped[OptionalDay]  # its last day


class Expense(Erp):
    """What somebody paid for a project, to be billed with a markup: the net cost, without recoverable tax.

    Of ``tax_basis`` net the ``amount`` is the net cost, and a ``tax_amount`` comes on top of it; of gross the
    ``amount`` contains the ``tax_amount``. A correction raises ``version``, and is approved anew. Its id is no
    milestone's: both are billed as ``erp:<id>``.
    """

    __tablename__ = "expense"
    id: Mapped[Key]
    project_id: Mapped[Code]
    consultant_id: Mapped[Code]
    incurred_on: Mapped[Day]
    description: Mapped[Code]
    amount: Mapped[Money]
    currency: Mapped[Code]
    tax_basis: Mapped[Code]  # net | gross
    tax_amount: Mapped[OptionalMoney]  # recoverable
    markup: Mapped[OptionalPercent]  # 12.5 is 12.5%; null: as the contract line says
    cap_scope: Mapped[Code]  # none | line (as work does: the line's cap, then the engagement's) | engagement
    status: Mapped[Code]  # submitted | approved | rejected
    version: Mapped[Seconds]
    approved_at: Mapped[OptionalInstant]
    approved_by: Mapped[OptionalCode]


class ExpenseVersion(Erp):
    """What an approved expense was until it was corrected, rejected or deleted at ``ended_at``. Append-only."""

    __tablename__ = "expense_version"
    id: Mapped[Key]
    expense_id: Mapped[Code]
    project_id: Mapped[Code]
    consultant_id: Mapped[Code]
    incurred_on: Mapped[Day]
    amount: Mapped[Money]
    currency: Mapped[Code]
    tax_basis: Mapped[Code]  # net | gross
    tax_amount: Mapped[OptionalMoney]
    markup: Mapped[OptionalPercent]
    cap_scope: Mapped[Code]  # none | line | engagement
    version: Mapped[Seconds]
    approved_at: Mapped[OptionalInstant]
    approved_by: Mapped[OptionalCode]
    ended_at: Mapped[Instant]


class PayerSplit(Erp):
    """The percent of a contract that a client pays, for work dates in ``[valid_from, valid_to)``.

    The shares of a day are 100 together; a day without any is the contract's client's.
    """

    __tablename__ = "payer_split"
    id: Mapped[Key]
    engagement_id: Mapped[Code]
    client_id: Mapped[Code]
    share: Mapped[Factor]  # 60 is 60 %
    valid_from: Mapped[Day]
    valid_to: Mapped[OptionalDay]
