"""``tallystream prove``."""

from __future__ import annotations

import typer


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(prove)


def prove(
    wait: float = typer.Option(  # float: a wait
        10.0,  # float: a wait
        min=0,
        help="seconds that differences must stay the same; 0: one look",
    ),
    topics: bool = typer.Option(False, "--topics", help="compare the topics only"),
    warehouse: bool = typer.Option(False, "--warehouse", help="compare the warehouse only; needs no broker"),
    as_json: bool = typer.Option(False, "--json", help="one JSON object, with all figures"),
) -> None:
    """Compare the running system with the oracle's one batch pass over the source databases.

    Reads the three databases, the published topics, and the warehouse if TALLYSTREAM_BI_DSN is set, and
    compares them row by row and to the cent. What is under way differs until it arrives: it looks again until
    nothing differs, or the differences have stayed the same for --wait seconds. Nothing is written anywhere.
    Exit code 1 if a difference stayed; the first one is shown with where it comes from.

    Example: tallystream prove --wait 30 --json > proof.json
    """
    import json
    import math
    import signal

    from rich.console import Console

    from connectors.proof.report import figures, print_report
    from connectors.proof.run import TOPICS, WAREHOUSE, Prover
    from streams.errors import UsageError
    from streams.logs import without_client_logs
    from streams.settings import load_settings

    if not math.isfinite(wait):
        raise UsageError(f"--wait {wait} is no number of seconds; give one such as --wait 30")
    settings = load_settings()
    without_client_logs()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if topics or warehouse:
        sides = [name for name, asked in ((TOPICS, topics), (WAREHOUSE, warehouse)) if asked]
    else:
        sides = [TOPICS] if settings.bi_dsn is None else [TOPICS, WAREHOUSE]
    messages = Console(stderr=True)
    if messages.is_terminal:
        with messages.status("starting") as status:
            proof = Prover(settings, sides, status.update).run(wait)
    else:
        proof = Prover(settings, sides).run(wait)
    if as_json:
        typer.echo(json.dumps(figures(proof), indent=2))
    else:
        console = Console(emoji=False)  # :x: is a part of an id
        if not console.is_terminal:
            console.width = 200  # a pipe or file has no width; do not break ids there
        print_report(console, proof)
    if not proof.verdict.proven:
        raise typer.Exit(1)
