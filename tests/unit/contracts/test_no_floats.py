"""No float touches hours or money: not in the code that computes them, nor in any record that carries them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
COMPUTING = (
    "agents/billing",
    "agents/utilization",
    "agents/revenue",
    "agents/explain",
    "agents/preview",
    "tests/oracle",
)
MODULES = sorted(
    [*(path for folder in COMPUTING for path in (ROOT / folder).glob("*.py")), ROOT / "streams/money.py"]
)
SCHEMAS = sorted((ROOT / "avro").glob("*/*.avsc"))
# A metric, which has floats only and which nothing is computed with; and how long a flow waits for records.
ALLOWED = {
    "agents/billing/conservation.py": 1,
    "agents/utilization/stage.py": 1,
    "agents/revenue/stage.py": 1,
}


def floats(source: str) -> Iterator[int]:
    """Lines with a float: as a type or a conversion, or written out."""
    for node in ast.walk(ast.parse(source)):
        named = isinstance(node, ast.Name) and node.id in ("float", "complex")
        written = isinstance(node, ast.Constant) and isinstance(node.value, float)
        if named or written:
            assert isinstance(node, ast.expr)
            yield node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_that_computes_has_none(path: Path) -> None:
    """Neither the type nor a literal."""
    name = str(path.relative_to(ROOT))
    found = list(floats(path.read_text(encoding="utf-8")))
    assert len(found) == ALLOWED.get(name, 0), f"{name}: lines {found}"


def test_what_is_looked_for_is_found() -> None:
    """A type, a conversion, a number with a point; text about floats is none."""
    assert sorted(floats("x: float\ny = float('1')\nz = 0.5\n# float\ns = 'float 0.5'\n")) == [1, 2, 3]
    assert len(MODULES) > 50


def types(schema: Any) -> Iterator[str]:
    """All types in a schema."""
    if isinstance(schema, str):
        yield schema
    elif isinstance(schema, list):
        for one in schema:
            yield from types(one)
    elif isinstance(schema, dict):
        yield from types(schema["type"])
        for inner in (schema.get("items"), schema.get("values"), *schema.get("fields", ())):
            if inner is not None:
                yield from types(inner)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_records_have_none(path: Path) -> None:
    """Money is decimal, time integer seconds; latencies, which are neither, are integers or sketches' bytes."""
    assert not {"float", "double"} & set(types(json.loads(path.read_text(encoding="utf-8"))))
