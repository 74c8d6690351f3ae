"""Who may act on closed periods: every second manager, of whom one loses the right, and one who gets it late."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from connectors.reference.firm.entities import ENTITIES
from connectors.reference.firm.people import People, Person
from connectors.reference.firm.world import Draft, World, utc

_REVOKED_PERCENT: Final = 60
_GRANTED_PERCENT: Final = 70  # as of the beginning: what waited for it is released


class PeriodRights:
    """Writes the rights of managers to late acts, where an entity asks for them."""

    def __init__(self, world: World, people: People) -> None:
        self._world = world
        self._people = people
        self._since = utc(world.settings.history_start - timedelta(days=1))

    def seed(self, tx: Draft) -> None:
        """Insert the first rights; schedule what changes."""
        settings, managers = self._world.settings, self._people.managers
        for entity in (entity.id for entity in ENTITIES if entity.by_right):
            for manager in managers[::2]:
                self._grant(tx, entity, manager)
            self._world.at(utc(settings.day_at(_REVOKED_PERCENT), 9), self._revoke, entity, managers[0])
            for manager in managers[1:2]:
                self._world.at(utc(settings.day_at(_GRANTED_PERCENT), 9), self._grant_late, entity, manager)

    def _grant(self, tx: Draft, entity: str, manager: Person) -> None:
        tx.insert(
            "period_right",
            id=_key(entity, manager),
            legal_entity_id=entity,
            person_id=manager.id,
            granted_at=self._since,
        )

    def _grant_late(self, entity: str, manager: Person) -> None:
        with self._world.transaction("erp", "period_right_granted") as tx:
            self._grant(tx, entity, manager)
        self._world.features["period_right_granted"] += 1

    def _revoke(self, entity: str, manager: Person) -> None:
        with self._world.transaction("erp", "period_right_revoked") as tx:
            tx.update("period_right", _key(entity, manager), revoked_at=self._world.now)
        self._world.features["period_right_revoked"] += 1


def _key(entity: str, manager: Person) -> str:
    return f"RIGHT-{entity[3:]}-{manager.id}"
