"""Utilization's reference tables as a view of the reference feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.utilization.capacity import ENTITIES, UtilizationReference
from agents.utilization.touches import ProjectTouch, Touch

# A touch of every consultant: for changes whose reach is not known any more.
EVERYBODY = "*"
# Rows that name whom or which calendar they are about, and may have named another before.
_MOVABLE = ("consultant_position", "holiday", "absence", "utilization_target", "cost_rate")


class UtilizationView:
    """Consultants and positions, calendars, holidays, absences, targets, cost rates, and what projects are billed by."""

    entities: Sequence[str] = ENTITIES

    def __init__(self) -> None:
        self.reference = UtilizationReference()

    def apply(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch | ProjectTouch]:
        """Set or delete a row; returns the consultants and days it may affect."""
        return self.reference.apply(entity, row_id, row)

    def missed(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch | ProjectTouch]:
        """Everything a row may affect that changed unseen: all days of the consultants it reaches.

        A row that is gone, or that may have moved here from another owner, may have reached anybody.
        """
        if entity == "consultant":
            return [Touch(row_id)]
        if entity == "project":
            return [ProjectTouch(row_id)]
        if row is None or entity in _MOVABLE:
            return [Touch(EVERYBODY)]
        touches = [*self.reference.apply(entity, row_id, None), *self.reference.apply(entity, row_id, row)]
        return list({t if isinstance(t, ProjectTouch) else Touch(t.consultant_id) for t in touches})
