"""Rows of a reference table by id, and by whom they belong to."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Owner = TypeVar("Owner", bound=Hashable)
Row = TypeVar("Row")


class OwnedRows(Generic[Owner, Row]):
    """Rows of which each belongs to somebody, as ``owner_of`` says of a row."""

    def __init__(self, owner_of: Callable[[Row], Owner]) -> None:
        self._owner_of = owner_of
        self._rows: dict[str, Row] = {}
        self._ids: dict[Owner, set[str]] = {}

    def __bool__(self) -> bool:
        """Whether there is any row."""
        return bool(self._rows)

    def replace(self, row_id: str, new: Row | None) -> list[Row]:
        """Put, change or (None) take away a row; the old one and the new one, nothing where they are the same."""
        old = self._rows.pop(row_id, None)
        if old is not None:
            owner = self._owner_of(old)
            self._ids[owner].discard(row_id)
            if not self._ids[owner]:
                del self._ids[owner]
        if new is not None:
            self._rows[row_id] = new
            self._ids.setdefault(self._owner_of(new), set()).add(row_id)
        return [] if old == new else [row for row in (old, new) if row is not None]

    @property
    def owners(self) -> set[Owner]:
        """Everybody whom any row belongs to."""
        return set(self._ids)

    def of(self, owner: Owner) -> list[Row]:
        """The rows that belong to somebody, by id."""
        ids = self._ids.get(owner)
        return [self._rows[row_id] for row_id in sorted(ids)] if ids else []
