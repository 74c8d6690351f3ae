"""Reference changes, fan-outs, crashes and moves between workers, against a model that knows all rows.

Two workers read one reference topic, each at its own pace; one lane of entries is with either of them.
Whatever happened in between, once everything is read each entry's result is that of the last rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streams.errors import RecordError
from streams.lanes import core as lane_core
from streams.lanes.core import LaneCore
from streams.lanes.cursor import CURSOR_KEY, Cursor
from streams.lanes.records import Chunk, InputRecord, Output, PlainRecord
from streams.lanes.stage import Cause, SliceContext, Touch
from streams.lanes.state import MemoryStore, Overlay
from streams.references.views import ReferenceState, Subscription

NOW = datetime(2026, 3, 2, tzinfo=UTC)
TOPIC, ENTITY, POSITION = "entries", "rate", "rate/0"
COORDINATES = ["a", "b"]
ROWS = ["r1", "r2", "r3"]
ENTRIES = [b"e1", b"e2", b"e3", b"e4", b"e5"]


class Crashed(Exception):
    """The lane died here."""


class PriceView:
    """Prices by coordinate; what was unseen reaches where a row is now, and who used it before."""

    entities: Sequence[str] = (ENTITY,)

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def apply(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Set or delete a row; reaches where it was and where it is."""
        old = self.rows.pop(row_id, None)
        if row is not None:
            self.rows[row_id] = row
        return [("at", one["at"]) for one in (old, row) if one is not None]

    def missed(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Reaches where it is, and its users by id."""
        return [("used", row_id), *([("at", row["at"])] if row is not None else [])]

    def found(self, coordinate: str) -> dict[str, int]:
        """Prices at a coordinate by row."""
        return {row_id: row["price"] for row_id, row in self.rows.items() if row["at"] == coordinate}


class PriceStage:
    """An entry's state is its coordinate and the prices it found there; a change is published."""

    inputs: Sequence[str] = (TOPIC,)
    rules = "1"

    def __init__(self, view: PriceView) -> None:
        self._view = view

    def open(self, state: Overlay, now: datetime) -> None:
        """Nothing is cached."""

    def process(self, record: InputRecord, context: SliceContext) -> None:
        """The entry's coordinate is the record's value."""
        assert record.key is not None
        assert record.value is not None
        self._settle(record.key, record.value.decode(), context)

    def _settle(self, key: bytes, coordinate: str, context: SliceContext) -> None:
        result = json.dumps([coordinate, self._view.found(coordinate)], sort_keys=True).encode()
        if context.state.get(key) != result:
            context.state.put(key, result)
            context.emit("out", key, result)

    def finish(self, context: SliceContext) -> None:
        """Nothing waits."""

    def reject(self, record: InputRecord, error: RecordError, context: SliceContext) -> None:
        """No record is bad."""
        raise AssertionError

    def affected(self, touches: Sequence[Touch], state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """Entries at a coordinate, or that used a row."""
        for key, value in state.scan(b"e", after + b"\0"):
            coordinate, found = json.loads(value)
            if any((kind == "at" and what == coordinate) or (kind == "used" and what in found)
                   for kind, what in touches):  # type: ignore[misc]  # fmt: skip
                yield key

    def everything(self, state: Overlay, after: bytes = b"") -> Iterator[bytes]:
        """No rules change."""
        return iter(())

    def reevaluate(self, keys: Iterable[bytes], context: SliceContext, cause: Cause) -> None:
        """Look again."""
        for key in keys:
            self._settle(key, json.loads(context.state.get(key) or b"")[0], context)

    def tick(self, context: SliceContext) -> None:
        """No timers."""


class DurableLog:
    """Outputs and state as committed; dies at the commits that it is told to."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.state: dict[bytes, bytes] = {}
        self.crash: tuple[str, int] | None = None

    def commit(self, outputs: Sequence[Output], changes: Mapping[bytes, bytes | None]) -> None:
        """All or nothing."""
        self._reach("before")
        self.outputs.extend(outputs)
        self.state.update({key: value for key, value in changes.items() if value is not None})
        self._reach("after")

    def _reach(self, place: str) -> None:
        if self.crash is not None and self.crash[0] == place:
            self.crash = (place, self.crash[1] - 1) if self.crash[1] else None
            if self.crash is None:
                raise Crashed

    def close(self) -> int | None:
        """Nothing to release."""
        return None


def change(row_id: str, coordinate: str | None, price: int) -> bytes:
    """A row of the reference topic; without a coordinate it is deleted."""
    return json.dumps([row_id, coordinate, price]).encode()


def decode(value: bytes) -> dict[str, Any]:
    """The canonical row."""
    row_id, coordinate, price = json.loads(value)
    times = dict.fromkeys(("occurred_at", "captured_at", "published_at"), NOW)
    return {"id": row_id, "deleted": coordinate is None, "at": coordinate, "price": price, **times}


class ReferenceChanges(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = mock.patch.object(lane_core, "FANOUT_KEYS", 2)  # so that fan-outs take several slices
        self._patch.start()
        self.topic: list[bytes] = []
        self.inputs: list[PlainRecord] = []
        self.log = DurableLog()
        self.workers = [self._started(), self._started()]
        self.holder = 0
        self.lane: LaneCore | None = None
        self.subscription: Subscription | None = None

    def teardown(self) -> None:
        self.settle()
        self._patch.stop()

    def _started(self) -> ReferenceState:
        """A worker, ready once it has read what there is."""
        worker = ReferenceState(PriceView(), decode)
        self._read(worker, len(self.topic))
        return worker

    def _read(self, worker: ReferenceState, upto: int) -> None:
        for offset in range(worker.loaded.get(POSITION, 0), upto):
            worker.apply(ENTITY, 0, offset, decode(self.topic[offset]), self.topic[offset])

    def _open(self) -> LaneCore:
        if self.lane is None:
            worker = self.workers[self.holder]
            self.subscription = worker.subscribe()
            store = MemoryStore()
            store.load(self.log.state.items())
            view = worker.view
            assert isinstance(view, PriceView)
            self.lane = LaneCore(PriceStage(view), store, self.log, self.subscription, clock=lambda: NOW)
            self.lane.start_at(TOPIC, 0)
        return self.lane

    def _lose(self) -> None:
        if self.subscription is not None:
            self.workers[self.holder].unsubscribe(self.subscription)
        self.lane = self.subscription = None

    def _attempt(self, work: Any) -> None:
        try:
            work(self._open())
        except Crashed:
            self._lose()

    @rule(
        row=st.sampled_from(ROWS), coordinate=st.sampled_from([*COORDINATES, None]), price=st.integers(1, 3)
    )
    def a_row_changes(self, row: str, coordinate: str | None, price: int) -> None:
        self.topic.append(change(row, coordinate, price))

    @rule(worker=st.integers(0, 1), count=st.integers(1, 3))
    def a_worker_reads_on(self, worker: int, count: int) -> None:
        state = self.workers[worker]
        self._read(state, min(len(self.topic), state.loaded.get(POSITION, 0) + count))

    @rule(entry=st.sampled_from(ENTRIES), coordinate=st.sampled_from(COORDINATES), applied=st.integers(0, 4))
    def an_entry_arrives(self, entry: bytes, coordinate: str, applied: int) -> None:
        """Input is applied also in the middle of a fan-out: none keeps it waiting."""
        self.inputs.append(PlainRecord(TOPIC, 0, len(self.inputs), 0, entry, coordinate.encode()))

        def apply(lane: LaneCore) -> None:
            at = lane.position(TOPIC) or 0
            records = self.inputs[at : at + applied]
            lane.apply(Chunk(TOPIC, 0, at, at + len(records), 1, records))
            assert lane.position(TOPIC) == at + len(records)

        self._attempt(apply)

    @rule(slices=st.sampled_from([1, 1, 9]))
    def a_fan_out_goes_on(self, slices: int) -> None:
        for _ in range(slices):
            self._attempt(lambda lane: lane.fan_out() if lane.has_references() else None)

    @rule(place=st.sampled_from(["before", "after"]), commits=st.integers(0, 3))
    def a_crash_is_due(self, place: str, commits: int) -> None:
        self.log.crash = (place, commits)

    @rule()
    def the_lane_dies(self) -> None:
        self._lose()

    @rule(flush=st.booleans())
    def the_lane_moves(self, flush: bool) -> None:
        """To the other worker, whose tables may be behind or ahead."""
        if flush:
            self._attempt(LaneCore.flush)
        self._lose()
        self.holder = 1 - self.holder

    @rule(worker=st.integers(0, 1))
    def a_worker_starts_anew(self, worker: int) -> None:
        if worker == self.holder:
            self._lose()
        self.workers[worker] = self._started()

    def settle(self) -> None:
        """Everything is read and applied: each entry's result is that of the last rows, and was published."""
        self.log.crash = None
        worker = self.workers[self.holder]
        self._read(worker, len(self.topic))
        lane = self._open()
        at = lane.position(TOPIC) or 0
        lane.apply(Chunk(TOPIC, 0, at, len(self.inputs), 1, self.inputs[at:]))
        while lane.has_references():
            lane.fan_out()
        lane.flush()
        truth = PriceView()
        for value in self.topic:
            row = decode(value)
            truth.apply(ENTITY, row["id"], None if row["deleted"] else row)
        wanted = {
            record.key: json.dumps(
                [record.value.decode(), truth.found(record.value.decode())], sort_keys=True
            ).encode()
            for record in self.inputs
            if record.value is not None
        }
        assert {key: value for key, value in self.log.state.items() if key != CURSOR_KEY} == wanted
        assert {output.key: output.value for output in self.log.outputs} == wanted

    @invariant()
    def the_cursor_names_nothing_that_is_not_read(self) -> None:
        stored = self.log.state.get(CURSOR_KEY)
        if stored is not None:
            assert Cursor.from_bytes(stored).references.get(POSITION, 0) <= len(self.topic)


TestReferenceChanges = ReferenceChanges.TestCase
TestReferenceChanges.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


def test_what_was_evaluated_with_older_tables_hears_of_newer_rows() -> None:
    """The lane goes to a worker whose tables are behind, evaluates there, and returns before they are not."""
    machine = ReferenceChanges()
    machine.an_entry_arrives(b"e1", "a", 1)
    machine.a_row_changes("r1", "a", 1)
    machine.a_worker_reads_on(0, 1)
    machine.a_fan_out_goes_on(9)
    machine.the_lane_moves(flush=True)
    machine.an_entry_arrives(b"e2", "a", 1)
    machine.the_lane_moves(flush=True)
    machine.teardown()
