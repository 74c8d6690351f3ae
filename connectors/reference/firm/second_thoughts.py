"""What becomes of rejected and approved time: fixed, corrected, withdrawn, deleted, approved again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final

from connectors.reference.firm.entries import Entries
from connectors.reference.firm.people import People, Person
from connectors.reference.firm.staffing import Staffing
from connectors.reference.firm.world import World
from streams.money import hours_to_seconds, seconds_to_hours

# Of a thousand approved entries so many are corrected, withdrawn, deleted; cumulative.
_CORRECTED, _WITHDRAWN, _DELETED = 25, 31, 34
_MOVED: Final = 0.15  # corrections that change the project instead of the hours
_HALF_HOUR: Final = 1800


class SecondThoughts:
    """Schedules and carries out changes of time that was handed in."""

    def __init__(self, world: World, people: People, staffing: Staffing, entries: Entries) -> None:
        self._world = world
        self._people = people
        self._staffing = staffing
        self._entries = entries
        self._rng = world.rng("second thoughts")

    def after_rejection(self, person: Person, entry: int) -> None:
        """Most are fixed the next day, some withdrawn."""
        act = self._fix if self._rng.random() < 0.9 else self._withdraw
        self._world.at(self._world.now + self._delay(1, 3), act, person, entry)
        self._world.features["rejected"] += 1

    def after_approval(self, person: Person, entry: int) -> None:
        """Few are ever touched again."""
        chance = self._rng.randrange(1000)
        if chance < _CORRECTED:
            self._world.at(self._world.now + self._delay(1, 15), self._correct, person, entry)
        elif chance < _WITHDRAWN:
            self._world.at(self._world.now + self._delay(1, 10), self._withdraw, person, entry)
        elif chance < _DELETED:
            self._world.at(self._world.now + self._delay(1, 10), self._delete, person, entry)

    def _delay(self, fewest_days: int, most_days: int) -> timedelta:
        return timedelta(
            days=self._rng.randrange(fewest_days, most_days), minutes=self._rng.randrange(0, 240)
        )

    def changed_hours(self, hours: Decimal) -> Decimal:
        """Half an hour to two hours less, or more where there is less than that."""
        seconds = hours_to_seconds(hours)
        change = self._rng.randrange(1, 5) * _HALF_HOUR
        return seconds_to_hours(seconds - change if seconds > change + _HALF_HOUR else seconds + change)

    def _fix(self, person: Person, entry: int) -> None:
        row = self._entries.row(entry)
        if row is None or row["status"] != "rejected":
            return
        with self._world.transaction("time", "fix_rejected") as tx:
            self._entries.correct(tx, entry, person.id, hours=self.changed_hours(row["hours"]))
        self._world.at(self._world.now + self._delay(1, 3), self.approve_again, person, entry)

    def _correct(self, person: Person, entry: int) -> None:
        row = self._entries.row(entry)
        if row is None or row["status"] != "approved":
            return
        with self._world.transaction("time", "correct") as tx:
            if self._rng.random() < _MOVED:
                project = self._staffing.primary(person, self._world.now.date())
                task = self._staffing.task_of(project)
                self._entries.correct(tx, entry, person.id, project=project.id, task=task)
            else:
                self._entries.correct(tx, entry, person.id, hours=self.changed_hours(row["hours"]))
        self._world.features["corrected"] += 1
        self._world.at(self._world.now + self._delay(0, 4), self.approve_again, person, entry)

    def approve_again(self, person: Person, entry: int) -> None:
        """Approve a resubmitted entry by itself."""
        if not self._entries.in_status([entry], "submitted"):
            return
        with self._world.transaction("time", "approve_again") as tx:
            self._entries.approve(tx, [entry], self._people.approver_of(person).id)

    def _withdraw(self, person: Person, entry: int) -> None:
        row = self._entries.row(entry)
        if row is None or row["status"] not in ("approved", "rejected"):
            return
        with self._world.transaction("time", "withdraw") as tx:
            self._entries.withdraw(tx, entry, person.id)
        self._world.features["withdrawn"] += 1

    def _delete(self, person: Person, entry: int) -> None:
        if not self._entries.in_status([entry], "approved"):
            return
        with self._world.transaction("time", "delete_approved") as tx:
            self._entries.delete(tx, entry, person.id)
        self._world.trouble["approved_deleted"] += 1
