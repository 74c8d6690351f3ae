"""``tallystream sink``: run a sink, and what its operator needs besides."""

from __future__ import annotations

import gc
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

import typer

from connectors.sinks.backoff import PATIENCE_S, Backoff
from connectors.sinks.feed import BATCH_RECORDS, TOPIC_PATIENCE_S, Feed
from connectors.sinks.health import Health, serve
from connectors.sinks.redis import RedisTarget
from connectors.sinks.runner import Runner
from connectors.sinks.target import Target
from connectors.sinks.warehouse import WarehouseTarget, ddl
from connectors.sinks.warehouse import warehouse as warehouse_tables
from streams.errors import ConfigurationError, UsageError
from streams.logs import configure_logs
from streams.serde import Decoder, Registry
from streams.settings import Settings, load_settings

app = typer.Typer(help="Load published topics into the warehouse and Redis.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Sink:
    """A sink that can be run by its name."""

    purpose: str
    topics: Callable[[], tuple[str, ...]]
    make: Callable[[Settings], Target]


def _warehouse(settings: Settings) -> Target:
    if settings.bi_dsn is None:
        raise ConfigurationError("the warehouse sink needs TALLYSTREAM_BI_DSN, say postgresql://user@host/bi")
    return WarehouseTarget(settings.bi_dsn.get_secret_value())


def _redis(settings: Settings) -> Target:
    return RedisTarget(settings.redis_url.get_secret_value())


SINKS = {
    "warehouse": Sink(
        "star schema in PostgreSQL for BI tools", lambda: tuple(warehouse_tables().loads), _warehouse
    ),
    "redis": Sink("live utilization, open exceptions and freshness", lambda: RedisTarget.topics, _redis),
}


@app.callback()
def _group() -> None:
    """Load published topics into the warehouse and Redis, each record exactly once."""


@app.command("list")
def list_(as_json: bool = typer.Option(False, "--json", help="one JSON array")) -> None:
    """List the sinks, what they are for, and the topics they read.

    Example: tallystream sink list --json
    """
    found = [{"name": n, "purpose": s.purpose, "topics": list(s.topics())} for n, s in SINKS.items()]
    if as_json:
        typer.echo(json.dumps(found))
        return
    for sink in found:
        typer.echo(f"{sink['name']:12} {sink['purpose']}")
        for topic in sink["topics"]:
            typer.echo(f"{'':12}   {topic}")


@app.command()
def run(
    name: str = typer.Argument(help="warehouse or redis"),
    drain: bool = typer.Option(False, help="end when everything there is has been loaded"),
    batch: int = typer.Option(BATCH_RECORDS, min=1, max=100_000, help="records in a transaction, at most"),
    patience: float = typer.Option(PATIENCE_S, min=0, help="seconds a dependency may be away"),
    topic_patience: float = typer.Option(TOPIC_PATIENCE_S, min=0, help="seconds to wait for missing topics"),
) -> None:
    """Run a sink until it is told to stop (SIGTERM or Ctrl-C).

    One instance of a sink runs at a time; a second one refuses to start. It continues where the store
    says it stands. /livez, /readyz and /metrics are served if TALLYSTREAM_HTTP_PORT is set.

    Example: tallystream sink run warehouse
    """
    sink = _find(name)
    settings = load_settings()
    configure_logs(settings.log_level)
    target = sink.make(settings)
    decoder = Decoder(Registry(settings.registry_url))
    # A batch is tens of thousands of short-lived dicts and no cycles, which the collector would walk
    # again and again for nothing. Saves about a twentieth of the processor time of a bulk load.
    gc.set_threshold(100_000, 50, 100)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    health = Health()
    server = serve(health, settings.http_host, settings.http_port) if settings.http_port else None
    try:
        Runner(
            target,
            lambda: Feed(
                settings.kafka_bootstrap, f"tallystream-sink-{name}", target.topics, decoder.decode, batch
            ),
            stop=stop,
            health=health,
            backoff=Backoff(patience),
            topic_patience_s=topic_patience,
            drain=drain,
        ).run()
    finally:
        if server is not None:
            server.shutdown()


@app.command()
def reset(
    name: str = typer.Argument(help="warehouse or redis"),
    topic: str | None = typer.Option(None, help="only this topic"),
) -> None:
    """Forget a stopped sink's positions, so that it loads again what the topics still have.

    Rows that are there stay and are not doubled: older revisions and known events are skipped.

    Example: tallystream sink reset warehouse --topic latency.windows
    """
    sink = _find(name)
    if topic is not None and topic not in sink.topics():
        raise UsageError(f"sink {name} does not read {topic}; see `tallystream sink list`")
    target = sink.make(load_settings())
    try:
        target.open()
        count = target.forget(topic)
    finally:
        target.close()
    typer.echo(f"{count} partitions of {topic or 'all topics'} will be loaded from their beginning")


@app.command("ddl")
def ddl_() -> None:
    """Print the warehouse's tables and views as SQL; the sink creates what is missing by itself.

    Example: tallystream sink ddl | psql bi
    """
    typer.echo(ddl())


def _find(name: str) -> Sink:
    if name not in SINKS:
        raise UsageError(f"no sink {name!r}; there are {' and '.join(SINKS)}")
    return SINKS[name]
