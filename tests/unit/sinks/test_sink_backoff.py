"""Waiting for a dependency: longer each time, bounded in all."""

from __future__ import annotations

import pytest

from connectors.sinks.backoff import FIRST_WAIT_S, LONGEST_WAIT_S, Backoff
from streams.errors import DependencyUnavailable

DOWN = DependencyUnavailable("down")


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def exhaust(backoff: Backoff, clock: Clock, waits: list[float]) -> None:
    """Fail until the error is raised, noting the waits."""
    while True:
        waits.append(backoff.failed(DOWN))
        clock.now += waits[-1]


def test_waits_grow_and_end() -> None:
    """Waits double up to a bound; when patience is at its end the error itself is raised."""
    clock = Clock()
    waits: list[float] = []
    with pytest.raises(DependencyUnavailable, match="down"):
        exhaust(Backoff(30, clock), clock, waits)
    assert waits[:3] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert max(waits) == LONGEST_WAIT_S
    assert sum(waits) == pytest.approx(30)


def test_success_starts_anew() -> None:
    """A failure a day later has its full patience."""
    clock = Clock()
    backoff = Backoff(30, clock)
    backoff.failed(DOWN)
    backoff.succeeded()
    clock.now += 86_400
    assert backoff.failed(DOWN) == FIRST_WAIT_S
