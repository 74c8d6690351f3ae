"""What every source is given to run with, whatever it reads."""

from __future__ import annotations

import os
import select
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a source publishes to."""

    kafka: str
    registry_url: str
    replication_factor: int = 1


class StopSignal:
    """A request to stop that interrupts a wait on sockets; set from a signal handler or a thread."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._set = False

    def set(self) -> None:
        """Ask for a stop; more than once is the same."""
        if not self._set:
            self._set = True
            os.write(self._write, b"!")

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self._set

    def fileno(self) -> int:
        """Becomes readable when set."""
        return self._read

    def wait(self, seconds: float) -> bool:
        """Sleep, at most until a stop is asked for; whether it was."""
        select.select([self._read], [], [], seconds)
        return self._set

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._read)
        os.close(self._write)


class Source(Protocol):
    """One source of row changes."""

    def run(self, stop: StopSignal, *, once: bool = False) -> None:
        """Publish until ``stop``; with ``once``, until what there was at the start is published."""

    def resnapshot(self) -> None:
        """Forget the position, so that the next run takes a new snapshot."""
