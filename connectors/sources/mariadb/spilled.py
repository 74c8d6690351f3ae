"""The changes of one large transaction, on disk.

They are read back in blocks, as often as asked for. Which change is the last of its key is found on
disk too, by `LastOfKeys`: memory grows by one bit a change.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator

from connectors.sources.lastkeys import Bits, LastOfKeys
from connectors.sources.mariadb.changes import Change, EncodedTable, row_bytes
from connectors.sources.spill import SpillArea

# Written and read at once, whichever comes first.
BLOCK_CHANGES = 2_000
BLOCK_BYTES = 4 << 20
EXPECTED_CHANGES = 1 << 22  # nobody knows how many come: buckets for so many take 1 MB


class SpilledChanges:
    """Changes in their order. To be closed."""

    def __init__(self, area: SpillArea) -> None:
        self._file = area.file()
        try:
            self._last = LastOfKeys(area, EXPECTED_CHANGES)
        except BaseException:
            self._file.close()
            raise
        self._tables: list[EncodedTable] = []
        self._numbers: dict[int, int] = {}
        self._relations: dict[str, int] = {}
        self._blocks: list[tuple[int, int]] = []
        self._pending: list[Change] = []
        self._pending_bytes = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Change]:
        for offset, size in self._blocks:
            # Our own bytes, from a file without a name.
            for number, *rest in marshal.loads(self._file.read(offset, size)):  # noqa: S302
                yield Change(self._tables[number], *rest)
        yield from self._pending

    def append(self, change: Change) -> None:
        """Take one more."""
        table = change.table
        relation = self._relations.setdefault(table.full_name, len(self._relations))
        row = change.after if change.after is not None else change.before
        if row is None:
            self._last.truncate(relation, self._count)
        else:
            self._pending_bytes += row_bytes(row)
            if table.key_of is not None:
                self._last.add(relation, table.key_of(row), self._count)
        self._count += 1
        self._pending.append(change)
        if len(self._pending) >= BLOCK_CHANGES or self._pending_bytes >= BLOCK_BYTES:
            self._flush()

    def last_for_key(self) -> Bits:
        """One bit a change, 1 where no later change of the same key follows."""
        return self._last.finish(self._count, lambda: None)

    def close(self) -> None:
        """Give the space back."""
        self._file.close()
        self._last.close()

    def _flush(self) -> None:
        data = marshal.dumps([(self._number(change.table), *change[1:]) for change in self._pending])
        self._blocks.append((self._file.write(data), len(data)))
        self._pending.clear()
        self._pending_bytes = 0

    def _number(self, table: EncodedTable) -> int:
        number = self._numbers.get(id(table))
        if number is None:
            number = self._numbers[id(table)] = len(self._tables)
            self._tables.append(table)
        return number
