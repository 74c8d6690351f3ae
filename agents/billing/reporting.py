"""Says aloud what allocation finds, to the exceptions: each change of a segment or of what stands is a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from agents.billing.book import EntryBook
from agents.billing.caps import CapUse
from agents.billing.incidents import of_caps, of_entry
from agents.billing.inclusions import Limit
from agents.billing.ledger import LiveSegment
from agents.billing.reference import BillingReference
from agents.billing.reports import Report, report_of
from agents.billing.segments import POSTED_SEGMENT, Key, Segment
from agents.billing.standing import settle
from agents.rejects import RAISED
from streams.lanes.stage import SliceContext
from streams.worker.flow import StageEnvironment

TIMES: Final = ("occurred_at", "captured_at", "published_at", "rated_at", "snapshot")
Times = Mapping[str, Any]


class Reporting:
    """Reports of one flow, with the times of the changes that gave rise to them."""

    def __init__(self, environment: StageEnvironment, flow: str) -> None:
        self._reference: BillingReference = environment.view.reference
        self._raised = environment.publisher(RAISED)
        self._flow = flow

    def segment(self, before: Segment | None, now: LiveSegment, times: Times, context: SliceContext) -> None:
        """What a changed segment gives rise to."""
        report = report_of(before, now)
        if report is not None:
            self._emit([report], times, context)

    def entries(
        self,
        root_id: str,
        books: Mapping[str, EntryBook],
        target: Mapping[Key, Segment],
        causes: Mapping[Any, Times],
        latest: Times,
        context: SliceContext,
    ) -> None:
        """What stands of entries that were allocated to ``target``; nothing of those that nothing was posted of."""
        posted = {
            e: book for e, book in books.items() if any(name.startswith(POSTED_SEGMENT) for name in book.live)
        }
        if not posted:
            return
        terms = self._reference.terms(root_id)
        segments: dict[str, list[Segment]] = {entry_id: [] for entry_id in posted}
        for (entry_id, _), segment in target.items():
            if entry_id in posted:
                segments[entry_id].append(segment)
        for entry_id, book in posted.items():
            adjustments = self._reference.limits.limited(book.adjustments.values())
            wanted = of_entry(book.item, book.lines.values(), adjustments, segments[entry_id], terms)
            reports = settle(context.state, root_id, entry_id, wanted)
            self._emit(reports, causes.get(entry_id, latest), context)

    def caps(self, root_id: str, uses: Mapping[Limit, CapUse], latest: Times, context: SliceContext) -> None:
        """What stands of the caps of a root, none of which may be left."""
        wanted = of_caps(self._reference.terms(root_id), uses)
        self._emit(settle(context.state, root_id, "", wanted), latest, context)

    def _emit(self, reports: Iterable[Report], times: Times, context: SliceContext) -> None:
        for report in reports:
            self._raised.emit(
                context, report.record | {"flow": self._flow} | {name: times[name] for name in TIMES}
            )
            context.count(report.name)
