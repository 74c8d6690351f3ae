"""What was decided before a close and came when the month was final already. Pure.

It should not happen: a source's clock was wrong, or a row was dated back. It is booked as ever, in the closed month,
and told with the time and the money that it moved there. A fact is late for a period if it comes behind the ends that
the canonical topics had when the period became final, and says that it was decided before the close; what it moves are
the lines of its entry in the ledger, behind the end that the ledger had then, in the days of the period. A row that
came again without moving anything is not late. Neither is what has no history and moves a closed month (a price; of
entries that share a cap, what is decided later).

What a draft takes is taken of what is unbilled in the same month: it moves nothing.

Example: March became final on 3 April 18:01. On 10 April 2 h at 150 are entered as approved on 30 March: 7,200 s and
300 are in March's books, and late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from agents.finality.states import FINAL, Late, PeriodState, Place
from streams.money import ZERO

LEDGER: Final = "billing.events"
TIME_ENTRY: Final = "canonical.time_entry"
VERSION: Final = "canonical.time_entry_version"
MILESTONE: Final = "canonical.milestone"
INVOICE_LINE: Final = "canonical.invoice_line"
ADJUSTMENT: Final = "canonical.bill_adjustment"
FACTS: Final = (TIME_ENTRY, VERSION, MILESTONE, INVOICE_LINE, ADJUSTMENT)

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_SAME = {"on_draft": "unbilled"}

Record = Mapping[str, Any]


def decided(topic: str, row: Record) -> tuple[str, datetime] | None:
    """The entry, or milestone, that a canonical record is about, and when what it says was decided; None if it
    decides nothing. What has no time, as a deletion, was decided long ago."""
    if topic == TIME_ENTRY:
        if row["deleted"]:
            return row["id"], LONG_AGO
        return (row["id"], row["approved_at"] or LONG_AGO) if row["status"] == "approved" else None
    if topic == MILESTONE:
        if row["deleted"]:
            return row["id"], LONG_AGO
        return (row["id"], row["accepted_at"] or LONG_AGO) if row["status"] == "accepted" else None
    if row["entry_id"] is None:
        return None
    if topic == VERSION:
        return row["entry_id"], row["ended_at"] or LONG_AGO
    if topic == INVOICE_LINE:
        is_draft = row["status"] != "posted" and not row["deleted"]
        return None if is_draft else (row["entry_id"], row["posted_at"] or LONG_AGO)
    return row["entry_id"], max(row["decided_at"] or LONG_AGO, row["released_at"] or LONG_AGO)


@dataclass(slots=True)
class _Books:
    state: PeriodState
    late: set[str]
    # By entry, bucket and currency: seconds and money.
    sums: dict[tuple[str, str, str | None], tuple[int, Decimal]] = field(
        default_factory=lambda: defaultdict(lambda: (0, ZERO))
    )


class FinalBooks:
    """Facts and lines behind the ends that each final period has."""

    def __init__(self) -> None:
        self._periods: dict[str, _Books] = {}

    def follow(self, state: PeriodState) -> None:
        """Follow a period while it is final. All facts and lines behind its ends are to be taken after that."""
        known = self._periods.get(state.period.id)
        if state.state != FINAL:
            self._periods.pop(state.period.id, None)
        elif known is None or known.state.final_at != state.final_at:
            self._periods[state.period.id] = _Books(state, {one.entry_id for one in state.late})
        else:
            known.state = state

    def starts(self) -> dict[Place, int]:
        """From where on records count for any period."""
        out: dict[Place, int] = {}
        for books in self._periods.values():
            for place, end in (books.state.ends or {}).items():
                out[place] = min(end, out.get(place, end))
        return out

    def take(self, place: Place, offset: int, row: Record) -> None:
        """Take a decoded record of one of `FACTS` or of the `LEDGER`; the order does not matter."""
        if place[0] == LEDGER:
            self._take_line(place, offset, row)
            return
        told = decided(place[0], row)
        for books in self._periods.values() if told is not None else ():
            assert told is not None
            closed_at = books.state.period.closed_at
            if closed_at is not None and told[1] < closed_at and _is_behind(books, place, offset):
                books.late.add(told[0])

    def _take_line(self, place: Place, offset: int, line: Record) -> None:
        day: date | None = line["accounting_date"]
        if day is None:
            return
        for books in self._periods.values():
            period = books.state.period
            is_of = line["legal_entity_id"] == period.legal_entity_id
            if is_of and period.starts_on <= day < period.ends_on and _is_behind(books, place, offset):
                bucket: str = line["bucket"]
                key = (line["entry_id"], _SAME.get(bucket, bucket), line["currency"])
                seconds, amount = books.sums[key]
                books.sums[key] = seconds + line["seconds"], amount + (line["amount"] or ZERO)

    def late(self, period_id: str) -> tuple[Late, ...]:
        """What was late for a period, by entry and currency; of all that came and all that went the larger."""
        books = self._periods[period_id]
        by_entry: dict[tuple[str, str | None], list[tuple[int, Decimal]]] = defaultdict(list)
        for (entry_id, _, currency), sums in books.sums.items():
            if entry_id in books.late and sums != (0, ZERO):
                by_entry[entry_id, currency].append(sums)
        return tuple(
            Late(
                entry_id,
                currency,
                int(_larger(Decimal(seconds) for seconds, _ in sums)),
                _larger(amount for _, amount in sums),
            )
            for (entry_id, currency), sums in sorted(
                by_entry.items(), key=lambda one: (one[0][0], one[0][1] or "")
            )
        )


def _is_behind(books: _Books, place: Place, offset: int) -> bool:
    return offset >= (books.state.ends or {}).get(place, 0)


def _larger(changes: Iterable[Decimal]) -> Decimal:
    values = list(changes)
    came = sum((one for one in values if one > 0), ZERO)
    went = sum((one for one in values if one < 0), ZERO)
    return came if came >= -went else went
