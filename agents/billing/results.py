"""What rating says: an item, why it is parked, the day's contribution, and what was looked at."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from agents.billing.items import Item

MISSING_REFERENCE: Final = "MISSING_REFERENCE"
INACTIVE_CONTRACT: Final = "INACTIVE_CONTRACT"
MISSING_RATE: Final = "MISSING_RATE"
AMBIGUOUS_RATE: Final = "AMBIGUOUS_RATE"
MISSING_FX: Final = "MISSING_FX"
CLOSED_PERIOD: Final = "CLOSED_PERIOD"
SELF_APPROVAL: Final = "SELF_APPROVAL"
INVALID_VALUE: Final = "INVALID_VALUE"  # of expenses only: other rows are not taken in at all
APPROVAL_LIMIT: Final = "APPROVAL_LIMIT"  # of bill adjustments only

_MESSAGES: Final = {
    MISSING_REFERENCE: "waits for a reference that is not there",
    INACTIVE_CONTRACT: "the work date is outside the engagement",
    MISSING_RATE: "no rate is effective on the work date",
    AMBIGUOUS_RATE: "several equally specific rates are effective on the work date",
    CLOSED_PERIOD: "was approved after the period's close, by somebody without the right to late acts",
    INVALID_VALUE: "has a tax that is more than its amount",
    SELF_APPROVAL: "was approved by its own author",
    MISSING_FX: "no exchange rate of the five days up to the work date",
}


class Parking(NamedTuple):
    """Why an item is parked: the exception class and, sorted, the keys it waits for."""

    exception_class: str
    missing_keys: tuple[str, ...]

    @property
    def message(self) -> str:
        """One line for the operator."""
        return f"{_MESSAGES[self.exception_class]}: {', '.join(self.missing_keys)}"


class Contribution(NamedTuple):
    """An entry's part of its consultant's day, in seconds."""

    worked_seconds: int
    billable_seconds: int
    unclassified_seconds: int


class RatedResult(NamedTuple):
    """What rating says; all empty when there is nothing to bill (a draft, a rejection, a deletion).

    ``dependencies`` name all that was looked at, misses included: the result can only change when one of
    them is touched on its work date. A milestone and an expense have no ``contribution``. ``moments`` are those since
    the approval at which a price that was looked at was decided or ended: a close before one of them knew other prices.
    """

    item: Item | None
    parking: Parking | None
    contribution: Contribution | None
    dependencies: tuple[str, ...]
    moments: frozenset[datetime] = frozenset()

    @property
    def root_id(self) -> str | None:
        """The allocation root, None when there is nothing to bill."""
        return None if self.item is None else self.item.root_id


NOTHING: Final = RatedResult(None, None, None, ())
