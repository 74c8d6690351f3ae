"""One change of a row, and a sequence of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple, Protocol

from connectors.sources.mariadb.cells import Row
from connectors.sources.mariadb.envelope import EnvelopeEncoder
from connectors.sources.postgres.tables.envelope import RowEncoder


class EncodedTable(Protocol):
    """What is needed of a table; its encoders are replaced by `widen`."""

    topic: str
    full_name: str
    rows: RowEncoder
    envelope: EnvelopeEncoder
    encode_key: Callable[[Row], bytes] | None

    @property
    def key_of(self) -> Callable[[Row], Hashable] | None:
        """Takes the key out of a row; None when the table has no key."""

    def widen(self, column: str) -> None:
        """Make the column's field nullable, by a new version of the schema."""


class Change(NamedTuple):
    """One record to publish. ``position`` is where its event begins in the log, ``row`` its place in that.

    ``moved``: on a change of key, which is a delete and a create, the row at the other end.
    """

    table: EncodedTable
    op: str
    before: Row | None
    after: Row | None
    position: int
    row: int
    moved: Row | None = None


class Changes(Protocol):
    """Changes in their order; may be gone through more than once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Change]: ...


# What Python adds to a cell and to a row, roughly: bytes and tuples have headers.
_CELL_BYTES = 56
_ROW_BYTES = 300


def row_bytes(row: Row) -> int:
    """What a row takes in memory, about."""
    return _ROW_BYTES + sum(_CELL_BYTES + len(cell) for cell in row if cell is not None)
