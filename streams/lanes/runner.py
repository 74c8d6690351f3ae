"""The thread of a lane: takes chunks, fans out reference changes, ticks, and reports.

Kafka calls block, so a lane has a thread; reference tables are kept still while stages compute.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

import structlog

from streams.lanes.background import ALONE, BESIDE_LIVE, Background
from streams.lanes.core import FANOUT_BESIDE_LIVE, FANOUT_KEYS, Gap
from streams.lanes.lane import Counts, Lane
from streams.lanes.records import Chunk
from streams.lanes.tickets import Ticket
from streams.lanes.transaction import AbortedSlice

log = structlog.get_logger("lane")

# What may wait for a lane while it commits: it all goes into the next one together, so that a busy lane
# makes larger transactions rather than more of them. More than this only adds memory.
BACKLOG_CHUNKS = 64
BACKLOG_RECORDS = 4_000
TICK_SECONDS = 1.0
# What was applied without any effect is durable after this long, for whoever asks how far a lane is: a transaction
# now and then, and never one for what changed nothing.
CURSOR_SECONDS = 5.0
# Attempts to open a lane again after its transactions were aborted, and the pause between them.
REOPEN_ATTEMPTS = 20
REOPEN_PAUSE_SECONDS = 1.0


class LaneRunner:
    """Runs one lane, from the first `resume` on.

    ``open_lane`` restores it, at first and again after an aborted transaction.
    """

    def __init__(
        self,
        name: str,
        open_lane: Callable[[], Lane],
        *,
        on_done: Callable[[Ticket], None],
        on_counts: Callable[[str, Mapping[str, int]], None],
        on_room: Callable[[], None],
        on_reopened: Callable[[LaneRunner], None],
        on_failure: Callable[[str, Exception], None],
    ) -> None:
        self.name = name
        self._open_lane = open_lane
        self._on_done = on_done
        self._on_counts = on_counts
        self._on_room = on_room
        self._on_reopened = on_reopened
        self._on_failure = on_failure
        self._inbox: deque[tuple[Chunk, Ticket]] = deque()
        self._background = Background()
        self._wake = threading.Condition()
        self._stopping = False
        # Until the assignment that it was opened for is known to be the latest.
        self._paused = True
        self._parked = False
        self.lane = open_lane()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def has_room(self) -> bool:
        """Whether `offer` would not exceed the backlog."""
        inbox = self._inbox
        return len(inbox) < BACKLOG_CHUNKS and sum(len(chunk.records) for chunk, _ in inbox) < BACKLOG_RECORDS

    def offer(self, chunk: Chunk, ticket: Ticket) -> None:
        """Queue a chunk; the caller has asked `has_room`."""
        with self._wake:
            self._inbox.append((chunk, ticket))
            self._wake.notify()

    def offer_background(self, chunk: Chunk, ticket: Ticket) -> None:
        """Queue a chunk behind all others; the caller bounds how many there are."""
        with self._wake:
            self._background.add(chunk, ticket)
            self._wake.notify()

    def poke(self) -> None:
        """Reference tables changed: look at them."""
        with self._wake:
            self._wake.notify()

    def drain(self) -> None:
        """Drop what is queued, finish the current slice, and commit nothing until `resume`.

        Called when partitions are revoked: who gets them next may fence this lane at any moment after,
        which must not look like a failure. So timers and fan-outs wait too, and the cursor is durable.
        """
        with self._wake:
            self._inbox.clear()
            self._background.clear()
            self._paused = True
            self._wake.notify()
        while not self._parked and self._thread.is_alive():
            time.sleep(0.002)

    def resume(self) -> None:
        """The partition is still ours."""
        with self._wake:
            self._paused = False
            self._wake.notify()

    def close(self) -> None:
        """Finish the current slice, make the cursor durable, close state and producer."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def _next(self) -> tuple[list[tuple[Chunk, Ticket | None]], bool]:
        """Everything that has gathered, and a piece of what waits behind it; whether any of it is live."""
        with self._wake:
            waiting = self._inbox or self._background
            if not (waiting or self._stopping or self._paused or self.lane.has_references()):
                self._wake.wait(TICK_SECONDS)
            if self._stopping or self._paused:
                return [], False
            items: list[tuple[Chunk, Ticket | None]] = list(self._inbox)
            self._inbox.clear()
            piece = self._background.take(BESIDE_LIVE if items else ALONE)
        if items:
            self._on_room()
        return items + piece, bool(items)

    def _forget_background(self) -> None:
        """It is delivered again from where the lane is."""
        with self._wake:
            self._background.clear()

    def _run(self) -> None:
        next_tick = time.monotonic() + TICK_SECONDS
        next_cursor = time.monotonic() + CURSOR_SECONDS
        try:
            while not self._stopping:
                items, live = self._next()
                try:
                    if self._paused:
                        self._park()
                        continue
                    if items:
                        chunks = [chunk for chunk, _ in items]
                        self._count(self.lane.apply(chunks, FANOUT_BESIDE_LIVE if live else FANOUT_KEYS))
                        for _, ticket in items:
                            if ticket is not None:
                                self._on_done(ticket)
                    elif self.lane.has_references() and not self._stopping:
                        self._count(self.lane.fan_out())
                    if time.monotonic() >= next_tick:
                        next_tick = time.monotonic() + TICK_SECONDS
                        self._count(self.lane.tick())
                    if time.monotonic() >= next_cursor:
                        next_cursor = time.monotonic() + CURSOR_SECONDS
                        self.lane.flush()
                except Gap:
                    self._forget_background()
                    self._on_reopened(self)  # the input seeks back to what is applied
                except AbortedSlice as error:
                    log.warning("lane_opened_again", lane=self.name, error=str(error))
                    self._reopen()
            self.lane.close()
        except Exception as error:
            try:
                self.lane.abandon()
            finally:
                self._on_failure(self.name, error)

    def _count(self, counts: Counts) -> None:
        for stage, counted in counts.items():
            if counted:
                self._on_counts(stage, counted)

    def _park(self) -> None:
        self.lane.flush()
        with self._wake:
            while self._paused and not self._stopping:
                self._parked = True
                self._wake.wait()
            self._parked = False

    def _reopen(self) -> None:
        """Whether the aborted slice is in the log is unknown: restore, and let the inputs seek."""
        self._forget_background()
        self.lane.abandon()
        for attempt in range(1, REOPEN_ATTEMPTS + 1):
            try:
                self.lane = self._open_lane()
                break
            except Exception:
                if attempt == REOPEN_ATTEMPTS or self._stopping:
                    raise
                time.sleep(REOPEN_PAUSE_SECONDS)
        self._on_reopened(self)
