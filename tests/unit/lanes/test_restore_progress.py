"""What is said of restores that are under way, and when a store is trusted."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from streams.errors import ContractViolation, PositionLost
from streams.lanes.restore import RestoreProgress
from streams.lanes.rocks import CLEAN_FOR_SECONDS, RocksStore
from streams.settings import Settings
from streams.worker.inputs import TopicState, _loss, check_same
from streams.worker.stores import LaneStores


def test_time_left_follows_from_the_pace() -> None:
    """A quarter in 2 s leaves 6 s; before anything is read nobody knows; a restore of nothing is done."""
    state = RestoreProgress("t", 0, start=100, end=500, position=200, records=90, seconds=2.0)
    assert (state.share, state.seconds_left) == (0.25, 6.0)
    state.position = 100
    assert state.seconds_left is None
    assert RestoreProgress("t", 0, 5, 5, 5).share == 0.0


def test_what_is_not_ready_says_how_far_it_is(tmp_path: Path) -> None:
    """All restores in one line, the slowest of which decides the time left."""
    stores = LaneStores(Settings(data_dir=tmp_path))
    assert stores.describe() is None
    stores._under_way["rate", 1] = RestoreProgress("state.rate", 1, 0, 1000, 500, 400, 2.0)
    stores._under_way["rate", 0] = RestoreProgress("state.rate", 0, 0, 1000, 250, 200, 2.0)
    assert stores.describe() == "restoring rate-0 25%, rate-1 50%: 600 records so far, about 6 s left"


@pytest.mark.parametrize(("age", "kept"), [(0.0, True), (CLEAN_FOR_SECONDS + 60, False), (-3600.0, False)])
def test_a_store_that_was_closed_for_long_is_dropped(tmp_path: Path, age: float, kept: bool) -> None:
    """Its topic may have forgotten deletions since; as well if the clock says that it is from the future."""
    store = RocksStore(tmp_path / "lane", "id")
    store.write({b"a": b"1"})
    store.close(7)
    marker = tmp_path / "lane" / "CLEAN.json"
    document = json.loads(marker.read_text(encoding="utf-8"))
    marker.write_text(json.dumps({**document, "closed_at": time.time() - age}), encoding="utf-8")
    again = RocksStore(tmp_path / "lane", "id")
    assert (again.offset, again.get(b"a")) == ((7, b"1") if kept else (0, None))
    again.close(None)


@pytest.mark.parametrize(
    ("bounds", "was", "said"),
    [
        ((0, 5, 9), "x", None),
        ((5, 5, 5), "x", None),
        ((0, 5, 9), "y", "was deleted and created anew"),
        ((0, 5, 4), "x", "ends at 4, before the position 5"),
        ((6, 5, 9), "x", "records 5 to 6 were deleted before they were applied"),
    ],
)
def test_what_happened_to_an_input_is_told_apart(
    bounds: tuple[int, int, int], was: str, said: str | None
) -> None:
    """By its id, its end and its beginning; each with the command that goes on."""
    lost = _loss("t", 0, bounds, was, "x")
    assert (lost is None) == (said is None)
    if said is not None:
        assert said in str(lost)
        assert "--from-earliest t" in str(lost)


def test_changes_of_topics_under_a_worker_are_told_apart() -> None:
    """Gone, created anew, with other partitions; the same topic and topics new to the check are fine."""
    before = {"t": TopicState("x", 2)}
    check_same(before, {"t": TopicState("x", 2), "u": TopicState("z", 1)})
    with pytest.raises(PositionLost, match="topic t was deleted;"):
        check_same(before, {})
    with pytest.raises(PositionLost, match="created anew"):
        check_same(before, {"t": TopicState("y", 2)})
    with pytest.raises(ContractViolation, match="has 3 partitions, and had 2"):
        check_same(before, {"t": TopicState("x", 3)})
