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
from typing import Protocol

from streams.errors import ContractViolation, RecordError, TallystreamError
from streams.lanes.cursor import CURSOR_KEY, Cursor
from streams.lanes.records import Chunk, InputRecord, Output
from streams.lanes.stage import Cause, SliceContext, Stage, Touch
from streams.lanes.state import Overlay, Store

# A slice is at most about this much work, so that a lane neither holds up the others nor pays a
# transaction for every record.
SLICE_SECONDS = 0.02
# The clock is read once every so many records: reading it for each would cost as much as a small record.
CLOCK_EVERY = 16
# Entries re-evaluated before live input gets its turn again.
FANOUT_KEYS = 200


class SliceLog(Protocol):
    """Where a slice becomes durable: all of it, or nothing.

    It may be committed later, together with other slices. The local store is then ahead of the log for a
    while, which is no harm: a store is trusted only after a clean close, and dropped otherwise.
    """

    def commit(self, outputs: Sequence[Output], changes: Mapping[bytes, bytes | None]) -> None:
        """Publish outputs and state changes in one transaction; raises `Fenced` or a retriable error."""

    def close(self) -> int | None:
        """Release the log; returns the state topic's end, to which a clean store corresponds."""


class PendingReferences(Protocol):
    """Reference changes that a lane has not fanned out yet. All but `waiting` under the compute lock."""

    def positions(self) -> dict[str, int]:
        """Positions of the reference tables as loaded."""

    def resume(self, applied: Mapping[str, int]) -> None:
        """Queue what the tables hold beyond ``applied``: changes the lane missed while it was closed."""

    def waiting(self) -> bool:
        """Whether anything is queued; may be asked without the lock."""

    def pending(self) -> tuple[list[Touch], dict[str, int], Cause | None]:
        """Take everything queued: touches, the positions they reach, and the latest change among them."""


class Gap(TallystreamError):
    """Records between what is applied and what was delivered are missing: the input must seek back."""

    def __init__(self, topic: str, partition: int, applied: int, delivered: int) -> None:
        super().__init__(f"{topic}/{partition}: applied up to {applied}, but delivered from {delivered}")


class LaneCore:
    """One stage on one partition.

    ``compute`` is held while a stage computes (reference tables must not change under it) and released
    before the transaction is committed.
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
        self._references = references
        self._compute = compute or nullcontext()
        self._clock = clock
        self._elapsed = elapsed
        self._on_close = on_close
        self._slice_seconds = slice_seconds
        stored = store.get(CURSOR_KEY)
        self.cursor = Cursor.from_bytes(stored) if stored else Cursor()
        if self.cursor.rules > stage.rules:
            raise ContractViolation(
                f"state was written by rules {self.cursor.rules}, this worker has {stage.rules}; upgrade it"
            )
        self.cursor.rules = stage.rules
        self._cursor_moved = False
        self._closed = False
        self._fanout: deque[bytes] = deque()
        self._fanout_positions: dict[str, int] | None = None
        self._fanout_cause: Cause | None = None
        with self._compute:
            stage.open(Overlay(store), clock())
            if references is not None and stored is None:
                # A lane without entries has nothing to fan out: it starts at the tables as they are.
                self.cursor.references = references.positions()
            elif references is not None:
                references.resume(self.cursor.references)

    def position(self, topic: str) -> int | None:
        """Next offset of an input topic to apply, None if nothing was applied yet."""
        return self.cursor.inputs.get(topic)

    def start_at(self, topic: str, offset: int) -> None:
        """Where an input topic begins for a lane that has applied nothing of it."""
        self.cursor.inputs.setdefault(topic, offset)

    def apply(self, *chunks: Chunk) -> dict[str, int]:
        """Apply chunks in as few slices as the time of one allows; returns the counters of all slices.

        What has gathered while the last slice was committed goes into one transaction together. The lane
        knows where a topic begins: by its cursor, or by `start_at`. Records that the cursor says are
        applied are skipped: that is how a redelivery changes nothing. Raises `Gap` before anything is done.
        """
        counts: dict[str, int] = {}
        work = self._work(chunks, counts)
        while work:
            context = self._context()
            with self._compute:
                self._fill(context, work)
                self.stage.finish(context)
            self._commit(context)
            _add(counts, context.counts)
        return counts

    def _work(self, chunks: Sequence[Chunk], counts: dict[str, int]) -> deque[tuple[Chunk, int]]:
        """The chunks with the index of the first record of each that is not applied yet."""
        work: deque[tuple[Chunk, int]] = deque()
        positions: dict[str, int] = {}
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
        return work

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
        process = self.stage.process
        while at < len(records):
            for record in records[at : at + CLOCK_EVERY]:
                try:
                    process(record, context)
                except RecordError as error:
                    self.stage.reject(record, error, context)
                at += 1
            if self._elapsed() > deadline:
                break
        return at

    def has_references(self) -> bool:
        """Whether a fan-out is under way, or reference changes wait for one."""
        return self._fanout_positions is not None or (
            self._references is not None and self._references.waiting()
        )

    def fan_out(self) -> dict[str, int]:
        """One slice of re-evaluation for reference changes; the cursor moves once all entries are done.

        A crash in between repeats the fan-out from its beginning, which changes nothing for entries
        that were done.
        """
        assert self._references is not None
        context = self._context()
        with self._compute:
            if self._fanout_positions is None:
                touches, positions, cause = self._references.pending()
                if not positions:
                    return {}
                self._fanout = deque(self.stage.affected(touches, context.state)) if touches else deque()
                self._fanout_positions, self._fanout_cause = positions, cause
            keys = [self._fanout.popleft() for _ in range(min(FANOUT_KEYS, len(self._fanout)))]
            if keys:
                assert self._fanout_cause is not None
                self.stage.reevaluate(keys, context, self._fanout_cause)
                self.stage.finish(context)
                context.count("reevaluated", len(keys))
        if not self._fanout:
            self.cursor.references.update(self._fanout_positions)
            self._fanout_positions = None
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
        self.store.close(self._log.close())
        self._on_close()

    def abandon(self) -> None:
        """Close without calling the store clean: it will be dropped and restored. Again: nothing."""
        if self._closed:
            return
        self._closed = True
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
        self._log.commit(outputs, changes)
        self.store.write(changes)
        self._cursor_moved = False


def _add(total: dict[str, int], part: Mapping[str, int]) -> None:
    for name, amount in part.items():
        total[name] = total.get(name, 0) + amount
