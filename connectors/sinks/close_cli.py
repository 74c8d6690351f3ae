"""``tallystream close``: the close cockpit of an accounting period, out of the warehouse."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import typer
from sqlalchemy import Connection, text

from connectors.sinks.warehouse.session import engine_of, store_errors
from streams.errors import ConfigurationError, UsageError
from streams.settings import load_settings

# What is shown of each currency, by the words for it. A null can't be told: terms of a contract line are missing.
MONEY = {
    "unbilled": {
        "to 30 days": "unbilled_0_30",
        "31 to 60 days": "unbilled_31_60",
        "61 to 90 days": "unbilled_61_90",
        "over 90 days": "unbilled_over_90",
        "in all": "unbilled",
    },
    "not billed otherwise": {
        "credit due": "credit_due",
        "on drafts": "on_draft",
        "of them stale": "stale_draft",
        "over cap": "over_cap",
        "held": "on_hold",
        "written off": "written_off",
    },
    "roll-forward": {
        "contract asset before": "asset_opening",
        "deferred revenue before": "deferred_opening",
        "recognised": "recognised",
        "billed": "billed_on_contracts",
        "contract asset after": "asset_closing",
        "deferred revenue after": "deferred_closing",
        "gap": "roll_forward_gap",
    },
    "tie-out": {
        "billed": "billed",
        "posted in the ERP": "erp_posted",
        "in another period's books": "dated_otherwise",
        "difference": "tie_out_difference",
    },
}


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(close)


def close(
    entity: str = typer.Argument(help="a legal entity's id or name"),
    period: str = typer.Argument(help="a period's id, or a month such as 2026-03"),
    as_json: bool = typer.Option(False, "--json", help="one JSON object"),
) -> None:
    """Show what is not done in an accounting period, and whether it ties.

    Unapproved, parked, unbilled by age, over cap, held, drafts, credits due and written off; contract asset and
    deferred revenue before and after; what is billed beside what the ERP has posted. Reads the warehouse,
    TALLYSTREAM_BI_DSN. Exit code 1 if the roll-forward or the tie-out doesn't tie.

    Example: tallystream close erp:LE-1 2026-03
    """
    dsn = load_settings().bi_dsn
    if dsn is None:
        raise ConfigurationError("close needs TALLYSTREAM_BI_DSN, say postgresql://user@host/bi")
    engine = engine_of(dsn.get_secret_value())
    with store_errors(engine), engine.begin() as connection:
        found, money = look(connection, entity, period)
    if as_json:
        typer.echo(json.dumps({**found, "money": money}, default=_plain))
    else:
        _show(found, money)
    if not found["roll_forward_ties"] or found["untied_lines"]:
        raise typer.Exit(1)


def look(connection: Connection, entity: str, period: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The rows of `v_close_cockpit` and `v_close_money` of an entity's period.

    `UsageError` where there is no such entity or period; it names those there are.
    """
    known = connection.execute(
        text("SELECT id, name FROM dim_legal_entity WHERE is_current AND NOT deleted ORDER BY id")
    ).all()
    ids = [one.id for one in known if entity in (one.id, one.name)]
    if len(ids) != 1:
        names = ", ".join(f"{one.id} ({one.name})" for one in known) or "none is loaded"
        raise UsageError(f"no legal entity {entity!r}; there are: {names}")
    periods = connection.execute(
        text("SELECT period_id, starts_on FROM v_close_period WHERE legal_entity_id = :entity ORDER BY 2, 1"),
        {"entity": ids[0]},
    ).all()
    of = [one.period_id for one in periods if period in (one.period_id, f"{one.starts_on:%Y-%m}")]
    if len(of) != 1:
        names = ", ".join(f"{one.starts_on:%Y-%m} ({one.period_id})" for one in periods) or "none is loaded"
        raise UsageError(f"no period {period!r} of {ids[0]}; there are: {names}")
    key = {"entity": ids[0], "period": of[0]}
    where = "WHERE legal_entity_id = :entity AND period_id = :period"
    cockpit = connection.execute(text(f"SELECT * FROM v_close_cockpit {where}"), key).mappings().one()
    money = connection.execute(text(f"SELECT * FROM v_close_money {where} ORDER BY currency"), key)
    return dict(cockpit), [dict(row) for row in money.mappings()]


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _show(found: dict[str, Any], money: list[dict[str, Any]]) -> None:
    closed, soft = found["closed_at"], found["soft_closed_at"]
    state = "open"
    if closed is not None:
        state = f"closed {closed:%Y-%m-%d %H:%M} UTC"
        if found["close_state"] is not None:
            state = ", ".join((f"{state}, {found['close_state']}", *(found["waits_for"] or ())))
    elif soft is not None:
        state = f"softly closed {soft:%Y-%m-%d %H:%M} UTC"
    echo = typer.echo
    echo(f"{found['legal_entity_name'] or found['legal_entity_id']}, {found['period_id']}: {state}")
    for words, items, hours in (
        ("unapproved", "unapproved_entries", "unapproved_hours"),
        ("parked", "parked_items", "parked_hours"),
    ):
        echo(f"  {words:28}{found[items]:>14} {found[hours]:>14,.2f} h")
    echo(f"  {'over cap':28}{'':>14} {found['over_cap_hours']:>14,.2f} h")
    echo(f"  {'held':28}{'':>14} {found['on_hold_hours']:>14,.2f} h")
    echo(f"  {'draft lines':28}{found['drafts']:>14} {found['stale_drafts']:>14} stale")
    if found["unassigned_items"]:
        echo(f"  {'of no entity that is known':28}{found['unassigned_items']:>14}")
    if found["late_facts"]:
        echo(f"  {'late since it is final':28}{found['late_facts']:>14}")
    for row in money:
        echo(f"\n{row['currency'] or 'no currency'}")
        for title, lines in MONEY.items():
            echo(f"  {title}")
            for words, column in lines.items():
                amount: Decimal | None = row[column]
                echo(f"    {words:26}{'unknown' if amount is None else f'{amount:,.2f}':>29}")
        if row["unknown_lines"]:
            echo(f"  {row['unknown_lines']} contract lines lack terms, see exceptions")
        if row["untied_lines"]:
            echo(f"  {row['untied_lines']} invoice lines don't tie, see v_untied_posting")
