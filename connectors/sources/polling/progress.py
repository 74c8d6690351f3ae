"""How far a polling source has come: its record in ``source.positions``, as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from connectors.sources.positions import parse_position

Cursor: TypeAlias = datetime | int | Decimal | str

FIRST_EPOCH = 1


@dataclass(frozen=True, slots=True)
class TableProgress:
    """``cursor``: everything up to it was read, None in an empty table. ``columns``: as they were then."""

    cursor: Cursor | None
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """Stored in the Kafka transaction of the rows it covers.

    ``number`` counts the transactions: with the ordinal in it, it is the position of a record. A
    table that is missing is to be read whole.
    """

    epoch: int = FIRST_EPOCH
    number: int = 0
    tables: dict[str, TableProgress] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """The value on the wire."""
        tables = {
            name: {"cursor": _tagged(one.cursor), "columns": one.columns} for name, one in self.tables.items()
        }
        stored = {"connector": "polling", "epoch": self.epoch, "number": self.number, "tables": tables}
        return json.dumps(stored, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_json(cls, value: bytes) -> Progress:
        """Read the wire form, or `PositionLost` when it isn't one of ours."""

        def make(stored: dict[str, Any]) -> Progress:
            tables = {
                name: TableProgress(_untagged(one["cursor"]), tuple(one["columns"]))
                for name, one in stored["tables"].items()
            }
            return cls(stored["epoch"], stored["number"], tables)

        return parse_position(value, "polling", make)


def _tagged(cursor: Cursor | None) -> list[Any] | None:
    match cursor:
        case None:
            return None
        case datetime():
            return ["time", cursor.isoformat()]
        case Decimal():
            return ["decimal", str(cursor)]
        case int():
            return ["integer", cursor]
        case str():
            return ["text", cursor]


def _untagged(stored: list[Any] | None) -> Cursor | None:
    if stored is None:
        return None
    kind, value = stored
    if kind == "time":
        return datetime.fromisoformat(value)
    if kind == "decimal":
        return Decimal(value)
    if kind == "integer":
        return int(value)
    if kind == "text":
        return str(value)
    raise ValueError(f"cursor of kind {kind!r}")
