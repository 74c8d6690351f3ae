"""The connections of the PostgreSQL source cut, and silent: to the database, and to the broker."""

from __future__ import annotations

import time

import pytest
from faults.conftest import FULL
from support.faults.proxy import Proxy
from support.faults.supervisor import Commands, said
from support.faults.world import World

from streams.stack.ports import HOST

SILENT_S = 15.0
CUTS = 10 if FULL else 1

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "to",
    ["PostgreSQL", pytest.param("Kafka", marks=pytest.mark.skipif(not FULL, reason="`make faults` runs it"))],
)
def test_connections_are_cut(world: World, proxied: tuple[int, int], to: str) -> None:
    """Reset at random moments of the stream."""
    with _proxy(world, proxied, to) as proxy:
        commands = _commands(world, proxy, to)

        def cut() -> None:
            assert proxy.cut() > 0, "there was no connection to be cut"

        with world.streaming(commands) as (source, tail):
            for _ in range(CUTS):
                world.pause()
                world.fault(tail, cut)
        assert source.starts == 1
        world.judge(f"connections to {to} reset", commands)


@pytest.mark.skipif(not FULL, reason="takes minutes: `make faults` runs it")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("direction", ["both ways", "towards it", "from it"])
@pytest.mark.parametrize("to", ["PostgreSQL", "Kafka"])
def test_a_black_hole(world: World, proxied: tuple[int, int], to: str, direction: str) -> None:
    """Connections that stay open and carry nothing, and new ones that hear nothing; then they heal.

    Not one byte passes meanwhile, though some are sent. The source bears it, or says that it has lost
    the connection and takes it up again; nobody restarts it.
    """
    up, down = direction != "from it", direction != "towards it"
    with _proxy(world, proxied, to) as proxy:
        commands = _commands(world, proxy, to)
        held = [way for way, silent in ((proxy.up, up), (proxy.down, down)) if silent]
        with world.streaming(commands) as (source, tail):
            before = len(commands.lines())

            def silence() -> None:
                proxy.hold(up=up, down=down)
                passed = [way.passed for way in held]
                time.sleep(SILENT_S)
                assert [way.passed for way in held] == passed, "the connections were not silent"
                assert any(way.waiting for way in held), "nobody has sent anything"

            world.fault(tail, silence, proxy.heal)
            noticed = said(commands.lines()[before:], "session_failed")
            print(f"{to}, {direction}: 0 bytes passed; lost {len(noticed)} times")
            assert all(to in line for line in noticed), noticed
        assert source.starts == 1
        world.judge(f"connections to {to} silent for {SILENT_S:.0f} s, {direction}", commands)


def _proxy(world: World, proxied: tuple[int, int], to: str) -> Proxy:
    if to == "PostgreSQL":
        return Proxy(world.stack.postgres.port)
    return Proxy(proxied[0], listen=proxied[1])


def _commands(world: World, proxy: Proxy, to: str) -> Commands:
    if to == "PostgreSQL":
        return world.commands(postgres_port=proxy.port)
    return world.commands(kafka=f"{HOST}:{proxy.port}")
