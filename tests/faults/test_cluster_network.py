"""A worker cut off from three brokers under load: it waits, or others take over and it is refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial

import pytest
from faults.conftest import FULL_ONLY, NewScenario
from support.faults.fleet import SESSION_S, Fleet

SHORT_S = SESSION_S / 2
LONG_S = 3 * SESSION_S

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(900), FULL_ONLY]

CUTS = pytest.mark.parametrize(
    ("workers", "direction"), [(2, "both ways"), (3, "both ways"), (2, "requests only"), (3, "answers only")]
)


def hold(fleet: Fleet, direction: str) -> None:
    """Connections stay open, and what is not to pass is kept for later."""
    for proxy in fleet.cluster.proxies:
        proxy.hold(up=direction != "answers only", down=direction != "requests only")


def heal(fleet: Fleet) -> None:
    """What was kept comes first."""
    for proxy in fleet.cluster.proxies:
        proxy.heal()


def reset(fleet: Fleet) -> None:
    """Connections are reset; new ones pass."""
    heal(fleet)
    assert sum(proxy.cut() for proxy in fleet.cluster.proxies) > 0, "there was no connection to be cut"


@CUTS
def test_a_cut_shorter_than_the_session(
    fleet: Fleet, scenario: NewScenario, workers: int, direction: str
) -> None:
    """Its lanes wait, and go on where they were."""
    with scenario(f"a worker cut off for {SHORT_S:.0f} s, {direction} held", workers) as it:
        for _ in range(2):
            it.pause()

            def cut() -> None:
                moment = datetime.now(UTC)
                hold(fleet, direction)
                try:
                    time.sleep(SHORT_S)
                    assert it.arrivals.late(moment), "it was not cut off from anything"
                finally:
                    heal(fleet)

            it.fault(cut)


@CUTS
def test_a_cut_longer_than_the_session(
    fleet: Fleet, scenario: NewScenario, workers: int, direction: str
) -> None:
    """Others have its lanes before it is back; what it had under way arrives then, and is refused."""
    with scenario(f"a worker cut off for {LONG_S:.0f} s, {direction} held", workers) as it:
        began = time.monotonic()
        try:
            it.fault(partial(hold, fleet, direction))
            assert it.recoveries[-1] > SESSION_S / 2, "nobody had to take anything over"
            time.sleep(max(0.0, began + LONG_S - time.monotonic()))
        finally:
            heal(fleet)
        it.fault(times=0)
        fleet.crew.wait_ready(*it.names)


def test_connections_that_are_reset(fleet: Fleet, scenario: NewScenario) -> None:
    """At random moments, and after a silence that is longer than the session."""
    with scenario("a worker's connections reset", 3) as it:
        for _ in range(3):
            it.pause()
            it.fault(partial(reset, fleet))
        try:
            it.fault(partial(hold, fleet, "both ways"))
        finally:
            reset(fleet)
        it.fault(times=0)
        fleet.crew.wait_ready(*it.names)
