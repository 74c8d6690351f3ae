"""The order in which a source takes snapshots of its tables, whatever database it reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar


class Captured(Protocol):
    """A captured table."""

    @property
    def full_name(self) -> str: ...


class Run(Protocol):
    """A snapshot that has begun and not ended."""

    @property
    def tables(self) -> Collection[str]: ...


class Progress(Protocol):
    """What a source has published. ``tables`` are those with a snapshot that has ended."""

    @property
    def run(self) -> Run | None: ...
    @property
    def tables(self) -> Collection[str]: ...
    @property
    def snapshot_done(self) -> bool: ...


P = TypeVar("P", bound=Progress)
C = TypeVar("C", bound=Captured)


def take_snapshots(progress: P, captured: Sequence[C], session: Callable[[P, list[C]], P | None]) -> P | None:
    """Finish the snapshot that ``progress`` has begun, then snapshot the other tables of ``captured`` that it
    lacks: ``session`` takes one, and gives None when a stop was asked for. So does this."""
    while True:
        lacking = [one for one in captured if one.full_name not in progress.tables]
        if progress.run is not None:
            lacking = [one for one in lacking if one.full_name in progress.run.tables]
        elif not lacking and progress.snapshot_done:
            return progress
        taken = session(progress, lacking)
        if taken is None:
            return None
        progress = taken
