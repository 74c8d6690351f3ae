"""Messages of one topic as rows of its table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from connectors.sinks.messages import Message
from connectors.sinks.warehouse.copy_text import encoders, line
from connectors.sinks.warehouse.tables import Load, Mode
from streams.errors import InvalidValue

# What encoding a value raises when the writer's schema had another type for the field.
MISFITS = (ValueError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Rows:
    """COPY text of a batch's rows of one table; each key at most once, unless rows are appended."""

    text: str
    count: int
    stale: int
    refused: list[Message]


class RowMaker:
    """Makes the rows of one load."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.fields = tuple(load.columns)
        self.columns = tuple(load.columns.values())
        self._values = itemgetter(*self.fields)
        self._encoders = encoders(load.table, self.columns)
        self._key = itemgetter(*(self.columns.index(column) for column in load.key))
        self._guard = None if load.guard is None else self.columns.index(load.guard)

    def values(self, record: dict[str, Any]) -> Sequence[Any]:
        """The record's values in column order; fields that its writer did not know have their default."""
        try:
            values: Sequence[Any] = self._values(record)
        except KeyError:
            defaults = self.load.defaults
            return [record[name] if name in record else defaults.get(name) for name in self.fields]
        return values

    def rows(self, messages: Iterable[Message]) -> Rows:
        """Rows to append or replace, in topic order."""
        refused: list[Message] = []
        lines: list[str] = []
        newest: dict[Any, tuple[Any, str]] = {}
        stale = 0
        for message in messages:
            values = self.values(message.record or {})
            try:
                text = line(values, self._encoders)
            except MISFITS as error:
                refused.append(message.refused(InvalidValue(f"does not fit {self.load.table.name}: {error}")))
                continue
            if self._guard is None:
                lines.append(text)
                continue
            key, revision = self._key(values), values[self._guard]
            held = newest.get(key)
            if held is not None:
                stale += 1
                if held[0] > revision:
                    continue
            newest[key] = (revision, text)
        if self.load.mode is Mode.REPLACE:
            lines = [text for _, text in newest.values()]
        return Rows("".join(lines), len(lines), stale, refused)
