"""``tallystream bench agents``."""

from __future__ import annotations

from pathlib import Path

import typer


def agents(
    changes: int = typer.Option(300_000, min=100, help="time entry changes that our worker processes"),
    plain_changes: int | None = typer.Option(
        None, min=100, help="how many of the first ones the plain program processes; all by default"
    ),
    consultants: int = typer.Option(400, min=1, help="people of the firm"),
    broker: str | None = typer.Option(
        None, help="kafka, embedded, or HOST:PORT of an empty one; kafka where Java and Maven are there"
    ),
    partitions: int = typer.Option(4, min=1, help="of every keyed topic, for both programs"),
    seed: int = typer.Option(1, help="the same seed gives the same changes"),
    json_file: Path | None = typer.Option(None, "--json", help="write the result there"),
    keep: bool = typer.Option(False, "--keep", help="keep the data folder, and say where it is"),
) -> None:
    """Measure billing in a worker, and the same billing as a plain Faust program, on the same broker.

    All input is written before anything is measured. Rates are changes per second of CPU time, so the
    broker's share of the machine does not count; rates by wall time are given, too. Exit code 1 if the
    two programs come to different rows.

    Example: tallystream bench agents --changes 100000 --json bench.json
    """
    import json
    import logging
    import signal

    from rich.console import Console

    from agents.bench.progress import ProgressView
    from agents.bench.report import print_report
    from agents.bench.run import BenchSettings, run_bench
    from streams.errors import UsageError
    from streams.logs import LIBRDKAFKA
    from streams.stack import kafka_available

    if plain_changes is not None and plain_changes > changes:
        raise UsageError(f"--plain-changes {plain_changes} is more than --changes {changes}")
    # A broker that has just started makes clients retry, which they say as warnings.
    logging.getLogger(LIBRDKAFKA).setLevel(logging.ERROR)
    # SIGTERM as Ctrl-C: the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    settings = BenchSettings(
        changes,
        changes if plain_changes is None else plain_changes,
        consultants,
        broker or ("kafka" if kafka_available() else "embedded"),
        partitions,
        seed,
        keep,
    )
    console = Console()
    with ProgressView(console) as view:
        result = run_bench(settings, view.show)
    print_report(console, result)
    if json_file is not None:
        json_file.write_text(json.dumps(result.figures, indent=2) + "\n", encoding="utf-8")
    if result.folder is not None:
        console.print(f"data and logs are in {result.folder}")
    if result.comparison.rows_different or not result.comparison.rows_compared:
        raise typer.Exit(1)
