"""Who may act late: on the closed periods of a legal entity that asks for a right."""

from __future__ import annotations

from datetime import datetime

from agents.billing.entities import PeriodRight
from agents.billing.touches import Touch
from agents.owned import OwnedRows


class RightTable:
    """Rights to late acts, by legal entity and person."""

    def __init__(self) -> None:
        self._held = OwnedRows(_holder)

    def replace(self, right_id: str, new: PeriodRight | None) -> list[Touch]:
        """Put, change or (None) take away a right; it reaches what its holder's right was asked for."""
        return [_touch(right) for right in self._held.replace(right_id, new)]

    def has(self, legal_entity_id: str, person_id: str | None, decided_at: datetime) -> bool:
        """Whether a person had the right when something was decided; nobody known has none."""
        held = () if person_id is None else self._held.of((legal_entity_id, person_id))
        return any(right.holds_at(decided_at) for right in held)


def dependency(legal_entity_id: str, person_id: str | None) -> str:
    """What an item has looked at whose approver needed the right."""
    return f"right:{legal_entity_id}/{person_id}"


def _holder(right: PeriodRight) -> tuple[str, str]:
    return (right.legal_entity_id, right.person_id)


def _touch(right: PeriodRight) -> Touch:
    return Touch(dependency(*_holder(right)), decided_from=right.granted_at)
