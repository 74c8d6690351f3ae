"""``tallystream bench agents`` and ``tallystream bench growth``."""

from __future__ import annotations

from pathlib import Path

import typer

# Fewer entries than this are fewer than one fetch brings.
SMALLEST = 100


def agents(
    changes: int = typer.Option(300_000, min=100, help="time entry changes that our worker processes"),
    plain_changes: int | None = typer.Option(
        None, min=100, help="how many of the first ones the peers process; all by default"
    ),
    consultants: int = typer.Option(400, min=1, help="people of the firm"),
    broker: str | None = typer.Option(
        None, help="kafka, embedded, or HOST:PORT of an empty one; kafka where Java and Maven are there"
    ),
    partitions: int = typer.Option(4, min=1, help="of every keyed topic, for all programs"),
    seed: int = typer.Option(1, help="the same seed gives the same changes"),
    workers: int = typer.Option(1, min=1, help="measure so many workers at once, too, on a core each"),
    skip_quix: bool = typer.Option(False, "--skip-quix", help="without Quix Streams"),
    json_file: Path | None = typer.Option(None, "--json", help="write the result there"),
    keep: bool = typer.Option(False, "--keep", help="keep the data folder, and say where it is"),
) -> None:
    """Measure billing in a worker, and the same billing as a plain Faust and as a Quix Streams program.

    All run on the same broker, one after the other, on one core each. All input is written before anything
    is measured. Rates are changes per second of CPU time, so the broker's share of the machine does not
    count; rates by wall time are given, too. Quix Streams gets a virtual environment of its own, made once
    in the cache folder. Exit code 1 if a program comes to other rows than ours.

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
        workers,
        not skip_quix,
    )
    console = Console()
    if skip_quix:
        console.print("Quix Streams is left out, as asked")
    with ProgressView(console) as view:
        result = run_bench(settings, view.show)
    print_report(console, result)
    if json_file is not None:
        json_file.write_text(json.dumps(result.figures, indent=2) + "\n", encoding="utf-8")
    if result.folder is not None:
        console.print(f"data and logs are in {result.folder}")
    if any(one.rows_different or not one.rows_compared for one in result.comparisons.values()):
        raise typer.Exit(1)


def growth(
    open_entries: str = typer.Option("10000,100000", help="numbers of open entries over many roots"),
    entries_of_root: str = typer.Option("100,10000,100000", help="numbers of entries of one capped root"),
    changes: int = typer.Option(10_000, min=100, help="changes measured of each kind"),
    together: int = typer.Option(50, min=1, help="changes that come in one fetch"),
    seed: int = typer.Option(1, help="the same seed gives the same changes"),
    as_json: bool = typer.Option(False, "--json", help="print the result as JSON"),
) -> None:
    """Measure what a change costs when much is open already.

    Both stages of billing with their state in RocksDB, in this process and without a broker. Rates are
    changes a second of CPU time: corrections of any entries, new entries after all others, and, for open
    entries, re-evaluations of all of them for a new default rate.

    Example: tallystream bench growth --open-entries 10000,1000000 --json > growth.json
    """
    import json

    from rich.console import Console

    from agents.bench.growth import GrowthSettings, run_growth
    from agents.bench.progress import ProgressView
    from agents.bench.report import print_growth

    sizes = _numbers("--open-entries", open_entries), _numbers("--entries-of-root", entries_of_root)
    with ProgressView(Console(stderr=True)) as view:
        figures = run_growth(GrowthSettings(*sizes, changes, together, seed), view.show)
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
    else:
        print_growth(Console(), figures)


def _numbers(option: str, text: str) -> list[int]:
    from streams.errors import UsageError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() and int(part) >= SMALLEST for part in parts):
        raise UsageError(
            f"{option} {text}: give numbers from {SMALLEST} on with commas between, as 10000,100000"
        )
    return [int(part) for part in parts]
