"""The heart of a lane: cut work into slices, apply them, commit each in one transaction.

Synchronous and free of Kafka: what commits is a `SliceLog`, what stores is a `Store`, and time is an
argument. The test driver runs this very class.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from streams.errors import ContractViolation, RecordError, TallystreamError
from streams.lanes.cursor import CURSOR_KEY, Cursor
from streams.lanes.fanout import FanOut
from streams.lanes.overtaking import Overtaking
from streams.lanes.ports import PendingReferences, SliceLog
from streams.lanes.records import HANDED_HEADER, Chunk, InputRecord, Output, PlainRecord
from streams.lanes.rules import is_newer
from streams.lanes.stage import SliceContext, Stage
from streams.lanes.state import Overlay, Store

# A slice is at most about this much work, so that a lane neither holds up the others nor pays a
# transaction for every record.
SLICE_SECONDS = 0.02
# The clock is read once every so many records: reading it for each would cost as much as a small record.
CLOCK_EVERY = 16
# Entries re-evaluated in a transaction: where live input waits meanwhile, and alone.
FANOUT_BESIDE_LIVE = 30
FANOUT_KEYS = 200


class Gap(TallystreamError):
    """Records between what is applied and what was delivered are missing: the input must seek back."""

    def __init__(self, topic: str, partition: int, applied: int, delivered: int) -> None:
        super().__init__(f"{topic}/{partition}: applied up to {applied}, but delivered from {delivered}")


class LaneCore:
    """One stage on one partition.

    ``compute`` is held while a stage computes (reference tables must not change under it) and released
    before the transaction is committed.

    What another stage of the same lane publishes to an input of this one may be handed over: it is applied
    in the transaction that publishes it, and skipped when it is fetched.
    """

    def __init__(
        self,
        stage: Stage,
        store: Store,
        log: SliceLog,
        references: PendingReferences | None = None,
        *,
        clock: Callable[[], datetime],
        compute: AbstractContextManager[object] | None = None,
        elapsed: Callable[[], float] = time.perf_counter,
        on_close: Callable[[], None] = lambda: None,
        slice_seconds: float = SLICE_SECONDS,
    ) -> None:
        self.stage = stage
        self.store = store
        self._log = log
        self._compute = compute or nullcontext()
        self._clock = clock
        self._elapsed = elapsed
        self._on_close = on_close
        self._slice_seconds = slice_seconds
        stored = store.get(CURSOR_KEY)
        self.cursor = Cursor.from_bytes(stored) if stored else Cursor()
        if is_newer(self.cursor.rules, stage.rules):
            raise ContractViolation(
                f"state was written by rules {self.cursor.rules}, this worker has {stage.rules}; upgrade it"
            )
        self.cursor.rules = stage.rules
        if stored is None:
            self.cursor.evaluated = stage.rules
        self._cursor_moved = False
        self._closed = False
        self._work: deque[tuple[Chunk, int]] = deque()
        self._handed: deque[PlainRecord] = deque()
        self.overtaking = Overtaking()
        self.route: Callable[[Sequence[Output]], Sequence[Output]] = lambda outputs: outputs
        self.on_refused: Callable[[PlainRecord], None] = lambda record: None
        self.handed_header = (HANDED_HEADER, self.cursor.identity.encode())
        self._fanout = FanOut(stage, store, self.cursor, references)
        with self._compute:
            stage.open(Overlay(store), clock())
            if references is not None and stored is None:
                # A lane without entries has nothing to fan out: it starts at the tables as they are.
                self.cursor.references = references.positions()
            elif references is not None:
                # Tables here may be behind those that the lane had elsewhere. What is evaluated with older
                # rows must hear of the newer ones again, whoever has the lane by then.
                loaded = references.positions()
                self.cursor.references = {
                    position: min(at, loaded.get(position, 0))
                    for position, at in self.cursor.references.items()
                }
                references.resume(self.cursor.references)
                self._fanout.resume(loaded)

    def position(self, topic: str) -> int | None:
        """Next offset of an input topic to apply, None if nothing was applied yet."""
        return self.cursor.inputs.get(topic)

    def start_at(self, topic: str, offset: int, durable: bool = False) -> None:
        """Where an input topic begins for a lane that has applied nothing of it; `flush` if ``durable``."""
        if topic not in self.cursor.inputs:
            self.cursor.inputs[topic] = offset
            self._cursor_moved = self._cursor_moved or durable

    def apply(self, *chunks: Chunk) -> dict[str, int]:
        """Apply chunks in as few slices as the time of one allows; returns the counters of all slices."""
        counts = self.offer(*chunks)
        while self.busy():
            add_counts(counts, self.step())
        return counts

    def offer(self, *chunks: Chunk) -> dict[str, int]:
        """Queue chunks for `step`; returns the count of what was redelivered.

        The lane knows where a topic begins: by its cursor, or by `start_at`. Records that the cursor says
        are applied are skipped: that is how a redelivery changes nothing. Raises `Gap` before any is queued.
        """
        counts: dict[str, int] = {}
        work: deque[tuple[Chunk, int]] = deque()
        positions = {chunk.topic: max(chunk.end, self.cursor.inputs[chunk.topic]) for chunk, _ in self._work}
        for chunk in chunks:
            # Never a default: a lane that does not know where the topic begins must not guess from a delivery.
            applied = positions.get(chunk.topic, self.cursor.inputs[chunk.topic])
            if chunk.base > applied:
                raise Gap(chunk.topic, chunk.partition, applied, chunk.base)
            records, at = chunk.records, 0
            while at < len(records) and records[at].offset < applied:
                at += 1
            if at:
                counts["redelivered"] = counts.get("redelivered", 0) + at
            positions[chunk.topic] = max(applied, chunk.end)
            work.append((chunk, at))
        self._work += work
        return counts

    def busy(self) -> bool:
        """Whether anything is queued for `step`."""
        return bool(self._work)

    def step(self) -> dict[str, int]:
        """One slice of what was offered: as much as its time allows."""
        context = self._context()
        with self._compute:
            self._fill(context, self._work)
            self.stage.finish(context)
        self._commit(context)
        return context.counts

    def _fill(self, context: SliceContext, work: deque[tuple[Chunk, int]]) -> None:
        """Process work until the slice's time is over, and move the cursor over what was processed."""
        deadline = self._elapsed() + self._slice_seconds
        inputs = self.cursor.inputs
        while work:
            chunk, at = work.popleft()
            records = chunk.records
            at = self._process(records, at, context, deadline)
            if at < len(records):
                inputs[chunk.topic] = records[at].offset
                work.appendleft((chunk, at))
                return
            # Also where there were only transaction markers, or only what was applied before.
            inputs[chunk.topic] = max(chunk.end, inputs[chunk.topic])
            if self._elapsed() > deadline:
                return

    def _process(
        self, records: Sequence[InputRecord], at: int, context: SliceContext, deadline: float
    ) -> int:
        process, handed = self.stage.process, self.handed_header
        while at < len(records):
            for record in records[at : at + CLOCK_EVERY]:
                at += 1
                headers = record.headers
                if headers and headers[0] == handed:
                    context.count("handed")
                    continue
                try:
                    process(record, context)
                except RecordError as error:
                    self.stage.reject(record, error, context)
            if self._elapsed() > deadline:
                break
        return at

    def accepts(self, topic: str) -> bool:
        """Whether records of an input topic may be handed over now."""
        return self.overtaking.allows(topic, self.cursor.inputs.get(topic, -1))

    def hand(self, record: PlainRecord) -> None:
        """Take a record that its lane publishes in the same transaction."""
        self._handed.append(record)

    def has_handed(self) -> bool:
        """Whether records were handed over that `apply_handed` has not applied."""
        return bool(self._handed)

    def apply_handed(self) -> dict[str, int]:
        """One slice of what was handed over. The cursor stays: it moves when the records are fetched."""
        context = self._context()
        with self._compute:
            deadline = self._elapsed() + self._slice_seconds
            while self._handed:
                record = self._handed.popleft()
                try:
                    self.stage.process(record, context)
                except RecordError:
                    # It is rejected where it is fetched, from a place in its topic that can be named.
                    self.on_refused(record)
                if self._elapsed() > deadline:
                    break
            self.stage.finish(context)
        self._commit(context)
        return context.counts

    def has_references(self) -> bool:
        """Whether entries are to be evaluated again."""
        return self._fanout.waiting()

    def fan_out(self, most: int | None = None) -> dict[str, int]:
        """One slice of re-evaluation, of ``most`` entries, or `FANOUT_KEYS`; the cursor moves with the last."""
        context = self._context()
        most = FANOUT_KEYS if most is None else most
        with self._compute:
            taken = self._fanout.take(most, context.now)
            if taken is None:
                return {}
            keys, cause = taken
            if keys:
                self.stage.reevaluate(keys, context, cause)
                self.stage.finish(context)
                context.count("reevaluated", len(keys))
        if len(keys) < most:
            self._fanout.end()
        else:
            self._fanout.reached(keys[-1])
        self._cursor_moved = True
        self._commit(context)
        return context.counts

    def tick(self) -> dict[str, int]:
        """Let the stage's timers run."""
        context = self._context()
        with self._compute:
            self.stage.tick(context)
            self.stage.finish(context)
        self._commit(context)
        return context.counts

    def flush(self) -> None:
        """Make a cursor durable that moved without any output or state change since."""
        if self._cursor_moved:
            self._write([], {})

    def close(self) -> None:
        """Close the store as clean, at the log's position, and the log."""
        self._closed = True
        self._fanout.drop()
        self.store.close(self._log.close())
        self._on_close()

    def abandon(self) -> None:
        """Close without calling the store clean: it will be dropped and restored. Again: nothing."""
        if self._closed:
            return
        self._closed = True
        self._fanout.drop()
        self.store.close(None)
        self._log.close()
        self._on_close()

    def _context(self) -> SliceContext:
        return SliceContext(Overlay(self.store), self._clock())

    def _commit(self, context: SliceContext) -> None:
        changes = context.state.changes
        if not context.outputs and not changes:
            # Nothing to make durable but the cursor: it goes with the next slice, or at close.
            self._cursor_moved = True
            return
        self._write(context.outputs, changes)

    def _write(self, outputs: Sequence[Output], changes: dict[bytes, bytes | None]) -> None:
        changes[CURSOR_KEY] = self.cursor.to_bytes()
        self._log.commit(self.route(outputs), changes)
        self.store.write(changes)
        self._cursor_moved = False


def add_counts(total: dict[str, int], part: Mapping[str, int]) -> None:
    for name, amount in part.items():
        total[name] = total.get(name, 0) + amount
