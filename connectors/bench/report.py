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
