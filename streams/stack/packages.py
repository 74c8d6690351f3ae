"""Where the packages of the extra ``local`` keep their programs, found without importing them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from streams.errors import DependencyUnavailable

EXTRA = "pip install 'tallystream[local]'"


def require_package(name: str) -> Path:
    """Folder of an installed package; raise `DependencyUnavailable` with the way to install it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise DependencyUnavailable(f"the local stack needs the package {name}: {EXTRA}")
    return Path(next(iter(spec.submodule_search_locations)))
