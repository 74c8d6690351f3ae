"""What becomes of people: one is promoted, one moves to another practice, one works half time for a while.

Each is a position of days of its own, so that earlier days stay as they were.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from connectors.reference.firm.days import monday_of
from connectors.reference.firm.people import FOUR_DAYS, PRACTICES, People, Person
from connectors.reference.firm.world import World, utc

_PROMOTED_PERCENT: Final = 50
_MOVED_PERCENT: Final = 40  # known a week ahead, and in the middle of a week
_PART_TIME_PERCENT: Final = 45  # known some days late
_FULL_TIME_PERCENT: Final = 80
_LATE: Final = timedelta(days=5)
# Places in the firm, of people who work full time and are neither hired nor leave meanwhile.
_MOVER: Final = 6
_PART_TIMER: Final = 7
HALF: Final = Decimal("0.5")


class Positions:
    """Writes positions of consultants."""

    def __init__(self, world: World, people: People) -> None:
        self._world = world
        self._staff = people.staff

    def schedule(self) -> None:
        """Put the changes on the agenda."""
        day_at = self._world.settings.day_at
        promoted = next(person for person in self._staff[FOUR_DAYS:] if person.role == "analyst")
        mover, part_timer = self._staff[_MOVER], self._staff[_PART_TIMER]
        self._world.at(utc(day_at(_PROMOTED_PERCENT), 7), self._promote, promoted)
        self._world.at(utc(day_at(_MOVED_PERCENT), 7), self._move, mover)
        self._world.at(utc(day_at(_PART_TIME_PERCENT), 7), self._half_time, part_timer)
        self._world.at(utc(day_at(_FULL_TIME_PERCENT), 7), self._full_time, part_timer)

    def _promote(self, person: Person) -> None:
        """An analyst becomes an engineer today."""
        today = self._world.now.date()
        person.role_since = today, "engineer"
        self._insert("promotion", person, today, role="engineer", grade="G3")

    def _move(self, person: Person) -> None:
        wednesday = monday_of(self._world.now.date()) + timedelta(days=9)
        practice = PRACTICES[(PRACTICES.index(person.practice) + 1) % len(PRACTICES)]
        self._insert("practice_move", person, wednesday, practice=practice)

    def _half_time(self, person: Person) -> None:
        since = self._world.now.date() - _LATE
        person.half_time = since, None
        self._insert("half_time", person, since, fte=HALF)

    def _full_time(self, person: Person) -> None:
        until = self._world.now.date()
        assert person.half_time is not None
        person.half_time = person.half_time[0], until
        with self._world.transaction("erp", "half_time_ended") as tx:
            tx.update("consultant_position", _key("half_time", person), effective_to=until)
        self._world.features["half_time_ended"] += 1

    def _insert(self, what: str, person: Person, since: date, **columns: Any) -> None:
        row = {"consultant_id": person.id, "effective_from": since, **columns}
        with self._world.transaction("erp", what) as tx:
            tx.insert("consultant_position", id=_key(what, person), **row)
        self._world.features[what] += 1


def _key(what: str, person: Person) -> str:
    return f"{what}-{person.id}"
