"""Stage 1 of billing: rate each entry, milestone and expense, keyed by its own id, and route it to its root.

A version of an entry or expense that stands no more is rated beside it, for what closed months say: it adds to no
utilization and is nobody's exception. So is what an entry, an expense or such a version was worth by the prices that a
close knew, where that is something else.

State per entry: the canonical record as received, the last results, a revision that grows when a result
changes. A result that moves to another root or consultant is taken out of the old one (REMOVE) and put
into the new (PUT) under one revision, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from agents.billing.approved import VERSIONS, approved, name_and_end, rate_approved
from agents.billing.atclose import NO_OTHER, AtCloses, at_closes
from agents.billing.decided import Decided
from agents.billing.expenses import at_stake
from agents.billing.index import PLACE, DependencyIndex, entry_of
from agents.billing.inputs import Milestone
from agents.billing.items import EXPENSE, PARKED, Item
from agents.billing.rating import rate_milestone
from agents.billing.reference import BillingReference
from agents.billing.results import AMBIGUOUS_RATE, RatedResult
from agents.billing.versions import kept_versions, publish_versions
from agents.rejects import RAISED, Rejects
from streams.errors import RecordError
from streams.lanes.records import InputRecord, decoded
from streams.lanes.stage import Cause, SliceContext, Touch, in_order
from streams.lanes.state import Overlay
from streams.lanes.statecodec import StateCodec
from streams.worker.flow import StageEnvironment

FLOW = "billing"
RULES = "2026.6"
INPUTS = (
    "canonical.time_entry",
    "canonical.time_entry_version",
    "canonical.milestone",
    "canonical.expense",
    "canonical.expense_version",
)
RATED = "billing.rated"
STATE = b"e\0"
STANDS: dict[str, Any] = {"version_id": None, "ended_at": None}
EMPTY: dict[str, Any] = {
    "entity": "",
    "revision": 0,
    "rated": None,
    "contribution": None,
    "signature": None,
    "work_date": None,
    "at_closes": {},
}


class RateStage:
    """Rates the entries of one partition."""

    inputs: Sequence[str] = INPUTS
    rules = RULES

    def __init__(self, environment: StageEnvironment) -> None:
        self._reference: BillingReference = environment.view.reference
        self._decoder = environment.decoder
        self._rated = environment.publisher(RATED)
        self._contributions = environment.publisher("utilization.contribution")
        self._raised = environment.publisher(RAISED)
        self._rejects = Rejects(environment, FLOW)
        self._codec = StateCodec("rated_state")
        self._index = DependencyIndex()
        self._decided = Decided()  # entries with prices that were decided since their approval

    def open(self, state: Overlay, now: datetime) -> None:
        """Nothing is kept in memory from the start."""

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """Rate one canonical record."""
        value = record.value
        if value is None:
            return
        row = decoded(record, self._decoder.decode, value)
        entity = record.topic.removeprefix("canonical.")
        key = STATE + name_and_end(entity, row)[0].encode()
        stored = context.state.get(key)
        old = self._codec.decode(stored) if stored else EMPTY
        if stored and old["input"] == value:
            context.count("duplicates_dropped")
            return
        cause = Cause(row["occurred_at"], row["captured_at"], row["published_at"], row["snapshot"])
        self._settle(key, {**old, "entity": entity, "input": value}, row, context, cause)

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Rate entries again with the references as they are now."""
        for place in keys:
            key = entry_of(place) if place.startswith(PLACE) else place
            stored = context.state.get(key)
            if stored is not None:
                old = self._codec.decode(stored)
                self._settle(key, old, self._decoder.decode(old["input"]), context, cause)

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Keys of the entries whose prices a close may know otherwise, and places in the index of those that examined
        what changed."""
        of_closes = in_order(self._decided.affected(touches, state), after)  # type: ignore[arg-type]
        return chain(of_closes, self._index.affected(touches, state, after))  # type: ignore[arg-type]

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """All entries, milestones and expenses."""
        return (key for key, _ in state.scan(STATE, after) if key > after)

    def finish(self, context: SliceContext) -> None:
        """Everything was emitted entry by entry."""

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """To the dead letters and exceptions."""
        self._rejects.reject(record, error, context)

    def tick(self, context: SliceContext) -> None:
        """No timers."""

    def _settle(
        self, key: bytes, state: dict[str, Any], row: dict[str, Any], context: SliceContext, cause: Cause
    ) -> None:
        """Rate, compare with what was published, publish the difference, store."""
        result = self._rate(state["entity"], row)
        then = self._at_closes(state["entity"], row, result)
        last = None if state["rated"] is None else self._decoder.decode(state["rated"])
        new, old = result.item, None if last is None else Item.from_record(last)
        of_version = _of_version(state["entity"], row)
        contribution = None if of_version is not STANDS else _contribution(row, result)
        changed = new != old
        if last is not None and of_version is not STANDS:
            changed = changed or any(last[name] != value for name, value in of_version.items())
        moved = contribution != state["contribution"]
        versions = {version.id: version for version in then.versions}
        kept = kept_versions(state["at_closes"], self._decoder.decode)
        if changed or moved or versions != kept:
            state["revision"] += 1
        common = _common(row, cause, context)
        if changed:
            state["rated"] = self._publish_rated(old, new, state["revision"], common | of_version, context)
            if of_version is STANDS:
                self._publish_exception(old, new, result, state["revision"], common, context)
            context.count("rated" if new is not None else "withdrawn")
        if moved:
            self._publish_contribution(
                state["contribution"], contribution, state["revision"], common, context
            )
            state["contribution"] = contribution
        if versions != kept:

            def publish(old: Item | None, new: Item | None, version: dict[str, Any]) -> bytes | None:
                return self._publish_rated(old, new, state["revision"], common | version, context)

            state["at_closes"] = publish_versions(state["at_closes"], kept, versions, publish)
        self._reindex(key, state, row, result, then, context)
        context.state.put(key, self._codec.encode(state))

    def _rate(self, entity: str, row: dict[str, Any]) -> RatedResult:
        if entity == "milestone":
            return rate_milestone(Milestone.from_record(row), self._reference)
        return rate_approved(approved(entity, row), self._reference)

    def _at_closes(self, entity: str, row: dict[str, Any], now: RatedResult) -> AtCloses:
        if not now.moments:
            return NO_OTHER
        name, ended_at = name_and_end(entity, row)
        return at_closes(name, approved(entity, row), now, self._reference, ended_at)

    def _publish_rated(
        self, old: Item | None, new: Item | None, revision: int, common: dict[str, Any], context: SliceContext
    ) -> bytes | None:
        if old is not None and (new is None or (new.root_id, new.entry_id) != (old.root_id, old.entry_id)):
            removal = {"op": "REMOVE", "root_id": old.root_id, "entry_id": old.entry_id}
            self._rated.emit(
                context,
                removal
                | common
                | {"revision": revision, "item_kind": old.item_kind, "rule_version": self.rules},
            )
        if new is None:
            return None
        put = {"op": "PUT", "revision": revision, "rule_version": self.rules}
        return self._rated.emit(context, put | new.fields() | common)

    def _publish_exception(
        self,
        old: Item | None,
        new: Item | None,
        result: RatedResult,
        revision: int,
        common: dict[str, Any],
        context: SliceContext,
    ) -> None:
        item = new if new is not None and new.disposition == PARKED else None
        was_parked = old is not None and old.disposition == PARKED
        if item is None and not was_parked:
            return
        subject = (item or old).entry_id  # type: ignore[union-attr]
        record: dict[str, Any] = {"op": "CLEAR", "revision": revision, "flow": FLOW, "subject": subject}
        if item is not None:
            amount, currency = at_stake(item)
            record |= {
                "op": "RAISE",
                "exception_class": item.exception_class,
                "message": result.parking.message if result.parking else None,
                "blocks": "billing",
                "missing_keys": list(item.missing_keys or ()),
                "seconds": item.seconds,
                "amount": amount,
                "currency": currency,
            }
            context.count("parked")
        elif new is not None:
            context.count("released")
        self._raised.emit(context, record | common)

    def _publish_contribution(
        self,
        old: dict[str, Any] | None,
        new: dict[str, Any] | None,
        revision: int,
        common: dict[str, Any],
        context: SliceContext,
    ) -> None:
        if old is not None and (new is None or new["consultant_id"] != old["consultant_id"]):
            removal = {"op": "REMOVE", "consultant_id": old["consultant_id"], "entry_id": old["entry_id"]}
            self._contributions.emit(context, removal | common | {"revision": revision})
        if new is not None:
            self._contributions.emit(context, {"op": "PUT", "revision": revision} | new | common)

    def _reindex(
        self,
        key: bytes,
        state: dict[str, Any],
        row: dict[str, Any],
        result: RatedResult,
        then: AtCloses,
        context: SliceContext,
    ) -> None:
        item = result.item
        signature = None if item is None else _signature(row, item)
        day = None if item is None else item.work_date
        if signature is not None:
            rates = [name for of in (item, *(one.item for one in then.versions)) for name in _rates_used(of)]
            examined = then.dependencies or result.dependencies
            self._index.learn(context.state, signature, (*examined, *rates))
        if item is not None and item.legal_entity_id is not None and then.last is not None:
            self._decided.put(context.state, item.legal_entity_id, then.last, key)
        if (state["signature"], state["work_date"]) == (signature, day):
            return
        if state["signature"] is not None:
            self._index.remove(context.state, key, state["signature"], state["work_date"])
        if signature is not None and day is not None:
            self._index.place(context.state, key, signature, day)
        state["signature"], state["work_date"] = signature, day


def _of_version(entity: str, row: dict[str, Any]) -> dict[str, Any]:
    """Which version it is that stands no more, and since when; both null for what stands."""
    return {"version_id": row["id"], "ended_at": row["ended_at"]} if entity in VERSIONS else STANDS


def _rates_used(item: Item | None) -> Iterator[str]:
    """The rates that won, by id: a rate whose scope changed while nobody looked reaches its entries so."""
    if item is not None and item.rate_id is not None:
        yield f"rate#{item.rate_id}"
    if item is not None and item.exception_class == AMBIGUOUS_RATE:
        for key in item.missing_keys or ():
            yield f"rate#{key.removeprefix('rate:')}"


def _signature(row: dict[str, Any], item: Item) -> str:
    if item.item_kind == "milestone":
        return f"{row['contract_line_id']}|{row['engagement_id']}"
    if item.item_kind == EXPENSE:
        return f"{EXPENSE}|{item.consultant_id}|{item.project_id}|{row['currency']}"
    return f"{item.consultant_id}|{item.project_id}|{item.task_id or ''}"


def _contribution(row: dict[str, Any], result: RatedResult) -> dict[str, Any] | None:
    part = result.contribution
    if part is None:
        return None
    return {
        "consultant_id": row["consultant_id"],
        "entry_id": row["id"],
        "project_id": row["project_id"],
        "work_date": row["work_date"],
        "worked_seconds": part.worked_seconds,
        "billable_seconds": part.billable_seconds,
        "unclassified_seconds": part.unclassified_seconds,
    }


def _common(row: dict[str, Any], cause: Cause, context: SliceContext) -> dict[str, Any]:
    """Times of the cause, and the position of the row."""
    return {
        "occurred_at": cause.occurred_at,
        "captured_at": cause.captured_at,
        "published_at": cause.published_at,
        "rated_at": context.now,
        "snapshot": cause.indirect,
        "source_system": row["source_system"],
        "source_epoch": row["source_epoch"],
        "source_lsn": row["source_lsn"],
        "source_ordinal": row["source_ordinal"],
    }
