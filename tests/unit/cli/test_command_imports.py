"""A process that runs for weeks loads its own commands, not those of the others."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from streams.cli.main import build

LOADED = """
import sys
from streams.cli.main import build
build(sys.argv[1])
print(*sys.modules, sep="\\n")
"""


@pytest.mark.parametrize(
    ("command", "needless"),
    [
        ("source", {"sqlalchemy", "redis", "faust", "aiohttp", "agents"}),
        ("sink", {"faust", "agents", "connectors.sources"}),
    ],
)
def test_a_command_loads_what_it_needs(command: str, needless: set[str]) -> None:
    """Each library that is not loaded is megabytes of a process's memory."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, command], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert f"connectors.{command}s.cli" in loaded
    assert not needless & loaded


def test_all_is_there_without_a_command() -> None:
    """What help lists, and what a misspelt command is compared with."""
    names = set(typer.main.get_command(build()).commands)  # type: ignore[attr-defined]
    assert {
        "stack",
        "contracts",
        "config",
        "source",
        "sink",
        "bench",
        "worker",
        "demo",
        "payroll",
        "prove",
        "explain",
        "preview",
        "close",
        "periods",
    } <= names
