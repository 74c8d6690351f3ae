"""Which entries of a lane are to be evaluated again, a few at a time: all of them for new rules, else those that
reference changes reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from streams.lanes.cursor import Cursor
from streams.lanes.ports import PendingReferences
from streams.lanes.stage import Cause, Stage
from streams.lanes.state import Overlay, Store


class FanOut:
    """One at a time, from its first entry to its last; the lane's ``cursor`` moves when it has ended.

    A crash in between repeats it from its beginning, which changes nothing for entries that were done.
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
        # Of the references that it is for; none where it is for new rules.
        self._positions: dict[str, int] | None = None
        self._cause: Cause | None = None

    def waiting(self) -> bool:
        """Whether one is under way, or reference changes or new rules wait for one."""
        return (
            self._positions is not None
            or self._cursor.evaluated != self._cursor.rules
            or (self._references is not None and self._references.waiting())
        )

    def take(self, most: int, now: datetime) -> tuple[list[bytes], Cause] | None:
        """The next entries, fewer than ``most`` at the end, and why; None if there was nothing to begin."""
        if self._positions is None and not self._begin(now):
            return None
        assert self._cause is not None
        return list(islice(self._keys, most)), self._cause

    def end(self) -> None:
        """All entries are done: move the cursor."""
        assert self._positions is not None
        if not self._positions:
            self._cursor.evaluated = self._cursor.rules
        self._cursor.references.update(self._positions)
        self._positions = None

    def drop(self) -> None:
        """Let go of the store."""
        self._keys = iter(())

    def _begin(self, now: datetime) -> bool:
        state = Overlay(self._store)
        if self._cursor.evaluated != self._cursor.rules:
            self._keys = self._stage.everything(state)
            self._positions, self._cause = {}, Cause(now, now, now, True)
            return True
        assert self._references is not None
        touches, positions, cause = self._references.pending()
        if not positions:
            return False
        self._keys = self._stage.affected(touches, state) if touches else iter(())
        self._positions, self._cause = positions, cause
        return True
