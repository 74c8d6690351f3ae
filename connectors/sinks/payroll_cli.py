"""``tallystream payroll``: approved hours for payroll, out of the warehouse."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import typer
from sqlalchemy import Connection

from connectors.sinks.warehouse.payroll import Extract, Line, all_extracts, extract, lines
from connectors.sinks.warehouse.session import engine_of, store_errors
from streams.errors import ConfigurationError, UsageError
from streams.money import seconds_to_hours
from streams.settings import load_settings

app = typer.Typer(help="Extract approved hours for payroll from the warehouse.", no_args_is_help=True)
COLUMNS = ("extract_id", "consultant_id", "work_date", "seconds", "hours", "approved_seconds")


@app.callback()
def _group() -> None:
    """Extract approved hours for payroll, each change once. Needs TALLYSTREAM_BI_DSN."""


@app.command("extract")
def extract_(
    until: str | None = typer.Option(None, help="only work dates up to this day, such as 2026-04-30"),
    topic_made_anew: bool = typer.Option(
        False,
        "--topic-made-anew",
        help="utilization.daily was made anew since the last extract, and is loaded to its end",
    ),
    as_json: bool = typer.Option(False, "--json", help="one JSON object instead of CSV"),
) -> None:
    """Extract what was approved, corrected or withdrawn since the last extract, as CSV.

    One line for each person and work date that changed, with the difference in seconds and, for display, in hours.
    A correction of what was extracted before is a line with the difference; nothing is extracted twice.
    Refused while the warehouse is loaded again and holds less than at the last extract.

    Example: tallystream payroll extract --until 2026-04-30 > april.csv
    """
    day = None if until is None else _day(until)
    with _warehouse() as connection:
        run, found = extract(connection, day, topic_made_anew=topic_made_anew)
    _show(run, found, as_json)


@app.command()
def show(
    extract_id: int = typer.Argument(help="the number of an extract"),
    as_json: bool = typer.Option(False, "--json", help="one JSON object instead of CSV"),
) -> None:
    """Show an extract again, as it was.

    Example: tallystream payroll show 3 --json
    """
    with _warehouse() as connection:
        run, found = lines(connection, extract_id)
    _show(run, found, as_json)


@app.command("list")
def list_(as_json: bool = typer.Option(False, "--json", help="one JSON array")) -> None:
    """List the extracts there were.

    Example: tallystream payroll list
    """
    with _warehouse() as connection:
        found = all_extracts(connection)
    if as_json:
        typer.echo(json.dumps([_values(run) for run in found]))
        return
    for run in found:
        typer.echo(
            f"{run.extract_id:6} {run.extracted_at:%Y-%m-%d %H:%M} work until {run.until or 'any day'}"
        )


@contextmanager
def _warehouse() -> Iterator[Connection]:
    """A transaction of the warehouse."""
    dsn = load_settings().bi_dsn
    if dsn is None:
        raise ConfigurationError("payroll needs TALLYSTREAM_BI_DSN, say postgresql://user@host/bi")
    engine = engine_of(dsn.get_secret_value())
    with store_errors(engine), engine.begin() as connection:
        yield connection


def _day(given: str) -> date:
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise UsageError(f"--until {given} is no day; give one such as --until 2026-04-30") from None


def _values(run: Extract) -> dict[str, Any]:
    until = None if run.until is None else run.until.isoformat()
    at = run.extracted_at.isoformat()
    return {"extract_id": run.extract_id, "extracted_at": at, "until": until, "definition": run.definition}


def _show(run: Extract, found: list[Line], as_json: bool) -> None:
    rows = [
        (
            run.extract_id,
            line.consultant_id,
            line.work_date.isoformat(),
            line.seconds,
            str(seconds_to_hours(line.seconds)),
            line.approved_seconds,
        )
        for line in found
    ]
    if as_json:
        of_lines = [dict(zip(COLUMNS[1:], row[1:], strict=True)) for row in rows]
        typer.echo(json.dumps({**_values(run), "lines": of_lines}))
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    typer.echo(text.getvalue(), nl=False)
