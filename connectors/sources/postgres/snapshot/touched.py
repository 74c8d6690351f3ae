"""Which rows the stream has published changes of while chunks of their tables are read. In bounded memory."""

from __future__ import annotations

from collections.abc import Hashable

from connectors.sources.postgres.pgoutput.transactions import TRUNCATE, Transaction
from connectors.sources.postgres.tables.table import Table

# Some 25 MB. Between a chunk's reading and its publication only a large transaction touches as many.
MOST_KEYS = 100_000


class Touched:
    """Which keys of watched tables the stream has published, and when they were committed.

    Beyond `MOST_KEYS` of them it is only kept that some of a table were: see `unknown`.
    """

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self._keys: dict[tuple[str, Hashable], int] = {}
        self._truncated: dict[str, int] = {}
        self._unknown: dict[str, int] = {}

    def saw(self, transaction: Transaction[Table]) -> None:
        """Note a published transaction."""
        commit_lsn = transaction.commit_lsn
        for change in transaction.changes:
            table = change.table
            name = table.full_name
            if name not in self.tables or self._unknown.get(name) == commit_lsn:
                continue
            if change.op == TRUNCATE:
                self._truncated[name] = commit_lsn
            elif table.key_of is not None:
                row = change.after if change.after is not None else change.before
                assert row is not None
                self._keys[name, table.key_of(row)] = commit_lsn
                if len(self._keys) > MOST_KEYS:
                    self._collapse(commit_lsn)

    def _collapse(self, lsn: int) -> None:
        self._unknown |= dict.fromkeys((table for table, _ in self._keys), lsn)
        self._keys.clear()

    def unknown(self, table: str, lsn: int) -> bool:
        """Whether it is not known any more which rows transactions that committed at ``lsn`` or later touched."""
        return self._unknown.get(table, 0) >= lsn

    def since(self, table: str, key: Hashable, lsn: int) -> bool:
        """Whether a transaction that committed at ``lsn`` or later has touched the row, as far as is known."""
        return max(self._keys.get((table, key), 0), self._truncated.get(table, 0)) >= lsn

    def forget(self, lsn: int) -> None:
        """Drop what committed before ``lsn``: all later chunks have it."""
        self._keys = {key: at for key, at in self._keys.items() if at >= lsn}
        self._truncated = {table: at for table, at in self._truncated.items() if at >= lsn}
        self._unknown = {table: at for table, at in self._unknown.items() if at >= lsn}
