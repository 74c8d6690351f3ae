"""``tallystream stack``: the local servers."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from streams.errors import DependencyUnavailable
from streams.settings import load_settings
from streams.stack.__main__ import parse_ports
from streams.stack.daemon import running_state, serve, start_detached, stop_running
from streams.stack.health import ServiceStatus, check
from streams.stack.stack import EMBEDDED, SERVICES, Stack
from streams.stack.state import StackState, read_state

app = typer.Typer(help="Run PostgreSQL, a broker, Redis and a schema registry locally.", no_args_is_help=True)

FOLDER = "stack"  # inside the data folder, next to the lanes' state
EXIT_NOT_RUNNING = 1

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="data folder; TALLYSTREAM_DATA_DIR, else .tallystream")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object")]


@app.callback()
def _group() -> None:
    """Run PostgreSQL, a broker, Redis and a schema registry locally."""


def stack_folder(data_dir: Path | None) -> Path:
    """Where the stack keeps its data: ``stack`` inside the data folder of the option or the settings."""
    return (data_dir or load_settings().data_dir) / FOLDER


@app.command()
def up(
    data_dir: DataDir = None,
    broker: Annotated[str, typer.Option(help="embedded, kafka (Apache Kafka) or HOST:PORT")] = EMBEDDED,
    service: Annotated[
        list[str] | None, typer.Option(help=f"only this one of {', '.join(SERVICES)}; repeat for more")
    ] = None,
    port: Annotated[
        list[str] | None, typer.Option(help="SERVICE=PORT instead of a free port; repeat")
    ] = None,
    kafka_nodes: Annotated[int, typer.Option(help="1 or 3 nodes of Apache Kafka")] = 1,
    detach: Annotated[
        bool, typer.Option("--detach", help="return when ready; `stack down` stops it")
    ] = False,
) -> None:
    """Start the servers and keep them until Ctrl-C. Data stay for the next time.

    Example: tallystream stack up --broker kafka --port postgres=5432
    """
    folder = stack_folder(data_dir)
    names, pairs = list(service or SERVICES), list(port or [])
    stack = Stack(folder, broker, names, ports=parse_ports(pairs), kafka_nodes=kafka_nodes)
    if detach:
        if running_state(folder) is not None:
            raise DependencyUnavailable(
                f"a stack runs in {folder} already; stop it by `tallystream stack down`"
            )
        arguments = [part for name in names for part in ("--service", name)]
        arguments += [part for pair in pairs for part in ("--port", pair)]
        state = start_detached(folder, [*arguments, "--broker", broker, "--kafka-nodes", str(kafka_nodes)])
        _show(_checked(state))
        return

    def ready() -> None:
        _show(stack.status())
        typer.echo("Ctrl-C stops it; `tallystream stack env` prints the settings for other terminals.")

    serve(stack, ready)


@app.command()
def down(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop the servers that run, or that a crash left running. Data stay.

    Example: tallystream stack down
    """
    folder = stack_folder(data_dir)
    stopped = stop_running(folder)
    if as_json:
        typer.echo(json.dumps(asdict(stopped)))
    elif stopped.leftovers:
        typer.echo(f"stopped what a crash left running in {folder}: {', '.join(stopped.leftovers)}")
    else:
        typer.echo(f"stopped the stack in {folder}" if stopped.was_running else f"no stack runs in {folder}")


@app.command()
def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show each server's address and whether it answers. Exit code 1 if one doesn't, or none runs.

    Example: tallystream stack status --json
    """
    folder = stack_folder(data_dir)
    state = read_state(folder)
    running = state is not None and state.owner.alive
    services = [] if state is None else _checked(state)
    if as_json:
        report: dict[str, Any] = {"running": running, "data_dir": str(folder.resolve())}
        report["broker"] = None if state is None else state.broker
        report["services"] = [asdict(service) for service in services]
        typer.echo(json.dumps(report))
    elif state is None:
        typer.echo(f"no stack runs in {folder}; `tallystream stack up` starts one")
    else:
        _show(services)
        if not running:
            typer.echo("The stack's process is gone; `tallystream stack down` clears what it left.")
    if not running or not all(service.healthy for service in services):
        raise typer.Exit(EXIT_NOT_RUNNING)


@app.command()
def env(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print the settings that find the running servers, passwords included, as shell commands.

    Example: eval "$(tallystream stack env)"
    """
    folder = stack_folder(data_dir)
    state = running_state(folder)
    if state is None or not state.environment:
        raise DependencyUnavailable(f"no stack runs in {folder}; `tallystream stack up` starts one")
    if as_json:
        typer.echo(json.dumps(state.environment))
        return
    for name, value in state.environment.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _checked(state: StackState) -> list[ServiceStatus]:
    return [check(service, state.environment) for service in state.services]


def _show(services: list[ServiceStatus]) -> None:
    table = Table("service", "address", "health", "log")
    for service in services:
        table.add_row(service.name, service.address, "ok" if service.healthy else "no answer", service.log)
    console = Console()
    if not console.is_terminal:
        console.width = 200  # a pipe or file has no width; do not break paths there
    console.print(table)
