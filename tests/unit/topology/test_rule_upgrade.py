"""A rolling upgrade of the billing rules: workers of two versions side by side, one after the other replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from topology_checks import KEYED, ledger_is_current, nothing_twice, oracles_rows, time_is_conserved
from topology_worlds import CHUNK, Weather, World

from agents.billing.allocate_stage import AllocateStage
from agents.billing.rate_stage import RateStage
from agents.billing.results import RatedResult
from agents.flows import all_flows
from streams.lanes import core
from streams.lanes.rules import rule_versions
from streams.worker.flow import FlowDefinition

OLD, NEW = "2026.9", "2026.10"


class OldRate(RateStage):
    """The rules as they were: whatever has a price is twice as dear."""

    rules = OLD

    def _rate(self, entity: str, row: dict[str, Any]) -> RatedResult:
        result = super()._rate(entity, row)
        item = result.item
        if item is None or item.amount is None or item.price is None:
            return result
        return result._replace(item=item._replace(amount=2 * item.amount, price=2 * item.price))


class NewRate(RateStage):
    """The rules as they are."""

    rules = NEW


class OldAllocate(AllocateStage):
    """Of the older release."""

    rules = OLD


class NewAllocate(AllocateStage):
    """Of the newer release."""

    rules = NEW


def flows(**stages: Callable[..., Any]) -> list[FlowDefinition]:
    """All flows, with other stages in that of billing."""
    everything = all_flows()
    billing = everything["billing"]
    changed = [
        replace(stage, build=stages.get(stage.name.replace("-", "_"), stage.build))
        for stage in billing.stages
    ]
    return list({**everything, "billing": replace(billing, stages=changed)}.values())


OLD_FLOWS = flows(billing_rate=OldRate, billing_allocate=OldAllocate)
NEW_FLOWS = flows(billing_rate=NewRate, billing_allocate=NewAllocate)


def upgraded(seed: int) -> World:
    """A firm whose workers are replaced one by one, while partitions go to and fro between them."""
    weather = Weather(seed=seed, crash=0.01, unrest=0.3, poison=0)
    world = World(weather, OLD_FLOWS)
    moments = 0

    def roll(world: World) -> None:
        nonlocal moments
        ledger_is_current(world)
        nothing_twice(world)
        moments += 1
        if moments % 3 == 0 and moments // 3 <= weather.workers:
            worker = moments // 3 - 1
            world.driver.replace(worker, NEW_FLOWS)
            _take_and_lose(world, worker)

    world.live_through(roll)
    for worker in range(weather.workers):
        world.driver.replace(worker, NEW_FLOWS)
    world.rest()
    return world


def _take_and_lose(world: World, worker: int) -> None:
    """The worker gets all of billing for a while, and then the next one does, old or new."""
    for owner in (worker, (worker + 1) % world.weather.workers):
        for partition in range(2):
            world.driver.move("billing", partition, owner)
        for _ in range(20):
            world.driver.step(world.rng, CHUNK)


def assert_right(world: World) -> None:
    """Each row is that of the newer rules, and once it was, it never went back."""
    for topic in ("billing.rated", "billing.current"):
        for versions in _versions(world, topic):
            assert versions == sorted(versions), topic
    ledger_is_current(world)
    nothing_twice(world)
    time_is_conserved(world)
    oracles_rows(world)


def _versions(world: World, topic: str) -> Iterator[list[tuple[int, ...]]]:
    found: dict[Any, list[tuple[int, ...]]] = {}
    for record in world.records(topic):
        place = tuple(record[name] for name in KEYED[topic])
        found.setdefault(place, []).append(rule_versions(record["rule_version"])[""])
    yield from found.values()


def test_a_rolling_upgrade_ends_right_and_never_goes_back() -> None:
    """All rows are the newer rules'. In some world both versions wrote, and the older was refused what the newer had."""
    mixed = []
    for seed in (1, 6, 11):
        world = upgraded(seed)
        assert_right(world)
        versions = {r["rule_version"] for r in world.records("billing.rated")}
        mixed.append(world.driver.refused > 0 and versions == {OLD, NEW})
    assert any(mixed)


def text_decides(patch: pytest.MonkeyPatch) -> None:
    """As text, 2026.10 comes before 2026.9."""
    patch.setattr(core, "is_newer", lambda one, other: one > other)


def anybody_may_write(patch: pytest.MonkeyPatch) -> None:
    """The version of the state is not looked at."""
    patch.setattr(core, "is_newer", lambda one, other: False)


def nothing_is_evaluated_again(patch: pytest.MonkeyPatch) -> None:
    """What the older rules said of an entry stays until the entry changes."""
    patch.setattr(RateStage, "everything", lambda *_: iter(()))


@pytest.mark.parametrize("fault", [text_decides, anybody_may_write, nothing_is_evaluated_again])
def test_a_fault_of_the_upgrade_is_seen(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions that compare as text, or not at all, and an upgrade that looks at nothing again."""
    fault(monkeypatch)
    assert any(is_wrong(seed) for seed in (20, 11, *range(11)))


def is_wrong(seed: int) -> bool:
    """Whether an upgrade ends wrong, or went back on its way."""
    try:
        assert_right(upgraded(seed))
    except AssertionError:
        return True
    return False
