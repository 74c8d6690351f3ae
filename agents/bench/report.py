"""The benchmark's table."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from agents.bench.run import BenchResult


def print_report(console: Console, result: BenchResult) -> None:
    """Print the programs side by side, and whether their rows agree."""
    figures = result.figures
    table = Table(title=f"billing on {figures['broker']}, {figures['cores']} cores, {figures['cpu_model']}")
    table.add_column("")
    for name in ("tallystream worker", "plain Faust", "Quix Streams"):
        table.add_column(name, justify="right")
    for label, ours, *peers in (
        ("entry changes", "changes", "plain_changes", "plain_changes"),
        ("CPU seconds", "ours_cpu_s", "plain_cpu_s", "quix_cpu_s"),
        ("wall seconds", "ours_wall_s", "plain_wall_s", "quix_wall_s"),
        (
            *("changes/s per core (CPU time)", "ours_events_per_s"),
            *("plain_faust_events_per_s", "quix_events_per_s"),
        ),
        (
            *("changes/s (wall time)", "ours_wall_events_per_s"),
            *("plain_wall_events_per_s", "quix_wall_events_per_s"),
        ),
    ):
        table.add_row(label, *(_shown(figures[name]) for name in (ours, *peers)))
    console.print(table)
    for label, name in (
        ("plain Faust", "ratio_vs_plain_faust"),
        ("Quix Streams", "ratio_vs_quix"),
        ("coding alone", "ratio_vs_codec_limit"),
    ):
        console.print(f"per core, against {label}: {_shown(figures[name])}")
    if "workers" in figures:
        more = figures["workers"]
        console.print(
            f"{more['workers']} workers: {more['wall_events_per_s']:,} changes/s (wall time); "
            f"CPU time of a change: {more['cpu_per_change_ratio']} of one worker's"
        )
    for name, comparison in result.comparisons.items():
        console.print(
            f"billing.current, against {name}: {comparison.rows_compared:,} rows compared, "
            f"{comparison.rows_different:,} different"
        )
        for example in comparison.examples:
            console.print(f"  {example}", markup=False)


def print_growth(console: Console, figures: dict[str, Any]) -> None:
    """Print rates by size, for both kinds of growth."""
    for title, name in (
        ("open entries", "by_open_entries"),
        ("entries of one capped root", "by_entries_of_capped_root"),
    ):
        rates: dict[str, dict[str, int]] = figures[name]
        table = Table(title="changes/s of CPU time")
        table.add_column(title, justify="right")
        kinds = list(next(iter(rates.values()), {}))
        for kind in kinds:
            table.add_column(kind, justify="right")
        for size, found in rates.items():
            table.add_row(f"{int(size):,}", *(f"{found[kind]:,}" for kind in kinds))
        if rates:
            console.print(table)


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:,}"
