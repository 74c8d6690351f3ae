"""The databases that a proof reads: opened for reading only, and their failures in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from streams.errors import ConfigurationError, DependencyUnavailable

CONNECT_S: Final = 10  # another region takes a second


@dataclass(frozen=True, slots=True)
class Database:
    """A database by the name people know it by, and the setting that says where it is."""

    name: str
    setting: str
    engine: Engine

    @contextmanager
    def reading(self) -> Iterator[Engine]:
        """The engine; what fails on it becomes `DependencyUnavailable`, without any password."""
        try:
            yield self.engine
        except DBAPIError as error:
            url = self.engine.url
            reason = (str(error.orig).strip().splitlines() or [type(error).__name__])[0]
            away = isinstance(error, OperationalError | InterfaceError)
            cure = "see that it runs, or set" if away else "see that its user may read it, or set another"
            raise DependencyUnavailable(
                f"{self.name} {url.host or 'localhost'}:{url.port or 5432}/{url.database}: {reason}; "
                f"{cure} {self.setting}"
            ) from None

    def ask(self) -> None:
        """`DependencyUnavailable` unless it answers."""
        with self.reading() as engine, engine.connect() as connection:
            connection.execute(text("SELECT 1"))


def open_database(name: str, setting: str, dsn: SecretStr | None) -> Database:
    """A PostgreSQL database; `ConfigurationError` names the setting that is missing or no URL of one."""
    if dsn is None:
        raise ConfigurationError(
            f"{setting} is not set; give the {name}'s URL, postgresql://user@host/database"
        )
    try:
        url = make_url(dsn.get_secret_value())
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            f"{setting} is no database URL; write postgresql://user@host/database"
        ) from None
    if url.get_backend_name() != "postgresql":
        raise ConfigurationError(f"{setting}: {url.get_backend_name()} is not read, only postgresql")
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg2"),
            poolclass=NullPool,
            connect_args={"connect_timeout": CONNECT_S},
            execution_options={"postgresql_readonly": True},
        )
        engine.dialect.create_connect_args(engine.url)  # or what is wrong in it shows at the first connection
    except (SQLAlchemyError, ValueError, TypeError):  # their texts may quote the URL
        raise ConfigurationError(
            f"{setting} has options after its ? that can't be used; write postgresql://user@host/database"
        ) from None
    return Database(name, setting, engine)
