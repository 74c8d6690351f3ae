"""Targets of utilization: of each practice, of the senior grades, of single people; some change on the way."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final

from connectors.reference.firm.people import FOUR_DAYS, HALF_TIME, PRACTICES, People
from connectors.reference.firm.world import Draft, World, utc

_OF_PRACTICE: Final = dict(zip(PRACTICES, map(Decimal, ("0.8", "0.75", "0.7")), strict=True))
_OF_GRADE: Final = {"G4": Decimal("0.65"), "G5": Decimal("0.5")}
_OWN: Final = Decimal("0.9")
_LONG_AGO: Final = date(2024, 1, 1)
# Percent of the run at which each act happens.
_RAISE, _AGREE, _DROP, _MISTYPE, _REPAIR = 40, 45, 65, 20, 25


class Targets:
    """Writes the targets and their changes."""

    def __init__(self, world: World, people: People) -> None:
        self._world = world
        self._people = people

    def seed(self, tx: Draft) -> None:
        """Insert what holds from the start; schedule a raise, an agreement, its end, and a slip."""
        for practice, ratio in _OF_PRACTICE.items():
            self._insert(tx, "practice", practice, ratio, _LONG_AGO)
        for grade, ratio in _OF_GRADE.items():
            self._insert(tx, "grade", grade, ratio, _LONG_AGO)
        settings = self._world.settings
        for percent, act in (
            (_MISTYPE, self._mistype),
            (_REPAIR, self._repair),
            (_RAISE, self._raise),
            (_AGREE, self._agree),
            (_DROP, self._drop),
        ):
            self._world.at(utc(settings.day_at(percent), 8, 20), act)

    def _insert(self, tx: Draft, scope: str, name: str, ratio: Decimal, since: date) -> None:
        tx.insert(
            "utilization_target",
            id=f"UT-{name}-{since:%Y%m%d}",
            scope=scope,
            consultant_id=name if scope == "consultant" else None,
            grade=name if scope == "grade" else None,
            practice=name if scope == "practice" else None,
            ratio=ratio,
            effective_from=since,
        )

    def _raise(self) -> None:
        """A practice is to reach more from a day in the middle of a week, month and quarter."""
        practice, day = PRACTICES[0], self._world.now.date()
        with self._world.transaction("erp", "target_change") as tx:
            tx.update("utilization_target", _key(practice, _LONG_AGO), effective_to=day)
            self._insert(tx, "practice", practice, _OF_PRACTICE[practice] + Decimal("0.0333"), day)
        self._world.features["target_change"] += 1

    def _agree(self) -> None:
        """Two people have targets of their own, from the start of the run."""
        with self._world.transaction("erp", "own_target") as tx:
            for place in (HALF_TIME, FOUR_DAYS):
                person = self._people.staff[place]
                self._insert(tx, "consultant", person.id, _OWN, self._world.settings.start)
        self._world.features["own_target"] += 1

    def _drop(self) -> None:
        """One of them has no longer: what holds for the grade or the practice holds again."""
        person = self._people.staff[HALF_TIME]
        with self._world.transaction("erp", "own_target_deleted") as tx:
            tx.delete("utilization_target", _key(person.id, self._world.settings.start))
        self._world.features["own_target_deleted"] += 1

    def _mistype(self) -> None:
        """Per cent instead of a ratio: the row is withdrawn until it is repaired."""
        with self._world.transaction("erp", "trouble:target_in_percent") as tx:
            tx.update("utilization_target", _key("G4", _LONG_AGO), ratio=Decimal(65))
        self._world.trouble["target_in_percent"] += 1

    def _repair(self) -> None:
        with self._world.transaction("erp", "trouble:target_in_percent") as tx:
            tx.update("utilization_target", _key("G4", _LONG_AGO), ratio=_OF_GRADE["G4"])
        self._world.trouble["target_in_percent_fixed"] += 1


def _key(name: str, since: date) -> str:
    return f"UT-{name}-{since:%Y%m%d}"
