"""``tallystream bench cdc``."""

from __future__ import annotations

import typer


def register(root: typer.Typer) -> None:
    """Add the command to the group ``bench``, which several layers add to."""
    for group in root.registered_groups:
        if group.name == "bench" and group.typer_instance is not None:
            bench = group.typer_instance
            break
    else:
        bench = typer.Typer(help="Measure what this machine does.", no_args_is_help=True)
        root.add_typer(bench, name="bench")
    bench.command("cdc")(cdc)


def cdc(
    rows: int = typer.Option(200_000, min=1_000, help="rows of the snapshot, and changes of the stream"),
    seconds: int = typer.Option(30, min=1, help="how long latency is measured"),
    per_second: int = typer.Option(500, min=1, help="one-row transactions a second meanwhile"),
    broker: str | None = typer.Option(None, help="kafka or embedded; kafka where Java and Maven are there"),
    heap: str = typer.Option("512m", help="of Debezium's JVM, as java -Xmx takes it"),
    debezium: bool = typer.Option(
        True, help="measure Debezium, too: twice, with its defaults and with poll.interval.ms=1"
    ),
    as_json: bool = typer.Option(False, "--json", help="print the result as JSON"),
    keep: bool = typer.Option(
        False, "--keep", help="keep the data folder with the logs, and say where it is"
    ),
) -> None:
    """Measure our PostgreSQL source and Debezium's connector on the same servers.

    Each gets the same table of nine columns anew: a snapshot, a backlog of inserts, updates and deletes,
    then one-row transactions at a steady rate. Rates end when the last row can be read by a
    read-committed consumer; latency is from the commit in the database to the consumer. Topics are
    compared with the table at the end, row by row: exit code 1 if one differs.

    Example: tallystream bench cdc --rows 100000 --seconds 20 --json > cdc.json
    """
    import json
    import logging
    import re
    import signal

    from rich.console import Console

    from connectors.bench.measure import Size
    from connectors.bench.progress import ProgressView
    from connectors.bench.report import print_report
    from connectors.bench.run import BenchSettings, debezium_possible, default_broker, run_bench
    from streams.errors import UsageError
    from streams.logs import LIBRDKAFKA

    chosen = broker or default_broker()
    if chosen not in ("kafka", "embedded"):
        raise UsageError(f"--broker {chosen}: choose kafka or embedded")
    if not re.fullmatch(r"[1-9][0-9]*[kmg]", heap, re.IGNORECASE):
        raise UsageError(f"--heap {heap}: give a number and k, m or g, for example 512m")
    messages = Console(stderr=True)
    measure_debezium = debezium and debezium_possible(chosen)
    if debezium and not measure_debezium:
        messages.print("Debezium is left out: it needs Java, Maven and the broker kafka")
    # A broker that has just started makes clients retry, which they say as warnings.
    logging.getLogger(LIBRDKAFKA).setLevel(logging.ERROR)
    # SIGTERM as Ctrl-C: the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    settings = BenchSettings(Size(rows, per_second, seconds), chosen, heap, measure_debezium, keep)
    with ProgressView() as view:
        result = run_bench(settings, view.show)
    if as_json:
        typer.echo(json.dumps(result.figures, indent=2))
    else:
        print_report(Console(), result.figures)
    if result.folder is not None:
        messages.print(f"data and logs are in {result.folder}")
    if not result.right:
        messages.print("a topic does not say what the table says: see rows_different")
        raise typer.Exit(1)
