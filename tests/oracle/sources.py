"""From the three source databases to `Rows`.

Reading is one explicit SELECT a table, in one snapshot a database. Mapping gives every row its
canonical id and turns decimal hours into whole seconds, half up; a row that breaks a rule is
quarantined instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Engine, text

from . import rows as r
from .exact import hours_to_seconds
from .terms import engagement_version, line_version
from .validity import what_is_wrong, without_open_end

SourceRow = Mapping[str, Any]
# table name -> its rows, by column name, as the database gave them
Tables = Mapping[str, Sequence[SourceRow]]

# Every table that a rule of validity or of computation reads, with the columns read.
COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "erp": {
        "legal_entity": "id late_acts currency",
        "client": "id status tax_region crm_account_id",
        "engagement": "id client_id legal_entity_id currency cap_money cap_hours over_cap_action status"
        " starts_on ends_on fx_rate_type fx_direction po_number opportunity_id",
        "contract_line": "id engagement_id billing_method cap_money cap_hours over_cap_action included_hours"
        " per_diem_amount day_minimum_hours quantity_increment_seconds rounding status"
        " revenue_method fee planned_hours starts_on ends_on expires_on unused_hours rollover_hours rollover_months"
        " expenses_billed expense_markup quantity_rounding minimum_quantity_hours",
        "engagement_version": "id engagement_id cap_money cap_hours over_cap_action ended_at",
        "contract_line_version": "id contract_line_id cap_money cap_hours over_cap_action included_hours"
        " per_diem_amount day_minimum_hours starts_on ends_on expires_on unused_hours rollover_hours rollover_months"
        " ended_at",
        "plan_revision": "id contract_line_id fee planned_hours ends_on effective_on decided_at",
        "prepaid_lot": "id contract_line_id hours fee starts_on expires_on",
        "payer_split": "id engagement_id client_id share valid_from valid_to",
        "project": "id engagement_id contract_line_id status",
        "task": "id project_id contract_line_id billing_class status",
        "consultant": "id role grade practice region calendar_id fte hired_on left_on",
        "consultant_position": "id consultant_id effective_from effective_to role grade practice region calendar_id fte",
        "cost_rate": "id consultant_id currency cost effective_from effective_to",
        "rate": "id task_id project_id contract_line_id client_id consultant_id role grade region currency"
        " price overtime_multiplier weekend_multiplier effective_from effective_to applies_to_invoiced"
        " unit hours_per_day decided_at",
        "rate_version": "id rate_id task_id project_id contract_line_id client_id consultant_id role grade region"
        " currency price overtime_multiplier weekend_multiplier effective_from effective_to applies_to_invoiced"
        " unit hours_per_day decided_at ended_at",
        "assignment": "id consultant_id project_id starts_on ends_on hours_per_day status",
        "utilization_target": "id scope consultant_id grade practice ratio effective_from effective_to",
        "calendar": "id monday tuesday wednesday thursday friday saturday sunday",
        "holiday": "id calendar_id day hours",
        "fx_rate": "id from_currency to_currency day rate rate_type decided_at",
        "fx_rate_version": "id fx_rate_id from_currency to_currency day rate rate_type decided_at ended_at",
        "accounting_period": "id legal_entity_id starts_on ends_on status closed_at soft_closed_at",
        "period_right": "id legal_entity_id person_id granted_at revoked_at",
        "milestone": "id engagement_id contract_line_id amount status due_on accepted_on accepted_at",
        "expense": "id project_id consultant_id incurred_on amount currency tax_basis tax_amount markup cap_scope"
        " status version approved_at approved_by",
        "expense_version": "id expense_id project_id consultant_id incurred_on amount currency tax_basis tax_amount"
        " markup cap_scope version approved_at approved_by ended_at",
        "invoice_line": "id engagement_id contract_line_id kind credits_line_id entry_id entry_version"
        " seconds amount status posted_at client_id project_id task_id consultant_id work_date",
        "bill_adjustment": "id engagement_id entry_id kind hours amount decided_at released_at preparer_id"
        " approver_id reason",
        "approval_limit": "id approver_id kind currency amount effective_from effective_to",
    },
    "crm": {
        "account": "id status",
        "opportunity": "id account_id stage amount currency service_line closed_on",
    },
    "time": {
        "time_entry": "id consultant_code project_code task_code work_date hours kind status version"
        " approved_at approved_by",
        "time_entry_version": "id entry_id consultant_code project_code task_code work_date hours kind version"
        " approved_at approved_by ended_at",
        "time_entry_event": "id entry_id action at",
        "absence": "id consultant_code day hours kind",
    },
}
# Canonical names of the entities whose table is called otherwise.
_ENTITY: Final = {"accounting_period": "period"}


def read_tables(system: str, engine: Engine) -> dict[str, list[SourceRow]]:
    """All rows of the tables of ``erp``, ``crm`` or ``time``, of one snapshot of that database."""
    tables: dict[str, list[SourceRow]] = {}
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        for table, columns in COLUMNS[system].items():
            listed = ", ".join(f'"{column}"' for column in columns.split())
            result = connection.execute(text(f'SELECT {listed} FROM public."{table}"'))
            tables[table] = [dict(row) for row in result.mappings()]
    return tables


def canonical_rows(erp: Tables, crm: Tables, time: Tables) -> r.Rows:
    """Map source rows to canonical ones, leaving out and listing those that break a rule."""
    quarantined: list[r.Quarantined] = []

    def valid(system: str, tables: Tables, table: str) -> list[SourceRow]:
        kept = []
        for row in tables.get(table, ()):
            reason = what_is_wrong(table, row)
            if reason is None:
                kept.append(without_open_end(table, row))
            else:
                entity = _ENTITY.get(table, table)
                quarantined.append(r.Quarantined(entity, f"{system}:{row['id']}", reason))
        return kept

    # These only matter for what is wrong with them: no figure is computed from them.
    valid("crm", crm, "account")
    rows = r.Rows(
        legal_entities=_by_id(map(_legal_entity, valid("erp", erp, "legal_entity"))),
        clients=_by_id(map(_client, valid("erp", erp, "client"))),
        engagements=_by_id(map(_engagement, valid("erp", erp, "engagement"))),
        contract_lines=_by_id(map(_contract_line, valid("erp", erp, "contract_line"))),
        engagement_versions=_by_id(map(engagement_version, valid("erp", erp, "engagement_version"))),
        line_versions=_by_id(map(line_version, valid("erp", erp, "contract_line_version"))),
        plan_revisions=_by_id(map(_plan_revision, valid("erp", erp, "plan_revision"))),
        prepaid_lots=_by_id(map(_prepaid_lot, valid("erp", erp, "prepaid_lot"))),
        payer_splits=_by_id(map(_payer_split, valid("erp", erp, "payer_split"))),
        projects=_by_id(map(_project, valid("erp", erp, "project"))),
        tasks=_by_id(map(_task, valid("erp", erp, "task"))),
        consultants=_by_id(map(_consultant, valid("erp", erp, "consultant"))),
        positions=_by_id(map(_position, valid("erp", erp, "consultant_position"))),
        rates=_by_id(map(_rate, valid("erp", erp, "rate"))),
        rate_versions=_by_id(map(_rate_version, valid("erp", erp, "rate_version"))),
        calendars=_by_id(map(_calendar, valid("erp", erp, "calendar"))),
        holidays=_by_id(map(_holiday, valid("erp", erp, "holiday"))),
        fx_rates=_by_id(map(_fx_rate, valid("erp", erp, "fx_rate"))),
        fx_rate_versions=_by_id(map(_fx_rate_version, valid("erp", erp, "fx_rate_version"))),
        periods=_by_id(map(_period, valid("erp", erp, "accounting_period"))),
        period_rights=_by_id(map(_period_right, valid("erp", erp, "period_right"))),
        milestones=_by_id(map(_milestone, valid("erp", erp, "milestone"))),
        expenses=_by_id(map(_expense, valid("erp", erp, "expense"))),
        expense_versions=_by_id(map(_expense_version, valid("erp", erp, "expense_version"))),
        invoice_lines=_by_id(map(_invoice_line, valid("erp", erp, "invoice_line"))),
        bill_adjustments=_by_id(map(_bill_adjustment, valid("erp", erp, "bill_adjustment"))),
        approval_limits=_by_id(map(_approval_limit, valid("erp", erp, "approval_limit"))),
        time_entries=_by_id(map(_time_entry, valid("time", time, "time_entry"))),
        entry_versions=_by_id(map(_time_entry_version, valid("time", time, "time_entry_version"))),
        entry_events=_by_id(map(_time_entry_event, valid("time", time, "time_entry_event"))),
        absences=_by_id(map(_absence, valid("time", time, "absence"))),
        assignments=_by_id(map(_assignment, valid("erp", erp, "assignment"))),
        targets=_by_id(map(_target, valid("erp", erp, "utilization_target"))),
        cost_rates=_by_id(map(_cost_rate, valid("erp", erp, "cost_rate"))),
        opportunities=_by_id(map(_opportunity, valid("crm", crm, "opportunity"))),
    )
    rows.quarantined = sorted(quarantined)
    return rows


def _by_id(values: Any) -> dict[str, Any]:
    return {value.id: value for value in values}


def _erp(native: str) -> str:
    return f"erp:{native}"


def _erp_or_none(native: str | None) -> str | None:
    return None if native is None else _erp(native)


def _crm_or_none(native: str | None) -> str | None:
    return None if native is None else f"crm:{native}"


def _seconds_or_none(hours: Decimal | None) -> int | None:
    return None if hours is None else hours_to_seconds(hours)


def _legal_entity(x: SourceRow) -> r.LegalEntity:
    return r.LegalEntity(_erp(x["id"]), x["late_acts"] == "by_right", x["currency"])


def _client(x: SourceRow) -> r.Client:
    return r.Client(_erp(x["id"]), x["tax_region"], _crm_or_none(x["crm_account_id"]))


def _engagement(x: SourceRow) -> r.Engagement:
    return r.Engagement(
        id=_erp(x["id"]),
        client_id=_erp(x["client_id"]),
        legal_entity_id=_erp(x["legal_entity_id"]),
        currency=x["currency"],
        cap_money=x["cap_money"],
        cap_seconds=_seconds_or_none(x["cap_hours"]),
        over_cap_action=x["over_cap_action"],
        starts_on=x["starts_on"],
        ends_on=x["ends_on"],
        fx_rate_type=x["fx_rate_type"],
        fx_inverse=x["fx_direction"] == "inverse",
        po_number=x["po_number"],
        opportunity_id=_crm_or_none(x["opportunity_id"]),
    )


def _contract_line(x: SourceRow) -> r.ContractLine:
    return r.ContractLine(
        id=_erp(x["id"]),
        engagement_id=_erp(x["engagement_id"]),
        billing_method=x["billing_method"],
        cap_money=x["cap_money"],
        cap_seconds=_seconds_or_none(x["cap_hours"]),
        over_cap_action=x["over_cap_action"],
        included_seconds=_seconds_or_none(x["included_hours"]),
        per_diem_amount=x["per_diem_amount"],
        day_minimum_seconds=_seconds_or_none(x["day_minimum_hours"]),
        quantity_increment_seconds=x["quantity_increment_seconds"],
        rounding=x["rounding"],
        revenue_method=x["revenue_method"],
        fee=x["fee"],
        planned_seconds=_seconds_or_none(x["planned_hours"]),
        starts_on=x["starts_on"],
        ends_on=x["ends_on"],
        expires_on=x["expires_on"],
        unused_hours=x["unused_hours"],
        rollover_seconds=_seconds_or_none(x["rollover_hours"]),
        rollover_months=x["rollover_months"],
        expenses_billed=x["expenses_billed"],
        expense_markup=x["expense_markup"],
        quantity_rounding=x["quantity_rounding"],
        minimum_quantity_seconds=_seconds_or_none(x["minimum_quantity_hours"]),
    )


def _prepaid_lot(x: SourceRow) -> r.PrepaidLot:
    hours, span = hours_to_seconds(x["hours"]), (x["starts_on"], x["expires_on"])
    return r.PrepaidLot(_erp(x["id"]), _erp(x["contract_line_id"]), hours, x["fee"], *span)


def _payer_split(x: SourceRow) -> r.PayerSplit:
    span = x["valid_from"], x["valid_to"]
    return r.PayerSplit(_erp(x["id"]), _erp(x["engagement_id"]), _erp(x["client_id"]), x["share"], *span)


def _plan_revision(x: SourceRow) -> r.PlanRevision:
    return r.PlanRevision(
        id=_erp(x["id"]),
        contract_line_id=_erp(x["contract_line_id"]),
        fee=x["fee"],
        planned_seconds=_seconds_or_none(x["planned_hours"]),
        ends_on=x["ends_on"],
        effective_on=x["effective_on"],
        decided_at=x["decided_at"],
    )


def _project(x: SourceRow) -> r.Project:
    return r.Project(_erp(x["id"]), _erp_or_none(x["engagement_id"]), _erp_or_none(x["contract_line_id"]))


def _task(x: SourceRow) -> r.Task:
    line_id = _erp_or_none(x["contract_line_id"])
    return r.Task(_erp(x["id"]), _erp(x["project_id"]), line_id, x["billing_class"])


def _consultant(x: SourceRow) -> r.Consultant:
    return r.Consultant(
        id=_erp(x["id"]),
        role=x["role"],
        grade=x["grade"],
        practice=x["practice"],
        region=x["region"],
        calendar_id=_erp(x["calendar_id"]),
        fte=x["fte"],
        hired_on=x["hired_on"],
        left_on=x["left_on"],
    )


def _position(x: SourceRow) -> r.Position:
    return r.Position(
        id=_erp(x["id"]),
        consultant_id=_erp(x["consultant_id"]),
        effective_from=x["effective_from"],
        effective_to=x["effective_to"],
        role=x["role"],
        grade=x["grade"],
        practice=x["practice"],
        region=x["region"],
        calendar_id=_erp_or_none(x["calendar_id"]),
        fte=x["fte"],
    )


def _assignment(x: SourceRow) -> r.Assignment:
    return r.Assignment(
        id=_erp(x["id"]),
        consultant_id=_erp(x["consultant_id"]),
        project_id=_erp(x["project_id"]),
        starts_on=x["starts_on"],
        ends_on=x["ends_on"],
        seconds_per_day=hours_to_seconds(x["hours_per_day"]),
        status=x["status"],
    )


def _target(x: SourceRow) -> r.Target:
    return r.Target(
        id=_erp(x["id"]),
        scope=x["scope"],
        consultant_id=_erp_or_none(x["consultant_id"]),
        grade=x["grade"],
        practice=x["practice"],
        ratio=x["ratio"],
        effective_from=x["effective_from"],
        effective_to=x["effective_to"],
    )


def _cost_rate(x: SourceRow) -> r.CostRate:
    person, until = _erp(x["consultant_id"]), x["effective_to"]
    return r.CostRate(_erp(x["id"]), person, x["currency"], x["cost"], x["effective_from"], until)


def _opportunity(x: SourceRow) -> r.Opportunity:
    return r.Opportunity(
        f"crm:{x['id']}",
        f"crm:{x['account_id']}",
        x["stage"],
        x["amount"],
        x["currency"],
        x["service_line"],
        x["closed_on"],
    )


def _rate(x: SourceRow) -> r.Rate:
    return r.Rate(
        id=_erp(x["id"]),
        task_id=_erp_or_none(x["task_id"]),
        project_id=_erp_or_none(x["project_id"]),
        contract_line_id=_erp_or_none(x["contract_line_id"]),
        client_id=_erp_or_none(x["client_id"]),
        consultant_id=_erp_or_none(x["consultant_id"]),
        role=x["role"],
        grade=x["grade"],
        region=x["region"],
        currency=x["currency"],
        price=x["price"],
        overtime_multiplier=x["overtime_multiplier"],
        weekend_multiplier=x["weekend_multiplier"],
        effective_from=x["effective_from"],
        effective_to=x["effective_to"],
        applies_to_invoiced=x["applies_to_invoiced"],
        unit=x["unit"] or "hour",
        day_seconds=_seconds_or_none(x["hours_per_day"]),
        decided_at=x["decided_at"],
    )


def _rate_version(x: SourceRow) -> r.RateVersion:
    """The rate as it was, under the rate's id."""
    return r.RateVersion(_erp(x["id"]), _rate({**x, "id": x["rate_id"]}), x["ended_at"])


def _calendar(x: SourceRow) -> r.Calendar:
    return r.Calendar(
        _erp(x["id"]),
        (
            hours_to_seconds(x["monday"]),
            hours_to_seconds(x["tuesday"]),
            hours_to_seconds(x["wednesday"]),
            hours_to_seconds(x["thursday"]),
            hours_to_seconds(x["friday"]),
            hours_to_seconds(x["saturday"]),
            hours_to_seconds(x["sunday"]),
        ),
    )


def _holiday(x: SourceRow) -> r.Holiday:
    return r.Holiday(_erp(x["id"]), _erp(x["calendar_id"]), x["day"], _seconds_or_none(x["hours"]))


def _fx_rate(x: SourceRow) -> r.FxRate:
    pair = x["from_currency"], x["to_currency"]
    return r.FxRate(_erp(x["id"]), *pair, x["day"], x["rate"], x["rate_type"], x["decided_at"])


def _fx_rate_version(x: SourceRow) -> r.FxRateVersion:
    """The exchange rate as it was, under its own id."""
    return r.FxRateVersion(_erp(x["id"]), _fx_rate({**x, "id": x["fx_rate_id"]}), x["ended_at"])


def _period(x: SourceRow) -> r.Period:
    entity = _erp(x["legal_entity_id"])
    return r.Period(_erp(x["id"]), entity, x["starts_on"], x["ends_on"], x["closed_at"], x["soft_closed_at"])


def _period_right(x: SourceRow) -> r.PeriodRight:
    entity, person = _erp(x["legal_entity_id"]), _erp(x["person_id"])
    return r.PeriodRight(_erp(x["id"]), entity, person, x["granted_at"], x["revoked_at"])


def _milestone(x: SourceRow) -> r.Milestone:
    return r.Milestone(
        id=_erp(x["id"]),
        engagement_id=_erp(x["engagement_id"]),
        contract_line_id=_erp(x["contract_line_id"]),
        amount=x["amount"],
        status=x["status"],
        accepted_on=x["accepted_on"],
        accepted_at=x["accepted_at"],
        due_on=x["due_on"],
    )


def _expense(x: SourceRow) -> r.Expense:
    return r.Expense(
        id=_erp(x["id"]),
        project_id=_erp(x["project_id"]),
        consultant_id=_erp(x["consultant_id"]),
        incurred_on=x["incurred_on"],
        amount=x["amount"],
        currency=x["currency"],
        tax_basis=x["tax_basis"],
        tax_amount=x["tax_amount"],
        markup=x["markup"],
        cap_scope=x["cap_scope"],
        status=x["status"],
        version=x["version"],
        approved_at=x["approved_at"],
        approved_by=_erp_or_none(x["approved_by"]),
    )


def _expense_version(x: SourceRow) -> r.ExpenseVersion:
    """The expense as it was approved, under its own id."""
    expense = _expense({**x, "id": x["expense_id"], "status": "approved"})
    return r.ExpenseVersion(_erp(x["id"]), expense, x["ended_at"])


def _invoice_line(x: SourceRow) -> r.InvoiceLine:
    return r.InvoiceLine(
        id=_erp(x["id"]),
        engagement_id=_erp(x["engagement_id"]),
        contract_line_id=_erp(x["contract_line_id"]),
        kind=x["kind"],
        credits_line_id=_erp_or_none(x["credits_line_id"]),
        entry_id=x["entry_id"],  # canonical already: the source link
        entry_version=x["entry_version"],
        seconds=x["seconds"],
        amount=x["amount"],
        status=x["status"],
        posted_at=x["posted_at"],
        client_id=_erp_or_none(x["client_id"]),
        project_id=_erp_or_none(x["project_id"]),
        task_id=_erp_or_none(x["task_id"]),
        consultant_id=_erp_or_none(x["consultant_id"]),
        work_date=x["work_date"],
    )


def _bill_adjustment(x: SourceRow) -> r.BillAdjustment:
    return r.BillAdjustment(
        _erp(x["id"]),
        _erp(x["engagement_id"]),
        x["entry_id"],
        x["kind"],
        _seconds_or_none(x["hours"]),
        x["amount"],
        x["decided_at"],
        x["released_at"],
        _erp_or_none(x["preparer_id"]),
        _erp_or_none(x["approver_id"]),
        x["reason"],
    )


def _approval_limit(x: SourceRow) -> r.ApprovalLimit:
    span = x["effective_from"], x["effective_to"]
    return r.ApprovalLimit(
        _erp(x["id"]), _erp(x["approver_id"]), x["kind"], x["currency"], x["amount"], *span
    )


def _time_entry(x: SourceRow) -> r.TimeEntry:
    """The time tracker names people, projects and tasks by their ERP codes."""
    return r.TimeEntry(
        id=f"time:{x['id']}",
        consultant_id=_erp(x["consultant_code"]),
        project_id=_erp(x["project_code"]),
        task_id=_erp_or_none(x["task_code"]),
        work_date=x["work_date"],
        seconds=hours_to_seconds(x["hours"]),
        kind=x["kind"],
        status=x["status"],
        version=x["version"],
        approved_at=x["approved_at"],
        approved_by=_erp_or_none(x["approved_by"]),
    )


def _time_entry_version(x: SourceRow) -> r.TimeEntryVersion:
    """The entry as it was approved, under the entry's id."""
    entry = _time_entry({**x, "id": x["entry_id"], "status": "approved"})
    return r.TimeEntryVersion(f"time:{x['id']}", entry, x["ended_at"])


def _time_entry_event(x: SourceRow) -> r.TimeEntryEvent:
    return r.TimeEntryEvent(f"time:{x['id']}", f"time:{x['entry_id']}", x["action"], x["at"])


def _absence(x: SourceRow) -> r.Absence:
    return r.Absence(f"time:{x['id']}", _erp(x["consultant_code"]), x["day"], hours_to_seconds(x["hours"]))
