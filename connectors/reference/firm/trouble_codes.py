"""Planted trouble around codes and prices: time is booked on what the ERP does not know or cannot price.

Each booking is counted when it is logged. What is late arrives after its bookings were approved, so that
they are parked first and released then; what is never there stays parked.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from connectors.reference.firm.contracts import Contracts, Project
from connectors.reference.firm.days import days_between, is_weekend
from connectors.reference.firm.people import People, Person
from connectors.reference.firm.rates import Rates
from connectors.reference.firm.staffing import Booking, Staffing
from connectors.reference.firm.world import World, utc

_HOUR: Final = 3600
_UNTIL_APPROVED: Final = timedelta(days=8)  # from a work date to the approval of its week, and a day
_SHORTEST_WINDOW: Final = 5  # days: holds three working days wherever it falls
LATE_TASK, NEVER_TASK, LATE_PROJECT = "T-LATE", "T-NEVER", "P-LATE"


class CodeTrouble:
    """Rates, tasks and projects that come late or never."""

    def __init__(
        self, world: World, people: People, staffing: Staffing, contracts: Contracts, rates: Rates
    ) -> None:
        self._world = world
        self._people = people
        self._staffing = staffing
        self._contracts = contracts
        self._rates = rates
        settled = world.settings.history_start
        # The first people are the ones other acts single out; these are ordinary staff of the first day.
        self._crowd = [
            person
            for person in people.staff[3:]
            if person.hired_on < settled and person.left_on is None and person.role != "specialist"
        ]

    def schedule(self) -> None:
        """Plan the bookings and the arrivals."""
        specialists = self._people.specialists
        host = self._project("standard")
        ghost = Project(LATE_PROJECT, None, 0, True)
        foreign = self._project("by_project").billable_tasks[0]
        self._book("late_rate", 6, specialists, self._project("late_rate"), 3)
        self._book("never_rate", 30, specialists[::-1], self._project("never_rate"), 4)
        self._book("negative_cap_never_booked", 20, self._from(0), self._project("negative_cap_never"), 2)
        self._book("expired_contract", 48, self._from(1), self._project("expired"), 2)
        self._book("late_task", 12, self._from(2), host, 2, LATE_TASK)
        self._book("never_task", 40, self._from(4), host, 2, NEVER_TASK)
        self._book("foreign_task", 55, self._from(5), host, 1, foreign)
        self._book("late_project", 18, self._from(3), ghost, 3)
        self._arrive(6, self._bring_rates)
        self._arrive(12, self._bring_task)
        self._arrive(18, self._bring_project)

    def _from(self, place: int) -> list[Person]:
        """The crowd, beginning with somebody else for each kind of trouble."""
        place %= len(self._crowd)
        return self._crowd[place:] + self._crowd[:place]

    def _project(self, tag: str) -> Project:
        return self._contracts.find(tag).projects[0]

    def _window(self, percent: int) -> list[date]:
        """Working days for a sixth of the run, from ``percent`` of it on."""
        settings = self._world.settings
        first = settings.day_at(percent)
        last = min(first + timedelta(days=max(_SHORTEST_WINDOW, settings.days // 6)), settings.end)
        return [day for day in days_between(first, last) if not is_weekend(day)]

    def _book(
        self,
        kind: str,
        percent: int,
        people: list[Person],
        project: Project,
        hours: int,
        task: str | None = None,
    ) -> None:
        """Have some people book on a project, or task, on each day of a window."""
        booking = Booking(project.id, task, hours * _HOUR, trouble=kind)
        for day in self._window(percent):
            # Before anybody's evening, wherever they are, and after their absences are known.
            self._world.at(utc(day) - timedelta(hours=14), self._plan, people, day, booking)

    def _plan(self, people: list[Person], day: date, booking: Booking) -> None:
        many = max(1, self._world.settings.consultants // 13)
        able = [person for person in people if self._people.capacity(person, day) >= booking.seconds]
        for person in able[:many]:
            self._staffing.plan(person, day, booking)

    def _arrive(self, percent: int, bring: Callable[[], None]) -> None:
        """Bring what was missing when the bookings of a window are approved."""
        self._world.at(utc(self._window(percent)[-1] + _UNTIL_APPROVED, 10, 5), bring)

    def _bring_rates(self) -> None:
        engagement = self._contracts.find("late_rate")
        project, currency = engagement.projects[0], engagement.currency
        price = self._rates.price("specialist", currency)
        with self._world.transaction("erp", "trouble:late_rate") as tx:
            self._rates.insert(tx, price, currency, project_id=project.id, role="specialist")
        self._world.trouble["late_rate_released"] += 1

    def _bring_task(self) -> None:
        with self._world.transaction("erp", "trouble:late_task") as tx:
            tx.insert(
                "task",
                id=LATE_TASK,
                project_id=self._project("standard").id,
                name="Forgotten work package",
                billing_class="billable",
                status="active",
            )
        self._world.trouble["late_task_released"] += 1

    def _bring_project(self) -> None:
        engagement = self._contracts.find("standard", 1)
        with self._world.transaction("erp", "trouble:late_project") as tx:
            tx.insert(
                "project",
                id=LATE_PROJECT,
                engagement_id=engagement.id,
                contract_line_id=engagement.lines[0].id,
                name="Started before it was set up",
                service_line="advisory",
                delivery_model="onsite",
                status="active",
            )
        self._world.trouble["late_project_released"] += 1
