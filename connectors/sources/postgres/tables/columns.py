"""Which columns of its tables a source has published, and in what form; kept beside its position.

Rows that were published before a column was, or when it was in another form, lack what it holds now:
the log tells of them only when they change. So what was published is remembered, in a record of its
own, which is stored in the same Kafka transaction as the request to read the table again: a kill loses
both or none. The registry would be no such memory, for a schema is registered before anything is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import NamedTuple

from connectors.sources.positions import parse_position
from connectors.sources.postgres.rules import LEFT_OUT

_CONNECTOR = "postgresql"


class Carried(NamedTuple):
    """A column: its number, which a new name leaves as it is, and the form that it is published in:
    `LEFT_OUT`, or a word that changes when other values come of the same ones."""

    number: int
    form: str


class KnownColumns:
    """By full name of the table, what is known of its columns. Not thread-safe."""

    def __init__(self, stored: bytes | None = None) -> None:
        """``stored``: what an earlier session has kept; `PositionLost` when it is something else."""
        self._tables: dict[str, dict[str, Carried]] = {}
        if stored is not None:
            self._tables = parse_position(stored, _CONNECTOR, lambda found: _tables(found["tables"]))
        self._gained: dict[str, None] = {}
        self._changed = False

    def learn(self, table: str, now: Mapping[str, Carried], given: Set[str], *, whole: bool) -> None:
        """A table's columns are ``now``; all of them if it is the ``whole``, else others may be there.

        ``given``: those of which rows have a value that nobody gave them.
        """
        before = self._tables.get(table)
        if before is not None and _gains(before, now, given):
            self._gained[table] = None
        kept: dict[str, Carried] = {}
        if before is not None and not whole:
            numbers = {one.number for one in now.values()}
            kept = {name: one for name, one in before.items() if one.number not in numbers}
        after = {**kept, **now}
        if after != before:
            self._tables[table] = after
            self._changed = True

    def take_gained(self) -> tuple[str, ...]:
        """Tables, found since this was last asked, of which published rows may lack a value."""
        gained, self._gained = tuple(self._gained), {}
        return gained

    def take_changed(self) -> bytes | None:
        """What is to be stored, if it is not as it was when this was last asked."""
        if not self._changed:
            return None
        self._changed = False
        stored = {"connector": _CONNECTOR, "tables": self._tables}
        return json.dumps(stored, separators=(",", ":"), sort_keys=True).encode()


def _tables(stored: Mapping[str, Mapping[str, tuple[int, str]]]) -> dict[str, dict[str, Carried]]:
    return {
        table: {name: Carried(int(number), str(form)) for name, (number, form) in columns.items()}
        for table, columns in stored.items()
    }


def _gains(before: Mapping[str, Carried], now: Mapping[str, Carried], given: Set[str]) -> bool:
    """A column that was left out, called otherwise or in another form, or a new one that rows have a
    value of. A new one that they have none of is null in them, as readers take it."""
    numbers = {one.number for one in before.values()}
    for name, one in now.items():
        if one.form == LEFT_OUT or before.get(name) == one:
            continue
        if one.number in numbers or name in given:
            return True
    return False
