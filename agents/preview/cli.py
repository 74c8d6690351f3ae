"""``tallystream preview``."""

from __future__ import annotations

from pathlib import Path

import typer


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(preview)


def preview(
    change: Path = typer.Option(..., "--change", metavar="FILE", help="YAML file of the changes to suppose"),
    as_json: bool = typer.Option(False, "--json", help="one JSON object, with all segments"),
) -> None:
    """Compute what a change would do to billing: which entries move, by how much money per client and period.

    Reads the canonical topics as they are now and emits nothing. The file has a list under `changes`, each with
    an entity (rate, engagement, contract_line, project, time_entry, bill_adjustment and others, as in the
    canonical topics), an id or a `where` of values, and `set` with new values or `delete: true`. An id that is not
    there is a new row. What the mappings would quarantine is refused; a corrected time entry or expense has the next
    version:

    \b
      changes:
        - {entity: rate, id: erp:R-7, set: {price: 160.00}}
        - {entity: time_entry, where: {project_id: erp:P-OLD}, set: {project_id: erp:P-1}}

    Example: tallystream preview --change new-prices.yaml --json > preview.json
    """
    import json
    from contextlib import closing

    from rich.console import Console

    from agents.canonical.loader import load_mappings
    from agents.preview.changefile import read_changes
    from agents.preview.reading import FactsReader
    from agents.preview.rules import MappingRules
    from agents.preview.show import show
    from agents.preview.totals import as_document, summed
    from agents.preview.whatif import WhatIf
    from streams.logs import without_client_logs
    from streams.serde import Decoder, Registry
    from streams.settings import load_settings
    from streams.topicreader import TopicReader

    what_if = WhatIf(read_changes(change), MappingRules(load_mappings()).problem)
    settings = load_settings()
    without_client_logs()
    progress = Console(stderr=True).status("reading")  # shown on terminals only
    with (
        closing(Registry(settings.registry_url)) as registry,
        TopicReader(settings.kafka_bootstrap, "tallystream-preview") as topics,
        progress,
    ):
        reader = FactsReader(topics, Decoder(registry), progress.update)
        reader.read(what_if)
        found = summed(what_if.difference(reader.scan), what_if.effects, reader.unreadable)
    if found.unreadable:
        typer.echo(f"{found.unreadable:,} records can't be read and count for nothing", err=True)
    if as_json:
        typer.echo(json.dumps(as_document(found), indent=2))
    else:
        show(Console(emoji=False), found)  # :x: is a part of an id
