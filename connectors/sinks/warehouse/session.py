"""The sink's one connection to the warehouse: it holds the lock, and everything is written through it.

Because the lock and the writes share a session, an instance that lost the lock can't write: its
session is gone with it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import psycopg2
import psycopg2.extensions
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from connectors.sinks.warehouse.schema import create_schema
from streams.errors import (
    ConfigurationError,
    ContractViolation,
    DependencyUnavailable,
    Fenced,
    TallystreamError,
)

CONNECT_TIMEOUT_S = 10
# A killed instance's session ends when the server notices, which takes milliseconds on a live network.
LOCK_PATIENCE_S = 10.0  # float: a wait
LOCK_POLL_S = 0.1  # float: a wait
# A batch takes a quarter second; one that takes this long hangs on a lock or a dying disk.
STATEMENT_TIMEOUT_MS = 60_000
# A peer that vanished without closing is noticed within 20 s on either side, which frees its lock. That is
# longer than the patience above: the successor ends as fenced, and its supervisor starts it again.
KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 3}

Connection = psycopg2.extensions.connection


def engine_of(dsn: str) -> Engine:
    """An engine for the warehouse's URL; PostgreSQL only, by psycopg2, whatever driver the URL names."""
    try:
        url: URL = make_url(dsn)
    except ArgumentError:
        raise ConfigurationError(
            "TALLYSTREAM_BI_DSN is no database URL; write postgresql://user@host/bi"
        ) from None
    if url.get_backend_name() != "postgresql":
        raise ConfigurationError(f"the warehouse sink loads PostgreSQL, not {url.get_backend_name()}")
    arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "tcp_user_timeout": 20_000, **KEEPALIVES}
    return create_engine(
        url.set(drivername="postgresql+psycopg2"), poolclass=NullPool, connect_args=arguments
    )


def connect(engine: Engine, sink: str) -> Connection:
    """A connection that holds the sink's lock, the schema created; `Fenced` if another instance lives."""
    with store_errors(engine):
        pooled = engine.raw_connection()
        connection: Connection = pooled.driver_connection  # type: ignore[assignment]
        pooled.detach()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SET timezone = 'UTC'")
                cursor.execute(
                    "SELECT set_config('application_name', %s, false)", (f"tallystream sink {sink}",)
                )
                cursor.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
                for name, value in KEEPALIVES.items():
                    cursor.execute(f"SET tcp_{name} = {value}")
                _lock(cursor, sink)
            with engine.begin() as schema:
                create_schema(schema)
            connection.autocommit = False
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def store_errors(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into ours, so that the runner knows what can be waited out."""
    try:
        yield
    except DBAPIError as error:
        raise _translated(engine, error.orig or error) from None
    except psycopg2.Error as error:
        raise _translated(engine, error) from None


def _translated(engine: Engine, error: BaseException) -> TallystreamError:
    url = engine.url
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    where = f"warehouse {url.host}:{url.port or 5432}/{url.database}"
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        return DependencyUnavailable(f"{where}: {text}")
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        return DependencyUnavailable(f"{where}: {text}; grant it to user {url.username}")
    return ContractViolation(f"{where}: {text}; compare its tables with `tallystream sink ddl`")


def _lock(cursor: psycopg2.extensions.cursor, sink: str) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (f"tallystream sink {sink}",))
        row = cursor.fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() >= deadline:
            raise Fenced(f"another instance of sink {sink} is running on this warehouse; stop it first")
        time.sleep(LOCK_POLL_S)
