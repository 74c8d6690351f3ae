"""The end of the demo: one table that a finance person understands, and the same as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from connectors.demo.figures import Figures, hours

NAMES = {
    "billed": "billed (posted in the ERP)",
    "on_draft": "on a draft invoice",
    "unbilled": "unbilled, ready to invoice",
    "covered": "covered (retainer, prepaid)",
    "fixed_fee": "fixed fee",
    "over_cap": "over cap, held",
    "on_hold": "on hold, until somebody releases it",
    "refused": "bill adjustments without effect",
    "non_chargeable": "non-chargeable",
    "written_off": "written off",
    "rounding": "quantity rounding",
    "parked": "parked: worth unknown yet",
}


def print_report(console: Console, figures: Figures, result: dict[str, Any]) -> None:
    """Print the tables."""
    console.print(_money(figures))
    console.print(_parked(figures))
    console.print(_utilization(figures))
    console.print(_latency(figures))
    oracle = result["oracle"]
    good = oracle["rows_different"] == 0 and oracle["money_difference"] == "0.00"
    console.print(
        f"\n{oracle['rows_compared']:,} rows compared with the oracle, {oracle['rows_different']:,} different. "
        f"[bold {'green' if good else 'red'}]Difference to the oracle: {oracle['money_difference']}[/]"
    )
    for line in result.get("differences", ()):
        console.print(f"  [red]{line}[/]")


def _money(figures: Figures) -> Table:
    table = Table(title="Approved time and its money", title_justify="left")
    table.add_column("state")
    table.add_column("currency")
    for name in ("entries", "hours", "amount"):
        table.add_column(name, justify="right")
    total = 0
    for bucket, name in NAMES.items():
        for row in (row for row in figures.buckets if row["bucket"] == bucket):
            amount = "" if row["amount"] is None else f"{row['amount']:,.2f}"
            table.add_row(name, row["currency"] or "", f"{row['entries']:,}", hours(row["seconds"]), amount)
            total += row["seconds"]
    table.add_section()
    table.add_row("approved", "", "", hours(total), "")
    return table


def _parked(figures: Figures) -> Table:
    table = Table(title="Parked, by reason", title_justify="left")
    table.add_column("reason")
    table.add_column("entries", justify="right")
    table.add_column("hours", justify="right")
    for row in figures.parked:
        table.add_row(row["exception_class"], f"{row['entries']:,}", hours(row["seconds"]))
    return table


def _utilization(figures: Figures) -> Table:
    table = Table(title="Utilization by practice", title_justify="left")
    table.add_column("practice")
    for name in ("billable h", "capacity h", "utilization"):
        table.add_column(name, justify="right")
    for row in figures.utilization:
        ratio = f"{row['billable'] / row['capacity'] * 100:.1f}%" if row["capacity"] else "n/a"
        table.add_row(row["practice"], hours(row["billable"]), hours(row["capacity"]), ratio)
    return table


def _latency(figures: Figures) -> Table:
    table = Table(title="Latency, ms", title_justify="left")
    table.add_column("hop")
    for name in ("p50", "p95", "p99"):
        table.add_column(name, justify="right")
    for hop, quantiles in figures.latency_ms.items():
        cells = ["" if quantiles[q] is None else f"{quantiles[q]:,.1f}" for q in ("p50", "p95", "p99")]
        table.add_row(hop.replace("_", " "), *cells)
    return table
