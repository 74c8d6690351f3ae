"""Quantity rounding: how much of an entry's approved time is billed, before it is priced.

Contracts say it in two clauses, of which a line may have either, both or none:

- an increment: time is billed in multiples of it, by the nearest one (of a half the greater), or ``up``: every
  increment that was started. Examples, at 15 min: 61 min are 60 min, or 75 min up; 60 min are 60 min in both.
- a minimum for each entry that has any time: 10 min with a minimum of 30 min are 30 min. It comes last, so that
  what is billed is never less than the minimum, also where that is no multiple of the increment; an entry that the
  nearest multiple would make nothing of (20 min at 1 h) still has the minimum.

The difference goes to the segment ``rounding``, in time and money: approved - billed, negative where more is billed
than was worked. Example: 20 min at 1 h up and 150 an hour: 1 h/150.00 to bill, -40 min/-100.00 rounding.

What has a fixed price, and what is not billed by its time, is not rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from agents.billing.entities import Record

UP: Final = "up"


@dataclass(frozen=True, slots=True)
class QuantityRule:
    """How a contract line rounds the time of an entry; ``increment`` and ``minimum`` are seconds, 0 is none."""

    increment: int = 0
    is_up: bool = False
    minimum: int = 0

    @classmethod
    def from_record(cls, record: Record) -> QuantityRule:
        """That of a decoded ``canonical.contract_line``."""
        return cls(
            record["quantity_increment_seconds"] or 0,
            record["quantity_rounding"] == UP,
            record["minimum_quantity_seconds"] or 0,
        )


AS_WORKED: Final = QuantityRule()


def round_quantity(seconds: int, rule: QuantityRule) -> int:
    """The seconds that are billed of an entry: 1,350 s at 900 s are 1,800 s, 1,349 s are 900 s, or 1,800 s up."""
    if not seconds:
        return 0
    increment = rule.increment
    if increment:
        if rule.is_up:
            seconds = -(-seconds // increment) * increment
        else:
            seconds = (2 * seconds + increment) // (2 * increment) * increment
    return max(seconds, rule.minimum)
