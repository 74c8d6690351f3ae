"""Which entries of a lane are to be evaluated again, a few at a time: all of them for new rules, else those that
reference changes reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice

from streams.lanes.cursor import Cursor, UnderWay
from streams.lanes.ports import PendingReferences
from streams.lanes.stage import Cause, Stage
from streams.lanes.state import Overlay, Store


class FanOut:
    """One at a time, from its first entry to its last; the lane's ``cursor`` moves with it.

    A lane that is opened again goes on behind the last entry that was done. It asks then which entries lie
    there for the same changes: of those that it finds only now the earlier ones were reached, too, or the
    change has been replaced by a later one, whose own fan-out follows.
    """

    def __init__(
        self, stage: Stage, store: Store, cursor: Cursor, references: PendingReferences | None
    ) -> None:
        self._stage = stage
        self._store = store
        self._cursor = cursor
        self._references = references
        # Found as they are needed. What came since it began was evaluated with what is new.
        self._keys: Iterator[bytes] = iter(())
        self._goal: UnderWay | None = None
        self._cause: Cause | None = None

    def resume(self, loaded: Mapping[str, int]) -> None:
        """What a lane is opened with: it goes on if tables are ``loaded`` as far as they were when it began.

        Others may have been evaluated with older rows meanwhile, which begins it again.
        """
        under_way = self._cursor.under_way
        if under_way and any(loaded.get(name, 0) < upto for name, upto in under_way.positions.items()):
            self._cursor.under_way = None

    def waiting(self) -> bool:
        """Whether one is under way, or reference changes or new rules wait for one."""
        return (
            self._goal is not None
            or self._cursor.evaluated != self._cursor.rules
            or (self._references is not None and self._references.waiting())
        )

    def take(self, most: int, now: datetime) -> tuple[list[bytes], Cause] | None:
        """The next entries, fewer than ``most`` at the end, and why; None if there was nothing to begin."""
        if self._goal is None and not self._begin(now):
            return None
        assert self._cause is not None
        return list(islice(self._keys, most)), self._cause

    def reached(self, key: bytes) -> None:
        """All entries up to this one are done."""
        assert self._goal is not None
        self._cursor.under_way = self._goal._replace(after=key)

    def end(self) -> None:
        """All entries are done: move the cursor."""
        assert self._goal is not None
        if self._goal.rules:
            self._cursor.evaluated = self._cursor.rules
        self._cursor.references.update(self._goal.positions)
        self._goal = self._cursor.under_way = None

    def drop(self) -> None:
        """Let go of the store."""
        self._keys = iter(())

    def _begin(self, now: datetime) -> bool:
        state, stored = Overlay(self._store), self._cursor.under_way
        if self._cursor.evaluated != self._cursor.rules:
            self._goal, self._cause = UnderWay(self._cursor.rules, {}, b""), Cause(now, now, now, True)
            after = stored.after if stored and stored.rules == self._cursor.rules else b""
            self._keys = self._stage.everything(state, after)
            return True
        assert self._references is not None
        touches, positions, cause = self._references.pending(stored.positions if stored else None)
        if stored:
            positions = stored.positions
        if not positions:
            return False
        self._goal, self._cause = UnderWay("", positions, b""), cause or Cause(now, now, now, True)
        self._keys = (
            self._stage.affected(touches, state, stored.after if stored else b"") if touches else iter(())
        )
        return True
