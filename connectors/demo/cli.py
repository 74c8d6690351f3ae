"""``tallystream demo``."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import typer


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(demo)


def demo(
    days: int = typer.Option(60, min=14, help="calendar days that the firm works"),
    consultants: int = typer.Option(40, min=10, help="people of the firm"),
    seed: int = typer.Option(1, help="the same seed gives the same business rows"),
    broker: str = typer.Option("embedded", help="embedded, kafka, or HOST:PORT of one that runs"),
    rate: float = typer.Option(450.0, min=0, help="row changes a second; 0 is as fast as possible"),
    keep: bool = typer.Option(False, "--keep", help="keep the data folder, and say where it is"),
    json_file: Path | None = typer.Option(None, "--json", help="write the result there"),
) -> None:
    """Run a consulting firm through the whole pipeline and check every cent against an oracle.

    Starts PostgreSQL, a broker, Redis and a schema registry on free loopback ports, captures three
    databases, bills and measures, and stops everything again. Exit code 1 if a single row differs.

    Example: tallystream demo --days 30 --consultants 20 --json result.json
    """
    import tempfile

    from rich.console import Console

    from connectors.demo.live import LiveView
    from connectors.demo.report import print_report
    from connectors.demo.run import DemoSettings, run_demo

    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="tallystream-demo-")) if keep else None
    # SIGTERM as Ctrl-C: the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    settings = DemoSettings(seed, consultants, days, broker, rate or None, folder, keep)
    with LiveView(console) as view:
        done = run_demo(settings, view.show)
    print_report(console, done.figures, done.result)
    if json_file is not None:
        json_file.write_text(json.dumps(done.result, indent=2, default=str) + "\n", encoding="utf-8")
    console.print(f"{done.result['duration_s']} s on broker {done.result['broker']}")
    if folder is not None:
        console.print(f"data and logs are in {folder}")
    if done.result["oracle"]["rows_different"] or done.result["oracle"]["money_difference"] != "0.00":
        raise typer.Exit(1)
