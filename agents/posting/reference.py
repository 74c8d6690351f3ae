"""What an invoice needs of contracts, clients and payers, as a view of the reference feed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from agents.posting.splits import PayerSplit, Splits

ENGAGEMENT: Final = "engagement"
CLIENT: Final = "client"
PAYER_SPLIT: Final = "payer_split"


class Touch(NamedTuple):
    """Proposals that a change may affect: of an engagement, or of a client who pays.

    Of entity ``payer_split`` it is entries: of an engagement that is divided otherwise; without an id, of all that
    are divided.
    """

    entity: str
    id: str


class InvoicingView:
    """Purchase orders of engagements, tax regions of clients, and who pays."""

    entities: Sequence[str] = (ENGAGEMENT, CLIENT, PAYER_SPLIT)

    def __init__(self) -> None:
        self.po_numbers: dict[str, str | None] = {}
        self.tax_regions: dict[str, str | None] = {}
        self.splits = Splits(self.tax_regions.keys())

    def apply(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Set or delete a row; returns what the change may affect."""
        if entity == PAYER_SPLIT:
            return _divided(self.splits.replace(row_id, None if row is None else PayerSplit.from_record(row)))
        values, name = (
            (self.po_numbers, "po_number") if entity == ENGAGEMENT else (self.tax_regions, "tax_region")
        )
        was_there, before = row_id in values, values.get(row_id)
        after = None if row is None else row[name]
        if row is None:
            values.pop(row_id, None)
        else:
            values[row_id] = after
        touches = [] if before == after else [Touch(entity, row_id)]
        if entity == CLIENT and was_there != (row is not None):
            touches += _divided(self.splits.paid_by(row_id))
        return touches

    def missed(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Everything a row may affect that changed unseen: what it was then is not known any more.

        A split may have been another contract's.
        """
        if entity == PAYER_SPLIT:
            return [Touch(PAYER_SPLIT, "")]
        own = Touch(entity, row_id)
        return [own, *_divided(self.splits.paid_by(row_id))] if entity == CLIENT else [own]


def _divided(root_ids: Iterable[str]) -> list[Touch]:
    return [Touch(PAYER_SPLIT, root_id) for root_id in sorted(root_ids)]
