"""``tallystream periods``: which accounting periods are final, and what the others wait for."""

from __future__ import annotations

import json

import typer

app = typer.Typer(help="Say when a closed month is final.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Say when a closed month is final: all that was committed before its close is in billing and revenue."""


@app.command()
def run(
    once: bool = typer.Option(False, help="look once, and end"),
    every: float = typer.Option(5.0, min=0.1, help="seconds between two looks"),  # float: a wait
) -> None:
    """Follow sources and lanes, and publish the state of each period, until told to stop.

    One instance runs at a time; a new one puts an end to the other. /metrics is served if TALLYSTREAM_HTTP_PORT
    is set.

    Example: tallystream periods run
    """
    import signal
    import threading

    from prometheus_client import start_http_server

    from agents.finality.worker import PeriodWorker
    from streams.logs import configure_logs
    from streams.settings import load_settings

    settings = load_settings()
    configure_logs(settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    if settings.http_port:
        start_http_server(settings.http_port, settings.http_host)
    worker = PeriodWorker(settings)
    try:
        if once:
            worker.look()
        else:
            worker.run(stop, every)
    finally:
        worker.close()


@app.command("list")
def list_(as_json: bool = typer.Option(False, "--json", help="one JSON array")) -> None:
    """List the periods: state, what a closing one waits for, and what came late for a final one.

    Example: tallystream periods list --json
    """
    from contextlib import closing
    from datetime import UTC, datetime

    from agents.finality.records import to_record
    from agents.finality.worker import read_states
    from streams.logs import without_client_logs
    from streams.serde import Decoder, Registry
    from streams.settings import load_settings
    from streams.topicreader import TopicReader

    settings = load_settings()
    without_client_logs()
    registry = Registry(settings.registry_url)
    with closing(registry), TopicReader(settings.kafka_bootstrap, "tallystream-periods-list") as topics:
        states = read_states(topics, Decoder(registry).decode)
    if as_json:
        records = [to_record(state, datetime.now(UTC)) for state in states]
        for record in records:
            del record["computed_at"], record["ends"]
        typer.echo(json.dumps(records, default=str))
        return
    for state in states:
        period = state.period
        closed = "" if period.closed_at is None else f"closed {period.closed_at:%Y-%m-%d %H:%M}"
        notes = [f"waits for {name}" for name in state.waits_for]
        notes += [
            f"late: {one.entry_id}, {one.seconds} s, {one.amount} {one.currency or 'of no currency'}"
            for one in state.late
        ]
        line = f"{period.legal_entity_id:14} {period.id:18} {state.state:12} {closed:24} {'; '.join(notes)}"
        typer.echo(line.rstrip())
