"""``tallystream bench cdc`` and ``tallystream bench latency``."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def register(root: typer.Typer) -> None:
    """Add the commands to the group ``bench``, which several layers add to."""
    for group in root.registered_groups:
        if group.name == "bench" and group.typer_instance is not None:
            bench = group.typer_instance
            break
    else:
        bench = typer.Typer(help="Measure what this machine does.", no_args_is_help=True)
        root.add_typer(bench, name="bench")
    bench.command("cdc")(cdc)
    bench.command("latency")(latency)


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
    import re

    from rich.console import Console

    from connectors.bench.measure import Size
    from connectors.bench.report import print_report
    from connectors.bench.run import BenchSettings, debezium_possible, default_broker, run_bench
    from connectors.sources.progress import Steps
    from streams.errors import UsageError

    chosen = _known_broker(broker or default_broker())
    if not re.fullmatch(r"[1-9][0-9]*[kmg]", heap, re.IGNORECASE):
        raise UsageError(f"--heap {heap}: give a number and k, m or g, for example 512m")
    messages = Console(stderr=True)
    measure_debezium = debezium and debezium_possible(chosen)
    if debezium and not measure_debezium:
        messages.print("Debezium is left out: it needs Java, Maven and the broker kafka")
    _quiet_clients()
    settings = BenchSettings(Size(rows, per_second, seconds), chosen, heap, measure_debezium, keep)
    with Steps() as steps:
        result = run_bench(settings, steps.show)
    _show(as_json, result.figures, print_report)
    _say_folder(messages, result.folder)
    if not result.right:
        messages.print("a topic does not say what the table says: see rows_different")
        raise typer.Exit(1)


def latency(
    per_second: int = typer.Option(500, "--rate", min=10, help="one-row transactions a second"),
    seconds: int = typer.Option(30, min=5, help="how long it is measured, after a warm-up"),
    broker: str = typer.Option("embedded", help="embedded or kafka"),
    brokers: int = typer.Option(1, min=1, max=3, help="of Apache Kafka: 1, or 3 that replicate"),
    history: int = typer.Option(0, min=0, help="entries that come by a backfill meanwhile"),
    rerate: bool = typer.Option(
        False, "--rerate", help="measure once more, beside a change of default rates"
    ),
    seed: int = typer.Option(2, help="the same seed gives the same firm and the same corrections"),
    as_json: bool = typer.Option(False, "--json", help="print the result as JSON"),
    keep: bool = typer.Option(
        False, "--keep", help="keep the data folder with the logs, and say where it is"
    ),
) -> None:
    """Measure the whole pipeline: from a commit in the database to its readable billing records.

    Corrections of approved entries come at a steady rate. Milliseconds are from the commit until another
    process has read the last record that it changed in billing.current, read committed; and for each hop.
    Exit code 1 if the result differs from the oracle's.

    With --history so many older entries wait to be billed, too, and come by topics of their own; it says
    what that does to what is live, and how fast it goes.

    Example: tallystream bench latency --rate 500 --seconds 30 --json > latency.json
    """
    from rich.console import Console

    from connectors.bench.latency import LatencySettings, run_latency
    from connectors.bench.report import print_latency
    from connectors.sources.progress import Steps
    from streams.errors import UsageError

    if brokers not in ((1, 3) if _known_broker(broker) == "kafka" else (1,)):
        raise UsageError(f"--brokers {brokers}: Apache Kafka runs on 1 or 3, the embedded broker on 1")
    messages = Console(stderr=True)
    _quiet_clients()
    with Steps() as steps:
        result = run_latency(
            LatencySettings(
                broker, brokers, per_second, seconds, seed, history=history, rerate=rerate, keep=keep
            ),
            steps.show,
        )
    _show(as_json, result.figures, print_latency)
    _say_folder(messages, result.folder)
    if result.differences:
        for line in result.differences:
            messages.print(line, markup=False)
        raise typer.Exit(1)


def _known_broker(broker: str) -> str:
    from streams.errors import UsageError

    if broker not in ("kafka", "embedded"):
        raise UsageError(f"--broker {broker}: choose kafka or embedded")
    return broker


def _quiet_clients() -> None:
    """Standard output is for the result; Ctrl-C and SIGTERM stop the servers on the way out."""
    import structlog

    from streams.logs import LIBRDKAFKA

    # A broker that has just started makes clients retry, which they say as warnings.
    logging.getLogger(LIBRDKAFKA).setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def _show(as_json: bool, figures: dict[str, Any], report: Callable[[Console, dict[str, Any]], None]) -> None:
    from rich.console import Console

    if as_json:
        typer.echo(json.dumps(figures, indent=2))
    else:
        report(Console(), figures)


def _say_folder(messages: Console, folder: Path | None) -> None:
    if folder is not None:
        messages.print(f"data and logs are in {folder}")
