"""``tallystream source``: run a source of row changes."""

from __future__ import annotations

import gc
import signal
from pathlib import Path

import typer
from prometheus_client import start_http_server

from connectors.sources.check import check_source
from connectors.sources.config import SourceConfig
from connectors.sources.kinds import load_source, make_source
from connectors.sources.running import StopSignal, Surroundings
from streams.errors import ConfigurationError
from streams.logs import configure_logs
from streams.settings import Settings, load_settings

app = typer.Typer(help="Publish the row changes of a database.", no_args_is_help=True)

CONFIG = typer.Argument(..., help="TOML file of the source", exists=False, metavar="CONFIG")
KAFKA = typer.Option(
    None, "--kafka", help="host:port of the brokers; TALLYSTREAM_KAFKA_BOOTSTRAP if not given"
)
REGISTRY = typer.Option(None, "--registry", help="schema registry URL; TALLYSTREAM_REGISTRY_URL if not given")
ONCE = typer.Option(False, "--once", help="stop when all that the log holds now is published")

# A source makes a few million short-lived objects a minute and no cycles: the collector's default of
# one pass in 700 allocations costs a tenth of the throughput and finds nothing.
_GC_THRESHOLDS = (50_000, 20, 50)


@app.callback()
def _group() -> None:
    """Publish the row changes of a database."""


@app.command()
def run(
    config: Path = CONFIG, kafka: str | None = KAFKA, registry: str | None = REGISTRY, once: bool = ONCE
) -> None:
    """Publish a database's row changes, from a snapshot on, exactly once.

    Example: tallystream source run erp.toml

    \b
    # erp.toml; topics are cdc.<name>.<schema>.<table>
    name = "erp"
    # postgresql, the default; or mariadb, polling (any database), sqlite
    connector = "postgresql"
    # the DSN: one of dsn, dsn_file, dsn_env
    dsn_env = "ERP_DSN"
    # schema.table, or all tables of a schema
    tables = ["public.client", "billing.*"]
    # made if missing; tallystream_<name> by default
    slot = "tallystream_erp"
    publication = "tallystream_erp"
    # of each topic that is made
    partitions = 6
    # PostgreSQL 17 and later: standbys keep the slot too
    failover = true
    # warns when the server keeps more log than this for the slot
    slot_bytes_limit = 20000000000
    # serves /metrics there; 0, the default, is off
    http_port = 9401

    PostgreSQL needs wal_level=logical, the role REPLICATION, SELECT on the tables,
    and, to make the publication, CREATE on the database and ownership of the tables.
    With REPLICA IDENTITY FULL changes carry the whole row as it was before.
    SIGTERM and Ctrl-C stop cleanly; a killed source goes on where it was.
    """
    parsed, settings = _load(config, kafka, registry)
    configure_logs(settings.log_level)
    if parsed.http_port:
        start_http_server(parsed.http_port, settings.http_host)
    gc.set_threshold(*_GC_THRESHOLDS)
    stop = StopSignal()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    make_source(parsed, _surroundings(settings)).run(stop, once=once)


@app.command()
def resnapshot(config: Path = CONFIG, kafka: str | None = KAFKA, registry: str | None = REGISTRY) -> None:
    """Let the next run take a new snapshot, after a slot or a position was lost.

    Rows that were deleted while changes were lost stay in the topics: `repair` finds those too.

    Example: tallystream source resnapshot erp.toml
    """
    parsed, settings = _load(config, kafka, registry)
    configure_logs(settings.log_level)
    make_source(parsed, _surroundings(settings)).resnapshot()


@app.command()
def snapshot(
    config: Path = CONFIG,
    tables: list[str] = typer.Option(..., "--table", help="schema.table; may be given more than once"),
) -> None:
    """Have a source read tables again while it streams, by a row in its signal_table or a message in the log.

    Example: tallystream source snapshot erp.toml --table public.client
    """
    from connectors.sources.postgres.config import PostgresConfig
    from connectors.sources.postgres.snapshot.signals import request_snapshot

    parsed = load_source(config)
    if not isinstance(parsed, PostgresConfig):
        raise ConfigurationError(f"{config}: snapshot is for PostgreSQL, not for a {parsed.connector} source")
    request_snapshot(parsed, tables)
    where = parsed.signal_table or "the log"
    typer.echo(f"asked for in {where}: the source reads {', '.join(tables)} while it runs")


@app.command()
def check(
    config: Path = CONFIG,
    kafka: str | None = KAFKA,
    registry: str | None = REGISTRY,
    as_json: bool = typer.Option(False, "--json", help="one JSON object"),
) -> None:
    """Say what would go wrong, before it does: all of it at once, each with what to type to mend it.

    Nothing is changed anywhere. Exit code 1 if something would fail, 3 if a server can't be reached.

    Example: tallystream source check erp.toml
    """
    parsed, settings = _load(config, kafka, registry)
    report = check_source(parsed, _surroundings(settings))
    typer.echo(report.as_json()) if as_json else report.show()
    raise typer.Exit(report.exit_code)


@app.command()
def repair(
    config: Path = CONFIG,
    kafka: str | None = KAFKA,
    registry: str | None = REGISTRY,
    force: bool = typer.Option(
        False, "--force", help="compare also where no gap is known, or in another cluster"
    ),
) -> None:
    """Close the gap after a slot was lost, recreated or advanced: publish what the topics lack.

    Reads the tables and the topics, and publishes the difference, deletes included; then a run goes
    on. Killed or stopped, it is run again. What it compares is kept in a file in SQLITE_TMPDIR or
    TMPDIR, which takes about as much room as the rows.

    Example: tallystream source repair erp.toml
    """
    from connectors.sources.postgres.config import PostgresConfig
    from connectors.sources.postgres.repair.repair import Repair
    from connectors.sources.progress import Steps

    parsed, settings = _load(config, kafka, registry)
    configure_logs(settings.log_level)
    if not isinstance(parsed, PostgresConfig):
        raise ConfigurationError(
            f"{config}: repair is for slots of PostgreSQL, not for a {parsed.connector} source"
        )
    repaired = Repair(parsed, _surroundings(settings)).run(Steps(), force=force)
    typer.echo("nothing is lost: there is nothing to repair" if repaired is None else repaired.summary())


def _load(config: Path, kafka: str | None, registry: str | None) -> tuple[SourceConfig, Settings]:
    given = {"kafka_bootstrap": kafka, "registry_url": registry}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    return load_source(config), settings


def _surroundings(settings: Settings) -> Surroundings:
    return Surroundings(settings.kafka_bootstrap, settings.registry_url, settings.replication_factor)
