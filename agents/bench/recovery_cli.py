"""``tallystream bench recovery``."""

from __future__ import annotations

from pathlib import Path

import typer


def recovery(
    entries: int = typer.Option(
        190_000, min=100, help="open time entries; each makes about six state records"
    ),
    reference_rows: int | None = typer.Option(
        None, min=1_000, help="about so many reference rows; as many as the entries come with by default"
    ),
    consultants: int = typer.Option(400, min=1, help="people of the firm"),
    broker: str | None = typer.Option(
        None, help="kafka, or HOST:PORT of an empty one; kafka where Java and Maven are there"
    ),
    seed: int = typer.Option(1, help="the same seed gives the same entries"),
    json_file: Path | None = typer.Option(None, "--json", help="write the result there"),
) -> None:
    """Kill a worker that has much state, and measure how long its lane stands still.

    Three times: started again at once, taken over by another worker that has to restore the state, and by
    one that keeps a standby copy. The time until a dead worker counts as dead is part of it. Memory of the
    workers is given, too.

    Example: tallystream bench recovery --entries 1000000 --reference-rows 200000 --json recovery.json
    """
    import json
    import logging
    import signal

    from rich.console import Console

    from agents.bench.progress import ProgressView
    from agents.bench.recovery import RecoverySettings, run_recovery
    from streams.errors import UsageError
    from streams.logs import LIBRDKAFKA
    from streams.stack import kafka_available

    if broker is None and not kafka_available():
        raise UsageError(
            "the embedded broker does not put out dead workers: install Java and Maven, or --broker"
        )
    if broker == "embedded":
        raise UsageError("the embedded broker does not put out dead workers: take --broker kafka")
    logging.getLogger(LIBRDKAFKA).setLevel(logging.ERROR)
    # SIGTERM as Ctrl-C: the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    settings = RecoverySettings(entries, broker or "kafka", consultants, reference_rows, seed)
    console = Console()
    with ProgressView(console) as view:
        figures = run_recovery(settings, view.show)
    text = json.dumps(figures, indent=2)
    if json_file is None:
        print(text)
    else:
        json_file.write_text(text + "\n", encoding="utf-8")
        for name in ("restart", "takeover", "takeover_with_standby"):
            found = figures[name]
            console.print(f"{name}: ready after {found['ready_s']} s, {found['records']:,} records restored")
