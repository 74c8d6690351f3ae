"""The plan as values: settings, row changes, transactions.

A plan is everything the firm will ever write, in order. It is computed before anything is written, so
its content cannot depend on the wall clock, on the databases or on whoever reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, cast

from sqlalchemy import Table

from connectors.reference.schema import SYSTEMS
from streams.errors import ConfigurationError

Key = str | int
Value = str | int | bool | Decimal | date | datetime | None
Row = dict[str, Any]  # column -> Value; Any, because each reader knows its column's type

TABLES: Final[dict[str, Table]] = {
    table.name: table for base in SYSTEMS.values() for table in base.metadata.tables.values()
}
SYSTEM_OF: Final[dict[str, str]] = {
    table: system for system, base in SYSTEMS.items() for table in base.metadata.tables
}

HISTORY_WEEKS: Final = 2  # enough that the snapshot holds approved entries which the first run invoices
SETTLE_DAYS: Final = 8  # after the last work date: the last week is submitted, approved, some invoiced
SMALLEST_FIRM: Final = 10  # fewer people leave no second manager, no leaver beside the specialists
SHORTEST_RUN: Final = 14  # less than two weeks leave no time between a trouble and its fix


@dataclass(frozen=True, slots=True)
class FirmSettings:
    """What makes one firm differ from another.

    ``days`` are calendar days from ``start`` with work in them. ``changes_per_second`` is the row
    changes a second at which `Firm.run` writes unless told otherwise; None is as fast as possible. It
    does not change the content of the plan. Raises `ConfigurationError` for a firm too small to hold
    everything that is planted.
    """

    seed: int = 1
    consultants: int = 40
    days: int = 60
    start: date = date(2026, 3, 2)
    changes_per_second: float | None = None  # float: a pace

    def __post_init__(self) -> None:
        if self.consultants < SMALLEST_FIRM:
            raise ConfigurationError(f"firm: consultants must be at least {SMALLEST_FIRM}")
        if self.days < SHORTEST_RUN:
            raise ConfigurationError(f"firm: days must be at least {SHORTEST_RUN}")
        if self.changes_per_second is not None and self.changes_per_second <= 0:
            raise ConfigurationError("firm: changes_per_second must be above 0")

    @property
    def history_start(self) -> date:
        """First work date in the databases: a Monday, two weeks before the week of ``start``."""
        return self.start - timedelta(days=self.start.weekday(), weeks=HISTORY_WEEKS)

    @property
    def end(self) -> date:
        """The day after the last work date."""
        return self.start + timedelta(days=self.days)

    @property
    def opening(self) -> datetime:
        """What happened before this instant is seeded, what happens from it on is run."""
        return datetime.combine(self.start, time(), UTC)

    @property
    def horizon(self) -> datetime:
        """Nothing happens from this instant on."""
        return datetime.combine(self.end + timedelta(days=SETTLE_DAYS), time(), UTC)

    def day_at(self, percent: int) -> date:
        """The day ``percent`` of the way through the run: 0 is ``start``, 100 is ``end``."""
        return self.start + timedelta(days=self.days * percent // 100)

    def percent_of(self, day: date) -> int:
        """Inverse of `day_at`, for things that depend on how far the run is; negative in the history."""
        return (day - self.start).days * 100 // self.days


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row with a value for every column."""

    table: str
    values: Mapping[str, Value]

    @property
    def key(self) -> Key:
        """The primary key, which is called ``id`` in every table."""
        return cast(Key, self.values["id"])


@dataclass(frozen=True, slots=True)
class Update:
    """New values for some columns of one existing row."""

    table: str
    key: Key
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Delete:
    """The end of one existing row."""

    table: str
    key: Key


Statement = Insert | Update | Delete


@dataclass(frozen=True, slots=True)
class Transaction:
    """Row changes that one system commits together, at a simulated instant (UTC)."""

    system: str
    simulated_at: datetime
    statements: tuple[Statement, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the firm writes: ``seed`` before the pipeline starts, ``transactions`` while it runs.

    ``trouble`` counts what was planted to go wrong, by kind; ``features`` counts ordinary acts worth
    knowing about (cap raises, approvals after a close, credit notes and so on).
    """

    settings: FirmSettings
    seed: tuple[Transaction, ...]
    transactions: tuple[Transaction, ...]
    trouble: Mapping[str, int]
    features: Mapping[str, int]

    def changes(self, table: str | None = None) -> int:
        """Row changes of the live phase, of all tables or of one."""
        return sum(
            1
            for transaction in self.transactions
            for statement in transaction.statements
            if table is None or statement.table == table
        )

    def digest(self) -> str:
        """SHA-256 of the whole content: equal plans write equal databases."""
        content = hashlib.sha256()
        for transaction in (*self.seed, *self.transactions):
            content.update(f"{transaction.system}|{transaction.simulated_at.isoformat()}|".encode())
            content.update(f"{transaction.label}\n".encode())
            for statement in transaction.statements:
                values = {} if isinstance(statement, Delete) else statement.values
                kind = type(statement).__name__
                content.update(f"{kind}|{statement.table}|{statement.key}|".encode())
                content.update("|".join(f"{name}={value!r}" for name, value in values.items()).encode())
                content.update(b"\n")
        return content.hexdigest()

    def tables(self) -> dict[str, dict[Key, Row]]:
        """What the databases hold at the end: table -> id -> row."""
        return fold((*self.seed, *self.transactions))


def fold(transactions: Iterable[Transaction]) -> dict[str, dict[Key, Row]]:
    """Apply transactions in order to empty tables.

    Raises `KeyError` for a change of a row that is not there, `ValueError` for an insert of one that is.
    """
    tables: dict[str, dict[Key, Row]] = {name: {} for name in TABLES}
    for transaction in transactions:
        for statement in transaction.statements:
            rows = tables[statement.table]
            if isinstance(statement, Insert):
                if statement.key in rows:
                    raise ValueError(f"{statement.table} {statement.key} is inserted twice")
                rows[statement.key] = dict(statement.values)
            elif isinstance(statement, Update):
                rows[statement.key].update(statement.values)
            else:
                del rows[statement.key]
    return tables
