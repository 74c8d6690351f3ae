"""Who a consultant is on a day: their row, but for what their position of the day says otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from .rows import Consultant, Position, Rows


def position_on(consultant_id: str, day: date, rows: Rows) -> Position | None:
    """The position of a day: of those that overlap, the one that begins last, then that of the greatest id."""
    found = [
        position
        for position in rows.positions.values()
        if position.consultant_id == consultant_id
        and position.effective_from <= day
        and (position.effective_to is None or day < position.effective_to)
    ]
    return max(found, key=lambda position: (position.effective_from, position.id), default=None)


def consultant_on(consultant_id: str, day: date, rows: Rows) -> Consultant | None:
    """A consultant as of a day; None if there is none of the id.

    Example: a dev with a position as senior from 16 March is a dev on the 15th and a senior on the 16th.
    """
    consultant = rows.consultants.get(consultant_id)
    position = position_on(consultant_id, day, rows)
    if consultant is None or position is None:
        return consultant
    names = ("role", "grade", "practice", "region", "calendar_id", "fte")
    said = {name: getattr(position, name) for name in names}
    return replace(consultant, **{name: value for name, value in said.items() if value is not None})
