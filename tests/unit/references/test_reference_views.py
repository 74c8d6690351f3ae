"""Reference tables: what a lane still has to fan out, now and after a restart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.references.views import ReferenceState, Subscription

START = datetime(2026, 3, 2, tzinfo=UTC)


class RecordingView:
    """Touches are names: ``change:<id>`` for a change as seen, ``missed:<id>`` for one unseen."""

    entities: Sequence[str] = ("rate", "client")

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], dict[str, Any] | None] = {}
        self.asked: list[tuple[str, str, bool]] = []

    def apply(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[str]:
        """Set a row; one that is as it was touches nothing."""
        same = self.rows.get((entity, row_id)) == row
        self.rows[entity, row_id] = row
        return () if same else (f"change:{row_id}",)

    def missed(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[str]:
        """Everything that it can reach."""
        self.asked.append((entity, row_id, row is None))
        return (f"missed:{row_id}",)


def decode(value: bytes) -> dict[str, Any]:
    """As stored by `apply`, with its time."""
    row: dict[str, Any] = json.loads(value)
    moment = START + timedelta(seconds=row["second"])
    return row | {"occurred_at": moment, "captured_at": moment, "published_at": moment}


def tables() -> tuple[RecordingView, ReferenceState]:
    """Empty tables."""
    view = RecordingView()
    return view, ReferenceState(view, decode)


def put(
    state: ReferenceState,
    offset: int,
    row_id: str = "r1",
    *,
    entity: str = "rate",
    deleted: bool = False,
    price: int = 0,
    partition: int = 0,
) -> None:
    """One record of a reference topic."""
    value = json.dumps({"id": row_id, "deleted": deleted, "second": offset, "price": price}).encode()
    state.apply(entity, partition, offset, decode(value), value)


def taken(lane: Subscription) -> tuple[set[object], dict[str, int]]:
    """Touches and positions that are pending."""
    touches, positions, _ = lane.pending()
    return set(touches), positions


def test_a_change_is_queued_for_every_lane_and_taken_once() -> None:
    """Lanes do not take each other's changes."""
    _, state = tables()
    first, second = state.subscribe(), state.subscribe()
    assert not first.waiting()
    put(state, 4, price=1)
    put(state, 5, price=2)
    assert taken(first) == ({"change:r1"}, {"rate/0": 6})
    assert not first.waiting()
    assert second.waiting()
    assert taken(second) == ({"change:r1"}, {"rate/0": 6})
    assert first.pending() == ([], {}, None)


def test_an_unsubscribed_lane_hears_nothing_more() -> None:
    """A closed lane's queue does not grow for ever."""
    _, state = tables()
    lane = state.subscribe()
    state.unsubscribe(lane)
    put(state, 0)
    assert not lane.waiting()


def test_a_change_without_touches_moves_the_position() -> None:
    """So that a restart has little to repeat."""
    _, state = tables()
    lane = state.subscribe()
    put(state, 0, price=1)
    taken(lane)
    put(state, 7, price=1)
    assert taken(lane)[1] == {"rate/0": 8}


def test_the_latest_cause_is_the_slices() -> None:
    """Of several changes taken together, the latest commit time stands for all."""
    _, state = tables()
    lane = state.subscribe()
    put(state, 9, "r1")
    put(state, 3, "c1", entity="client")
    _, positions, cause = lane.pending()
    assert positions == {"rate/0": 10, "client/0": 4}
    assert cause is not None
    assert cause.occurred_at == START + timedelta(seconds=9)
    assert cause.indirect


def test_a_record_read_again_changes_nothing() -> None:
    """A reader that goes back does not take the tables back."""
    view, state = tables()
    put(state, 5, price=2)
    put(state, 4, price=1)
    row = view.rows["rate", "r1"]
    assert row is not None
    assert row["price"] == 2
    assert state.loaded == {"rate/0": 6}


def test_a_restart_finds_deleted_rows_too() -> None:
    """A row that was deleted while the lane was closed is asked for as deleted."""
    view, state = tables()
    put(state, 0, "r1")
    put(state, 1, "r2")
    put(state, 2, "r1", deleted=True)
    lane = state.subscribe()
    lane.resume({"rate/0": 2})
    assert taken(lane) == ({"missed:r1"}, {"rate/0": 3})
    assert view.asked == [("rate", "r1", True)]


def test_a_reference_table_that_is_new_to_a_lane_is_missed_as_a_whole() -> None:
    """An upgraded flow that reads one table more looks at all its rows once."""
    _, state = tables()
    put(state, 0, "r1")
    put(state, 0, "c1", entity="client")
    lane = state.subscribe()
    lane.resume({"rate/0": 1})
    assert taken(lane) == ({"missed:c1"}, {"client/0": 1})


RECORDS = st.lists(
    st.tuples(st.sampled_from(["rate", "client"]), st.sampled_from("abcd"), st.integers(0, 1), st.booleans()),
    max_size=25,
)


@given(RECORDS, st.integers(0, 25))
def test_a_restart_finds_exactly_the_rows_it_missed(
    records: list[tuple[str, str, int, bool]], read: int
) -> None:
    """Whatever was read before the lane closed: all rows of later records are found, no others."""
    _, state = tables()
    applied: dict[str, int] = {}
    later: set[object] = set()
    offsets: dict[str, int] = {}
    for at, (entity, row, partition, deleted) in enumerate(records):
        # A row has one partition.
        row_id = f"{entity}-{row}-{partition}"
        position = f"{entity}/{partition}"
        offset = offsets.get(position, 0)
        offsets[position] = offset + 1
        put(state, offset, row_id, entity=entity, partition=partition, deleted=deleted, price=at)
        if at < read:
            applied[position] = offset + 1
        else:
            later.add(f"missed:{row_id}")
    lane = state.subscribe()
    lane.resume(applied)
    touches, positions = taken(lane)
    assert touches == later
    assert applied | positions == state.loaded


@given(RECORDS, st.integers(0, 25))
def test_changes_between_subscribing_and_resuming_are_not_lost(
    records: list[tuple[str, str, int, bool]], subscribed: int
) -> None:
    """A lane that opens while the tables change hears of every row, some perhaps twice."""
    _, state = tables()
    lane = state.subscribe() if subscribed == 0 else None
    for at, (entity, row, _, deleted) in enumerate(records):
        put(state, at, f"{entity}-{row}", entity=entity, deleted=deleted, price=at)
        if at + 1 == subscribed:
            lane = state.subscribe()
    lane = lane or state.subscribe()
    lane.resume({})
    touches, positions = taken(lane)
    rows = {str(touch).partition(":")[2] for touch in touches}
    assert rows == {f"{entity}-{row}" for entity, row, _, _ in records}
    assert positions == state.loaded
