"""The revenue stage: rated items and their segments in, months of contract lines out, keyed by root.

It reads what billing says and writes nothing that billing reads: neither waits for the other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from agents.rejects import RAISED, Rejects
from agents.revenue import book
from agents.revenue.entries import EntryState
from agents.revenue.months import MonthRow, month_rows
from agents.revenue.reference import EVERYTHING, TIMES, RevenueReference, RevenueView
from agents.revenue.reference import Touch as Reach
from agents.revenue.sums import Months, add, difference
from streams.errors import RecordError
from streams.lanes.records import InputRecord
from streams.lanes.stage import Cause, SliceContext, Touch, in_order
from streams.lanes.state import Overlay
from streams.serde.partitioning import partition_of
from streams.worker.flow import FlowDefinition, StageDefinition, StageEnvironment

FLOW = "revenue"
RULES = "revenue/1"
RATED, CURRENT, OUTPUT = "billing.rated", "billing.current", "revenue.current"
INPUTS = (RATED, CURRENT)
# What names an entry, not a root, begins so; and what lies behind all of these.
ENTRY_KEY, ENTRY_END = b"\0", b"\1"
MISSING_TERMS = "MISSING_TERMS"
_LINEAGE = (*TIMES, "rated_at", "snapshot")
_GONE = dict.fromkeys(MonthRow._fields) | {"parked_items": 0, "parked_seconds": 0}

Times = dict[str, Any]


class RevenueStage:
    """Computes the revenue of one partition's roots."""

    inputs: Sequence[str] = INPUTS
    rules = RULES

    def __init__(self, environment: StageEnvironment) -> None:
        self._reference: RevenueReference = environment.view.reference
        self._decode = environment.decoder.decode
        self._output = environment.publisher(OUTPUT)
        self._raised = environment.publisher(RAISED)
        self._rejects = Rejects(environment, FLOW)
        self._partition = environment.partition
        self._partitions = environment.contracts.partitions(OUTPUT, environment.settings.partitions)
        # Of the slice: entries and lines to compute, by root, each with what caused it.
        self._entries: dict[tuple[str, str], EntryState] = {}
        self._causes: dict[tuple[str, str], Times] = {}
        self._lines: dict[tuple[str, str], Times] = {}

    def open(self, state: Overlay, now: datetime) -> None:
        """Roots are read when they are touched."""

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Take in a rated item or a segment; it is computed once, at the end of the slice."""
        if record.value is None:
            return
        row = self._decode(record.value)
        root_id, entry_id = row["root_id"], row["entry_id"]
        entry, times = self._entry(context.state, root_id, entry_id), {name: row[name] for name in _LINEAGE}
        if record.topic == RATED and row["version_id"] is not None:
            if not entry.put_kind(row):
                return  # what it was once adds nothing else to what it is
            is_new = True
        elif record.topic == RATED:
            before = entry.rated
            is_new = entry.put_rated(row)
            if is_new:
                for day_line in book.put_day(context.state, root_id, entry_id, before, entry.rated):
                    if book.has_entry(context.state, root_id, day_line):
                        self._causes[root_id, day_line] = times
        else:
            is_new = entry.put_segment(row)
        if is_new:
            self._entries[root_id, entry_id] = entry
            self._causes[root_id, entry_id] = times
        else:
            context.count("stale_revisions")

    def _entry(self, state: Overlay, root_id: str, entry_id: str) -> EntryState:
        """The entry, one object a slice."""
        return self._entries.get((root_id, entry_id)) or book.entry(state, root_id, entry_id)

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Roots of this lane that the touches reach."""
        if EVERYTHING in touches:
            roots = self._all_roots(state)
        else:
            roots = set()
            for touch in touches:
                assert isinstance(touch, Reach)
                roots |= set(book.users(state, touch.id)) if touch.kind == "line" else {touch.id}
        return in_order((root_id.encode() for root_id in roots if self._is_ours(root_id)), after)

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """All entries, for other rules may add other parts of them to the months; then all roots."""
        roots = sorted(root_id for root_id in self._all_roots(state) if self._is_ours(root_id))
        if after < ENTRY_END:
            done = after.removeprefix(ENTRY_KEY).split(b"\0", 1)[0].decode()
            for root_id in roots[bisect_left(roots, done) :]:
                entries = (f"{root_id}\0{entry_id}".encode() for entry_id in book.entries(state, root_id))
                yield from (key for key in map(ENTRY_KEY.__add__, entries) if key > after)
        yield from in_order((root_id.encode() for root_id in roots), after)

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Compute all lines of roots again, or an entry's part of them."""
        times = _times(cause.occurred_at, cause.captured_at, cause.published_at)
        for key in keys:
            if key.startswith(ENTRY_KEY):
                root_id, _, entry_id = key.removeprefix(ENTRY_KEY).decode().partition("\0")
                self._causes[root_id, entry_id] = times
                continue
            root_id = key.decode()
            for line_id in self._reference.lines_of(root_id) | book.lines(context.state, root_id):
                self._lines[root_id, line_id] = times

    def finish(self, context: SliceContext) -> None:
        """Bring the sums up to date, and publish the months that changed."""
        state = context.state
        self._begin(state)
        months = self._add_up(state)
        for (root_id, line_id), times in self._lines.items():
            of_line = months.get((root_id, line_id))
            if of_line is None:
                of_line = book.sums(state, root_id, line_id)
            self._publish(root_id, line_id, of_line, times, context)
        self._entries.clear()
        self._causes.clear()
        self._lines.clear()

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters and exceptions."""
        self._rejects.reject(record, error, context)

    def tick(self, context: SliceContext) -> None:
        """Nothing waits for a time; but a lane without any input begins here."""
        self.finish(context)

    def _begin(self, state: Overlay) -> None:
        """Compute, once, the lines that were there before the lane: a retainer is earned without any entry."""
        if state.get(book.BEGUN) is not None:
            return
        state.put(book.BEGUN, b"")
        for line_id, terms in self._reference.lines.items():
            if self._is_ours(terms.engagement_id):
                at = self._reference.times[line_id]
                self._lines.setdefault((terms.engagement_id, line_id), _times(*(at[name] for name in TIMES)))

    def _add_up(self, state: Overlay) -> dict[tuple[str, str], Months]:
        """Put what changed of the slice's entries into the sums; those that moved."""
        moved: dict[tuple[str, str], Months] = {}
        for (root_id, entry_id), times in self._causes.items():
            entry = self._entry(state, root_id, entry_id)
            parts = entry.compute(book.day_line_on(state, root_id, entry_id))
            for line_id, month, change in difference(entry.parts, parts):
                place = (root_id, line_id)
                if place not in moved:
                    moved[place] = book.sums(state, root_id, line_id)
                add(moved[place], month, change)
                self._lines[place] = times
            entry.parts = parts
            book.put_entry(state, root_id, entry_id, entry)
        for (root_id, line_id), months in moved.items():
            book.put_sums(state, root_id, line_id, months)
        return moved

    def _publish(
        self, root_id: str, line_id: str, months: Months, times: Times, context: SliceContext
    ) -> None:
        facts = self._reference.facts(root_id, line_id, months)
        rows, published = month_rows(facts), book.Published(context.state, root_id, line_id)
        engagement = self._reference.engagements.get(root_id)
        parties: tuple[str | None, ...] = (None, None, None)
        if engagement is not None:
            parties = (engagement.legal_entity_id, engagement.client_id, engagement.currency)
        for month in sorted({*rows, *published.months()}):
            row = rows.get(month)
            revision = published.row(month, None if row is None else (*parties, *row))
            if revision is None:
                continue
            key = {"root_id": root_id, "contract_line_id": line_id, "period_start": month}
            content = dict(zip(("legal_entity_id", "client_id", "currency"), parties, strict=True))
            content |= (
                _GONE if row is None else row._asdict() | {"missing_keys": list(row.missing_keys) or None}
            )
            common = {"revision": revision, "deleted": row is None, "rule_version": RULES}
            self._output.emit(context, {**key, **content, **common, **times, "computed_at": context.now})
            context.count("revenue_months")
        self._report(published, root_id, line_id, facts.missing if rows else (), times, context)

    def _report(
        self,
        published: book.Published,
        root_id: str,
        line_id: str,
        missing: tuple[str, ...],
        times: Times,
        context: SliceContext,
    ) -> None:
        revision = published.report(missing)
        if revision is None:
            return
        self._raised.emit(
            context,
            {
                "op": "RAISE" if missing else "CLEAR",
                "revision": revision,
                "flow": FLOW,
                "subject": f"{root_id}|{line_id}",
                "exception_class": MISSING_TERMS if missing else None,
                "message": f"revenue of {line_id} can't be told without {', '.join(missing)}"
                if missing
                else None,
                "blocks": "revenue" if missing else None,
                "missing_keys": list(missing) or None,
                **times,
            },
        )

    def _all_roots(self, state: Overlay) -> set[str]:
        return book.roots(state) | {terms.engagement_id for terms in self._reference.lines.values()}

    def _is_ours(self, root_id: str) -> bool:
        return partition_of(root_id, self._partitions) == self._partition


def _times(occurred_at: datetime, captured_at: datetime, published_at: datetime) -> Times:
    """Of a reference change, which was rated by nobody: its publication stands for that."""
    return dict(zip(_LINEAGE, (occurred_at, captured_at, published_at, published_at, True), strict=True))


REVENUE = FlowDefinition(
    FLOW,
    (StageDefinition(FLOW, INPUTS, RevenueStage, "root", ticks=True),),
    RevenueView,
    gather_seconds=0.5,  # float: a wait
)
