"""Bill adjustments: decisions about what is billed of approved time, which itself stays approved.

A write-off takes hours (of an expense: money) out of what is not posted, a discount money out of what the entry is
worth, and a hold keeps hours, or everything, from being billed until it is released. Each shows as a segment of its own,
``adj:<id>``, so that what was given away stays visible. Examples, of 8 h at 150:

- a write-off of 2 h: 2 h/300 written off, 6 h/900 to bill;
- a discount of 200: 0 h/200 written off, 8 h/1,000 to bill;
- a hold of 3 h: 3 h/450 on hold, 5 h/750 to bill.

Adjustments of one kind count in the order of their ids, each as far as there is something left. A write-off
gives headroom of caps back; what is on hold has its headroom, since it is still to be billed. A discount
that is decided after the posting is due as a credit: -200 to bill. One that is taken back after the posting
changes nothing of what was posted with it. What nobody with the right to it has approved has no effect: see
`authority`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from agents.billing.caps import Part
from agents.billing.entities import Record
from agents.billing.rounding import share
from agents.billing.segments import ADJUSTMENT_SEGMENT, BASE, ON_HOLD, UNBILLED
from streams.money import ZERO, round_money

WRITE_OFF_KIND: Final = "write_off"
DISCOUNT_KIND: Final = "discount"
HOLD_KIND: Final = "hold"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A decision that counts now. ``seconds`` None, of a hold, is everything; ``amount`` is a discount's, or that
    of a write-off of an expense.

    ``limits`` are the most that its approver could approve then, by currency; None is without a limit.
    """

    id: str
    root_id: str
    entry_id: str
    kind: str
    seconds: int | None
    amount: Decimal = ZERO
    decided_at: datetime | None = None
    preparer_id: str | None = None
    approver_id: str | None = None
    limits: tuple[tuple[str, Decimal], ...] | None = None

    @classmethod
    def from_record(cls, record: Record) -> Adjustment | None:
        """The adjustment of a decoded ``canonical.bill_adjustment``; None if it is deleted or released."""
        return None if record["released_at"] is not None else cls.as_decided(record)

    @classmethod
    def as_decided(cls, record: Record) -> Adjustment | None:
        """The same, also if it was released since."""
        if record["deleted"]:
            return None
        return cls(
            record["id"],
            record["engagement_id"],
            record["entry_id"],
            record["kind"],
            record["seconds"],
            record["amount"] or ZERO,
            record["decided_at"],
            record["preparer_id"],
            record["approver_id"],
        )

    @property
    def segment(self) -> str:
        """The id of its segment."""
        return ADJUSTMENT_SEGMENT + self.id


def of_kind(kind: str, adjustments: Sequence[Adjustment]) -> list[Adjustment]:
    """Those of one kind, in the order in which they count."""
    return sorted((one for one in adjustments if one.kind == kind), key=_id)


def discounts(
    amount: Decimal, adjustments: Sequence[Adjustment], currency: str, rounding: str
) -> list[tuple[Adjustment, Decimal]]:
    """What each discount takes of what an entry is worth: of 1,200, those of 1,000 and 300 take 1,000 and 200."""
    taken = []
    for one in of_kind(DISCOUNT_KIND, adjustments):
        off = min(round_money(one.amount, currency, rounding), amount)
        if off:
            taken.append((one, off))
            amount -= off
    return taken


def hold(
    parts: Iterable[Part], adjustments: Sequence[Adjustment], currency: str, rounding: str
) -> list[Part]:
    """The parts of an item's remainder with what is on hold taken out of what is to be billed, and put behind.

    It comes out of what caps let pass, then out of what is billed beyond them. Nothing is held back of what
    goes back to the client.
    """
    left = sorted(parts, key=_is_beyond_caps)
    for one in of_kind(HOLD_KIND, adjustments):
        held_seconds, held_amount = 0, ZERO
        for at, part in enumerate(left):
            if part.bucket != UNBILLED or part.seconds < 0 or part.amount < 0:
                continue
            seconds, amount = part.seconds, part.amount
            if one.seconds is not None and one.seconds - held_seconds < seconds:
                seconds = one.seconds - held_seconds
                amount = share(amount, seconds, part.seconds, currency, rounding) if seconds else ZERO
            elif one.seconds is not None and not seconds:
                continue  # money without time: a hold of hours does not reach it
            held_seconds, held_amount = held_seconds + seconds, held_amount + amount
            left[at] = part._replace(seconds=part.seconds - seconds, amount=part.amount - amount)
        left.append(Part(one.segment, ON_HOLD, held_seconds, held_amount))
    return left


def _is_beyond_caps(part: Part) -> bool:
    return part.segment != BASE


def _id(adjustment: Adjustment) -> str:
    return adjustment.id
