"""The polled database: what tables it has, and the queries of a poll and of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy import event

from connectors.sources.polling.config import PollingConfig
from connectors.sources.polling.progress import Cursor
from connectors.sources.polling.types import Reading, reading_of
from connectors.sources.sqlite.types import decode_text
from streams.errors import ConfigurationError, DependencyUnavailable

Row = dict[str, Any]

# What is cast to text on PostgreSQL is parsed as ISO, in UTC.
_POSTGRES_OPTIONS = "-c datestyle=ISO,YMD -c timezone=UTC -c intervalstyle=postgres -c extra_float_digits=3"
# A policy that hides rows from us must be an error, not deletes.
_POSTGRES_OPTIONS += " -c row_security=off"
_KEYS_AT_ONCE = 100  # alternatives in one statement


@dataclass(frozen=True, slots=True)
class PolledTable:
    """A table as it is now: its columns with how they are read, its key and its cursor column."""

    schema: str
    table: str
    columns: tuple[tuple[str, Reading], ...]
    key: tuple[str, ...]
    cursor: str
    by_time: bool

    @property
    def full_name(self) -> str:
        """``schema.table``."""
        return f"{self.schema}.{self.table}"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(name for name, _ in self.columns)


class Database:
    """One database by its SQLAlchemy URL. Connects when asked something."""

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError:  # its text quotes the URL, and with it the password
            raise ConfigurationError(
                "the DSN can't be understood; write it as dialect://user:password@host:port/database"
            ) from None
        options: dict[str, Any] = {}
        if parsed.get_backend_name() == "postgresql":
            options["connect_args"] = {"options": _POSTGRES_OPTIONS, "connect_timeout": 10}
        try:
            self._engine = sa.create_engine(
                parsed, poolclass=sa.pool.NullPool, hide_parameters=True, **options
            )
        except sa.exc.NoSuchModuleError:
            raise ConfigurationError(f"dsn: SQLAlchemy knows no dialect {parsed.drivername!r}") from None
        except ImportError as error:
            raise ConfigurationError(
                f"dsn: the driver of {parsed.drivername} is missing; install package {error.name}"
            ) from None
        self.dialect = self._engine.dialect.name
        self.address = parsed.render_as_string(hide_password=True)
        self.name = parsed.database or ""
        if self.dialect == "sqlite":
            event.listen(self._engine, "connect", _keep_texts)

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A connection; the database's refusals are `DependencyUnavailable` in its own first line."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            self._refuse(error.orig)
        except sa.exc.SQLAlchemyError as error:
            self._refuse(error)

    def tables(self, config: PollingConfig) -> list[PolledTable]:
        """The tables of the configuration, each once; `ConfigurationError` names what does not fit."""
        with self.connect() as connection:
            inspector = sa.inspect(connection)
            found: dict[str, PolledTable] = {}
            for entry in config.tables:
                schema, _, name = entry.partition(".")
                if schema not in inspector.get_schema_names():
                    raise ConfigurationError(f"tables: {entry}: the database has no schema {schema}")
                known = sorted(inspector.get_table_names(schema))
                names = known if name == "*" else [name]
                if name != "*" and name not in known and name not in inspector.get_view_names(schema):
                    raise ConfigurationError(
                        f"tables: {entry}: no such table in schema {schema}; correct the list"
                    )
                if not names:
                    raise ConfigurationError(f"tables: {entry} matches no table of the database")
                for one in names:
                    table = self._describe(inspector, config, schema, one)
                    found[table.full_name] = table
            return list(found.values())

    def _describe(
        self, inspector: sa.Inspector, config: PollingConfig, schema: str, table: str
    ) -> PolledTable:
        where = f"{schema}.{table}"
        own = config.of_table(where)
        columns = {
            one["name"]: reading_of(one["type"], self.dialect) for one in inspector.get_columns(table, schema)
        }
        key = own.key or tuple(inspector.get_pk_constraint(table, schema)["constrained_columns"])
        if not key:
            raise ConfigurationError(
                f'{where} has no primary key; name columns that are unique: [table."{where}"] key = ["…"]'
            )
        cursor = own.updated_at or own.version
        if cursor is None:
            raise ConfigurationError(f"{where}: name its updated_at or its version column")
        for column, role in [*((one, "key") for one in key), (cursor, "updated_at or version")]:
            if column not in columns:
                raise ConfigurationError(f"{where} has no column {column}, which is to be its {role}")
        return PolledTable(schema, table, tuple(columns.items()), key, cursor, own.updated_at is not None)

    def high(self, connection: sa.Connection, table: PolledTable) -> Cursor | None:
        """The newest cursor value that is not in the future; None when there is none.

        A row that is dated ahead must not carry the cursor past those that will be written until then.
        """
        column: sa.ColumnClause[Any] = sa.column(table.cursor)
        query = sa.select(sa.func.max(column)).select_from(_from(table))
        if not table.by_time:
            return _usable(table, connection.execute(query).scalar())
        sample = connection.execute(query).scalar()
        if _usable(table, sample) is None:
            return None
        return _usable(
            table, connection.execute(query.where(column <= self._now(connection, sample))).scalar()
        )

    def _now(self, connection: sa.Connection, sample: Any) -> datetime | str:
        """The database's clock in the form of ``sample``.

        What clock a column without a time zone goes by is not known: of local time and UTC the
        earlier one is taken, which costs reading some rows again and loses none.
        """
        utc = datetime.now(UTC)
        local = utc.astimezone().replace(tzinfo=None)
        if self.dialect != "sqlite":
            now: datetime = connection.execute(sa.select(sa.func.current_timestamp())).scalar_one()
            utc = now.astimezone(UTC) if now.tzinfo else utc
            local = now.replace(tzinfo=None)
        if isinstance(sample, datetime) and sample.tzinfo:
            return utc
        earlier = min(utc.replace(tzinfo=None), local)
        if isinstance(sample, str):
            return earlier.isoformat(sample[10:11] or " ", "microseconds")
        return earlier

    def changed(
        self, connection: sa.Connection, table: PolledTable, low: Cursor | None, batch: int
    ) -> Iterator[list[Row]]:
        """The rows whose cursor is at least ``low``, unordered, as one statement sees them."""
        query = _select(table, table.names)
        if low is not None:
            query = query.where(sa.column(table.cursor) >= low)
        result = connection.execution_options(stream_results=True, max_row_buffer=batch).execute(query)
        with result:
            for rows in result.partitions(batch):
                yield [dict(zip(table.names, row, strict=True)) for row in rows]

    def page(
        self,
        connection: sa.Connection,
        table: PolledTable,
        names: Sequence[str],
        after: Row | None,
        size: int,
    ) -> list[tuple[Row, Row]]:
        """At most ``size`` rows beyond ``after`` in the database's order of keys.

        Of each, ``names`` as they are read, and the key as the next call's ``after``.
        """
        bare: list[sa.Label[Any]] = [
            sa.column(name).label(f"after_{place}") for place, name in enumerate(table.key)
        ]
        query = _select(table, names).add_columns(*bare)
        if after is not None:
            beyond = []
            for place, name in enumerate(table.key):
                same = [sa.column(one) == after[one] for one in table.key[:place]]
                beyond.append(sa.and_(*same, sa.column(name) > after[name]))
            query = query.where(sa.or_(*beyond))
        query = query.order_by(*(sa.column(name) for name in table.key)).limit(size)
        width = len(names)
        return [
            (
                dict(zip(names, row[:width], strict=True)),
                dict(zip(table.key, row[width:], strict=True)),
            )
            for row in connection.execute(query)
        ]

    def by_key(self, connection: sa.Connection, table: PolledTable, keys: Sequence[Row]) -> list[Row]:
        """The whole rows that have these keys, given as `page` gives them."""
        found = []
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            wanted = [
                sa.and_(*(sa.column(name) == key[name] for name in table.key))
                for key in keys[start : start + _KEYS_AT_ONCE]
            ]
            rows = connection.execute(_select(table, table.names).where(sa.or_(*wanted)))
            found += [dict(zip(table.names, row, strict=True)) for row in rows]
        return found

    def _refuse(self, error: BaseException | None) -> NoReturn:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DependencyUnavailable(f"database {self.address}: {text}") from None


def _select(table: PolledTable, names: Sequence[str]) -> sa.Select[Any]:
    """The columns without types, so that values stay as the driver gives them."""
    readings = dict(table.columns)
    columns = [
        sa.cast(sa.column(name), sa.Text).label(name) if readings[name].as_text else sa.column(name)
        for name in names
    ]
    return sa.select().add_columns(*columns).select_from(_from(table))


def _from(table: PolledTable) -> sa.TableClause:
    return sa.table(table.table, schema=table.schema)


def _usable(table: PolledTable, value: Any) -> Cursor | None:
    if value is None or (isinstance(value, int | Decimal) and not table.by_time):
        return value
    if isinstance(value, datetime) and table.by_time:
        return value
    if isinstance(value, str) and table.by_time:
        _text_time(table, value)
        return value
    kind = "updated_at takes timestamps" if table.by_time else "version takes whole numbers"
    raise ConfigurationError(f"{table.full_name}: column {table.cursor} holds {value!r:.40}; {kind}")


def _text_time(table: PolledTable, value: str) -> datetime:
    try:
        return datetime.fromisoformat(value[:19])
    except ValueError:
        raise ConfigurationError(
            f"{table.full_name}: column {table.cursor} holds {value[:40]!r}; updated_at takes timestamps of "
            "the form YYYY-MM-DD HH:MM:SS"
        ) from None


def lower(table: PolledTable, cursor: Cursor, overlap_s: float, overlap_versions: int) -> Cursor:
    """From where on rows are read again: the cursor less the overlap."""
    match cursor:
        case datetime():
            return cursor - timedelta(seconds=overlap_s)
        case str():
            # Cut to whole seconds, in the column's own form: texts compare as the times do, or lower.
            return (_text_time(table, cursor) - timedelta(seconds=overlap_s)).isoformat(
                cursor[10:11] or " ", "seconds"
            )
        case _:
            return cursor - overlap_versions


def _keep_texts(connection: Any, _record: Any) -> None:
    connection.text_factory = decode_text
