"""Billing's reference tables as a view of the reference feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.billing.index import ANY
from agents.billing.reference import REFERENCE_ENTITIES, BillingReference
from agents.billing.touches import Touch

# Rows that entries look up by coordinates rather than by id.
_BY_COORDINATES = {
    "consultant_position": "consultant:",  # one that moved unseen was of some consultant
    "fx_rate": "fx:",
    "fx_rate_version": "fx:",
    "period": "period:",
    "period_right": "right:",
    "approval_limit": "limit:",
    "prepaid_lot": "terms:",  # a lot is one of some line of some root
    "engagement_version": "terms:",
    "contract_line_version": "terms:",
    "payer_split": "terms:",
}


class BillingView:
    """Shared by both stages of billing."""

    entities: Sequence[str] = REFERENCE_ENTITIES

    def __init__(self) -> None:
        self.reference = BillingReference()

    def apply(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Set or delete a row; returns what the change may affect."""
        return self.reference.apply(entity, row_id, row)

    def missed(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Everything a row may affect that changed unseen: all days of its coordinates, and its users by id.

        Users of a row that is found by coordinates are not known by its id, and what its coordinates were
        before is not known any more: it may affect all entries that looked up any row of its kind.
        """
        if entity in _BY_COORDINATES:
            return [Touch(_BY_COORDINATES[entity] + ANY)]
        if entity == "rate_version" and (row is None or row["deleted"]):
            return [Touch("rate@" + ANY)]  # of which rate it was a version is not known any more
        touches = [*self.reference.apply(entity, row_id, None), *self.reference.apply(entity, row_id, row)]
        own = {"rate": f"rate#{row_id}", "contract_line": f"line:{row_id}"}.get(entity, f"{entity}:{row_id}")
        if entity == "rate_version" and row is not None:
            own = f"rate#{row['rate_id']}"
        if entity == "engagement":
            touches.append(Touch(f"terms:{row_id}"))
        return list({Touch(touch.dependency) for touch in touches} | {Touch(own)})
