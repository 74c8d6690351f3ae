"""What consultants are on a day: their own row, but for what their position of the day says otherwise.

A **position** is a row of ``canonical.consultant_position``: role, grade, practice, region, calendar and FTE of
``[effective_from, effective_to)``, where None is as in the consultant's row. On days without one the row holds alone.
Of positions that overlap the one that begins last holds, then that of the greatest id.

Example: a dev with a position as senior from 16 March is a dev on the 15th, and a senior from the 16th on,
whatever else the ERP learns later: work of the 15th stays that of a dev.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from agents.owned import OwnedRows

ENTITY: Final = "consultant_position"


class Position(NamedTuple):
    """A consultant's position on ``[effective_from, effective_to)``; an open end is None."""

    id: str
    consultant_id: str
    effective_from: date
    effective_to: date | None
    role: str | None
    grade: str | None
    practice: str | None
    region: str | None
    calendar_id: str | None
    fte: Decimal | None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Position:
        """The position in a decoded ``canonical.consultant_position`` that is not deleted."""
        return cls(*(record[name] for name in cls._fields))


T = TypeVar("T")
# From which day on what holds, ascending, from the first day there is; neighbours differ.
Timeline: TypeAlias = tuple[tuple[date, T], ...]
Steps: TypeAlias = Timeline[Position | None]
OWN_ROW: Final[Steps] = ((date.min, None),)


class Change(NamedTuple):
    """What a consultant's positions were, and are."""

    consultant_id: str
    before: Steps
    after: Steps


class Positions:
    """The table of positions, by consultant and day."""

    def __init__(self) -> None:
        self._rows: OwnedRows[str, Position] = OwnedRows(attrgetter("consultant_id"))
        self._steps: dict[str, Steps] = {}

    def replace(self, row_id: str, new: Position | None) -> list[Change]:
        """Put, change or (None) take away a position; the consultants it was or is of, where it differs."""
        people = {one.consultant_id: None for one in self._rows.replace(row_id, new)}
        changes = []
        for consultant_id in people:
            before = self.steps(consultant_id)
            rows = self._rows.of(consultant_id)
            after = _steps(rows)
            if rows:
                self._steps[consultant_id] = after
            else:
                self._steps.pop(consultant_id, None)
            changes.append(Change(consultant_id, before, after))
        return changes

    def steps(self, consultant_id: str) -> Steps:
        """What a consultant's positions are, day by day."""
        return self._steps.get(consultant_id, OWN_ROW)

    def on(self, consultant_id: str, day: date) -> Position | None:
        """A consultant's position of a day."""
        steps = self._steps.get(consultant_id)
        return None if steps is None else holding(steps, day)


def holding(timeline: Timeline[T], day: date) -> T:
    """What holds on a day."""
    if len(timeline) == 1:  # most have one, and are asked for each day of each window
        return timeline[0][1]
    return timeline[bisect_right(timeline, day, key=_first_day) - 1][1]


def seen_as(steps: Steps, who: Callable[[Position | None], T]) -> Timeline[T]:
    """What somebody is, day by day: ``who`` says it of a position, or of none."""
    return _merged((day, who(position)) for day, position in steps)


def parts_between(timeline: Timeline[T], start: date, end: date) -> list[tuple[date, date, T]]:
    """What holds in ``[start, end)``, part by part."""
    ends = [*(day for day, _ in timeline[1:]), date.max]
    return [
        (max(first, start), min(until, end), what)
        for (first, what), until in zip(timeline, ends, strict=True)
        if first < end and until > start
    ]


def differing(before: Timeline[T], after: Timeline[T]) -> Iterator[tuple[date | None, date | None]]:
    """The days ``[start, end)`` on which two timelines differ; an end that is open is None.

    Example: a promotion is told on the 20th, from the 16th on, of somebody who was to be promoted on the 18th:
    ``[16th, 18th)``.
    """
    begun: date | None = None
    for start in sorted({day for day, _ in (*before, *after)}):
        differs = holding(before, start) != holding(after, start)
        if differs and begun is None:
            begun = start
        elif not differs and begun is not None:
            yield _known(begun), start
            begun = None
    if begun is not None:
        yield _known(begun), None


def _first_day(step: tuple[date, object]) -> date:
    return step[0]


def _known(start: date) -> date | None:
    return None if start == date.min else start


def _merged(steps: Iterable[tuple[date, T]]) -> Timeline[T]:
    kept: list[tuple[date, T]] = []
    for day, what in steps:
        if not kept or kept[-1][1] != what:
            kept.append((day, what))
    return tuple(kept)


def _steps(rows: list[Position]) -> Steps:
    starts = {date.min, *(one.effective_from for one in rows)}
    starts.update(one.effective_to for one in rows if one.effective_to is not None)
    return _merged((start, _latest(rows, start)) for start in sorted(starts))


def _latest(rows: list[Position], day: date) -> Position | None:
    found = [
        one
        for one in rows
        if one.effective_from <= day and (one.effective_to is None or day < one.effective_to)
    ]
    return max(found, key=attrgetter("effective_from", "id"), default=None)
