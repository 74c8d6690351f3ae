"""How long to wait for a dependency before trying again, and when to give up."""

from __future__ import annotations

import time
from collections.abc import Callable

from streams.errors import DependencyUnavailable

FIRST_WAIT_S = 0.2  # a fail-over of a pooler, or a restart of a local server, takes about that
LONGEST_WAIT_S = 5.0  # a recovered database should not stay unused for longer
# Longer than a fail-over of a managed PostgreSQL (30 to 60 s); after that the process ends and the
# supervisor's own back-off and alerts take over.
PATIENCE_S = 120.0


class Backoff:
    """Exponential waits within a bounded time, counted from the first failure after a success."""

    def __init__(self, patience_s: float = PATIENCE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.patience_s = patience_s
        self._clock = clock
        self._failing_since: float | None = None
        self._next_wait_s = FIRST_WAIT_S

    def succeeded(self) -> None:
        """Something was applied, or there was nothing to apply: start anew."""
        self._failing_since = None
        self._next_wait_s = FIRST_WAIT_S

    def failed(self, error: DependencyUnavailable) -> float:
        """Seconds to wait before the next attempt; raises ``error`` when patience is at its end."""
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        left = self.patience_s - (now - self._failing_since)
        if left <= 0:
            raise error
        wait = min(self._next_wait_s, left)
        self._next_wait_s = min(self._next_wait_s * 2, LONGEST_WAIT_S)
        return wait
