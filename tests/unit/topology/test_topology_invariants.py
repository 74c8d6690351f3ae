"""The invariants of the flows over generated firms, orders, crashes, moves and duplicates.

``FAULTS=full`` runs many more examples.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from topology_checks import AT_ANY_TIME, AT_REST
from topology_worlds import Weather, World

# An example runs a whole firm through all flows, in about two seconds of one core.
EXAMPLES = 200 if os.environ.get("FAULTS") == "full" else 4

weathers = st.builds(
    Weather,
    firm=st.integers(0, 7),
    seed=st.integers(0, 2**32),
    workers=st.integers(1, 3),
    crash=st.sampled_from([0.0, 0.01, 0.05]),
    unrest=st.sampled_from([0.0, 0.03, 0.2]),
    duplicates=st.sampled_from([0.0, 0.05, 0.5]),
)


def hold(world: World) -> None:
    """What must be so at any time."""
    for check in AT_ANY_TIME:
        check(world)


@pytest.mark.timeout(300 + 20 * EXAMPLES)
# Without shrinking, which would run hundreds of firms: an example is its seed, and as small as any other.
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(weathers)
def test_every_invariant_holds_in_any_weather(weather: Weather) -> None:
    """The ledger at any time, everything else once nothing is left to do."""
    world = World(weather).live_through(hold)
    for check in AT_REST:
        check(world)


def test_a_storm_is_one() -> None:
    """The default weather has crashes at both places, and zombies that were fenced."""
    world = World(Weather(seed=5, crash=0.05, unrest=0.2)).live_through(hold)
    assert world.driver.crashes > 10
    assert world.driver.fenced > 1
    for check in AT_REST:
        check(world)
