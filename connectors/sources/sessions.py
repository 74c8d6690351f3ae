"""Running sessions until one ends well: what a source does when a server goes away."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from connectors.sources.running import StopSignal
from streams.errors import DependencyUnavailable

# Between sessions; after one that got under way the first counts again.
BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)


class Sessions:
    """Calls ``session`` until it says that it is done, or a stop was asked for.

    The first failure is the caller's. After a session has got under way, `DependencyUnavailable` is
    waited out and any other error is raised. A session calls `got_under_way`, and returns whether it
    is done: False begins another at once.
    """

    def __init__(self, name: str) -> None:
        self._log = structlog.get_logger().bind(source=name)
        self._under_way = False

    def got_under_way(self) -> None:
        """The session has all that it needs."""
        self._under_way = True

    def run(self, session: Callable[[], bool], stop: StopSignal, *, once: bool) -> None:
        """See the class."""
        attempt = 0
        started = False
        while not stop.is_set():
            self._under_way = False
            try:
                if session():
                    return
                attempt, started = 0, True
            except DependencyUnavailable as error:
                if stop.is_set():
                    return
                started = started or self._under_way
                if once or not started:
                    raise
                attempt = 0 if self._under_way else attempt + 1
                pause = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
                self._log.warning("session_failed", error=str(error), retry_in_s=pause)
                stop.wait(pause)
