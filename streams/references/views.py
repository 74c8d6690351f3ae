"""Views over the reference topics, and what each lane has not fanned out of their changes.

Pure: the feed that reads Kafka calls it, and so does the test driver.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from streams.lanes.cursor import reference_key
from streams.lanes.stage import Cause, Touch


class ReferenceView(Protocol):
    """Indexed tables of one flow's reference entities."""

    entities: Sequence[str]

    def apply(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Set a row (None: deleted); the touches name what the change from the old row may affect."""

    def missed(self, entity: str, row_id: str, row: dict[str, Any] | None) -> Sequence[Touch]:
        """Everything that the row can affect, as it is now or as it may have been before.

        Asked for rows that changed while a lane was closed: what they were then is not known any more.
        """


@dataclass(slots=True)
class _Change:
    position: str
    offset: int
    touches: Sequence[Touch]
    cause: Cause


class Subscription:
    """One lane's queue of reference changes; implements `streams.lanes.core.PendingReferences`."""

    def __init__(self, owner: ReferenceState) -> None:
        self._owner = owner
        self._queue: deque[_Change] = deque()

    def offer(self, change: _Change) -> None:
        """Queue a change (called by the owner)."""
        self._queue.append(change)

    def positions(self) -> dict[str, int]:
        """Positions of the reference tables as loaded."""
        return dict(self._owner.loaded)

    def resume(self, applied: Mapping[str, int]) -> None:
        """Queue what the tables hold beyond ``applied``."""
        for change in self._owner.changes_since(applied):
            self._queue.append(change)

    def waiting(self) -> bool:
        """Whether anything is queued."""
        return bool(self._queue)

    def pending(
        self, below: Mapping[str, int] | None = None
    ) -> tuple[list[Touch], dict[str, int], Cause | None]:
        """Take what is queued; with ``below`` only what is in front of these positions."""
        touches: dict[Touch, None] = {}
        positions: dict[str, int] = {}
        cause = None
        for _ in range(len(self._queue)):
            change = self._queue.popleft()
            if below is not None and change.offset >= below.get(change.position, 0):
                self._queue.append(change)
                continue
            touches.update(dict.fromkeys(change.touches))
            positions[change.position] = max(change.offset + 1, positions.get(change.position, 0))
            if cause is None or change.cause.occurred_at >= cause.occurred_at:
                cause = change.cause
        return list(touches), positions, cause


class ReferenceState:
    """One flow's view, the position of every reference partition, and the subscribed lanes.

    The caller holds the compute lock for every method.
    """

    def __init__(self, view: ReferenceView, decode: Callable[[bytes], dict[str, Any]]) -> None:
        self.view = view
        self.loaded: dict[str, int] = {}
        self._decode = decode
        # Where each row was last read, and its bytes: what a lane missed while it was closed comes from this.
        self._rows: dict[tuple[str, str], tuple[str, int, bytes]] = {}
        self._lanes: list[Subscription] = []

    def subscribe(self) -> Subscription:
        """A queue for one lane, empty."""
        lane = Subscription(self)
        self._lanes.append(lane)
        return lane

    def unsubscribe(self, lane: Subscription) -> None:
        """Drop a closed lane's queue."""
        self._lanes.remove(lane)

    def apply(self, entity: str, partition: int, offset: int, row: dict[str, Any], value: bytes) -> None:
        """Apply one canonical record, decoded and as read at ``offset`` of its topic."""
        position = reference_key(entity, partition)
        if offset < self.loaded.get(position, 0):
            return
        row_id = row["id"]
        touches = self.view.apply(entity, row_id, None if row["deleted"] else row)
        self.loaded[position] = offset + 1
        self._rows[entity, row_id] = (position, offset, value)
        # Without touches too: the lanes' cursors follow, so that a restart has little to repeat.
        for lane in self._lanes:
            lane.offer(_Change(position, offset, touches, _cause(row)))

    def changes_since(self, applied: Mapping[str, int]) -> list[_Change]:
        """The latest change of each row that was read at or after ``applied``, in reading order."""
        missed = []
        for (entity, row_id), (position, offset, value) in self._rows.items():
            if offset >= applied.get(position, 0):
                row = self._decode(value)
                touches = self.view.missed(entity, row_id, None if row["deleted"] else row)
                missed.append(_Change(position, offset, touches, _cause(row)))
        return sorted(missed, key=lambda change: (change.position, change.offset))


def _cause(row: dict[str, Any]) -> Cause:
    return Cause(row["occurred_at"], row["captured_at"], row["published_at"], True)
