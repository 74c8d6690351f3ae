"""Each check of an invariant sees a fault of its kind: one is built in, and the check must fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from topology_checks import (
    AT_ANY_TIME,
    ledger_is_current,
    lineage_is_there,
    no_silent_zero,
    nothing_twice,
    oracles_rows,
    poison_is_kept,
    rest_is_rest,
    revisions_count_changes,
    time_is_conserved,
)
from topology_worlds import Weather, World

from agents.billing import allocate_stage, booking, closes, rate_stage
from agents.billing.ledger import LedgerDiff, LiveSegment
from agents.billing.segments import Segment
from agents.rejects import Rejects
from streams.lanes.core import LaneCore
from streams.lanes.cursor import Cursor
from streams.references.views import Subscription
from streams.testing import Crash
from streams.testing.log import Claims, MemoryProducer
from streams.testing.worker import OpenLane

Patch = pytest.MonkeyPatch
CALM = Weather(workers=1, crash=0.0, unrest=0.0, duplicates=0.0)
STORM = Weather(seed=3, crash=0.05, unrest=0.2)


def nobody_is_fenced(patch: Patch) -> None:
    """Who lost a partition and does not notice goes on writing for it."""
    patch.setattr(Claims, "claim", lambda *_: None)


def outputs_go_without_their_state(patch: Patch) -> None:
    """Some transactions come apart: their outputs are there, their state is not."""
    commits = 0
    whole = MemoryProducer.commit_transaction

    def torn(self: MemoryProducer, timeout: float) -> None:
        nonlocal commits
        commits += 1
        if commits % 50 == 0:
            self._gathered = [record for record in self._gathered if not record[0].startswith("state.")]
            whole(self, timeout)
            raise Crash
        whole(self, timeout)

    patch.setattr(MemoryProducer, "commit_transaction", torn)


def state_goes_without_its_outputs(patch: Patch) -> None:
    """Some lines of the ledger are lost, and the state says that they are there."""
    emitted = 0
    emit = MemoryProducer.produce

    def lossy(self: MemoryProducer, topic: str, *rest: Any, **options: Any) -> None:
        nonlocal emitted
        emitted += topic == "billing.events"
        if topic != "billing.events" or emitted % 50:
            emit(self, topic, *rest, **options)

    patch.setattr(MemoryProducer, "produce", lossy)


def newer_records_overtake_older_ones(patch: Patch) -> None:
    """What is handed over does not wait for what is on its way through the broker."""
    patch.setattr(LaneCore, "accepts", lambda *_: True)
    patch.setattr(OpenLane, "catch_up", lambda _: None)


def what_is_handed_over_gets_lost(patch: Patch) -> None:
    """Marked as applied, and never applied."""
    patch.setattr(LaneCore, "hand", lambda *_: None)


def missed_changes_are_not_asked_for(patch: Patch) -> None:
    """A lane that was closed while a reference changed never hears of it."""
    patch.setattr(Subscription, "resume", lambda *_: None)


def cursors_are_forgotten(patch: Patch) -> None:
    """A restored lane begins at the beginning again."""
    read = Cursor.from_bytes

    def without_inputs(data: bytes) -> Cursor:
        return replace(read(data), inputs={})

    patch.setattr(Cursor, "from_bytes", without_inputs)


def some_segment_is_left_out(patch: Patch) -> None:
    """Of entries that are allocated alone, the first segment."""
    whole = allocate_stage.allocate_item

    def short(*arguments: Any) -> dict[Any, Segment]:
        return dict(list(whole(*arguments).items())[1:])

    for module in (allocate_stage, closes):
        patch.setattr(module, "allocate_item", short)


def what_is_parked_counts_as_nothing(patch: Patch) -> None:
    """A missing price is taken for none."""
    whole = allocate_stage.allocate_item

    def free(*arguments: Any) -> Mapping[Any, Segment]:
        return {key: segment._replace(amount=Decimal(0)) for key, segment in whole(*arguments).items()}

    for module in (allocate_stage, closes):
        patch.setattr(module, "allocate_item", free)


def every_segment_is_charged_again(patch: Patch) -> None:
    """Segments that are looked at are reversed and charged anew though nothing of them changed."""
    frugal = booking.diff

    def eager(previous: Mapping[Any, LiveSegment], target: Mapping[Any, Segment]) -> LedgerDiff:
        moved = {
            key: live._replace(segment=live.segment and live.segment._replace(price=Decimal("0.01")))
            for key, live in previous.items()
        }
        return frugal(moved, target)

    patch.setattr(booking, "diff", eager)


def positions_are_made_up(patch: Patch) -> None:
    """A rated item names another position than its row's."""
    common = rate_stage._common
    patch.setattr(rate_stage, "_common", lambda *parts: common(*parts) | {"source_lsn": 7})


def rejects_are_dropped(patch: Patch) -> None:
    """What can't be read disappears."""
    patch.setattr(Rejects, "reject", lambda *_: None)


Fault = Callable[[Patch], None]
Check = Callable[[World], None]
FAULTS: Sequence[tuple[Fault, Weather, Check]] = [
    (nobody_is_fenced, STORM, nothing_twice),
    (outputs_go_without_their_state, STORM, nothing_twice),
    (state_goes_without_its_outputs, CALM, ledger_is_current),
    (newer_records_overtake_older_ones, STORM, oracles_rows),
    (what_is_handed_over_gets_lost, CALM, oracles_rows),
    (missed_changes_are_not_asked_for, STORM, oracles_rows),
    (cursors_are_forgotten, CALM, rest_is_rest),
    (some_segment_is_left_out, CALM, time_is_conserved),
    (what_is_parked_counts_as_nothing, CALM, no_silent_zero),
    (every_segment_is_charged_again, CALM, revisions_count_changes),
    (positions_are_made_up, CALM, lineage_is_there),
    (rejects_are_dropped, CALM, poison_is_kept),
]


@pytest.mark.parametrize(
    ("fault", "weather", "check"), FAULTS, ids=[fault.__name__ for fault, _, _ in FAULTS]
)
def test_a_built_in_fault_is_seen(
    fault: Fault, weather: Weather, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check that is for it fails, at the end or already on the way; chance may take some tries."""
    fault(monkeypatch)
    tries = range(weather.seed, weather.seed + (1 if weather is CALM else 6))
    assert any(is_seen(check, replace(weather, seed=seed)) for seed in tries)


def is_seen(check: Check, weather: Weather) -> bool:
    """Whether the check fails."""
    try:
        check(World(weather).live_through(check if check in AT_ANY_TIME else lambda world: None))
    except AssertionError:
        return True
    return False
