"""What the billing package offers to its stages and to readers."""

from __future__ import annotations

import ast
from pathlib import Path

import agents.billing as billing

# Edges: they send, or read and write state, and may do what they need.
STAGES = {
    "agent.py",
    "allocate_stage.py",
    "book.py",
    "converted.py",
    "decided.py",
    "filing.py",
    "flow.py",
    "index.py",
    "rate_stage.py",
    "reporting.py",
    "standing.py",
    "view.py",
}
IMPURE = {"asyncio", "faust", "aiokafka", "confluent_kafka", "time", "os", "random", "socket", "threading"}


def test_every_public_name_is_there() -> None:
    """The list of public names is complete and sorted by kind: constants, classes, functions."""
    assert all(hasattr(billing, name) for name in billing.__all__)
    assert len(set(billing.__all__)) == len(billing.__all__)
    assert {"allocate", "allocate_item", "diff", "rate_entry", "rate_milestone", "explain_rate"} <= set(
        billing.__all__
    )


def test_the_core_is_pure() -> None:
    """No module of the core imports a clock, a loop, a client or the runtime beyond money and errors."""
    folder = Path(billing.__file__).parent
    for path in sorted(folder.glob("*.py")):
        if path.name in STAGES:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in IMPURE, f"{path.name} imports {name}"
                assert not name.startswith("streams.") or name in ("streams.money", "streams.errors"), (
                    path.name
                )
