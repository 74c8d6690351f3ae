"""Consultants, what they cost, when they are hired, away and gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from connectors.reference.firm.days import days_between, local, monday_of
from connectors.reference.firm.entities import ENTITY_BY_ID, working_seconds
from connectors.reference.firm.world import Draft, World, utc
from streams.money import hours_to_seconds, seconds_to_hours

ROLES: Final = ("manager", "architect", "engineer", "analyst", "specialist")
PRACTICES: Final = ("cloud", "data", "strategy")
# Dealt in this order: a manager first, two specialists next, then a plausible pyramid.
_ROLE_CYCLE: Final = (
    *("manager", "specialist", "specialist", "engineer", "analyst", "engineer", "architect"),
    *("manager", "analyst", "engineer", "engineer", "analyst", "architect", "engineer"),
    *("manager", "analyst", "engineer", "architect", "analyst", "engineer"),
)
_GRADES: Final = {
    "manager": ("G4", "G5"),
    "architect": ("G3", "G4"),
    "engineer": ("G2", "G3"),
    "analyst": ("G1", "G2"),
    "specialist": ("G4",),
}
_COSTS: Final = {"manager": 92, "architect": 81, "engineer": 62, "analyst": 45, "specialist": 104}
_PLACES: Final = (  # legal entity, region, time zone, calendar
    ("LE-DE", "emea", "Europe/Berlin", "CAL-40"),
    ("LE-US", "americas", "America/New_York", "CAL-40"),
    ("LE-UK", "emea", "Europe/London", "CAL-375"),
    ("LE-DE", "emea", "Europe/Berlin", "CAL-40"),
    ("LE-UK", "apac", "Asia/Singapore", "CAL-40"),
)
_FAR_PLACE: Final = ("LE-UK", "apac", "Pacific/Tongatapu", "CAL-PAC")  # UTC+13 all year
_NAMES: Final = (
    *("Ada Brandt", "Sione Fakafanua", "Zoë Müller", "Liam O'Connor", "Noor Haddad", "Ivan Petrov"),
    *("Mei Lin", "José Álvarez", "Kwame Mensah", "Anna Nowak", "Tom Baker", "Sara Rossi"),
)
FAR_PERSON: Final = 1  # a specialist at UTC+13
HALF_TIME, FOUR_DAYS, LEAVER = 3, 4, 5  # places in the firm, repeated every _EVERY people
_EVERY: Final = 20


@dataclass(slots=True)
class Person:
    """A consultant as the simulation knows them. ``hired_on`` and ``left_on`` bound the days worked."""

    id: str
    name: str
    role: str
    grade: str
    practice: str
    region: str
    entity: str
    calendar: str
    fte: Decimal
    zone: str
    hired_on: date
    left_on: date | None
    logs_weekly: bool
    known_on: date  # when the ERP gets the row
    role_since: tuple[date, str] | None = None  # of a promotion
    half_time: tuple[date, date | None] | None = None  # from and until when

    def employed(self, day: date) -> bool:
        """Whether they work here on a day."""
        return self.hired_on <= day and (self.left_on is None or day < self.left_on)

    def role_on(self, day: date) -> str:
        """Their role of a day."""
        return self.role if self.role_since is None or day < self.role_since[0] else self.role_since[1]

    def fte_on(self, day: date) -> Decimal:
        """Their FTE of a day."""
        since, until = self.half_time or (date.max, None)
        return self.fte / Decimal(2) if since <= day and (until is None or day < until) else self.fte


class People:
    """The staff, in order of their ids, with absences."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng("people")
        self._away: dict[tuple[str, date], int] = {}
        count = world.settings.consultants
        hires = max(2, count // 15)
        self.staff = [self._person(number, number >= count - hires, hires) for number in range(count)]
        self.managers = [person for person in self.staff if person.role == "manager"]
        self.specialists = [person for person in self.staff if person.role == "specialist"]

    def _person(self, number: int, hire: bool, hires: int) -> Person:
        settings = self._world.settings
        role = "engineer" if hire else _ROLE_CYCLE[number % len(_ROLE_CYCLE)]
        place = _FAR_PLACE if number == FAR_PERSON else _PLACES[number % len(_PLACES)]
        fte = {HALF_TIME: Decimal("0.5"), FOUR_DAYS: Decimal("0.8")}.get(number % _EVERY, Decimal(1))
        hired_on = settings.history_start - timedelta(days=self._rng.randrange(90, 2500))
        known_on = settings.history_start
        if hire:
            place_in_line = settings.consultants - number  # the last one's row comes late
            hired_on = settings.day_at(15 + 40 * place_in_line // (hires + 1))
            known_on = hired_on + timedelta(days=6 if place_in_line == 1 else -3)
        leaves = number % _EVERY == LEAVER and not hire
        return Person(
            id=f"K-{number + 1:03}",
            name=f"{_NAMES[number % len(_NAMES)]} {number // len(_NAMES) + 1}".removesuffix(" 1"),
            role=role,
            grade=self._rng.choice(_GRADES[role]),
            practice=PRACTICES[number % len(PRACTICES)],
            region=place[1],
            entity=place[0],
            calendar=place[3],
            fte=Decimal(1) if hire else fte,
            zone=place[2],
            hired_on=hired_on,
            left_on=settings.day_at(70) if leaves else None,
            logs_weekly=self._rng.random() < 0.4,
            known_on=known_on,
        )

    def seed(self, tx: Draft) -> None:
        """Insert those who are here; schedule hires, leavers, raises and absences."""
        settings = self._world.settings
        for person in self.staff:
            if person.known_on <= settings.history_start:
                self._insert(tx, person)
            else:
                self._world.at(utc(person.known_on, 9, 30), self._hire, person)
            if person.left_on:
                notice = max(settings.start, person.left_on - timedelta(days=10))
                self._world.at(utc(notice, 10), self._leave, person, person.left_on)
            self._plan_absences(person)
        self._world.at(utc(settings.day_at(35), 7), self._raise_cost, self.staff[0])
        self._world.at(utc(settings.day_at(45), 7), self._end_cost, self.staff[1])

    def _insert(self, tx: Draft, person: Person) -> None:
        tx.insert(
            "consultant",
            id=person.id,
            name=person.name,
            role=person.role,
            grade=person.grade,
            practice=person.practice,
            region=person.region,
            legal_entity_id=person.entity,
            calendar_id=person.calendar,
            fte=person.fte,
            time_zone=person.zone,
            hired_on=person.hired_on,
        )
        live = self._world.now >= self._world.settings.opening
        cost = Decimal(_COSTS[person.role] * 100 + self._rng.randrange(-600, 600)).scaleb(-2)
        rate = tx.insert(
            "cost_rate",
            id=f"CR-{person.id[2:]}-1",
            consultant_id=person.id,
            currency=ENTITY_BY_ID[person.entity].currency,
            cost=Decimal(0) if live else cost,
            effective_from=person.hired_on,
        )
        if live:  # some systems insert the row first and compute its cost in a trigger afterwards
            tx.update("cost_rate", rate, cost=cost)
            self._world.trouble["zero_cost_updated_in_transaction"] += 1

    def _hire(self, person: Person) -> None:
        late = person.known_on > person.hired_on
        with self._world.transaction("erp", "trouble:late_consultant" if late else "hire") as tx:
            self._insert(tx, person)
        self._world.features["hire"] += 1
        if late:
            self._world.trouble["late_consultant"] += 1

    def _leave(self, person: Person, left_on: date) -> None:
        with self._world.transaction("erp", "leave") as tx:
            tx.update("consultant", person.id, left_on=left_on)
        self._world.features["leave"] += 1

    def _raise_cost(self, person: Person) -> None:
        old = self._world.rows["cost_rate"][f"CR-{person.id[2:]}-1"]
        day = self._world.now.date()
        with self._world.transaction("erp", "cost_rate_change") as tx:
            tx.update("cost_rate", old["id"], effective_to=day)
            tx.insert(
                "cost_rate",
                id=f"CR-{person.id[2:]}-2",
                consultant_id=person.id,
                currency=old["currency"],
                cost=old["cost"] + Decimal("4.5"),
                effective_from=day,
            )
        self._world.features["cost_rate_change"] += 1

    def _end_cost(self, person: Person) -> None:
        """From this day on nobody knows what the person costs."""
        with self._world.transaction("erp", "trouble:cost_rate_ended") as tx:
            tx.update("cost_rate", f"CR-{person.id[2:]}-1", effective_to=self._world.now.date())
        self._world.trouble["cost_rate_ended"] += 1

    def _plan_absences(self, person: Person) -> None:
        """A vacation block every eight weeks or so, and a sick day or half day in fifty."""
        settings, rng = self._world.settings, self._rng
        week = monday_of(settings.history_start) + timedelta(weeks=rng.randrange(0, 8))
        while week < settings.end:
            block = list(days_between(week, week + timedelta(days=rng.randrange(2, 6))))
            self._world.at(utc(week - timedelta(days=12), 9), self._vacation, person, block)
            if len(block) > 2 and rng.random() < 0.25:
                back = utc(block[0] - timedelta(days=2), 15)
                self._world.at(back, self._cancel_vacation, person, block[-1])
            week += timedelta(weeks=rng.randrange(6, 11))
        for day in days_between(settings.history_start, settings.end):
            if rng.random() < 0.02:
                self._world.at(local(day, 480, person.zone), self._sick, person, day, rng.random() < 0.3)

    def _vacation(self, person: Person, block: list[date]) -> None:
        with self._world.transaction("time", "vacation") as tx:
            for day in block:
                self._absence(tx, person, day, self.capacity(person, day), "vacation")

    def _sick(self, person: Person, day: date, half: bool) -> None:
        capacity = self.capacity(person, day)
        with self._world.transaction("time", "sick") as tx:
            self._absence(tx, person, day, capacity // 2 if half else capacity, "sick")

    def _absence(self, tx: Draft, person: Person, day: date, seconds: int, kind: str) -> None:
        key = f"AB-{person.id[2:]}-{day:%Y%m%d}"
        if seconds <= 0 or key in self._world.rows["absence"]:
            return
        hours = seconds_to_hours(seconds)
        tx.insert("absence", id=key, consultant_code=person.id, day=day, hours=hours, kind=kind)
        self._away[person.id, day] = hours_to_seconds(hours)

    def _cancel_vacation(self, person: Person, day: date) -> None:
        key = f"AB-{person.id[2:]}-{day:%Y%m%d}"
        if key not in self._world.rows["absence"]:
            return
        with self._world.transaction("time", "vacation_cancelled") as tx:
            tx.delete("absence", key)
        del self._away[person.id, day]
        self._world.trouble["absence_deleted"] += 1

    def capacity(self, person: Person, day: date) -> int:
        """Seconds a person has for work on a day: (calendar - holiday) x FTE - absence."""
        if not person.employed(day):
            return 0
        full = working_seconds(person.calendar, day, self._world.settings.start)
        return max(0, int(full * person.fte_on(day)) - self._away.get((person.id, day), 0))

    def approver_of(self, person: Person) -> Person:
        """The manager of the practice, or another manager; nobody approves their own time."""
        others = [manager for manager in self.managers if manager.id != person.id]
        return next((manager for manager in others if manager.practice == person.practice), others[0])
