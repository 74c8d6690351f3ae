"""The resource plan: on Fridays people are planned for the weeks to come, and plans change as plans do."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from connectors.reference.firm.contracts import Contracts
from connectors.reference.firm.people import People, Person
from connectors.reference.firm.staffing import Staffing
from connectors.reference.firm.world import World, utc

_WEEK: Final = timedelta(weeks=1)
_FRIDAY: Final = timedelta(days=4)
_HOURS: Final = tuple(map(Decimal, ("4", "5.5", "6", "6.75")))
_INTERNAL: Final = 0.12  # share of assignments to internal work
_STINT_WEEKS: Final = (1, 4)
# Chances of what becomes of an assignment, once it is there.
_EXTENDED, _CANCELLED, _HANDED_ON, _DELETED = 0.12, 0.08, 0.08, 0.04  # float: chances
_MISTYPE, _REPAIR = 30, 36  # percent of the run


class Resourcing:
    """Plans people a few weeks ahead, mostly on what they work on already."""

    def __init__(self, world: World, people: People, contracts: Contracts, staffing: Staffing) -> None:
        self._world = world
        self._people = people
        self._contracts = contracts
        self._staffing = staffing
        self._rng = world.rng("resourcing")
        self._until: dict[str, date] = {}  # up to when a person is planned
        self._slipped = ""  # the assignment that is mistyped

    def schedule(self) -> None:
        """Put every Friday's round on the agenda, and a slip with its repair."""
        settings = self._world.settings
        monday = settings.history_start
        while monday < settings.end:
            self._world.at(utc(monday + _FRIDAY, 15), self._plan, monday + _WEEK)
            monday += _WEEK
        self._world.at(utc(settings.day_at(_MISTYPE), 8, 40), self._mistype)
        self._world.at(utc(settings.day_at(_REPAIR), 8, 40), self._repair)

    def _plan(self, monday: date) -> None:
        """Assign whoever has nothing planned from a Monday on."""
        for person in self._people.staff:
            if not person.employed(monday) or self._until.get(person.id, monday) > monday:
                continue
            end = monday + self._rng.randrange(*_STINT_WEEKS) * _WEEK
            self._until[person.id] = end
            key = f"AS-{self._world.number('assignment'):05}"
            with self._world.transaction("erp", "assignment") as tx:
                tx.insert(
                    "assignment",
                    id=key,
                    consultant_id=person.id,
                    project_id=self._project(person),
                    starts_on=monday,
                    ends_on=end,
                    hours_per_day=self._rng.choice(_HOURS) * person.fte,
                    status=self._rng.choice(("planned", "confirmed")),
                )
            self._world.features["assignment"] += 1
            self._reconsider(key)

    def _project(self, person: Person) -> str:
        if self._rng.random() < _INTERNAL:
            return self._rng.choice(self._contracts.internal).id
        current = self._staffing.current(person)
        if current is not None and self._rng.random() < 0.8:
            return current.id
        choices = [project.id for project in self._contracts.projects if project.weight and project.is_open]
        return self._rng.choice(choices)

    def _reconsider(self, key: str) -> None:
        """Decide what becomes of an assignment in the days after it was made."""
        chance = self._rng.random()
        for share, act in (
            (_EXTENDED, self._extend),
            (_CANCELLED, self._cancel),
            (_HANDED_ON, self._hand_on),
            (_DELETED, self._delete),
        ):
            if chance < share:
                self._world.at(self._world.now + timedelta(days=self._rng.randrange(1, 9)), act, key)
                return
            chance -= share

    def _extend(self, key: str) -> None:
        ends_on = self._world.rows["assignment"][key]["ends_on"] + _WEEK
        self._change(key, "assignment_extended", "ends_on", ends_on)

    def _cancel(self, key: str) -> None:
        self._change(key, "assignment_cancelled", "status", "cancelled")

    def _hand_on(self, key: str) -> None:
        """Somebody else does it, and every other time the first one after all."""
        first = self._world.rows["assignment"][key]["consultant_id"]
        others = [person.id for person in self._people.staff if person.id != first]
        self._change(key, "assignment_handed_on", "consultant_id", self._rng.choice(others))
        if self._rng.random() < 0.5:
            back = self._world.now + timedelta(days=1)
            self._world.at(back, self._change, key, "assignment_handed_back", "consultant_id", first)

    def _delete(self, key: str) -> None:
        if key == self._slipped:  # it is repaired instead
            return
        with self._world.transaction("erp", "assignment_deleted") as tx:
            tx.delete("assignment", key)
        self._world.trouble["assignment_deleted"] += 1

    def _change(self, key: str, label: str, column: str, value: str | date) -> None:
        with self._world.transaction("erp", label) as tx:
            tx.update("assignment", key, **{column: value})
        self._world.features[label] += 1

    def _mistype(self) -> None:
        """A week's hours in the column of a day's: the row is withdrawn until it is repaired."""
        self._slipped = max(self._world.rows["assignment"].values(), key=lambda row: row["ends_on"])["id"]
        self._slip("assignment_of_a_week", Decimal(40))

    def _repair(self) -> None:
        self._slip("assignment_of_a_week_fixed", Decimal(6))

    def _slip(self, kind: str, hours: Decimal) -> None:
        with self._world.transaction("erp", f"trouble:{kind}") as tx:
            tx.update("assignment", self._slipped, hours_per_day=hours)
        self._world.trouble[kind] += 1
