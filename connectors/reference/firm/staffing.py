"""Who works on what: projects dealt to people for a few weeks, and bookings planned beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from connectors.reference.firm.contracts import Contracts, Project
from connectors.reference.firm.days import monday_of
from connectors.reference.firm.people import People, Person
from connectors.reference.firm.world import World

QUARTER: Final = 900  # most people log quarter hours
_WEEK: Final = timedelta(weeks=1)
_STINT_WEEKS: Final = (2, 5)
# Share of time on internal work, percent, by practice: what utilization differs by.
_INTERNAL_PERCENT: Final = {"cloud": 9, "data": 14, "strategy": 20}
_INTERNAL_DAYS: Final = 33  # percent: internal work happens on a third of the days, in larger pieces
_PRIMARY_QUARTERS: Final = 3  # a first project takes about three quarters of a week, a second one
_SHARE_UNIT: Final = 1000  # so that shares of projects with different weights compare as integers
# Share of blocks in odd minutes; more where the contract rounds quantities, to see it do so.
_ODD, _ODD_WHERE_ROUNDED = 0.08, 0.6
_SHORTEST_BLOCK: Final = 2 * QUARTER


@dataclass(frozen=True, slots=True)
class Booking:
    """Time to log: ERP codes, seconds, kind, and the trouble it carries if any."""

    project: str
    task: str | None
    seconds: int
    kind: str = "standard"
    trouble: str | None = None


@dataclass(slots=True)
class _Stint:
    project: Project
    until: date


class Staffing:
    """Deals projects by their weights and splits days into bookings."""

    def __init__(self, world: World, people: People, contracts: Contracts) -> None:
        self._rng = world.rng("staffing")
        self._people = people
        self._contracts = contracts
        self._load: dict[str, int] = {}  # project -> quarters of a person's weeks dealt to it
        self._stints: dict[str, _Stint] = {}
        self._second: dict[tuple[str, date], Project] = {}
        self._planned: dict[tuple[str, date], list[Booking]] = {}

    def plan(self, person: Person, day: date, booking: Booking) -> None:
        """Have a person log a booking on a day, instead of a part of what they would do."""
        self._planned.setdefault((person.id, day), []).append(booking)

    def primary(self, person: Person, day: date) -> Project:
        """The project of a person's current stint."""
        stint = self._stints.get(person.id)
        if stint is None or stint.until <= day or not stint.project.is_open:
            weeks = self._rng.randrange(*_STINT_WEEKS)
            stint = _Stint(self._deal(person, weeks * _PRIMARY_QUARTERS), day + weeks * _WEEK)
            self._stints[person.id] = stint
        return stint.project

    def current(self, person: Person) -> Project | None:
        """The project of a person's latest stint, if it is still open."""
        stint = self._stints.get(person.id)
        return stint.project if stint is not None and stint.project.is_open else None

    def _secondary(self, person: Person, day: date) -> Project:
        week = (person.id, monday_of(day))
        if week not in self._second or not self._second[week].is_open:
            self._second[week] = self._deal(person, 1)
        return self._second[week]

    def _deal(self, person: Person, weeks: int) -> Project:
        """The project that is furthest behind its share, of those with a price for the person's role."""
        choices = [
            project
            for project in self._contracts.projects
            if project.weight and project.is_open and (project.specialists or person.role != "specialist")
        ]
        if not choices:
            raise LookupError(f"no project for {person.role}")
        served = min(
            self._share(project) for project in choices if project.id in self._load or not self._load
        )
        for project in choices:  # a new project starts level with the least served
            self._load.setdefault(project.id, served * project.weight // _SHARE_UNIT)
        project = min(choices, key=lambda project: (self._share(project), self._rng.random()))
        self._load[project.id] += weeks
        return project

    def _share(self, project: Project) -> int:
        return self._load.get(project.id, 0) * _SHARE_UNIT // project.weight

    def day(self, person: Person, day: date) -> list[Booking]:
        """What a person logs for a day; nothing if they have no capacity."""
        left = self._people.capacity(person, day)
        bookings = []
        for booking in self._planned.get((person.id, day), ()):
            if booking.seconds <= left:
                bookings.append(booking)
                left -= booking.seconds
        if self._rng.random() < 0.06:  # some days end early
            left -= 2 * QUARTER
        return bookings + self._split(person, day, left)

    def _split(self, person: Person, day: date, left: int) -> list[Booking]:
        bookings: list[Booking] = []
        if self._rng.random() * 100 < _INTERNAL_DAYS:
            percent = _INTERNAL_PERCENT[person.practice] * 100 // _INTERNAL_DAYS
            internal = self._rng.choice(self._contracts.internal)
            left -= self._add(bookings, internal, left, left * percent // 100)
        if self._rng.random() < 0.75:
            left -= self._add(bookings, self._secondary(person, day), left, left * 35 // 100)
        primary = self.primary(person, day)
        if self._rng.random() < 0.4:
            left -= self._add(bookings, primary, left, left * 45 // 100)
        self._add(bookings, primary, left, left)
        return bookings

    def _add(self, bookings: list[Booking], project: Project, left: int, seconds: int) -> int:
        """Book about ``seconds``, at most ``left``, in quarter hours or now and then in odd minutes."""
        rounded = project.line is not None and project.line.spec.increment is not None
        unit = 60 if self._rng.random() < (_ODD_WHERE_ROUNDED if rounded else _ODD) else QUARTER
        seconds = seconds // unit * unit
        if seconds < _SHORTEST_BLOCK or seconds > left:
            return 0
        bookings.append(Booking(project.id, self.task_of(project), seconds))
        return seconds

    def task_of(self, project: Project) -> str | None:
        """A task of a project: mostly billable, sometimes none."""
        chance = self._rng.random()
        if chance < 0.15:
            return None
        if chance < 0.21:
            return self._rng.choice(project.other_tasks)
        return self._rng.choice(project.billable_tasks)
