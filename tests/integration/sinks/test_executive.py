"""Views of management over a warehouse that the whole pipeline filled, against the oracle and the ledger."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from oracle import Expected, Rows, canonical_rows, compute_from_rows, read_tables
from oracle.backlog import backlog
from oracle.cockpit import Cockpit, Money, cockpits
from oracle.controlling import AccuracyKey, WriteOffKey, accuracy, approval_quality, capture, write_offs
from oracle.executive import Executive, ExecutiveKey, executive
from oracle.realization import Realization, leakage, realize
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from connectors.reference.firm import FirmSettings
from connectors.sinks.warehouse.payroll import extract
from connectors.sinks.warehouse.permissions import COST_READERS, confidential
from connectors.sinks.warehouse.schema import create_schema
from tests.integration.sinks.sink_world import eventually
from tests.support.pipelines import RunningFirm, running_firm

SELLS = {"advisory": "strategy", "engineering": "cloud"}  # operations are sold by no practice


class Worked:
    """A firm whose work is done and loaded, and what the oracle says of its databases."""

    def __init__(self, running: RunningFirm) -> None:
        self.running = running
        tables = {system: read_tables(system, engine) for system, engine in running.judge.engines.items()}
        self.rows: Rows = canonical_rows(tables["erp"], tables["crm"], tables["time"])
        self.expected: Expected = compute_from_rows(self.rows)

    def ask(self, query: str, **parameters: Any) -> list[Any]:
        """Rows of the warehouse."""
        with self.running.warehouse.connect() as connection:
            return list(connection.execute(text(query), parameters))

    def do(self, *statements: str) -> None:
        """Change the warehouse."""
        with self.running.warehouse.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))


def extract_now_and_then(running: RunningFirm) -> None:
    """Payroll is extracted while time is entered, approved and corrected."""

    def is_there() -> bool:
        with running.warehouse.connect() as connection:
            found = connection.execute(text("SELECT to_regclass('v_payroll_due') IS NOT NULL"))
            return bool(found.scalar_one())

    eventually(is_there, "the warehouse's views")
    deadline, had_lines = time.monotonic() + 30, 0
    while had_lines < 3 and time.monotonic() < deadline:
        with running.warehouse.begin() as connection:
            had_lines += bool(extract(connection)[1])
        time.sleep(0.2)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worked]:
    """Six weeks of fourteen people."""
    firm = FirmSettings(seed=3, consultants=14, days=42)
    with running_firm(tmp_path_factory.mktemp("executive"), "embedded", firm) as running:
        running.work(lambda: extract_now_and_then(running))
        assert all(comparison.equal for comparison in running.settle())
        made = Worked(running)
        of_time = {
            "dim_time_entry": len(made.rows.time_entries),
            "dim_time_entry_version": len(made.rows.entry_versions),
            "dim_time_entry_event": len(made.rows.entry_events),
            "dim_bill_adjustment": len(made.rows.bill_adjustments),
            "dim_expense": len(made.rows.expenses),
            "dim_expense_version": len(made.rows.expense_versions),
            "dim_invoice_line": len(made.rows.invoice_lines),
        }
        for table, count in of_time.items():
            query = f"SELECT count(*) FROM {table} WHERE is_current AND NOT deleted"
            eventually(lambda query=query, count=count: made.ask(query) == [(count,)], table)  # type: ignore[misc]
        made.do(
            *(f"INSERT INTO practice_of_service_line VALUES ('{line}', '{by}')" for line, by in SELLS.items())
        )
        yield made


def seen(worked: Worked) -> dict[ExecutiveKey, Executive]:
    """What the two views show, without the rows in which there is nothing."""
    found: dict[ExecutiveKey, Executive] = {}
    for row in worked.ask("SELECT * FROM v_executive_month"):
        found[ExecutiveKey(row.client_id, row.practice, row.month, row.currency)] = Executive(
            booked=row.booked,
            delivered=row.delivered_seconds,
            billed_seconds=row.billed_seconds,
            billed=row.billed,
            recognised=row.recognised,
        )
    for row in worked.ask("SELECT * FROM v_margin_month"):
        figures = found.setdefault(
            ExecutiveKey(row.client_id, row.practice, row.month, row.currency), Executive()
        )
        figures.cost, figures.uncosted = row.cost, row.uncosted_seconds
        assert (row.recognised, row.margin) == (figures.recognised, figures.margin)
    return {key: figures for key, figures in found.items() if figures != Executive()}


@pytest.mark.slow
def test_every_figure_is_the_oracles(worked: Worked) -> None:
    """Per client, practice and month: bookings, effort, billing, revenue, cost and margin, to the cent."""
    wanted = executive(worked.expected, worked.rows, SELLS)
    found = seen(worked)
    assert {
        key: (wanted.get(key), found.get(key))
        for key in {*wanted, *found}
        if wanted.get(key) != found.get(key)
    } == {}
    assert len(wanted) > 100
    assert {key.practice for key in wanted if wanted[key].booked} == {"strategy", "cloud", None}
    blocked = [figures for figures in wanted.values() if figures.uncosted]
    assert blocked
    assert all(figures.margin is None and figures.recognised is not None for figures in blocked)
    assert any(figures.margin for figures in wanted.values())


@pytest.mark.slow
def test_the_views_add_up_to_the_ledger(worked: Worked) -> None:
    """Seconds and billed money are the ledger's, revenue the roll-forward's; nothing is lost between practices."""
    assert worked.ask("SELECT sum(delivered_seconds) FROM v_executive_month") == worked.ask(
        "SELECT sum(seconds) FROM fact_billing_event"
    )
    by = "date_trunc('month', accounting_date::timestamp)::date"
    assert worked.ask(
        "SELECT client_id, month, currency, sum(billed_seconds), sum(billed) FROM v_executive_month"
        " GROUP BY 1, 2, 3 HAVING sum(billed_seconds) <> 0 OR sum(billed) <> 0 ORDER BY 1, 2, 3"
    ) == worked.ask(
        f"SELECT client_id, {by}, currency, sum(seconds), sum(amount) FROM fact_billing_event"
        " WHERE bucket = 'billed' GROUP BY 1, 2, 3 HAVING sum(seconds) <> 0 OR sum(amount) <> 0 ORDER BY 1, 2, 3"
    )
    assert worked.ask(
        "SELECT month, currency, sum(recognised) FROM v_executive_month WHERE recognised <> 0"
        " GROUP BY 1, 2 HAVING sum(recognised) <> 0 ORDER BY 1, 2"
    ) == worked.ask(
        "SELECT accounting_month, currency, sum(recognised + breakage) FROM v_revenue_by_month"
        " GROUP BY 1, 2 HAVING sum(recognised + breakage) <> 0 ORDER BY 1, 2"
    )


def cockpits_seen(worked: Worked) -> dict[str, Cockpit]:
    """What the two views of the close show."""
    found = {}
    for row in worked.ask("SELECT * FROM v_close_cockpit"):
        found[row.period_id] = Cockpit(
            row.unapproved_entries,
            row.unapproved_seconds,
            row.parked_items,
            row.parked_seconds,
            row.unassigned_items,
            row.over_cap_seconds,
            row.on_hold_seconds,
            row.drafts,
            row.stale_drafts,
            {},
        )
    same = [name for name in Money.__slots__ if name not in ("ages", "difference")]
    for row in worked.ask("SELECT * FROM v_close_money"):
        ages = [row.unbilled_0_30, row.unbilled_31_60, row.unbilled_61_90, row.unbilled_over_90]
        assert row.unbilled == sum(ages)
        assert row.dated_otherwise == row.billed - row.erp_posted - row.tie_out_difference
        figures = {name: getattr(row, name) for name in same}
        money = Money(ages, difference=row.tie_out_difference, **figures)
        if money != Money():
            found[row.period_id].money[row.currency] = money
    return found


@pytest.mark.slow
def test_the_close_cockpit_is_the_oracles_and_ties(worked: Worked) -> None:
    """Per entity, period and currency; the ERP's posted lines are billed to the cent, and the roll-forwards tie."""
    wanted = cockpits(worked.expected, worked.rows)
    for cockpit in wanted.values():
        cockpit.money = {currency: of for currency, of in cockpit.money.items() if of != Money()}
    found = cockpits_seen(worked)
    assert {
        name: (wanted.get(name), found.get(name)) for name in wanted if wanted[name] != found.get(name)
    } == {}
    assert found.keys() == wanted.keys()
    of_money = [money for cockpit in wanted.values() for money in cockpit.money.values()]
    assert {money.difference for money in of_money} == {0}
    assert sum(money.erp_posted for money in of_money) > 0
    assert worked.ask("SELECT * FROM v_untied_posting") == []
    gaps = worked.ask("SELECT count(*) FROM v_close_money WHERE roll_forward_gap <> 0")
    assert gaps == [(0,)]
    for name in ("unapproved", "parked", "unassigned", "drafts", "over_cap_seconds"):
        assert any(getattr(cockpit, name) for cockpit in wanted.values()), name
    assert any(sum(money.ages[1:]) for money in of_money)


@pytest.mark.slow
def test_hours_without_a_cost_name_their_person(worked: Worked) -> None:
    """The person whose cost rate ended, from that day on; the view shows no cost."""
    rows = worked.ask("SELECT * FROM v_uncosted_work")
    (ended,) = (rate for rate in worked.rows.cost_rates.values() if rate.id == "erp:CR-002-1")
    of_person = [row for row in rows if row.consultant_id == "erp:K-002"]
    assert [(row.exception_class, row.first_day >= ended.effective_to) for row in of_person] == [
        ("MISSING_COST_RATE", True)
    ]
    assert "cost" not in rows[0]._fields
    lacking = {row.consultant_id: row.seconds for row in rows if row.exception_class == "MISSING_COST_RATE"}

    def raised() -> dict[str, int]:
        query = "SELECT subject, seconds FROM fact_exception WHERE flow = 'margin' AND state <> 'resolved'"
        return {row.subject: row.seconds for row in worked.ask(query)}

    eventually(lambda: raised() == lacking, "one exception for each person without a cost")
    assert (
        sum(row.seconds for row in rows)
        == worked.ask("SELECT sum(uncosted_seconds) FROM v_margin_month")[0][0]
    )


@pytest.mark.slow
def test_realization_and_effective_rates_are_the_oracles(worked: Worked) -> None:
    """Per client, practice and month of the work: sums and ratios, null where there is nothing to divide by."""
    wanted = realize(worked.expected, worked.rows)
    found = {}
    for row in worked.ask("SELECT * FROM v_realization_month"):
        figures = Realization(
            row.list_value, row.billed_listed, row.unlisted_seconds, row.billed, row.billed_seconds
        )
        assert (row.realization, row.effective_rate) == (figures.realization, figures.effective_rate)
        assert row.definition == "realization-2"
        if figures != Realization():
            found[ExecutiveKey(row.client_id, row.practice, row.month, row.currency)] = figures
    assert found == wanted
    assert {figures.realization is None for figures in wanted.values()} == {True, False}
    assert any(figures.unlisted for figures in wanted.values())


@pytest.mark.slow
def test_billing_accuracy_is_the_oracles(worked: Worked) -> None:
    """Per entity, client and month of the charge: what was credited of it since."""
    wanted = accuracy(worked.rows)
    found = {
        AccuracyKey(row.legal_entity_id, row.client_id, row.month, row.currency): row
        for row in worked.ask("SELECT * FROM v_billing_accuracy_month")
    }
    assert {
        key: (row.billed, row.credited, row.unlinked_credits, row.credited_ratio)
        for key, row in found.items()
    } == {
        key: (figures.billed, figures.credited, figures.unlinked, figures.ratio)
        for key, figures in wanted.items()
    }
    assert any(figures.ratio for figures in wanted.values())
    assert {row.definition for row in found.values()} == {"billing-accuracy-1"}


@pytest.mark.slow
def test_approval_quality_is_the_oracles(worked: Worked) -> None:
    """Per practice and month: approvals, those that were corrected or taken back, and rejections, with their rates."""
    names = ("approved", "corrected", "taken_back", "rejected", "rejected_rate", "corrected_rate")
    wanted = {
        key: tuple(getattr(figures, name) for name in names)
        for key, figures in approval_quality(worked.rows).items()
    }
    rows = worked.ask("SELECT * FROM v_approval_quality_month")
    assert {(row.practice, row.month): tuple(getattr(row, name) for name in names) for row in rows} == wanted
    assert all(any(figures[place] for figures in wanted.values()) for place in range(len(names)))


@pytest.mark.slow
def test_billable_capture_is_the_oracles(worked: Worked) -> None:
    """Per client, practice and month of the work."""
    wanted = {
        key: (figures.billable, figures.captured, figures.by_fee, figures.capture)
        for key, figures in capture(worked.expected, worked.rows).items()
    }
    found = {
        (row.client_id, row.practice, row.month): (
            row.billable_seconds,
            row.captured_seconds,
            row.fee_seconds,
            row.capture,
        )
        for row in worked.ask("SELECT * FROM v_billable_capture_month")
    }
    assert found == wanted
    assert any(figures[3] and figures[3] < 1 for figures in wanted.values())


@pytest.mark.slow
def test_write_offs_are_the_oracles(worked: Worked) -> None:
    """Per kind, reason, approver, client and month, hours and money; all kinds add up to the ledger."""
    found = {}
    for row in worked.ask("SELECT * FROM v_write_offs_month"):
        who = row.reason, row.preparer_id, row.approver_id
        month = f"{row.month:%Y-%m}"
        key = WriteOffKey(row.legal_entity_id, row.client_id, month, row.currency, row.kind, *who)
        found[key] = row.seconds, row.amount
    assert found == write_offs(worked.expected, worked.rows)
    assert {key.kind for key in found} >= {"write_off", "discount"}
    assert all(key.reason and key.approver for key in found if key.kind not in ("over_cap", None))
    assert worked.ask("SELECT sum(seconds), sum(amount) FROM v_write_offs_month") == worked.ask(
        "SELECT sum(seconds), sum(amount) FROM fact_billing_event WHERE bucket IN ('written_off', 'on_hold')"
    )


@pytest.mark.slow
def test_the_backlog_is_the_oracles(worked: Worked) -> None:
    """Per contract line, and per contract with a cap, money and hours; null where no value is agreed."""
    wanted = {
        key: (
            *(one.contracted, None if one.contracted is None else one.delivered, one.backlog),
            *(one.contracted_seconds, one.backlog_seconds),
        )
        for key, one in backlog(worked.expected, worked.rows).items()
    }
    found = {}
    for row in worked.ask("SELECT * FROM v_backlog"):
        delivered = None if row.contracted is None else row.delivered
        money = row.contracted, delivered, row.backlog
        found[row.engagement_id, row.contract_line_id] = (
            *money,
            row.contracted_seconds,
            row.backlog_seconds,
        )
    assert {
        key: (wanted.get(key), found.get(key))
        for key in {*wanted, *found}
        if wanted.get(key) != found.get(key)
    } == {}
    assert {figures[2] is None for figures in wanted.values()} == {True, False}
    assert {line is None for _, line in wanted} == {True, False}
    kinds = {row.basis for row in worked.ask("SELECT DISTINCT basis FROM v_backlog")}
    assert kinds >= {"cap", "milestone", "as_consumed", "straight_line", None}


@pytest.mark.slow
def test_lines_of_the_ledger_are_linked_both_ways(worked: Worked) -> None:
    """As the lines themselves say, recomputed one by one; none is taken back twice, and no reversal is."""
    lines = worked.ask("SELECT event_id, kind, reverses, reversed_by FROM v_ledger_line")
    reversed_by: dict[str, str] = {}
    for line in lines:
        assert (line.kind == "REVERSAL") == (line.reverses is not None)
        if line.reverses is not None:
            assert line.reverses not in reversed_by
            reversed_by[line.reverses] = line.event_id
    assert reversed_by
    assert {line.event_id: line.reversed_by for line in lines} == {
        line.event_id: reversed_by.get(line.event_id) for line in lines
    }
    kinds = {line.event_id: line.kind for line in lines}
    assert {kinds[event] for event in reversed_by} >= {"CHARGE"}
    assert "REVERSAL" not in {kinds[event] for event in reversed_by}
    assert worked.ask("SELECT * FROM v_ledger_violations") == []
    assert worked.ask("SELECT count(*) FROM sink_dead_letter WHERE topic = 'billing.events'") == [(0,)]


@pytest.mark.slow
def test_leakage_is_the_oracles(worked: Worked) -> None:
    """The unbilled segments that are old enough, with the days that they could be billed for."""
    last = max(key.day for key in worked.expected.billing if key.day is not None)
    sizes = []
    for days in (0, 10, 30):
        wanted = leakage(worked.expected, worked.rows, last, days)
        found = worked.ask("SELECT * FROM leakage(:on, :days)", on=last, days=days)
        assert {(row.root_id, row.entry_id, row.segment): row.could_bill_on for row in found} == {
            (key.root, key.entry, key.segment): since for key, since in wanted.items()
        }
        sizes.append(len(found))
    assert sizes[0] > sizes[1] > sizes[2] > 0
    assert worked.ask("SELECT count(*) FROM leakage(:on)", on=last) == [(sizes[2],)]


@pytest.mark.slow
def test_all_payroll_extracts_add_up_to_what_is_approved(worked: Worked) -> None:
    """By person and work date, whatever was extracted while it was still changing; then nothing is due."""
    with worked.running.warehouse.begin() as connection:
        extract(connection)
        assert extract(connection)[1] == []
    approved: dict[tuple[str, date], int] = defaultdict(int)
    for entry in worked.rows.time_entries.values():
        if entry.status == "approved":
            approved[entry.consultant_id, entry.work_date] += entry.seconds
    rows = worked.ask(
        "SELECT consultant_id, work_date, sum(seconds) AS seconds FROM payroll_line GROUP BY 1, 2"
    )
    assert {(row.consultant_id, row.work_date): row.seconds for row in rows if row.seconds} == {
        key: seconds for key, seconds in approved.items() if seconds
    }
    assert worked.ask("SELECT count(DISTINCT extract_id) >= 2 FROM payroll_line") == [(True,)]


@pytest.mark.slow
def test_what_is_reported_now_is_what_the_tables_hold(worked: Worked) -> None:
    """The versions of all changes of six weeks end in the current rows, of billing, revenue and utilization."""
    for table, function, figures in (
        ("billing_current", "billing_as_of", "entry_id, segment, bucket, revision, seconds, amount"),
        ("revenue_current", "revenue_as_of", "contract_line_id, period_start, revision, recognised, billed"),
        ("utilization_daily", "utilization_daily_as_of", "consultant_id, day, revision, worked_seconds"),
        ("utilization_window", "utilization_window_as_of", "consultant_id, window_kind, starts_on, revision"),
        (
            "utilization_group",
            "utilization_group_as_of",
            "dimension, value, starts_on, window_kind, revision",
        ),
        ("utilization_plan", "utilization_plan_as_of", "consultant_id, project_id, starts_on, revision"),
    ):
        held = worked.ask(f"SELECT {figures} FROM {table} WHERE NOT deleted ORDER BY 1, 2, 3, 4")
        assert worked.ask(f"SELECT {figures} FROM {function}() ORDER BY 1, 2, 3, 4") == held
        assert worked.ask(f"SELECT count(*) FROM {table}_version")[0][0] > len(held) > 0


@pytest.mark.slow
def test_costs_are_read_by_one_role_only(worked: Worked) -> None:
    """Who may read everything else, by whatever grant, reads no cost; members of the role do."""
    worked.do(
        f"CREATE ROLE {COST_READERS}",
        "CREATE ROLE analyst",
        'CREATE ROLE "the controller"',
        f'GRANT {COST_READERS} TO "the controller"',
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO analyst, PUBLIC",
    )
    assert set(confidential()) == {"dim_cost_rate", "v_cost_of_work", "v_margin_month"}
    with worked.running.warehouse.begin() as connection:
        create_schema(connection)
    for name in (*confidential(), "v_executive_month"):
        with worked.running.warehouse.connect() as connection:
            connection.execute(text('SET ROLE "the controller"'))
            assert connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() > 0
    with worked.running.warehouse.connect() as connection:
        connection.execute(text("SET ROLE analyst"))
        assert connection.execute(
            text("SELECT sum(recognised) FROM v_executive_month")
        ).scalar_one() > Decimal(0)
    for name in confidential():
        with worked.running.warehouse.connect() as connection:
            connection.execute(text("SET ROLE analyst"))
            with pytest.raises(ProgrammingError, match="permission denied"):
                connection.execute(text(f"SELECT * FROM {name}"))


@pytest.mark.slow
def test_a_view_of_an_older_version_is_replaced_with_those_that_read_it(worked: Worked) -> None:
    """However deep they are stacked; nothing is missing afterwards."""
    before = worked.ask("SELECT count(*) FROM pg_views WHERE schemaname = 'public'")
    worked.do("COMMENT ON VIEW v_work IS 'tallystream older'")
    with worked.running.warehouse.begin() as connection:
        create_schema(connection)
    assert worked.ask("SELECT count(*) FROM pg_views WHERE schemaname = 'public'") == before
    assert worked.ask("SELECT count(*) FROM v_margin_month")[0][0] > 0
