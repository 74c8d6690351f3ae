"""No float touches hours or money: not in the code that computes them, nor in any record that carries them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.no_floats import ROOT, floats, folders, main, modules

SCHEMAS = sorted((ROOT / "avro").glob("*/*.avsc"))


@pytest.mark.parametrize("folder", folders())
def test_code_that_computes_has_none(folder: str) -> None:
    """Neither the type nor a number with a point, nor a division of integers, unless it says on its line why."""
    found = {
        str(path.relative_to(ROOT)): lines
        for path in modules()
        if path.is_relative_to(ROOT / folder) and (lines := floats(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_it_looks_where_hours_and_money_are_computed() -> None:
    """In every folder of the agents but those that measure, the firm, the proof, the warehouse, and the oracle."""
    agents = {
        f"agents/{path.name}" for path in (ROOT / "agents").iterdir() if (path / "__init__.py").is_file()
    }
    assert agents - set(folders()) == {"agents/bench", "agents/latency"}
    assert {"connectors/proof", "connectors/reference", "connectors/sinks/warehouse"} < set(folders())
    assert {"streams/money.py", "tests/oracle"} < set(folders())
    assert all((ROOT / folder).exists() for folder in folders())
    assert len(modules()) > 150


def lines_of(source: str) -> list[int]:
    """The lines on which something is found."""
    return [one.line for one in floats(source)]


@pytest.mark.parametrize(
    "line",
    [
        "def f(x: float) -> None: ...",
        "y = float('1')",
        "y: complex",
        "z = 0.5",
        "share = billable / capacity",
        "share /= 3",
        "tenth = 10 ** -1",
        "hours = 7.5 if rng.random() < 0.3 else 1",
        "RATE = 0.2\nworth = RATE if rng.random() < RATE else 0",
    ],
)
def test_what_is_looked_for_is_found(line: str) -> None:
    """A type, a conversion, a number with a point, a division; also where a chance is drawn beside it."""
    assert lines_of(f"import x\n{line}\n")[0] == 2


@pytest.mark.parametrize(
    "line",
    [
        "s = 'float 0.5'  # float",
        "share = Decimal(billable) / capacity",
        "share = amount * seconds / Fraction(whole)",
        "exact /= Decimal(2)",
        "path = folder / 'name'",
        "whole = seconds // 3600",
        "odd = rng.random() < 0.3",
        "chance -= 1\nodd = chance < 0.3",
        "ODD: Final = 0.3\nodd = rng.random() < ODD",
        "time.sleep(0.3)  # float: a wait",
    ],
)
def test_what_is_none(line: str) -> None:
    """Text, exact divisions, chances, and what gives its reason."""
    assert lines_of(f"{line}\n") == []


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with 0 where there is none, and looks into its folders only, whatever files it is given."""
    other = tmp_path / "other.py"
    other.write_text("x = 0.5\n", encoding="utf-8")
    assert main([str(other), str(ROOT / "streams/money.py")]) == 0
    assert capsys.readouterr().out == ""


def test_the_command_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    """One line for each float, and exit code 1."""
    (tmp_path / "pyproject.toml").write_text("[tool.no-floats]\npaths = ['money']\n", encoding="utf-8")
    (tmp_path / "money").mkdir()
    (tmp_path / "money" / "wrong.py").write_text("x = 1\ny = 0.5 * x\n", encoding="utf-8")
    monkeypatch.setattr("support.no_floats.ROOT", tmp_path)
    assert main([]) == 1
    assert capsys.readouterr().out == "money/wrong.py:2: the number 0.5\n"


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
