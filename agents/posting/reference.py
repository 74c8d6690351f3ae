"""What an invoice needs of contracts and clients, as a view of the reference feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

ENGAGEMENT: Final = "engagement"
CLIENT: Final = "client"


class Touch(NamedTuple):
    """Proposals that a change may affect: of an engagement, or of a client who pays."""

    entity: str
    id: str


class InvoicingView:
    """Purchase orders of engagements and tax regions of clients."""

    entities: Sequence[str] = (ENGAGEMENT, CLIENT)

    def __init__(self) -> None:
        self.po_numbers: dict[str, str | None] = {}
        self.tax_regions: dict[str, str | None] = {}

    def apply(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Set or delete a row; returns what the change may affect."""
        values, name = (
            (self.po_numbers, "po_number") if entity == ENGAGEMENT else (self.tax_regions, "tax_region")
        )
        before, after = values.get(row_id), None if row is None else row[name]
        if row is None:
            values.pop(row_id, None)
        else:
            values[row_id] = after
        return [] if before == after else [Touch(entity, row_id)]

    def missed(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Everything a row may affect that changed unseen: what it was then is not known any more."""
        return [Touch(entity, row_id)]
