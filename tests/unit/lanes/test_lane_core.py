"""The lane core: slices, crashes, gaps, redeliveries, rejects, fan-outs."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lane_builders import (
    NOW,
    OTHER,
    TOPIC,
    CountingStage,
    Crashed,
    ListLog,
    QueuedReferences,
    chunk,
    every_record,
    open_core,
    record,
)

from streams.errors import ContractViolation
from streams.lanes.core import CLOCK_EVERY, FANOUT_KEYS, Gap, LaneCore
from streams.lanes.cursor import CURSOR_KEY, Cursor
from streams.lanes.records import PlainRecord
from streams.lanes.stage import SliceContext


def inputs(size: int, seed: int) -> dict[str, list[PlainRecord]]:
    """Two topics of records with holes in their offsets, as compaction and markers leave them."""
    rng = random.Random(seed)
    topics: dict[str, list[PlainRecord]] = {TOPIC: [], OTHER: []}
    for topic, records in topics.items():
        offset = rng.randint(0, 2)
        for _ in range(size):
            value = rng.choice([b"v", b"v", b"v", b"silent", b"poison"])
            records.append(record(offset, rng.choice([b"a", b"b", b"c"]), value, topic))
            offset += rng.randint(1, 3)
    return topics


def outcome(log: ListLog) -> tuple[dict[bytes, bytes], list[bytes | None], int]:
    """State, outputs of one key, rejects: what must not depend on crashes."""
    return log.counts(), sorted(log.values(), key=str), len(log.values("dead_letters"))


def run_all(log: ListLog, topics: dict[str, list[PlainRecord]], rng: random.Random) -> None:
    """Deliver everything until it is applied, opening the lane anew after each crash.

    Chunks begin where the lane says, or earlier: a redelivery.
    """
    core = open_core(log, elapsed=every_record())
    while True:
        waiting = [t for t, rs in topics.items() if (core.position(t) or 0) <= rs[-1].offset]
        try:
            if not waiting:
                core.flush()
                return
            topic = rng.choice(waiting)
            applied = core.position(topic) or 0
            base = max(0, applied - rng.choice([0, 0, 3]))
            records = [r for r in topics[topic] if r.offset >= base][: rng.randint(1, 40)]
            core.apply(chunk(records, base))
        except Crashed:
            core = open_core(log, elapsed=every_record())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16), st.sets(st.integers(0, 30)), st.booleans())
def test_a_crash_around_any_commit_changes_nothing(seed: int, crashes: set[int], after: bool) -> None:
    """Killed before or after the commit of any slices: state, outputs and rejects as without."""
    topics = inputs(40, seed)
    calm, stormy = ListLog(), ListLog()
    run_all(calm, topics, random.Random(seed))
    calls = 0

    def crash() -> None:
        nonlocal calls
        calls += 1
        if calls - 1 in crashes:
            raise Crashed

    if after:
        stormy.after = crash
    else:
        stormy.before = crash
    run_all(stormy, topics, random.Random(seed + 1))
    # Which of two topics came first differs between the runs; per key, the counts are the same.
    assert outcome(stormy)[0] == outcome(calm)[0]
    assert outcome(stormy)[2] == outcome(calm)[2]
    places = [value.split(b":")[0] for value in stormy.values() if value is not None]
    assert sorted(places) == sorted(value.split(b":")[0] for value in calm.values() if value is not None)
    assert len(places) == len(set(places)), "a record was applied twice"


def test_a_chunk_that_was_dropped_in_between_is_detected() -> None:
    """The lane refuses to go on over a hole in delivery, and still knows where it was."""
    log = ListLog()
    core = open_core(log)
    core.apply(chunk([record(0), record(1)]))
    with pytest.raises(Gap, match="applied up to 2, but delivered from 4"):
        core.apply(chunk([record(4)]))
    assert core.position(TOPIC) == 2
    core.apply(chunk([record(2), record(3), record(4)]))
    assert log.counts() == {b"nk": b"5"}


def test_the_first_chunk_of_a_topic_may_not_be_missed_either() -> None:
    """A lane that has applied nothing yet begins where it was told, not where delivery happens to."""
    core = open_core(ListLog())
    with pytest.raises(Gap):
        core.apply(chunk([record(50)]))


def test_a_lane_that_was_not_told_where_a_topic_begins_does_not_guess() -> None:
    """Without a start nothing is applied at all."""
    log = ListLog()
    core = LaneCore(CountingStage(), log.restored(), log, clock=lambda: NOW)
    with pytest.raises(KeyError):
        core.apply(chunk([record(50)]))


def test_a_redelivery_is_skipped_by_the_cursor() -> None:
    """Records that are applied count as redelivered, in whole chunks and at the head of one."""
    log = ListLog()
    core = open_core(log)
    core.apply(chunk([record(0), record(1), record(2)]))
    assert core.apply(chunk([record(0), record(1), record(2)])) == {"redelivered": 3}
    assert core.apply(chunk([record(1), record(2), record(3)])) == {"redelivered": 2, "processed": 1}
    assert log.counts() == {b"nk": b"4"}


def test_a_redelivery_to_a_restored_lane_is_skipped_too() -> None:
    """What decides is the cursor in the lane's state, not the offsets committed to the broker."""
    log = ListLog()
    open_core(log).apply(chunk([record(0), record(1)]))
    assert open_core(log).apply(chunk([record(0), record(1)])) == {"redelivered": 2}


def test_outputs_state_and_cursor_are_committed_together() -> None:
    """Each slice's last state change is its cursor, which covers exactly the slice."""
    log = ListLog()
    core = open_core(log, elapsed=every_record())
    core.apply(chunk([record(n, b"%d" % n) for n in range(2 * CLOCK_EVERY + 1)]))
    ends = [Cursor.from_bytes(v or b"").inputs[TOPIC] for k, v in log.state if k == CURSOR_KEY]
    assert ends == [CLOCK_EVERY, 2 * CLOCK_EVERY, 2 * CLOCK_EVERY + 1]
    assert log.commits == 3
    assert len(log.values()) == 2 * CLOCK_EVERY + 1


def test_a_failed_slice_leaves_the_store_as_it_was() -> None:
    """Changes reach the store only after the commit."""
    log = ListLog()
    core = open_core(log)

    def fail() -> None:
        raise Crashed

    log.before = fail
    with pytest.raises(Crashed):
        core.apply(chunk([record(0)]))
    assert core.store.get(b"nk") is None


def test_a_record_that_breaks_a_rule_leaves_its_neighbours_alone() -> None:
    """The poison goes to the dead letters, once; what came before and after is processed."""
    log = ListLog()
    counts = open_core(log).apply(chunk([record(0), record(1, value=b"poison"), record(2)]))
    assert counts == {"processed": 2, "dead_letters": 1}
    assert log.values("dead_letters") == [b"poison"]
    assert log.values() == [b"in@0:1", b"in@2:2"]


def test_a_bug_stops_the_lane_without_acknowledging() -> None:
    """An error that is no record's fault is not swallowed, and nothing of its slice is committed."""
    log = ListLog()
    with pytest.raises(KeyError):
        open_core(log).apply(chunk([record(0), record(1, value=b"bug"), record(2)]))
    assert log.commits == 0
    assert log.state == []


def test_state_of_newer_rules_is_refused() -> None:
    """During a rollout an old worker does not overwrite what a new one decided."""
    log = ListLog()
    open_core(log, CountingStage("2")).apply(chunk([record(0)]))
    with pytest.raises(ContractViolation, match="written by rules 2, this worker has 1; upgrade it"):
        open_core(log, CountingStage("1"))
    upgraded = open_core(log, CountingStage("3"))
    upgraded.apply(chunk([record(0), record(1)]))
    assert Cursor.from_bytes(log.restored().get(CURSOR_KEY) or b"").rules == "3"


def test_a_cursor_that_moved_alone_is_written_at_close() -> None:
    """Records without any effect cost no transaction each, and are not read again after a clean stop."""
    log = ListLog()
    core = open_core(log)
    core.apply(chunk([record(n, value=b"silent") for n in range(3)]))
    assert log.commits == 0
    core.flush()
    core.flush()
    assert log.commits == 1
    assert open_core(log).position(TOPIC) == 3


def test_the_position_moves_over_transaction_markers() -> None:
    """A chunk that ends in markers, or is nothing else, moves the position to its end."""
    core = open_core(ListLog())
    core.apply(chunk([record(0)], end=3))
    assert core.position(TOPIC) == 3
    core.apply(chunk([], base=3, end=9))
    assert core.position(TOPIC) == 9


def test_closing_twice_and_abandoning_after_closing_do_nothing() -> None:
    """A lane that failed while it was closed reports the failure instead of a second one."""
    log, closed = ListLog(), []
    core = open_core(log, on_close=lambda: closed.append(True))
    core.abandon()
    core.abandon()
    assert log.closed == 1
    assert closed == [True]


def test_a_new_lane_starts_at_the_reference_tables_as_they_are() -> None:
    """Nothing to fan out for a lane without entries; one that has state asks for what it missed."""
    log, references = ListLog(), QueuedReferences(loaded=7)
    core = open_core(log, references=references)
    assert not core.has_references()
    core.apply(chunk([record(0)]))
    assert references.resumed == []
    references.loaded = 9
    again = open_core(log, references=references)
    assert references.resumed == [{"rate/0": 7}]
    assert again.has_references()


def many_keys(log: ListLog, references: QueuedReferences, keys: int) -> LaneCore:
    """A lane that holds so many keys."""
    core = open_core(log, references=references)
    core.apply(chunk([record(n, b"%05d" % n) for n in range(keys)]))
    return core


def test_a_fan_out_is_cut_and_moves_its_cursor_at_its_end_only() -> None:
    """Live input gets its turn between the slices; until the last the reference position stays."""
    log, references = ListLog(), QueuedReferences()
    core = many_keys(log, references, 2 * FANOUT_KEYS + 1)
    references.change()
    seen = []
    while core.has_references():
        assert core.fan_out()["again"] <= FANOUT_KEYS
        seen.append(core.cursor.references["rate/0"])
    assert seen == [0, 0, 1]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("rules", [False, True])
def test_after_a_crash_a_fan_out_goes_on_behind_the_last_key(place: str, at: int, rules: bool) -> None:
    """Every key is evaluated again, and none twice; for reference changes and for new rules."""
    log, references = ListLog(), QueuedReferences()
    core = many_keys(log, references, 2 * FANOUT_KEYS + 1)
    stage = CountingStage("2") if rules else CountingStage()
    if rules:
        core = open_core(log, stage, references=references)
    else:
        references.change()
    calls = 0

    def crash() -> None:
        nonlocal calls
        calls += 1
        if calls - 1 == at:
            raise Crashed

    setattr(log, place, crash)
    while core.has_references():
        try:
            core.fan_out()
        except Crashed:
            core = open_core(log, stage, references=references)
    assert [key for key, _ in log.state if key.startswith(b"r")] == [
        b"r%05d" % n for n in range(2 * FANOUT_KEYS + 1)
    ]
    cursor = Cursor.from_bytes(log.restored().get(CURSOR_KEY) or b"")
    assert (cursor.references["rate/0"], cursor.evaluated) == ((0, "2") if rules else (1, "1"))
    assert cursor.under_way is None


def test_where_tables_are_behind_a_fan_out_begins_again() -> None:
    """What was evaluated there meanwhile, with the older row, has to hear of the newer one."""
    log, references = ListLog(), QueuedReferences()
    core = many_keys(log, references, FANOUT_KEYS + 1)
    references.change()
    core.fan_out()
    behind = open_core(log, references=QueuedReferences(loaded=0))
    behind.apply(chunk([record(FANOUT_KEYS + 1, b"00000")]))
    again = open_core(log, references=references)
    assert again.fan_out()["again"] == FANOUT_KEYS


def test_a_change_in_the_middle_of_an_interrupted_fan_out_has_its_own() -> None:
    """The first goes on; the second reaches all keys."""
    log, references = ListLog(), QueuedReferences()
    core = many_keys(log, references, FANOUT_KEYS + 1)
    references.change()
    core.fan_out()
    references.change()
    core = open_core(log, references=references)
    assert core.fan_out()["again"] == 1
    assert core.cursor.references == {"rate/0": 1}
    assert [core.fan_out()["again"], core.fan_out()["again"]] == [FANOUT_KEYS, 1]
    assert core.cursor.references == {"rate/0": 2}
    assert not core.has_references()


def test_input_during_a_fan_out_is_not_lost_by_it() -> None:
    """A key that comes up between two slices of a fan-out is applied as usual."""
    log, references = ListLog(), QueuedReferences()
    core = many_keys(log, references, FANOUT_KEYS + 1)
    references.change()
    core.fan_out()
    core.apply(chunk([record(FANOUT_KEYS + 1, b"zz")]))
    core.fan_out()
    assert not core.has_references()
    assert log.counts()[b"nzz"] == b"1"


def test_a_tick_commits_what_the_timers_made() -> None:
    """Timers write in slices of their own, with the lane's clock."""
    log = ListLog()
    core = open_core(log)
    core.tick()
    assert log.values("ticks") == [b"tick"]
    assert core._clock() == datetime(2026, 3, 2, tzinfo=UTC)


def test_a_slice_context_adds_up_its_counts() -> None:
    """Counters are those of the slice."""
    context = SliceContext(None, NOW)  # type: ignore[arg-type]
    context.count("a")
    context.count("a", 2)
    assert context.counts == {"a": 3}


def test_what_has_gathered_goes_into_one_transaction() -> None:
    """Chunks applied together commit once, in order; a gap among them refuses all before anything is done."""
    log = ListLog()
    core = open_core(log)
    core.start_at(TOPIC, 0)
    first, second = chunk([record(0), record(1)]), chunk([record(2)], base=2)
    core.apply(first, second)
    assert core.position(TOPIC) == 3
    assert log.commits == 1
    with pytest.raises(Gap):
        core.apply(chunk([record(3)], base=3), chunk([record(9)], base=9))
    assert core.position(TOPIC) == 3
    assert log.commits == 1
