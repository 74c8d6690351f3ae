"""The firm's memory while it is simulated: current rows, the agenda, and the transactions so far.

Acts are put on an agenda by simulated time and run in that order; each reads the current rows and
writes transactions, exactly as the people of a firm act on what their systems show them.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from random import Random
from typing import Any, Final

from connectors.reference.firm.model import (
    SYSTEM_OF,
    TABLES,
    Delete,
    FirmSettings,
    Insert,
    Key,
    Row,
    Statement,
    Transaction,
    Update,
    Value,
)

# Never read back by the simulation, and the first of them by far the longest table.
_APPEND_ONLY: Final = frozenset(
    {"time_entry_event", "time_entry_version", "expense_version", "rate_version", "fx_rate_version"}
)
_COLUMNS: Final = {name: tuple(column.name for column in table.columns) for name, table in TABLES.items()}
_REQUIRED: Final = {
    name: frozenset(column.name for column in table.columns if not column.nullable)
    for name, table in TABLES.items()
}


class Draft:
    """A transaction being written; its changes are visible in the world at once."""

    def __init__(self, world: World, system: str) -> None:
        self._world = world
        self._system = system
        self.statements: list[Statement] = []

    def insert(self, table: str, **given: Value) -> Key:
        """Add a row; columns not given are null. Returns its id."""
        self._check(table, given)
        if missing := [name for name in _REQUIRED[table] if given.get(name) is None]:
            raise ValueError(f"{table}: no value for {sorted(missing)}")
        values = {name: given.get(name) for name in _COLUMNS[table]}
        statement = Insert(table, values)
        if table not in _APPEND_ONLY:
            rows = self._world.rows[table]
            if statement.key in rows:
                raise ValueError(f"{table}: {statement.key} exists")
            rows[statement.key] = dict(values)
        self.statements.append(statement)
        return statement.key

    def update(self, table: str, key: Key, **values: Value) -> None:
        """Change columns of a row that exists."""
        self._check(table, values)
        self._world.rows[table][key].update(values)
        self.statements.append(Update(table, key, values))

    def decide(self, table: str, key: Key, **values: Value) -> None:
        """Change columns of a price that exists; what it was is kept as a version."""
        self._keep_version(table, key)
        self.update(table, key, **values, decided_at=self._world.now)

    def take_away(self, table: str, key: Key) -> None:
        """Remove a price that exists; what it was is kept as a version."""
        self._keep_version(table, key)
        self.delete(table, key)

    def _keep_version(self, table: str, key: Key) -> None:
        series = f"{table}_version"
        kept = {**self._world.rows[table][key], f"{table}_id": key, "ended_at": self._world.now}
        self.insert(series, **{**kept, "id": f"V-{self._world.number(series):05}"})

    def delete(self, table: str, key: Key) -> None:
        """Remove a row that exists."""
        self._check(table, {})
        del self._world.rows[table][key]
        self.statements.append(Delete(table, key))

    def _check(self, table: str, values: dict[str, Value]) -> None:
        if SYSTEM_OF[table] != self._system:
            raise ValueError(f"{table} is not a table of {self._system}")
        if unknown := values.keys() - set(_COLUMNS[table]):
            raise ValueError(f"{table}: no columns {sorted(unknown)}")


class World:
    """Rows, agenda, clock, random streams, numbering and counters of one simulated firm."""

    def __init__(self, settings: FirmSettings) -> None:
        self.settings = settings
        self.now = datetime.combine(settings.history_start, time(), UTC)
        self.rows: dict[str, dict[Key, Row]] = {name: {} for name in TABLES}
        self.transactions: list[Transaction] = []
        self.trouble: Counter[str] = Counter()
        self.features: Counter[str] = Counter()
        self._agenda: list[tuple[datetime, int, Callable[..., None], tuple[Any, ...]]] = []
        self._scheduled = 0
        self._numbers: Counter[str] = Counter()

    @property
    def decided_at(self) -> datetime | None:
        """When what is written now was decided; what the firm began with was decided long ago."""
        return self.now if self.now.date() > self.settings.history_start else None

    def rng(self, name: str) -> Random:
        """An independent stream of chance, so that one topic's draws do not shift another's."""
        return Random(f"{self.settings.seed}/{name}")  # noqa: S311 - a simulation, reproducible by seed

    def number(self, series: str) -> int:
        """The next number of a series, from 1."""
        self._numbers[series] += 1
        return self._numbers[series]

    def at(self, when: datetime, act: Callable[..., None], *arguments: Any) -> None:
        """Do something at an instant; an instant in the past means now. Equal instants keep their order."""
        self._scheduled += 1
        heapq.heappush(self._agenda, (max(when, self.now), self._scheduled, act, arguments))

    @contextmanager
    def transaction(self, system: str, label: str) -> Iterator[Draft]:
        """Changes that commit together now; without a change there is no transaction."""
        draft = Draft(self, system)
        yield draft
        if draft.statements:
            self.transactions.append(Transaction(system, self.now, tuple(draft.statements), label))

    def forget_counts(self) -> None:
        """Start counting anew: what happened in the history is only seen folded."""
        self.trouble.clear()
        self.features.clear()

    def run(self) -> None:
        """Work through the agenda up to the horizon."""
        while self._agenda and self._agenda[0][0] < self.settings.horizon:
            self.now, _, act, arguments = heapq.heappop(self._agenda)
            act(*arguments)


def utc(day: date, hour: int = 0, minute: int = 0) -> datetime:
    """An instant of a UTC day."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
