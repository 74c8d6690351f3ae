"""``tallystream explain``: why a ledger line is what it is."""

from __future__ import annotations

import typer


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(explain)


def explain(
    event_id: str = typer.Argument(
        help="event_id of a line of billing.events: <root>:<entry>:<segment>:<revision>:<kind>"
    ),
    as_json: bool = typer.Option(False, "--json", help="one JSON object; decimals are strings"),
) -> None:
    """Explain a ledger line: its amount step by step, its rate among all candidates, and where it comes from.

    Reads the line's partition of the ledger, and reference tables and entry as they are now. Exit code 1
    if there is no such line.

    Example: tallystream explain erp:E1:time:5:base:1:CHARGE
    """
    from contextlib import closing

    from rich.console import Console

    from agents.explain.eventid import read_event_id
    from agents.explain.explanation import explain_line
    from agents.explain.reading import FactsReader
    from agents.explain.show import as_text, show
    from streams.contracts import load_contracts
    from streams.logs import without_client_logs
    from streams.serde import Decoder, Registry
    from streams.settings import load_settings
    from streams.topicreader import TopicReader

    readings = read_event_id(event_id)
    settings = load_settings()
    without_client_logs()
    progress = Console(stderr=True).status("reading")  # shown on terminals only
    with (
        progress,
        closing(Registry(settings.registry_url)) as registry,
        TopicReader(settings.kafka_bootstrap, "tallystream-explain") as topics,
    ):
        reader = FactsReader(
            topics,
            Decoder(registry),
            load_contracts(),
            lambda topic: progress.update(f"reading {topic}"),
        )
        explanation = explain_line(reader.read(readings))
    if as_json:
        typer.echo(as_text(explanation))
    else:
        show(Console(emoji=False), explanation)  # :x: is a part of an id
