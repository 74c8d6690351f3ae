"""An explanation on a terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.billing.explain import TIED, WON
from agents.explain.arithmetic import Arithmetic, hours_text, money_text, plain
from agents.explain.chainview import ChainLink
from agents.explain.entryview import EntryView
from agents.explain.explanation import Lineage, LineExplanation, LineView, LiveLine
from agents.explain.whyrate import RateStory

_COLOURS = {WON: "green", TIED: "yellow"}


def as_text(explanation: LineExplanation) -> str:
    """One JSON object: decimals as strings without exponent, dates and times in ISO form."""
    return json.dumps(asdict(explanation), indent=2, default=_plain_value)


def show(console: Console, explanation: LineExplanation) -> None:
    """Print it, the most asked for first."""
    _line(console, explanation.line)
    _arithmetic(console, explanation.arithmetic)
    _rate(console, explanation.rate)
    _chain(console, explanation.chain)
    if explanation.entry is not None:
        _entry(console, explanation.entry)
    _live(console, explanation.live_lines, explanation.line.event_id)
    _lineage(console, explanation.lineage)
    if explanation.notes:
        _head(console, "Notes")
        for note in explanation.notes:
            _say(console, f"- {note}")


def _line(console: Console, line: LineView) -> None:
    console.print(f"[bold]{escape(line.event_id)}[/]", soft_wrap=True)
    _pairs(
        console,
        (
            ("kind", f"{line.kind}, {line.state}"),
            ("segment", f"{line.segment}, revision {line.revision}: {line.meaning}"),
            ("bucket", line.bucket),
            ("time", hours_text(line.seconds)),
            ("money", _money(line.amount, line.currency)),
            ("work date", line.work_date),
            ("accounting date", line.accounting_date),
            ("exception", line.exception_class),
            ("waits for", ", ".join(line.missing_keys)),
            ("reverses", line.reverses),
            ("reversed by", line.reversed_by),
            ("charged again as", line.next_charge),
        ),
    )


def _arithmetic(console: Console, arithmetic: Arithmetic) -> None:
    _head(console, "Amount")
    if arithmetic.formula is not None:
        _say(console, arithmetic.formula)
    if arithmetic.rounding is not None:
        _say(console, f"rounding: {arithmetic.rounding}")
    for remark in arithmetic.remarks:
        _say(console, remark)


def _rate(console: Console, story: RateStory) -> None:
    _head(console, "Rate")
    if story.none_because is not None:
        _say(console, f"no rate: {story.none_because}")
    if story.statement != story.none_because:
        style = "bold yellow" if story.still_wins is False else None
        _say(console, story.statement, style)
    if not story.candidates:
        return
    table = Table("rate", "scope", "asks for", "price", "from", "to (excl.)", "outcome now")
    for rate in story.candidates:
        table.add_row(
            *(
                escape(text)
                for text in (
                    rate.id,
                    rate.scope,
                    rate.asks_for,
                    f"{_money(rate.price, rate.currency)}/{rate.unit}",
                    _day(rate.effective_from),
                    _day(rate.effective_to),
                    rate.outcome,
                )
            ),
            style=_COLOURS.get(rate.outcome),
        )
    console.print(table)


def _chain(console: Console, links: Iterable[ChainLink]) -> None:
    _head(console, "Chain")
    table = Table("", "on the line", "now", "name", "says now")
    for link in links:
        now = "missing" if link.missing else "same" if link.now == link.on_line else link.now or ""
        cells = (link.what, link.on_line or "", now, link.name or "", link.detail)
        table.add_row(*(escape(cell) for cell in cells), style="yellow" if now != "same" else None)
    console.print(table)


def _entry(console: Console, entry: EntryView) -> None:
    _head(console, "Entry now")
    _pairs(
        console,
        (
            ("id", f"{entry.id} ({entry.entity})" if entry.entity else entry.id),
            ("status", entry.status),
            ("version", entry.version),
            ("date", entry.work_date),
            ("hours", None if entry.hours is None else plain(entry.hours)),
            ("kind", entry.kind),
            ("decided", _time(entry.decided_at)),
            ("approved by", entry.approved_by),
            ("position", entry.position),
            ("rated now", entry.rating_now),
        ),
    )


def _live(console: Console, lines: Iterable[LiveLine], shown: str) -> None:
    table = Table("in force of the same entry or day", "bucket", "hours", "money")
    for line in lines:
        mark = " (this line)" if line.event_id == shown else ""
        table.add_row(
            escape(line.event_id) + mark, line.bucket, plain(line.hours), _money(line.amount, line.currency)
        )
    if table.row_count:
        _head(console, "Lines in force")
        console.print(table)


def _lineage(console: Console, lineage: Lineage) -> None:
    _head(console, "Lineage")
    position = (
        f"{lineage.source_system or 'none'}, epoch {lineage.source_epoch}, LSN {lineage.source_lsn}, "
        f"ordinal {lineage.source_ordinal}"
    )
    _pairs(
        console,
        (
            ("source position", position),
            ("occurred at", _time(lineage.occurred_at)),
            ("captured at", _time(lineage.captured_at)),
            ("published at", _time(lineage.published_at)),
            ("rated at", _time(lineage.rated_at)),
            ("allocated at", _time(lineage.allocated_at)),
            ("rules", lineage.rule_version),
            ("remark", lineage.remark),
        ),
    )


def _pairs(console: Console, pairs: Iterable[tuple[str, object]]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, ""):
            table.add_row(name, escape(str(value)))
    console.print(table)


def _head(console: Console, title: str) -> None:
    console.print(f"\n[bold]{title}[/]")


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, markup=False, highlight=False, style=style)


def _money(amount: Decimal | None, currency: str | None) -> str:
    return f"{money_text(amount, currency)} {currency or ''}".strip()


def _day(day: date | None) -> str:
    return "open" if day is None else day.isoformat()


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds")


def _plain_value(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
