"""The ledger around one line, picked from the lines of its root as they stream by."""

from __future__ import annotations

from agents.billing.entities import Record
from agents.billing.ledger import REVERSAL, LedgerLine
from agents.billing.segments import Segment
from agents.explain.eventid import DAY, EventId


def ledger_line(record: Record) -> LedgerLine:
    """The line of a decoded ``billing.events`` record."""
    return LedgerLine(
        record["event_id"],
        record["kind"],
        record["reverses"],
        record["revision"],
        Segment.from_record(record),
    )


class Neighbours:
    """What the ledger has of a line, of its segment's revision before and after, and of its entry.

    Offer it all lines of the root in order. It keeps a line for each live segment of the entry (of a day
    line: of the consultant's day on the contract line), however often they changed.
    """

    def __init__(self, wanted: EventId) -> None:
        self.wanted = wanted
        self.record: Record | None = None
        self.original: LedgerLine | None = None
        self.reversal: LedgerLine | None = None
        self.replacement: LedgerLine | None = None
        self._live: dict[str, LedgerLine] = {}  # by event id: of a segment there may be several
        self._charged: LedgerLine | None = None  # in the wanted revision
        self._prefix = f"{wanted.root_id}:" if wanted.is_day_line else f"{wanted.root_id}:{wanted.entry_id}:"

    @property
    def live(self) -> list[LedgerLine]:
        """The charges that nothing takes back, by event id."""
        return [self._live[event_id] for event_id in sorted(self._live)]

    def wants(self, event_id: str) -> bool:
        """Whether a line of this id can matter; only those need to be decoded."""
        return event_id.startswith(self._prefix)

    def take(self, record: Record) -> None:
        """Keep what matters of a line."""
        wanted = self.wanted
        own = record["entry_id"] == wanted.entry_id
        if record["root_id"] != wanted.root_id or not (own or _day(record) == wanted.entry_id):
            return
        line = ledger_line(record)
        if line.kind == REVERSAL:
            self._live.pop(line.reverses or "", None)
        else:
            self._live[line.event_id] = line
        if own and line.segment.segment == wanted.segment:
            self._take_near(line, record)

    def _take_near(self, line: LedgerLine, record: Record) -> None:
        wanted = self.wanted
        if line.revision == wanted.revision and line.kind != REVERSAL:
            self._charged = line
        if line.event_id == wanted.text:
            self.record = record
            if line.kind == REVERSAL:
                self.original = self._charged
        elif line.kind == REVERSAL and line.revision == wanted.revision:
            self.reversal = line
        elif line.kind != REVERSAL and line.revision > wanted.revision and self.replacement is None:
            self.replacement = line


def _day(record: Record) -> str:
    """The entry id that the lines of the record's day have."""
    return f"{DAY}:{record['consultant_id']}:{record['contract_line_id']}:{record['work_date']}"
