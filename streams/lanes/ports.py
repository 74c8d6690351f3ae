"""What a lane asks of what is around it: a log that makes slices durable, and changes of references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from streams.lanes.records import Output
from streams.lanes.stage import Cause, Touch


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

    def pending(
        self, below: Mapping[str, int] | None = None
    ) -> tuple[list[Touch], dict[str, int], Cause | None]:
        """Take what is queued: touches, the positions they reach, and the latest change among them.

        With ``below`` only what is in front of these positions; the rest stays queued.
        """
