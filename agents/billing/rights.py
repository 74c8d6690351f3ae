"""Who may act late: on the closed periods of a legal entity that asks for a right."""

from __future__ import annotations

from datetime import datetime

from agents.billing.entities import PeriodRight
from agents.billing.touches import Touch


class RightTable:
    """Rights to late acts, by legal entity and person."""

    def __init__(self) -> None:
        self.by_id: dict[str, PeriodRight] = {}
        self._held: dict[tuple[str, str], list[PeriodRight]] = {}

    def replace(self, right_id: str, new: PeriodRight | None) -> list[Touch]:
        """Put, change or (None) take away a right; it reaches what its holder's right was asked for."""
        old = self.by_id.pop(right_id, None)
        if new is not None:
            self.by_id[right_id] = new
        if old == new:
            return []
        touches = []
        if old is not None:
            self._held[_holder(old)].remove(old)
            touches.append(_touch(old))
        if new is not None:
            self._held.setdefault(_holder(new), []).append(new)
            touches.append(_touch(new))
        return touches

    def has(self, legal_entity_id: str, person_id: str | None, decided_at: datetime) -> bool:
        """Whether a person had the right when something was decided; nobody known has none."""
        held = () if person_id is None else self._held.get((legal_entity_id, person_id), ())
        return any(right.holds_at(decided_at) for right in held)


def dependency(legal_entity_id: str, person_id: str | None) -> str:
    """What an item has looked at whose approver needed the right."""
    return f"right:{legal_entity_id}/{person_id}"


def _holder(right: PeriodRight) -> tuple[str, str]:
    return (right.legal_entity_id, right.person_id)


def _touch(right: PeriodRight) -> Touch:
    return Touch(dependency(*_holder(right)), decided_from=right.granted_at)
