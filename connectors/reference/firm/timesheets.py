"""The week of a timesheet: days are logged, weeks handed in, and managers approve their teams.

Some log every evening, some the whole week on its last evening. Most hand in on Friday and are approved
with their team on Monday; stragglers are approved one by one, up to nine days later.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from connectors.reference.firm.days import days_between, local, monday_of
from connectors.reference.firm.entries import Entries
from connectors.reference.firm.people import People, Person
from connectors.reference.firm.second_thoughts import SecondThoughts
from connectors.reference.firm.staffing import Booking, Staffing
from connectors.reference.firm.world import World, utc
from streams.money import hours_to_seconds, seconds_to_hours

_EVENING: Final = 17 * 60  # minutes after local midnight; submission at least two hours later
_FRIDAY: Final = 4
_SATURDAY: Final = 5
_ON_TIME, _MONDAY_MORNING = 0.85, 0.95  # cumulative; the others hand in on Wednesday
_DEFERRED: Final = 0.09  # weeks that a manager leaves for later
_REJECTED: Final = 0.03
_HOUR: Final = 3600
_WEEK: Final = timedelta(weeks=1)


class Timesheets:
    """Logging, submission and approval."""

    def __init__(
        self, world: World, people: People, staffing: Staffing, entries: Entries, later: SecondThoughts
    ) -> None:
        self._world = world
        self._people = people
        self._staffing = staffing
        self._entries = entries
        self._later = later
        self._rng = world.rng("timesheets")
        self._logged: dict[tuple[str, date], list[int]] = {}  # (person, Monday) -> entries

    def schedule(self) -> None:
        """Put every day and week of the run on the agenda."""
        settings = self._world.settings
        for day in days_between(settings.history_start, settings.end):
            self._world.at(utc(day) - timedelta(hours=14), self._day, day)  # before anyone's evening
        monday = settings.history_start
        while monday < settings.end:
            for manager in self._people.managers:
                minutes = self._rng.randrange(9 * 60, 16 * 60)
                when = local(monday + _WEEK, minutes, manager.zone)
                self._world.at(when, self._approve_team, manager, monday)
            monday += _WEEK

    def _day(self, day: date) -> None:
        """Schedule the evening of everybody, and on Mondays the submission of the week."""
        for person in self._people.staff:
            if not person.employed(day):
                continue
            minutes = _EVENING + self._rng.randrange(0, 100)
            if not person.logs_weekly:
                self._world.at(local(day, minutes, person.zone), self._log, person, [day])
            if day.weekday() == _FRIDAY or self._is_last(person, day):
                self._close_week(person, day, minutes)
            if day.weekday() == _SATURDAY and self._rng.random() < 0.05:
                self._world.at(local(day, minutes, person.zone), self._weekend, person, day)

    def _is_last(self, person: Person, day: date) -> bool:
        tomorrow = day + timedelta(days=1)
        return day.weekday() < _FRIDAY and (
            tomorrow == self._world.settings.end or tomorrow == person.left_on
        )

    def _close_week(self, person: Person, day: date, minutes: int) -> None:
        monday = monday_of(day)
        if person.logs_weekly:
            days = [d for d in days_between(monday, day + timedelta(days=1)) if person.employed(d)]
            self._world.at(local(day, minutes, person.zone), self._log, person, days)
        chance = self._rng.random()
        when = local(day, minutes + 120 + self._rng.randrange(0, 60), person.zone)
        if chance > _ON_TIME:
            late = monday + _WEEK + timedelta(days=0 if chance < _MONDAY_MORNING else 2)
            when = local(late, 8 * 60 + self._rng.randrange(0, 50), person.zone)
        self._world.at(when, self._submit, person, monday)

    def _log(self, person: Person, days: list[date]) -> None:
        """One transaction with the drafts of a day, or of a week."""
        bookings: list[tuple[date, Booking]] = []
        for day in days:
            today = self._staffing.day(person, day)
            bookings += [(day, booking) for booking in today]
            if today and self._rng.random() < 0.03:
                project = self._staffing.primary(person, day)
                seconds = self._rng.randrange(2, 8) * 1800
                bookings.append(
                    (day, Booking(project.id, self._staffing.task_of(project), seconds, "overtime"))
                )
        self._draft(person, bookings)

    def _weekend(self, person: Person, day: date) -> None:
        if self._people.capacity(person, day - timedelta(days=1)) == 0:  # away
            return
        project = self._staffing.primary(person, day)
        kind = "overtime" if self._rng.random() < 0.3 else "weekend"
        seconds = self._rng.randrange(4, 12) * 1800
        self._draft(person, [(day, Booking(project.id, self._staffing.task_of(project), seconds, kind))])
        self._world.at(
            local(day + timedelta(days=2), 8 * 60 + 55, person.zone), self._submit, person, monday_of(day)
        )

    def _draft(self, person: Person, bookings: list[tuple[date, Booking]]) -> None:
        with self._world.transaction("time", "draft") as tx:
            entries = self._entries.draft(tx, person, bookings)
        for entry, (day, booking) in zip(entries, bookings, strict=True):
            self._logged.setdefault((person.id, monday_of(day)), []).append(entry)
            self._world.features[f"kind_{booking.kind}"] += 1
            if booking.trouble:
                self._world.trouble[booking.trouble] += 1
            elif self._rng.random() < 0.04:
                self._world.at(self._world.now + timedelta(minutes=50), self._reconsider, person, entry)

    def _reconsider(self, person: Person, entry: int) -> None:
        """A draft is changed, or deleted."""
        row = self._entries.row(entry)
        if row is None or row["status"] != "draft":
            return
        seconds = hours_to_seconds(row["hours"])
        with self._world.transaction("time", "draft_edit") as tx:
            if self._rng.random() < 0.3:
                self._entries.delete(tx, entry, person.id)
                self._world.trouble["draft_deleted"] += 1
            else:
                shorter = seconds - 1800 if seconds > _HOUR else seconds + 1800
                self._entries.edit(tx, entry, seconds_to_hours(shorter))
                self._world.features["draft_edited"] += 1

    def _submit(self, person: Person, monday: date) -> None:
        drafts = self._entries.in_status(self._logged.get((person.id, monday), ()), "draft")
        if not drafts:
            return
        with self._world.transaction("time", "submit") as tx:
            self._entries.submit(tx, drafts, person.id)
        if self._world.now >= utc(monday + _WEEK, 8):  # the team's approval may be over
            wait = timedelta(hours=self._rng.randrange(20, 60))
            self._world.at(self._world.now + wait, self._approve_week, person, monday, "approve_straggler")

    def _approve_team(self, manager: Person, monday: date) -> None:
        """One transaction for the week of a whole team, except those left for later."""
        week: list[tuple[Person, int]] = []
        for person in self._people.staff:
            if self._people.approver_of(person) is not manager:
                continue
            if self._rng.random() < _DEFERRED:
                wait = timedelta(days=self._rng.randrange(1, 9), minutes=self._rng.randrange(300))
                self._world.at(self._world.now + wait, self._approve_week, person, monday, "approve_deferred")
                self._world.features["approval_deferred"] += 1
            else:
                logged = self._logged.get((person.id, monday), ())
                week += [(person, entry) for entry in self._entries.in_status(logged, "submitted")]
        self._decide(manager, week, "approve")

    def _approve_week(self, person: Person, monday: date, label: str) -> None:
        logged = self._logged.get((person.id, monday), ())
        week = [(person, entry) for entry in self._entries.in_status(logged, "submitted")]
        self._decide(self._people.approver_of(person), week, label)

    def _decide(self, manager: Person, week: list[tuple[Person, int]], label: str) -> None:
        """Approve, reject a few, and let their people have second thoughts."""
        rejected: list[tuple[Person, int]] = []
        approved: list[tuple[Person, int]] = []
        for item in week:
            (rejected if self._rng.random() < _REJECTED else approved).append(item)
        with self._world.transaction("time", label) as tx:
            self._entries.approve(tx, [entry for _, entry in approved], manager.id)
            self._entries.reject(tx, [entry for _, entry in rejected], manager.id)
        for person, entry in rejected:
            self._later.after_rejection(person, entry)
        for person, entry in approved:
            self._later.after_approval(person, entry)
