"""``tallystream config``: what this process would run with."""

from __future__ import annotations

import json

import typer

from streams.settings import PREFIX, Settings, load_settings

app = typer.Typer(help="Show the settings.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Show the settings."""


@app.command()
def show(as_json: bool = typer.Option(False, "--json", help="one JSON object")) -> None:
    """Print every setting, its value (secrets masked) and what it means.

    Example: tallystream config show --json
    """
    values = load_settings().masked()
    if as_json:
        typer.echo(json.dumps(values))
        return
    for name, value in values.items():
        typer.echo(f"{PREFIX}{name.upper():24} {value!s:32} {Settings.model_fields[name].description}")
