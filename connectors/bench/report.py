"""The benchmark's table."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from connectors.bench.run import DEFAULTS, OURS, POLL_1MS

_TITLES = {
    OURS: "tallystream",
    DEFAULTS: "Debezium, defaults",
    POLL_1MS: "Debezium, poll.interval.ms=1",
}


def print_report(console: Console, figures: dict[str, Any]) -> None:
    """Print the contenders side by side, and whether their topics say what the table says."""
    measured = {name: figures[name] for name in _TITLES if figures[name] is not None}
    table = Table(title=f"{figures['rows']:,} rows on {figures['broker']}, {figures['cores']} cores")
    table.add_column("")
    for name in measured:
        table.add_column(_TITLES[name], justify="right")
    flat = {name: {**one, **one["latency_ms"]} for name, one in measured.items()}
    for label, key in (
        ("snapshot, rows/s", "snapshot_rows_per_s"),
        ("streaming, rows/s", "streaming_rows_per_s"),
        ("streaming, CPU µs/row", "streaming_cpu_us_per_row"),
        ("commit to readable, p50 ms", "p50"),
        ("commit to readable, p99 ms", "p99"),
        ("peak memory, MB", "peak_rss_mb"),
        ("rows compared", "rows_compared"),
        ("rows different", "rows_different"),
    ):
        table.add_row(label, *(f"{one[key]:,}" for one in flat.values()))
    console.print(table)
    for name, ratio in figures["ratios"].items():
        console.print(f"{name}: {'not measured' if ratio is None else ratio}")


def print_latency(console: Console, figures: dict[str, Any]) -> None:
    """Print the whole way and each hop, and what the processes used meanwhile."""
    title = f"{figures['reached_per_s']} changes/s on {figures['broker']} ({figures['brokers']})"
    table = Table(title=f"{title}, {figures['changes_seen']:,} changes seen; milliseconds")
    table.add_column("")
    for name in ("p50", "p95", "p99", "max"):
        table.add_column(name, justify="right")
    rows = {"commit to readable": figures["commit_to_billing_ms"], **figures["hops_ms"]}
    for label, row in rows.items():
        table.add_row(label, *(f"{value:,.1f}" for value in row.values()))
    console.print(table)
    if "history" in figures:
        console.print(
            f"beside {figures['history']:,} older entries: {figures['history_beside_live_per_s']:,} of them a second, "
            f"{figures['history_per_s']:,} over the whole; {figures['history_left_when_measured']:,} were left"
        )
    if "rerating" in figures:
        again = figures["rerating"]
        p50, p99 = (again["commit_to_billing_ms"][name] for name in ("p50", "p99"))
        console.print(
            f"beside {again['entries']:,} entries rated again, {again['entries_per_s']:,} a second: p50 {p50:,.1f}, "
            f"p99 {p99:,.1f}; {again['entries_left_when_measured']:,} were left"
        )
    used = ", ".join(f"{name} {share:.0%}" for name, share in figures["cpu_share"].items())
    console.print(f"of one core: {used}; load of others at the start: {figures['load_at_start']}")
