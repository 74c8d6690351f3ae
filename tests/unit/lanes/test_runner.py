"""The lane's thread: failures are reported, aborted slices repeated, and nothing is committed while parked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from lane_builders import (
    OTHER,
    TOPIC,
    CountingStage,
    ListLog,
    QueuedReferences,
    chunk,
    open_core,
    record,
)

from streams.errors import DependencyUnavailable, Fenced
from streams.lanes import runner as runner_module
from streams.lanes.background import ALONE
from streams.lanes.core import FANOUT_BESIDE_LIVE, FANOUT_KEYS, LaneCore
from streams.lanes.cursor import CURSOR_KEY, Cursor
from streams.lanes.lane import Lane
from streams.lanes.records import Chunk
from streams.lanes.runner import LaneRunner
from streams.lanes.tickets import Ticket
from streams.lanes.transaction import AbortedSlice

PATIENCE = 10.0


def wait_for(what: Callable[[], object]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


class Heard:
    """What a runner said."""

    def __init__(self) -> None:
        self.done: list[Ticket] = []
        self.counts: list[Mapping[str, int]] = []
        self.reopened = 0
        self.failures: list[tuple[str, Exception]] = []

    def runner(self, open_core: Callable[[], LaneCore], *, ticks: bool = False) -> LaneRunner:
        """A runner that is heard."""

        def reopened(_: LaneRunner) -> None:
            self.reopened += 1

        def open_lane() -> Lane:
            return Lane({("counting", 0): open_core()}, ListLog(), {"counting"} if ticks else set())

        runner = LaneRunner(
            "lane-0",
            open_lane,
            on_done=self.done.append,
            on_counts=lambda _, counts: self.counts.append(counts),
            on_room=lambda: None,
            on_reopened=reopened,
            on_failure=lambda name, error: self.failures.append((name, error)),
        )
        runner.resume()
        return runner


def ticket(base: int, end: int) -> Ticket:
    """A ticket of the first generation."""
    return Ticket((TOPIC, 0), 1, base, end)


def failing_once(error: Exception) -> Callable[[], None]:
    """Raise it the first time."""
    errors = [error]

    def fail() -> None:
        if errors:
            raise errors.pop()

    return fail


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "REOPEN_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(runner_module, "TICK_SECONDS", 0.005)


def test_chunks_are_applied_in_order_and_acknowledged() -> None:
    """Each finished chunk hands its ticket back; closing makes everything durable."""
    log, heard = ListLog(), Heard()
    runner = heard.runner(lambda: open_core(log))
    for n in range(3):
        wait_for(runner.has_room)
        runner.offer(chunk([record(n)]), ticket(n, n + 1))
    wait_for(lambda: len(heard.done) == 3)
    runner.close()
    assert log.counts() == {b"nk": b"3"}
    assert log.closed == 1
    assert not heard.failures


def test_what_had_no_effect_is_durable_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor alone is committed, once: how far the lane is can be read from its state topic."""
    monkeypatch.setattr(runner_module, "CURSOR_SECONDS", 0.02)
    log, heard = ListLog(), Heard()
    runner = heard.runner(lambda: open_core(log))
    before = log.commits
    runner.offer(Chunk(TOPIC, 0, 0, 3, 1, []), ticket(0, 3))  # transaction markers
    wait_for(lambda: log.commits == before + 1)
    stored = log.restored().get(CURSOR_KEY)
    assert stored is not None
    assert Cursor.from_bytes(stored).inputs[TOPIC] == 3
    time.sleep(0.1)
    assert log.commits == before + 1
    runner.close()


def test_an_aborted_slice_opens_the_lane_anew() -> None:
    """The chunk is not acknowledged, the lane restores, and says that its inputs must seek."""
    log, heard = ListLog(), Heard()
    log.before = failing_once(AbortedSlice("aborted"))
    runner = heard.runner(lambda: open_core(log))
    runner.offer(chunk([record(0)]), ticket(0, 1))
    wait_for(lambda: heard.reopened == 1)
    assert heard.done == []
    runner.offer(chunk([record(0)]), ticket(0, 1))
    wait_for(lambda: heard.done)
    runner.close()
    assert log.counts() == {b"nk": b"1"}


def test_a_lane_that_can_not_be_opened_again_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last attempt's error reaches the process, though the old lane is closed already."""
    monkeypatch.setattr(runner_module, "REOPEN_ATTEMPTS", 3)
    log, heard, opened = ListLog(), Heard(), [0]
    log.before = failing_once(AbortedSlice("aborted"))

    def open_lane() -> LaneCore:
        opened[0] += 1
        if opened[0] > 1:
            raise DependencyUnavailable("no broker")
        return open_core(log)

    runner = heard.runner(open_lane)
    runner.offer(chunk([record(0)]), ticket(0, 1))
    wait_for(lambda: heard.failures)
    assert opened[0] == 4
    assert str(heard.failures[0][1]) == "no broker"
    assert log.closed == 1


def test_a_failure_is_reported_even_if_the_lane_does_not_close() -> None:
    """A store that raises while it is abandoned must not hide that the lane is dead."""
    log, heard = ListLog(), Heard()

    def open_lane() -> LaneCore:
        core = open_core(log)

        def broken(offset: int | None) -> None:
            raise OSError("disk is full")

        core.store.close = broken  # type: ignore[method-assign]
        return core

    caught: list[Any] = []
    hook, threading.excepthook = threading.excepthook, caught.append
    try:
        runner = heard.runner(open_lane)
        runner.offer(chunk([record(0, value=b"bug")]), ticket(0, 1))
        wait_for(lambda: heard.failures and not runner._thread.is_alive())
    finally:
        threading.excepthook = hook
    assert isinstance(heard.failures[0][1], KeyError)


def test_a_fenced_lane_stops_without_acknowledging() -> None:
    """The new owner's fence ends the thread; the ticket stays open and the store dirty."""
    log, heard = ListLog(), Heard()
    log.before = failing_once(Fenced("lane lane-0 has a new owner"))
    runner = heard.runner(lambda: open_core(log))
    runner.offer(chunk([record(0)]), ticket(0, 1))
    wait_for(lambda: heard.failures)
    assert isinstance(heard.failures[0][1], Fenced)
    assert heard.done == []
    runner.close()


def test_a_gap_asks_for_a_seek_and_goes_on() -> None:
    """A dropped chunk costs a redelivery, not the lane."""
    log, heard = ListLog(), Heard()
    runner = heard.runner(lambda: open_core(log))
    runner.offer(chunk([record(5)]), ticket(5, 6))
    wait_for(lambda: heard.reopened == 1)
    runner.offer(chunk([record(n) for n in range(6)]), ticket(0, 6))
    wait_for(lambda: heard.done)
    runner.close()
    assert log.counts() == {b"nk": b"6"}
    assert not heard.failures


def test_a_parked_lane_commits_nothing_until_it_is_resumed() -> None:
    """While partitions move, timers stand still too: the next owner may have fenced us."""
    log, heard = ListLog(), Heard()
    runner = heard.runner(lambda: open_core(log), ticks=True)
    wait_for(lambda: log.commits > 2)
    runner.drain()
    parked = log.commits
    time.sleep(0.05)
    assert log.commits == parked
    runner.resume()
    wait_for(lambda: log.commits > parked)
    runner.close()


def test_parking_makes_the_cursor_durable_and_closing_commits_nothing_more() -> None:
    """A lane that is given away has nothing left to write when it is closed."""
    log, heard = ListLog(), Heard()
    runner = heard.runner(lambda: open_core(log))
    runner.offer(chunk([record(0, value=b"silent")]), ticket(0, 1))
    wait_for(lambda: heard.done)
    runner.drain()
    assert log.commits == 1
    log.before = failing_once(Fenced("a new owner"))
    runner.close()
    assert not heard.failures
    assert open_core(log).position(TOPIC) == 1


def test_parking_again_before_the_thread_has_noticed_the_resumption_does_not_hang() -> None:
    """Two rebalances in a row."""
    log, heard = ListLog(), Heard()
    runner = heard.runner(lambda: open_core(log), ticks=True)
    for _ in range(50):
        runner.drain()
        runner.resume()
    runner.drain()
    runner.resume()
    runner.close()
    assert not heard.failures


def test_closing_a_parked_lane_ends_it() -> None:
    """Revoked, then not assigned again: the thread ends, the store is clean."""
    log, heard = ListLog(), Heard()
    stage = CountingStage()
    runner = heard.runner(lambda: open_core(log, stage))
    runner.drain()
    runner.close()
    assert log.closed == 1


def test_what_is_live_goes_past_it() -> None:
    """A live record that comes while the first piece is applied is applied with the next, not with the last."""
    log, heard = ListLog(), Heard()
    committing, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        committing.set()
        assert go_on.wait(10)

    log.before = wait
    runner = heard.runner(lambda: open_core(log))
    history = [record(n, topic=OTHER) for n in range(5 * ALONE)]
    runner.offer_background(Chunk(OTHER, 0, 0, len(history), 1, history), old := Ticket((OTHER, 0), 1, 0, 1))
    assert committing.wait(10)
    runner.offer(chunk([record(0)]), live := ticket(0, 1))
    go_on.set()
    wait_for(lambda: len(heard.done) == 2)
    runner.close()
    assert heard.done == [live, old]
    values = [output.value for output in log.outputs]
    assert values.index(f"{TOPIC}@0:{ALONE + 1}".encode()) == ALONE
    assert len(values) == len(history) + 1
    assert not heard.failures


def test_a_revocation_drops_what_waits_behind_the_others() -> None:
    """It is delivered again to whoever has the partition next."""
    log, heard = ListLog(), Heard()
    runner = heard.runner(lambda: open_core(log))
    runner.drain()
    runner.offer_background(
        Chunk(OTHER, 0, 0, 3, 1, [record(n, topic=OTHER) for n in range(3)]), Ticket((OTHER, 0), 1, 0, 3)
    )
    runner.drain()
    runner.resume()
    runner.offer(chunk([record(0)]), ticket(0, 1))
    wait_for(lambda: heard.done == [ticket(0, 1)])
    runner.close()
    assert len(log.outputs) == 1


def test_a_gap_drops_what_waits_behind_the_others() -> None:
    """All inputs are delivered again from where the lane is; pieces of before would only be gaps, too."""
    log, heard = ListLog(), Heard()
    runner = heard.runner(lambda: open_core(log))
    late = [record(n, topic=OTHER) for n in range(5, 5 + 3 * ALONE)]
    runner.offer_background(Chunk(OTHER, 0, 5, 5 + len(late), 1, late), Ticket((OTHER, 0), 1, 5, 9))
    wait_for(lambda: heard.reopened)
    runner.offer(chunk([record(0)]), ticket(0, 1))
    wait_for(lambda: heard.done == [ticket(0, 1)])
    runner.close()
    assert heard.reopened == 1
    assert len(log.outputs) == 1
    assert not heard.failures


@pytest.mark.parametrize(("background", "most"), [(True, FANOUT_KEYS), (False, FANOUT_BESIDE_LIVE)])
def test_few_are_evaluated_again_only_where_somebody_waits(background: bool, most: int) -> None:
    """In the transaction of a live record, which waits for it; beside a backfill as many as alone."""
    log, references, heard = ListLog(), QueuedReferences(), Heard()

    def opened() -> LaneCore:
        core = open_core(log, references=references)
        core.apply(chunk([record(n, b"%05d" % n) for n in range(FANOUT_KEYS + 1)]))
        references.change()
        return core

    runner = heard.runner(opened)
    runner.drain()
    if background:
        runner.offer_background(
            Chunk(OTHER, 0, 0, 1, 1, [record(0, topic=OTHER)]), Ticket((OTHER, 0), 1, 0, 1)
        )
    else:
        at = FANOUT_KEYS + 1
        runner.offer(Chunk(TOPIC, 0, at, at + 1, 1, [record(at)]), ticket(at, at + 1))
    runner.resume()
    wait_for(lambda: sum(counts.get("again", 0) for counts in heard.counts) > FANOUT_KEYS)
    runner.close()
    assert next(counts["again"] for counts in heard.counts if "again" in counts) == most
    assert not heard.failures
