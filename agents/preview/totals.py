"""What a preview comes to: money and hours by client, accounting month and bucket, and the entries that move."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from agents.billing.segments import Segment
from agents.preview.following import Effect
from agents.preview.whatif import SegmentChange
from streams.money import ZERO


class TotalKey(NamedTuple):
    """``month`` is that of the accounting date, ``YYYY-MM``."""

    client_id: str | None
    month: str | None
    bucket: str
    currency: str | None


@dataclass(slots=True)
class Total:
    """The difference of a key. ``unpriced`` is by how many segments more, or less, are worth an unknown amount."""

    seconds: int = 0
    amount: Decimal = ZERO
    unpriced: int = 0

    @property
    def is_nothing(self) -> bool:
        """Whether what comes in is what goes out."""
        return not (self.seconds or self.amount or self.unpriced)


@dataclass(frozen=True, slots=True)
class Preview:
    """The changes by entry and segment, their ``totals``, and how many ``entries`` they move.

    ``effects`` are those of the file's changes on rows; so many records were ``unreadable`` and count for nothing.
    """

    changes: Sequence[SegmentChange]
    totals: dict[TotalKey, Total]
    entries: int
    effects: Sequence[Effect]
    unreadable: int


def summed(changes: Iterable[SegmentChange], effects: Sequence[Effect], unreadable: int = 0) -> Preview:
    """Totals of changes: what would be booked less what is."""
    listed = list(changes)
    totals: dict[TotalKey, Total] = defaultdict(Total)
    for change in listed:
        for times, segment in change.booked:
            total = totals[_key(segment)]
            total.seconds += times * segment.seconds
            total.amount += times * (segment.amount or ZERO)
            total.unpriced += times * (segment.amount is None)
    ordered = sorted(totals, key=lambda key: tuple(part or "" for part in key))
    return Preview(
        listed,
        {key: totals[key] for key in ordered if not totals[key].is_nothing},
        len({change.key[0] for change in listed}),
        effects,
        unreadable,
    )


def as_document(preview: Preview) -> dict[str, Any]:
    """For JSON: decimals as text, dates in ISO form."""
    return {
        "unreadable_records": preview.unreadable,
        "changes": [
            {
                "entity": effect.change.entity,
                "id": effect.change.id,
                "concerns_rows": effect.concerns,
                "makes_new_row": effect.makes_new,
            }
            for effect in preview.effects
        ],
        "entries": preview.entries,
        "totals": [
            {
                **key._asdict(),
                "seconds": total.seconds,
                "amount": f"{total.amount:f}",
                "unpriced_segments": total.unpriced,
            }
            for key, total in preview.totals.items()
        ],
        "segments": [
            {
                "entry_id": key[0],
                "segment": key[1],
                "before": None if before is None else _shown(before),
                "after": None if after is None else _shown(after),
            }
            for key, before, after, _ in preview.changes
        ],
    }


def _key(segment: Segment) -> TotalKey:
    day = segment.accounting_date
    return TotalKey(
        segment.client_id, None if day is None else f"{day:%Y-%m}", segment.bucket, segment.currency
    )


def _shown(segment: Segment) -> dict[str, Any]:
    """Its fields; what is not set is left out."""
    return {
        name: value if isinstance(value, int | list) else plain(value)
        for name, value in segment.fields().items()
        if value is not None
    }


def plain(value: object) -> str:
    """As text: a decimal never in the form ``1E+2``, a day as ``2026-03-01``."""
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
