"""Prices as they were known at a close: a row as it is now, and what it was before it was changed or taken away.

A close knows what was decided before it and had not ended by then: a version that was decided before the close and
ended at it or later, or the row, decided before. Where several stand, the last decision does; of decisions of one
moment the row, then the version of the greatest id. What doesn't say when it was decided was decided long ago.

Example: R is 150, and changed to 160 on 10 April. A close of 3 April knows 150, one of 4 May knows 160.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Generic, NamedTuple, TypeVar

from agents.billing.entities import FxRate, Rate, Record

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
AT_LAST: Final = datetime.max.replace(tzinfo=UTC)

Row = TypeVar("Row", Rate, FxRate)


class Ended(NamedTuple, Generic[Row]):
    """What a row was until ``ended_at``."""

    row: Row
    ended_at: datetime


def ended_rate(record: Record) -> Ended[Rate]:
    """The version of a decoded ``canonical.rate_version``."""
    return Ended(Rate.from_record({**record, "id": record["rate_id"]}), record["ended_at"])


def ended_fx_rate(record: Record) -> Ended[FxRate]:
    """The version of a decoded ``canonical.fx_rate_version``."""
    return Ended(FxRate.from_record({**record, "id": record["fx_rate_id"]}), record["ended_at"])


class Difference(NamedTuple, Generic[Row]):
    """What a row was taken for at some close or is taken for now, and what it is taken for instead."""

    old: Row | None
    new: Row | None


class KnownRows(Generic[Row]):
    """The rows of a table by id, with their versions. ``newest`` is no earlier than any decision or end of one."""

    def __init__(self) -> None:
        self.by_id: dict[str, Row] = {}
        self.newest = LONG_AGO
        self._ended: dict[str, dict[str, Ended[Row]]] = {}  # by the row's id, then by the version's
        self._row_of: dict[str, str] = {}

    def replace(self, row_id: str, new: Row | None) -> list[Difference[Row]]:
        """Put, change or (None) take away a row; what that changes at any close, or now."""
        old, versions = self.by_id.pop(row_id, None), self._ended.get(row_id, {})
        if new is not None:
            self.by_id[row_id] = new
            self._note(new.decided_at)
        if old == new:
            return []
        if not versions and (old is None or new is None):  # as most are that are loaded
            return [Difference(old, new)]
        return _differences(old, versions, new, versions)

    def version(self, version_id: str) -> Ended[Row] | None:
        """The version of that id."""
        row_id = self._row_of.get(version_id)
        return None if row_id is None else self._ended[row_id][version_id]

    def replace_version(self, version_id: str, new: Ended[Row] | None) -> list[Difference[Row]]:
        """Put, change or (None) take away a version; what that changes at any close."""
        old = self.version(version_id)
        if old == new:
            return []
        row_ids = list(dict.fromkeys(of.row.id for of in (old, new) if of is not None))
        before = {row_id: dict(self._ended.get(row_id, {})) for row_id in row_ids}
        if old is not None:
            del self._row_of[version_id]
            del self._ended[old.row.id][version_id]
            if not self._ended[old.row.id]:
                del self._ended[old.row.id]
        if new is not None:
            self._row_of[version_id] = new.row.id
            self._ended.setdefault(new.row.id, {})[version_id] = new
            self._note(new.row.decided_at)
            self._note(new.ended_at)
        found = []
        for row_id in row_ids:
            row = self.by_id.get(row_id)
            found += _differences(row, before[row_id], row, self._ended.get(row_id, {}))
        return found

    def stood(self, row_id: str, close: datetime) -> Row | None:
        """What a close knows of a row, None where it knows nothing."""
        return _stood(self.by_id.get(row_id), self._ended.get(row_id, {}), close)

    def moments(self, row_id: str) -> set[datetime]:
        """When the row, or a version of it, was decided or ended: between two of these every close knows the same."""
        return _moments(self.by_id.get(row_id), self._ended.get(row_id, {}))

    def standing(self, rows: Iterable[Row], close: datetime) -> list[Row]:
        """Of rows and versions those that a close knows, each row once."""
        return list({row.id: row for row in rows if self.stood(row.id, close) == row}.values())

    def _note(self, moment: datetime | None) -> None:
        if moment is not None and moment > self.newest:
            self.newest = moment


def _stood(row: Row | None, ended: dict[str, Ended[Row]], close: datetime) -> Row | None:
    stands = row if row is not None and _decided(row) < close else None
    if not ended:
        return stands
    of_versions = [
        (_decided(of.row), version_id, of.row)
        for version_id, of in ended.items()
        if _decided(of.row) < close <= of.ended_at
    ]
    if not of_versions:
        return stands
    decided, _, last = max(of_versions, key=lambda one: one[:2])
    return stands if stands is not None and _decided(stands) >= decided else last


def _moments(row: Row | None, ended: dict[str, Ended[Row]]) -> set[datetime]:
    found = set() if row is None or row.decided_at is None else {row.decided_at}
    for of in ended.values():
        found.add(of.ended_at)
        if of.row.decided_at is not None:
            found.add(of.row.decided_at)
    return found


def _differences(
    old: Row | None, before: dict[str, Ended[Row]], new: Row | None, after: dict[str, Ended[Row]]
) -> list[Difference[Row]]:
    """Of the present, and of one close between each two moments that part what closes know."""
    found = [Difference(old, new)]
    for close in sorted(_moments(old, before) | _moments(new, after) | {AT_LAST}):
        difference = Difference(_stood(old, before, close), _stood(new, after, close))
        if difference not in found:
            found.append(difference)
    return [of for of in found if not _is_same(of.old, of.new)]


def _is_same(old: Row | None, new: Row | None) -> bool:
    """But for when it was decided."""
    if old is None or new is None:
        return old is new
    return replace(old, decided_at=new.decided_at) == new


def _decided(row: Row) -> datetime:
    return row.decided_at or LONG_AGO
