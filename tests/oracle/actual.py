"""What the system under test says, read from its warehouse or its records.

Records are decoded Avro: dates are `date`, money is `Decimal`. The loaders of compacted topics take
records in topic order and keep the last of each key, then drop those that say ``deleted``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import Engine, text

from .drafts import DraftKey
from .expected import Fold, FoldKey, Parked, month_of
from .groups import GroupKey, GroupUtilization
from .incidents import Incident, open_incidents
from .plans import PlanKey, PlanWeek
from .proposals import Proposal, ProposalKey, Sum
from .revenue import Revenue, RevenueKey
from .segments import Draft, Reason
from .utilization import DayKey, Utilization, WindowKey

Record = Mapping[str, Any]
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The folded ledger, and the event ids that occur more than once with how often."""

    folds: dict[FoldKey, Fold]
    duplicates: dict[str, int]


@dataclass(frozen=True, slots=True)
class Current:
    """Live segments by fold key, why the parked ones are, by entry, what drafts say, and what was refused."""

    folds: dict[FoldKey, Fold]
    parked: dict[str, Parked]
    drafts: dict[DraftKey, Draft] = field(default_factory=dict)
    refused: dict[tuple[str, str], Reason] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Actual:
    """Outputs to compare; what is None is not compared."""

    ledger: Ledger | None = None
    current: Current | None = None
    daily: dict[DayKey, Utilization] | None = None
    windows: dict[WindowKey, Utilization] | None = None
    proposals: dict[ProposalKey, Proposal] | None = None
    groups: dict[GroupKey, GroupUtilization] | None = None
    plans: dict[PlanKey, PlanWeek] | None = None
    revenue: dict[RevenueKey, Revenue] | None = None
    incidents: dict[str, Incident] | None = None


# A line counts for its segment, a reversal against it: their difference is what is live.
_LEDGER_SQL = """
SELECT root_id, entry_id, segment, bucket, contract_line_id, currency,
       to_char(accounting_date, 'YYYY-MM') AS month,
       client_id, project_id, task_id, consultant_id, work_date,
       CAST(sum(seconds) AS bigint) AS seconds,
       sum(amount) AS amount,
       sum(functional_amount) AS functional,
       CAST(sum(CASE WHEN kind = 'REVERSAL' THEN -1 ELSE 1 END) AS bigint) AS live
FROM public.fact_billing_event
GROUP BY root_id, entry_id, segment, bucket, contract_line_id, currency, to_char(accounting_date, 'YYYY-MM'),
         client_id, project_id, task_id, consultant_id, work_date
"""
_DUPLICATES_SQL = """
SELECT event_id, count(*) AS times
FROM public.fact_billing_event
GROUP BY event_id
HAVING count(*) > 1
"""
_CURRENT_SQL = """
SELECT root_id, entry_id, segment, deleted, bucket, contract_line_id, currency, accounting_date, seconds,
       amount, functional_amount, exception_class, missing_keys, client_id, project_id, task_id, consultant_id, work_date,
       invoice_line_id, draft_seconds, draft_amount
FROM public.billing_current
"""
_DAILY_SQL = """
SELECT consultant_id, day, deleted, worked_seconds, billable_seconds, unclassified_seconds,
       capacity_seconds, practice, region, role, grade
FROM public.utilization_daily
"""
_WINDOWS_SQL = """
SELECT consultant_id, window_kind AS "window", starts_on, deleted, worked_seconds, billable_seconds,
       unclassified_seconds, capacity_seconds, utilization, practice, region, target_seconds,
       shortfall_seconds, planned_seconds, planned_billable_seconds, planned_unclassified_seconds, forecast,
       variance_seconds
FROM public.utilization_window
"""
_PROPOSALS_SQL = "SELECT * FROM public.invoice_proposal"
_GROUPS_SQL = """
SELECT dimension, value, window_kind AS "window", starts_on, deleted, consultants, idle_consultants,
       consultants_without_capacity, days, worked_seconds, billable_seconds, unclassified_seconds,
       capacity_seconds, utilization, planned_seconds, planned_billable_seconds,
       planned_unclassified_seconds, forecast
FROM public.utilization_group
"""
_PLANS_SQL = """
SELECT consultant_id, project_id, starts_on, deleted, planned_seconds, worked_seconds, variance_seconds
FROM public.utilization_plan
"""
_REVENUE_SQL = """
SELECT root_id, contract_line_id, period_start, deleted, revenue_method, currency, recognised, breakage,
       recognised_to_date, billed, billed_to_date, contract_asset, deferred_revenue, transaction_price,
       remaining, scheduled, progress_seconds, planned_seconds, parked_items, parked_seconds, missing_keys
FROM public.revenue_current
"""
_INCIDENTS_SQL = """
SELECT exception_id, flow, subject, state, exception_class, seconds, amount, currency
FROM public.fact_exception
"""


def billing_from_warehouse(engine: Engine) -> Ledger:
    """Fold the warehouse's ledger, ``fact_billing_event``, in SQL."""
    folds = {}
    for row in _query(engine, _LEDGER_SQL):
        folds[_fold_key(row, row["month"])] = Fold(
            row["seconds"], row["amount"], row["live"], row["functional"]
        )
    duplicates = {row["event_id"]: int(row["times"]) for row in _query(engine, _DUPLICATES_SQL)}
    return Ledger(folds, duplicates)


def current_from_warehouse(engine: Engine) -> Current:
    """The live segments of ``billing_current``, and why the parked ones are parked."""
    return current_from_records(_query(engine, _CURRENT_SQL))


def daily_from_warehouse(engine: Engine) -> dict[DayKey, Utilization]:
    """The rows of ``utilization_daily``."""
    return daily_from_records(_query(engine, _DAILY_SQL))


def windows_from_warehouse(engine: Engine) -> dict[WindowKey, Utilization]:
    """The rows of ``utilization_window``."""
    return windows_from_records(_query(engine, _WINDOWS_SQL))


def proposals_from_warehouse(engine: Engine) -> dict[ProposalKey, Proposal]:
    """The rows of ``invoice_proposal``."""
    return proposals_from_records(_query(engine, _PROPOSALS_SQL))


def groups_from_warehouse(engine: Engine) -> dict[GroupKey, GroupUtilization]:
    """The rows of ``utilization_group``."""
    return groups_from_records(_query(engine, _GROUPS_SQL))


def plans_from_warehouse(engine: Engine) -> dict[PlanKey, PlanWeek]:
    """The rows of ``utilization_plan``."""
    return plans_from_records(_query(engine, _PLANS_SQL))


def revenue_from_warehouse(engine: Engine) -> dict[RevenueKey, Revenue]:
    """The rows of ``revenue_current``."""
    return revenue_from_records(_query(engine, _REVENUE_SQL))


def incidents_from_warehouse(engine: Engine) -> dict[str, Incident]:
    """The open ones of ``fact_exception``."""
    return open_incidents(_query(engine, _INCIDENTS_SQL))


def actual_from_warehouse(engine: Engine) -> Actual:
    """Everything that the warehouse holds."""
    return Actual(
        billing_from_warehouse(engine),
        current_from_warehouse(engine),
        daily_from_warehouse(engine),
        windows_from_warehouse(engine),
        proposals_from_warehouse(engine),
        groups_from_warehouse(engine),
        plans_from_warehouse(engine),
        revenue_from_warehouse(engine),
        incidents_from_warehouse(engine),
    )


def billing_from_records(records: Iterable[Record]) -> Ledger:
    """Fold the ledger's records; an event that occurs twice is summed twice, and reported."""
    folds: dict[FoldKey, Fold] = {}
    seen: Counter[str] = Counter()
    for record in records:
        seen[record["event_id"]] += 1
        live = -1 if record["kind"] == "REVERSAL" else 1
        line = Fold(record["seconds"], record["amount"], live, record["functional_amount"])
        key = _fold_key(record)
        folds[key] = folds[key] + line if key in folds else line
    return Ledger(folds, {event_id: times for event_id, times in seen.items() if times > 1})


def current_from_records(records: Iterable[Record]) -> Current:
    """The live segments of the current billing state, and why the parked ones are parked."""
    latest = _latest(records, lambda r: (r["root_id"], r["entry_id"], r["segment"]))
    folds = {_fold_key(r): Fold(r["seconds"], r["amount"], functional=r["functional_amount"]) for r in latest}
    parked = {
        record["entry_id"]: Parked(record["exception_class"], tuple(record["missing_keys"] or ()))
        for record in latest
        if record["bucket"] == "parked"
    }
    drafts = {
        DraftKey(record["root_id"], record["entry_id"], record["invoice_line_id"]): Draft(
            record["draft_seconds"], record["draft_amount"], record["exception_class"] == "STALE_DRAFT"
        )
        for record in latest
        if record["bucket"] == "on_draft"
    }
    refused = {
        (record["entry_id"], record["segment"]): Reason(
            record["exception_class"], tuple(record["missing_keys"])
        )
        for record in latest
        if record["bucket"] == "refused"
    }
    return Current(folds, parked, drafts, refused)


def daily_from_records(records: Iterable[Record]) -> dict[DayKey, Utilization]:
    """Utilization by consultant and day."""
    latest = _latest(records, lambda r: (r["consultant_id"], r["day"]))
    return {
        DayKey(record["consultant_id"], record["day"]): replace(
            _utilization(record, None), role=record["role"], grade=record["grade"]
        )
        for record in latest
    }


def windows_from_records(records: Iterable[Record]) -> dict[WindowKey, Utilization]:
    """Utilization by consultant and window."""
    latest = _latest(records, lambda r: (r["consultant_id"], r["window"], r["starts_on"]))
    return {
        WindowKey(record["consultant_id"], record["window"], record["starts_on"]): replace(
            _utilization(record, record["utilization"]),
            target=record["target_seconds"],
            shortfall=record["shortfall_seconds"],
            planned=record["planned_seconds"],
            planned_billable=record["planned_billable_seconds"],
            planned_unclassified=record["planned_unclassified_seconds"],
            forecast=record["forecast"],
            variance=record["variance_seconds"],
        )
        for record in latest
    }


def proposals_from_records(records: Iterable[Record]) -> dict[ProposalKey, Proposal]:
    """Invoice proposals by contract, month, payer and currency."""
    latest = _latest(records, lambda r: (r["root_id"], r["month"], r["payer_id"], r["currency"]))
    return {
        ProposalKey(record["root_id"], record["month"], record["payer_id"], record["currency"]): Proposal(
            record["state"],
            record["po_number"],
            record["tax_region"],
            *(
                Sum(record[f"{kind}_lines"], record[f"{kind}_seconds"], record[f"{kind}_amount"])
                for kind in ("unbilled", "draft", "credit", "billed")
            ),
            record["stale_drafts"],
            tuple(record["stale_draft_ids"]),
        )
        for record in latest
    }


def revenue_from_records(records: Iterable[Record]) -> dict[RevenueKey, Revenue]:
    """Revenue by contract line and month."""
    latest = _latest(records, lambda r: (r["root_id"], r["contract_line_id"], r["period_start"]))
    return {
        RevenueKey(record["root_id"], record["contract_line_id"], record["period_start"]): Revenue(
            method=record["revenue_method"],
            currency=record["currency"],
            recognised=record["recognised"],
            breakage=record["breakage"],
            to_date=record["recognised_to_date"],
            billed=record["billed"],
            billed_to_date=record["billed_to_date"],
            asset=record["contract_asset"],
            deferred=record["deferred_revenue"],
            price=record["transaction_price"],
            remaining=record["remaining"],
            scheduled=record["scheduled"],
            progress=record["progress_seconds"],
            planned=record["planned_seconds"],
            parked_items=record["parked_items"],
            parked_seconds=record["parked_seconds"],
            missing=tuple(record["missing_keys"] or ()),
        )
        for record in latest
    }


def groups_from_records(records: Iterable[Record]) -> dict[GroupKey, GroupUtilization]:
    """Utilization by group and window."""
    latest = _latest(records, lambda r: (r["dimension"], r["value"], r["window"], r["starts_on"]))
    return {
        GroupKey(r["dimension"], r["value"], r["window"], r["starts_on"]): GroupUtilization(
            consultants=r["consultants"],
            idle=r["idle_consultants"],
            without_capacity=r["consultants_without_capacity"],
            days=r["days"],
            worked=r["worked_seconds"],
            billable=r["billable_seconds"],
            unclassified=r["unclassified_seconds"],
            capacity=r["capacity_seconds"],
            ratio=r["utilization"],
            planned=r["planned_seconds"],
            planned_billable=r["planned_billable_seconds"],
            planned_unclassified=r["planned_unclassified_seconds"],
            forecast=r["forecast"],
        )
        for r in latest
    }


def plans_from_records(records: Iterable[Record]) -> dict[PlanKey, PlanWeek]:
    """Plan against actuals by consultant, project and week."""
    latest = _latest(records, lambda r: (r["consultant_id"], r["project_id"], r["starts_on"]))
    return {
        PlanKey(r["consultant_id"], r["project_id"], r["starts_on"]): PlanWeek(
            r["planned_seconds"], r["worked_seconds"], r["variance_seconds"]
        )
        for r in latest
    }


def _query(engine: Engine, sql: str) -> list[Record]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(sql)).mappings()]


def _latest(records: Iterable[Record], key: Callable[[Record], K]) -> list[Record]:
    last: dict[K, Record] = {}
    for record in records:
        last[key(record)] = record
    return [record for record in last.values() if not record["deleted"]]


def _fold_key(row: Record, month: str | None = None) -> FoldKey:
    """The fold key of a row; its month comes from its accounting date unless given."""
    return FoldKey(
        row["root_id"],
        row["entry_id"],
        row["segment"],
        row["bucket"],
        row["contract_line_id"],
        row["currency"],
        month if month is not None else month_of(row.get("accounting_date")),
        row["client_id"],
        row["project_id"],
        row["task_id"],
        row["consultant_id"],
        row["work_date"],
    )


def _utilization(row: Record, ratio: Decimal | None) -> Utilization:
    return Utilization(
        worked=row["worked_seconds"],
        billable=row["billable_seconds"],
        unclassified=row["unclassified_seconds"],
        capacity=row["capacity_seconds"],
        ratio=ratio,
        practice=row["practice"],
        region=row["region"],
    )
