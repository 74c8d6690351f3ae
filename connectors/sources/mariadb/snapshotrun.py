"""What of a snapshot is published: stored with each chunk, to go on from after a kill. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class TableDone:
    """What is published of a table. ``key`` says which order ``after`` is a place in, in words that
    change when the order may have changed; None where there is none to go on from."""

    begun: bool = False
    complete: bool = False
    key: tuple[str, ...] | None = None
    after: tuple[str, ...] = ()
    """The key of the last published row, each cell's bytes in hexadecimal digits."""
    at: str | None = None
    """GTIDs whose transactions the stream has to skip afterwards, where those are not the run's: those of
    the snapshot that a table without a key was wholly read in, or what was published before an altered table
    was read again."""
    over: bool = False
    """Rows of the table are published, and these go over them: it was altered."""


@dataclass(frozen=True, slots=True)
class SnapshotRun:
    """A snapshot that has begun and not ended."""

    gtid: str
    """Where the stream begins after it, or where changes of its tables do, when they were added."""
    file: str
    position: int
    rows: int = 0
    """Published so far: the next row's ordinal."""
    tables: dict[str, TableDone] = field(default_factory=dict)

    def with_table(self, name: str, done: TableDone, rows: int) -> SnapshotRun:
        """After ``rows`` more records were published, with which ``name`` has come to ``done``."""
        return replace(self, rows=self.rows + rows, tables={**self.tables, name: done})

    def only(self, names: Iterable[str], altered: Mapping[str, str] = MappingProxyType({})) -> SnapshotRun:
        """Limited to ``names``, which are begun now if they are not in it.

        ``altered`` are those of which rows are published, with the GTIDs up to which their changes are.
        """
        fresh = {name: TableDone(at=altered.get(name), over=name in altered) for name in names}
        return replace(self, tables={name: self.tables.get(name, fresh[name]) for name in names})

    def snapshots(self) -> dict[str, str]:
        """Table → GTIDs whose transactions the stream has to skip, after all of it is published."""
        return {name: self.gtid if done.at is None else done.at for name, done in self.tables.items()}

    @classmethod
    def from_stored(cls, stored: dict[str, Any]) -> SnapshotRun:
        """Read from what `dataclasses.asdict` made of one."""
        tables = {}
        for name, done in stored["tables"].items():
            key = None if done["key"] is None else tuple(done["key"])
            tables[name] = TableDone(
                bool(done["begun"]),
                bool(done["complete"]),
                key,
                tuple(done["after"]),
                done["at"],
                bool(done.get("over", False)),
            )
        return cls(
            str(stored["gtid"]), str(stored["file"]), int(stored["position"]), int(stored["rows"]), tables
        )
