"""The close cockpit over rows made by hand, on a real PostgreSQL."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import typer
from sqlalchemy import Connection, Engine, text
from typer.testing import CliRunner

from connectors.sinks.close_cli import look, register
from streams.errors import UsageError
from tests.integration.sinks.test_executive_cases import HOUR, put

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)


def firm(connection: Connection) -> None:
    """Entity LE with March and April, engagement R in EUR with line L and project P; internal project I."""
    put(connection, "canonical.legal_entity", id="LE", name="Firm GmbH", currency="EUR")
    closes = {3: datetime(2026, 4, 3, 18, tzinfo=UTC), 4: None}
    for month, closed_at in closes.items():
        span = {"starts_on": date(2026, month, 1), "ends_on": date(2026, month + 1, 1)}
        put(connection, "canonical.period", id=f"P{month}", legal_entity_id="LE", closed_at=closed_at, **span)
    put(connection, "canonical.engagement", id="R", legal_entity_id="LE", currency="EUR")
    put(connection, "canonical.contract_line", id="L", engagement_id="R")
    put(connection, "canonical.project", id="P", engagement_id="R", contract_line_id="L")
    put(connection, "canonical.project", id="I")


def line(
    connection: Connection, entry: str, bucket: str, hours: int, amount: int | None, **values: Any
) -> None:
    """A line of the ledger of 5 March, accounting date alike."""
    shared = {
        "root_id": "R",
        "entry_id": entry,
        "segment": "base",
        "bucket": bucket,
        "kind": "CHARGE" if hours > 0 or (amount or 0) > 0 else "REVERSAL",
        "legal_entity_id": "LE",
        "contract_line_id": "L",
        "currency": "EUR",
        "work_date": date(2026, 3, 5),
        "accounting_date": date(2026, 3, 5),
        "seconds": hours * HOUR,
        "amount": None if amount is None else Decimal(amount),
        **values,
    }
    event = f"{entry}:{shared['segment']}:{bucket}:{hours}:{shared['accounting_date']}"
    put(connection, "billing.events", event_id=event, **shared)


def erp(connection: Connection, native: str, kind: str, amount: int, posted: date, **values: Any) -> None:
    """A posted line of the ERP on engagement R, without time."""
    at = datetime(posted.year, posted.month, posted.day, 10, tzinfo=UTC)
    shared = {
        "engagement_id": "R",
        "status": "posted",
        "seconds": 0,
        "amount": Decimal(amount),
        "posted_at": at,
    }
    put(connection, "canonical.invoice_line", id=native, kind=kind, **{**shared, **values})


def cockpit(engine: Engine, period: str) -> Any:
    """The row of a period."""
    with engine.connect() as connection:
        query = text("SELECT * FROM v_close_cockpit WHERE period_id = :period")
        return connection.execute(query, {"period": period}).one()


def money(engine: Engine, period: str) -> Any:
    """The row of a period in EUR."""
    with engine.connect() as connection:
        query = text("SELECT * FROM v_close_money WHERE period_id = :period AND currency = 'EUR'")
        return connection.execute(query, {"period": period}).one()


def test_a_period_in_which_nothing_happened_ties(bi: Engine) -> None:
    """All counts are 0, and there is no money."""
    with bi.begin() as connection:
        firm(connection)
    row = cockpit(bi, "P3")
    assert (row.legal_entity_name, row.unapproved_entries, row.parked_items, row.drafts) == (
        "Firm GmbH",
        0,
        0,
        0,
    )
    assert (row.roll_forward_ties, row.untied_lines, row.unassigned_items) == (True, 0, 0)
    with bi.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM v_close_money")).scalar_one() == 0


def test_unbilled_work_ages_from_one_close_to_the_next(bi: Engine) -> None:
    """1,200 of 5 March: 26 days old at the end of March, 56 at the end of April; a correction stays in April."""
    with bi.begin() as connection:
        firm(connection)
        line(connection, "time:1", "unbilled", 8, 1200)
        line(connection, "time:1", "unbilled", -8, -1200, accounting_date=APRIL)
        line(connection, "time:1", "unbilled", 6, 900, accounting_date=APRIL)
        line(connection, "time:2", "unbilled", -8, -800, segment="due:erp:I1", accounting_date=APRIL)
    march, april = money(bi, "P3"), money(bi, "P4")
    assert (march.unbilled_0_30, march.unbilled_31_60, march.unbilled, march.credit_due) == (1200, 0, 1200, 0)
    assert (april.unbilled_0_30, april.unbilled_31_60, april.unbilled, april.credit_due) == (
        0,
        900,
        900,
        -800,
    )


def test_balances_are_of_the_periods_end_and_write_offs_of_the_period(bi: Engine) -> None:
    """Over cap, held and on a draft stand in April, too; what March wrote off it does not write off again."""
    with bi.begin() as connection:
        firm(connection)
        for entry, bucket in (("1", "over_cap"), ("2", "on_hold"), ("3", "on_draft"), ("4", "written_off")):
            line(connection, f"time:{entry}", bucket, 2, 300)
    for period, written_off in (("P3", 300), ("P4", 0)):
        row = money(bi, period)
        assert (row.over_cap, row.on_hold, row.on_draft, row.written_off) == (300, 300, 300, written_off)
        counts = cockpit(bi, period)
        assert (counts.over_cap_seconds, counts.on_hold_seconds, counts.drafts) == (2 * HOUR, 2 * HOUR, 1)


def test_who_has_not_approved_and_what_is_parked(bi: Engine) -> None:
    """Drafts, submitted and rejected time of contracts; internal and withdrawn time is nobody's month; what is of no
    entity that is known is told apart."""
    worked = {"work_date": date(2026, 3, 5), "seconds": HOUR}
    with bi.begin() as connection:
        firm(connection)
        for number, status in enumerate(("draft", "submitted", "rejected", "approved", "withdrawn")):
            put(
                connection,
                "canonical.time_entry",
                id=f"time:{number}",
                status=status,
                project_id="P",
                **worked,
            )
        put(connection, "canonical.time_entry", id="time:I", status="draft", project_id="I", **worked)
        put(connection, "canonical.time_entry", id="time:U", status="draft", project_id="nobody's", **worked)
        parked = {
            "root_id": "R",
            "segment": "base",
            "bucket": "parked",
            "accounting_date": MARCH,
            "amount": None,
        }
        put(connection, "billing.current", entry_id="1", legal_entity_id="LE", seconds=HOUR, **parked)
        put(connection, "billing.current", entry_id="2", seconds=HOUR, **parked)
    row = cockpit(bi, "P3")
    assert (row.unapproved_entries, row.unapproved_seconds, row.unapproved_hours) == (3, 3 * HOUR, 3)
    assert (row.parked_items, row.parked_seconds, row.unassigned_items) == (1, HOUR, 2)
    april = cockpit(bi, "P4")
    assert (april.unapproved_entries, april.parked_items, april.unassigned_items) == (0, 1, 0)


def test_a_credit_after_the_month_is_dated_otherwise_and_ties(bi: Engine) -> None:
    """1,200 posted in March, 200 of it credited on 2 April, March being open: no difference in either month."""
    with bi.begin() as connection:
        firm(connection)
        erp(connection, "erp:1", "charge", 1200, date(2026, 3, 20))
        erp(connection, "erp:2", "credit", 200, date(2026, 4, 2), credits_line_id="erp:1")
        billed = {"segment": "inv:erp:1", "invoice_line_id": "erp:1", "accounting_date": date(2026, 3, 20)}
        line(connection, "time:1", "billed", 0, 1000, **billed)
    march, april = money(bi, "P3"), money(bi, "P4")
    assert (march.billed, march.erp_posted, march.dated_otherwise) == (1000, 1200, -200)
    assert (april.billed, april.erp_posted, april.dated_otherwise) == (0, -200, 200)
    assert (march.tie_out_difference, april.tie_out_difference, march.untied_lines) == (0, 0, 0)


def test_what_billing_and_the_erp_say_differently_is_of_the_charges_month(bi: Engine) -> None:
    """A charge that billing has not, one that it has for a cent less, a credit of nothing: three lines, 300.01 less."""
    with bi.begin() as connection:
        firm(connection)
        erp(connection, "erp:1", "charge", 500, date(2026, 3, 20))
        erp(connection, "erp:2", "charge", 700, date(2026, 3, 21))
        erp(connection, "erp:3", "credit", 200, date(2026, 3, 22), credits_line_id="erp:9")
        billed = {"segment": "inv:erp:2", "invoice_line_id": "erp:2", "accounting_date": APRIL}
        line(
            connection,
            "time:2",
            "billed",
            0,
            700,
            **billed,
        )
        connection.execute(text("UPDATE fact_billing_event SET amount = 699.99 WHERE bucket = 'billed'"))
    march, april = money(bi, "P3"), money(bi, "P4")
    assert (march.tie_out_difference, march.untied_lines) == (Decimal("-300.01"), 3)
    assert (march.billed, march.erp_posted) == (0, 1000)
    assert march.dated_otherwise + april.dated_otherwise == 0
    assert (april.billed, april.tie_out_difference) == (Decimal("699.99"), 0)
    assert cockpit(bi, "P3").untied_lines == 3


def months(
    connection: Connection, contract_line: str, *rows: tuple[date, int | None, int, int | None, int | None]
) -> None:
    """Months of a contract line: recognised, billed, contract asset and deferred revenue."""
    for month, recognised, billed, asset, deferred in rows:
        put(
            connection,
            "revenue.current",
            root_id="R",
            contract_line_id=contract_line,
            period_start=month,
            legal_entity_id="LE",
            currency="EUR",
            recognised=None if recognised is None else Decimal(recognised),
            breakage=None if recognised is None else Decimal(0),
            billed=Decimal(billed),
            contract_asset=None if asset is None else Decimal(asset),
            deferred_revenue=None if deferred is None else Decimal(deferred),
        )


def test_the_roll_forward_ties_and_says_where_it_does_not(bi: Engine) -> None:
    """E12: 1,500 earned in March and invoiced in April; a fee of 900 billed in March and half earned in April."""
    with bi.begin() as connection:
        firm(connection)
        months(connection, "L", (MARCH, 1500, 0, 1500, 0), (APRIL, 0, 1500, 0, 0))
        months(connection, "F", (MARCH, 0, 900, 0, 900), (APRIL, 450, 0, 0, 450))
    march, april = money(bi, "P3"), money(bi, "P4")
    assert (march.asset_opening, march.deferred_opening) == (0, 0)
    assert (march.recognised, march.billed_on_contracts) == (1500, 900)
    assert (march.asset_closing, march.deferred_closing) == (1500, 900)
    assert (april.asset_opening, april.deferred_opening, april.recognised) == (1500, 900, 450)
    assert (april.asset_closing, april.deferred_closing, april.roll_forward_gap) == (0, 450, 0)
    assert cockpit(bi, "P4").roll_forward_ties
    with bi.begin() as connection:
        # Two gaps that cancel each other out are two gaps.
        connection.execute(
            text("UPDATE revenue_current SET contract_asset = 10 WHERE contract_line_id = 'L' AND billed > 0")
        )
        connection.execute(
            text("UPDATE revenue_current SET deferred_revenue = 460 WHERE deferred_revenue = 450")
        )
    assert money(bi, "P4").roll_forward_gap == 20
    assert not cockpit(bi, "P4").roll_forward_ties


def test_what_can_not_be_told_is_null_and_no_zero(bi: Engine) -> None:
    """A line without terms: balances and what is recognised are unknown, what is billed is known."""
    with bi.begin() as connection:
        firm(connection)
        months(connection, "L", (MARCH, 1500, 0, 1500, 0))
        months(connection, "X", (MARCH, None, 100, None, None))
    row = money(bi, "P3")
    assert (row.asset_closing, row.recognised, row.roll_forward_gap, row.unknown_lines) == (
        None,
        None,
        None,
        1,
    )
    assert row.billed_on_contracts == 100


def test_the_command_shows_it_and_says_what_there_is(bi: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """By id or name, and by month; exit code 1 where something does not tie; unknown ones are one clear error."""
    with bi.begin() as connection:
        firm(connection)
        line(connection, "time:1", "unbilled", 8, 1200)
        erp(connection, "erp:1", "charge", 500, date(2026, 4, 20))
    monkeypatch.setenv("TALLYSTREAM_BI_DSN", bi.url.render_as_string(hide_password=False))
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    shown = CliRunner().invoke(app, ["close", "Firm GmbH", "2026-03"])
    assert shown.exit_code == 0, shown.output
    assert "Firm GmbH, P3: closed 2026-04-03 18:00 UTC" in shown.output
    assert "to 30 days" in shown.output
    assert "1,200.00" in shown.output
    told = CliRunner().invoke(app, ["close", "LE", "P4", "--json"])
    assert told.exit_code == 1
    document = json.loads(told.stdout)
    assert (document["period_id"], document["untied_lines"]) == ("P4", 1)
    assert document["money"][0]["tie_out_difference"] == "-500.0000"
    with bi.connect() as connection:
        with pytest.raises(UsageError, match=r"no legal entity 'X'; there are: LE \(Firm GmbH\)"):
            look(connection, "X", "2026-03")
        with pytest.raises(UsageError, match=r"no period '2026-07' of LE; there are: 2026-03 \(P3\)"):
            look(connection, "LE", "2026-07")
