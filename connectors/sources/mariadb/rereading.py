"""Tables that statements of the log ask to be emptied downstream, or to be read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from connectors.sources.mariadb.binlog import Named
from connectors.sources.mariadb.ddl import Effect
from connectors.sources.mariadb.position import Gtids, Progress
from connectors.sources.mariadb.tables import Emptied, Tables


class Rereading:
    """Gathers them within a transaction. ``patterns`` are those of the configuration, ``late`` the snapshots
    that are younger than where the stream starts."""

    def __init__(self, patterns: Sequence[str], tables: Tables, late: Mapping[str, Gtids]) -> None:
        self._patterns = frozenset(patterns)
        self._tables = tables
        self._late = late
        self.rewritten: set[str] = set()
        self.altered: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.rewritten or self.altered)

    def take(self, effect: Effect, gtid: Named, progress: Progress) -> list[Emptied]:
        """Note what a statement asks for; the tables that it empties, of which anything is published."""
        altered = set(self._concerned(effect.altered, gtid, progress))
        # Records of another key don't go over those of the key before.
        columns = {name.lower() for name in effect.columns}
        rekeyed = {name for name in altered if columns & self._tables.key_columns(name)}
        rewritten = rekeyed.union(self._concerned(effect.rewritten, gtid, progress))
        self.altered |= altered - rekeyed
        self.rewritten |= rewritten
        names = sorted(rewritten.union(self._concerned(effect.emptied, gtid, progress)))
        return [emptied for name in names if (emptied := self._tables.emptied(name)) is not None]

    def forgotten(self, progress: Progress) -> tuple[dict[str, str], tuple[str, ...]]:
        """``tables`` and ``altered`` of the progress with which they are read again."""
        tables = {
            name: at
            for name, at in progress.tables.items()
            if name not in self.rewritten and name not in self.altered
        }
        return tables, tuple(sorted(self.altered.union(progress.altered) - self.rewritten))

    def _concerned(self, patterns: Sequence[str], gtid: Named, progress: Progress) -> Iterator[str]:
        """Captured tables that are named, and that no younger snapshot than this transaction has read.

        Also those that are gone by now: what is to come of the log may be the statement that dropped them.
        """
        gone = {name for name in (*progress.tables, *progress.altered) if _matches(name, self._patterns)}
        for name in gone | self._tables.include:
            read_later = name in self._late and self._late[name].covers(gtid)
            if not read_later and _matches(name, patterns):
                yield name


def _matches(name: str, patterns: Sequence[str] | frozenset[str]) -> bool:
    schema, _, _ = name.partition(".")
    return name in patterns or f"{schema}.*" in patterns
