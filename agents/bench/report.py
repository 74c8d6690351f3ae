"""The benchmark's table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from agents.bench.run import BenchResult


def print_report(console: Console, result: BenchResult) -> None:
    """Print both programs side by side, and whether their rows agree."""
    figures = result.figures
    table = Table(title=f"billing on {figures['broker']}, {figures['cores']} cores, {figures['cpu_model']}")
    table.add_column("")
    for name in ("tallystream worker", "plain Faust"):
        table.add_column(name, justify="right")
    for label, ours, plain in (
        ("entry changes", "changes", "plain_changes"),
        ("CPU seconds", "ours_cpu_s", "plain_cpu_s"),
        ("wall seconds", "ours_wall_s", "plain_wall_s"),
        ("changes/s per core (CPU time)", "ours_events_per_s", "plain_faust_events_per_s"),
        ("changes/s (wall time)", "ours_wall_events_per_s", "plain_wall_events_per_s"),
    ):
        table.add_row(label, f"{figures[ours]:,}", f"{figures[plain]:,}")
    console.print(table)
    console.print(f"ratio per core: {figures['ratio_vs_plain_faust']}")
    console.print(
        f"billing.current: {figures['rows_compared']:,} rows compared, {figures['rows_different']:,} different"
    )
    for example in result.comparison.examples:
        console.print(f"  {example}", markup=False)
