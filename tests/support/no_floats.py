"""No float touches hours or money: a check of the code that computes them, run by `make lint` and by pre-commit.

    python tests/support/no_floats.py [FILE ...]

Looks into the folders of ``[tool.no-floats]`` in pyproject.toml (of files given, those that are in them) and prints
``file:line: what``; exit code 1 if there is anything. A linter of names can't do that: `ruff` has no rule for a
builtin type, and none for a division.

What is found: the names ``float`` and ``complex``, a number written with a point, and a true division or a negative
power of which neither side is plainly exact (a call of ``Decimal`` or ``Fraction``, or an expression with one): of two
integers it gives a float. What is none: a chance, which is a number that a draw is compared with (``rng.random() <
0.3``, ``chance < 0.3``, also by a name of the module that is used for nothing else).

What is neither hours nor money, such as how long a thread waits, says so on its line: ``# float: why``.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
REASON: Final = "# float: "
_TYPES: Final = ("float", "complex")
_EXACT: Final = ("Decimal", "Fraction")
_DRAW: Final = "chance"  # the name of what was drawn between 0 and 1


class Found(NamedTuple):
    """A float, and where it is."""

    line: int
    what: str


def folders() -> list[str]:
    """The folders to look into."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(settings["tool"]["no-floats"]["paths"])


def modules() -> list[Path]:
    """Every module of the folders; a path may be a module itself."""
    found: list[Path] = []
    for path in (ROOT / folder for folder in folders()):
        found += [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))
    return found


def floats(source: str) -> list[Found]:
    """The floats of a module for which no reason is given, by line."""
    tree, lines = ast.parse(source), source.splitlines()
    of_chance = _chances(tree)
    found = {one for node in ast.walk(tree) if node not in of_chance for one in _of_node(node)}
    return sorted(one for one in found if REASON not in lines[one.line - 1])


def _of_node(node: ast.AST) -> Iterator[Found]:
    if isinstance(node, ast.Name) and node.id in _TYPES:
        yield Found(node.lineno, f"the type {node.id}")
    elif isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
        yield Found(node.lineno, f"the number {node.value!r}")
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        if not (_is_exact(node.left) or _is_exact(node.right)):
            yield Found(node.lineno, "a true division of what may be two integers")
    elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div):
        if not _is_exact(node.value):
            yield Found(node.lineno, "a true division of what may be two integers")
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        negative = isinstance(node.right, ast.UnaryOp) and isinstance(node.right.op, ast.USub)
        if negative and not _is_exact(node.left):
            yield Found(node.lineno, "a negative power of what may be an integer")


def _is_exact(node: ast.expr) -> bool:
    """Whether it is plainly no integer and no float: a decimal, a fraction, or a part of a path."""
    if isinstance(node, ast.BinOp):
        return _is_exact(node.left) or _is_exact(node.right)
    if isinstance(node, ast.UnaryOp):
        return _is_exact(node.operand)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _EXACT


def _chances(tree: ast.Module) -> set[ast.AST]:
    """The numbers that draws are compared with, where they are written."""
    inside = {
        node
        for compare in ast.walk(tree)
        if isinstance(compare, ast.Compare) and any(_is_draw(one) for one in ast.walk(compare))
        for node in ast.walk(compare)
    }
    found: set[ast.AST] = {node for node in inside if isinstance(node, ast.Constant)}
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        names = {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
        uses = [node for node in used if node.id in names]
        if uses and all(node in inside for node in uses):
            found |= {node for node in ast.walk(statement) if isinstance(node, ast.Constant)}
    return found


def _is_draw(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr == "random" and not node.args
    return isinstance(node, ast.Name) and node.id == _DRAW


def main(arguments: Iterable[str]) -> int:
    """Print what is found; 1 if there is any."""
    given = {Path(argument).resolve() for argument in arguments}
    count = 0
    for path in modules():
        if given and path.resolve() not in given:
            continue
        for one in floats(path.read_text(encoding="utf-8")):
            print(f"{path.relative_to(ROOT)}:{one.line}: {one.what}")  # what a linter is for
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
