"""Write a plan into the three databases.

One thread writes in plan order, one database transaction for each planned one. Row changes of the same
shape that follow each other go to the server in one statement, as applications do it: rows inserted
together, and one UPDATE for all rows that get the same values.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Delete,
    Engine,
    Update,
    bindparam,
    create_engine,
    delete,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import OperationalError

from connectors.reference.firm import model
from connectors.reference.firm.model import TABLES, Plan, Statement, Transaction
from connectors.reference.schema import SYSTEMS, create_tables
from streams.errors import DependencyUnavailable, UsageError

# Between two reports: often enough for a bar, too rare to cost anything.
PROGRESS_SECONDS: Final = 0.2  # float: a wait


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the live phase is: transactions and row changes written, and the firm's own time."""

    transactions: int
    of_transactions: int
    changes: int
    simulated_at: datetime


class Firm:
    """A plan and the databases it is written into, by system: ``erp``, ``crm``, ``time``.

    Raises `UsageError` if the engines are not those three, if a database to seed already holds rows, or
    if a row to change is not there; `DependencyUnavailable` if a server goes away.
    """

    def __init__(self, plan: Plan, engines: Mapping[str, Engine]) -> None:
        if engines.keys() != SYSTEMS.keys():
            raise UsageError(f"firm: give one engine each for {', '.join(SYSTEMS)}")
        self.plan = plan
        self._engines = engines
        self._position = 0

    @property
    def position(self) -> int:
        """Transactions of the live phase that are committed; `run` goes on from here."""
        return self._position

    def seed(self) -> None:
        """Create the tables and write what is there before the pipeline starts."""
        for system, engine in self._engines.items():
            with _reachable(system):
                create_tables(system, engine)
                with engine.begin() as connection:
                    _require_empty(system, connection)
        for transaction in self.plan.seed:
            with _reachable(transaction.system), self._engines[transaction.system].begin() as connection:
                _write(connection, transaction)

    def run(
        self,
        progress: Callable[[Progress], None] | None = None,
        pace: float | None = None,  # float: a pace
        stop: threading.Event | None = None,
    ) -> Progress:
        """Write the live transactions from `position` on, until the end or until ``stop`` is set.

        ``pace`` is transactions a second; without it, ``changes_per_second`` of the plan's settings
        paces row changes; without either it goes as fast as the servers take it. ``progress`` is called
        a few times a second and at the end.
        """
        transactions = self.plan.transactions
        clock = _Pace(pace, self.plan.settings.changes_per_second)
        changes = sum(len(done.statements) for done in transactions[: self._position])
        reported = time.monotonic()
        at = transactions[self._position - 1].simulated_at if self._position else self.plan.settings.opening
        with ExitStack() as stack:
            connections: dict[str, Connection] = {}
            for system, engine in self._engines.items():
                with _reachable(system):
                    connections[system] = stack.enter_context(engine.connect())
            while self._position < len(transactions):
                transaction = transactions[self._position]
                if not clock.wait(len(transaction.statements), stop):
                    break
                connection = connections[transaction.system]
                with _reachable(transaction.system), connection.begin():
                    _write(connection, transaction)
                self._position += 1
                changes += len(transaction.statements)
                at = transaction.simulated_at
                if progress is not None and time.monotonic() - reported >= PROGRESS_SECONDS:
                    reported = time.monotonic()
                    progress(Progress(self._position, len(transactions), changes, at))
        final = Progress(self._position, len(transactions), changes, at)
        if progress is not None:
            progress(final)
        return final


def connect(urls: Mapping[str, str]) -> dict[str, Engine]:
    """Engines for ``postgresql://`` URLs by system, set to send repeated statements in batches."""
    return {system: _engine(url) for system, url in urls.items()}


def _engine(url: str) -> Engine:
    target = make_url(url).set(drivername="postgresql+psycopg2")
    return create_engine(target, executemany_mode="values_plus_batch")


class _Pace:
    """Spaces transactions on a schedule, so that a slow one is made up for by the next ones."""

    def __init__(self, transactions: float | None, changes: float | None) -> None:  # float: a pace
        if any(rate is not None and rate <= 0 for rate in (transactions, changes)):
            raise UsageError("firm: the pace must be above 0")
        self._per_transaction = 1 / transactions if transactions else 0.0  # float: a pace
        self._per_change = 1 / changes if changes and not transactions else 0.0  # float: a pace
        self._due = time.monotonic()

    def wait(self, changes: int, stop: threading.Event | None) -> bool:
        """Wait for the turn of a transaction of so many changes; False if stopped meanwhile."""
        pause = self._due - time.monotonic()
        self._due += self._per_transaction + self._per_change * changes
        if stop is not None:
            return not (stop.wait(pause) if pause > 0 else stop.is_set())
        if pause > 0:
            time.sleep(pause)
        return True


@contextmanager
def _reachable(system: str) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else "no answer"
        raise DependencyUnavailable(f"firm: database {system}: {reason}") from error


def _require_empty(system: str, connection: Connection) -> None:
    for table in SYSTEMS[system].metadata.tables.values():
        if connection.execute(select(table.c.id).limit(1)).first() is not None:
            raise UsageError(f"firm: table {table.name} of {system} holds rows; give an empty database")


def _write(connection: Connection, transaction: Transaction) -> None:
    """Execute a transaction's statements in order, runs of one shape together."""
    for _, run in groupby(transaction.statements, key=_shape):
        statements = list(run)
        table, first = statements[0].table, statements[0]
        if isinstance(first, model.Insert):
            rows = [dict(s.values) for s in statements if isinstance(s, model.Insert)]
            connection.execute(insert(TABLES[table]), rows)
            continue
        keys = [statement.key for statement in statements]
        if isinstance(first, model.Update):
            values = {f"new_{name}": value for name, value in first.values.items()}
            found = connection.execute(_update(table, tuple(first.values)), {"keys": keys, **values})
        else:
            found = connection.execute(_delete(table), {"keys": keys})
        if found.rowcount != len(keys):
            raise UsageError(
                f"firm: {transaction.system} holds {found.rowcount} of the rows {keys} of {table}; "
                "the plan was not seeded here, or somebody else writes"
            )


def _shape(statement: Statement) -> tuple[Any, ...]:
    """Equal for statements that one SQL statement can carry out together."""
    if isinstance(statement, model.Update):
        return "update", statement.table, tuple(statement.values.items())
    return type(statement).__name__, statement.table


@cache
def _update(table: str, columns: Sequence[str]) -> Update:
    """One UPDATE of all rows whose id is in ``keys``; kept, as building it costs more than running it."""
    target = TABLES[table]
    changed: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    return update(target).where(target.c.id.in_(bindparam("keys", expanding=True))).values(changed)


@cache
def _delete(table: str) -> Delete:
    target = TABLES[table]
    return delete(target).where(target.c.id.in_(bindparam("keys", expanding=True)))
