"""Loads the oracle, which is no package of ours: the wheel ships it as data, a checkout has it in its tests."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from streams.contracts.locator import shipped

NAME = "tallystream_oracle"


def load_oracle() -> ModuleType:
    """The oracle's public surface."""
    if NAME in sys.modules:
        return sys.modules[NAME]
    folder = shipped("_oracle", "tests/oracle")
    spec = importlib.util.spec_from_file_location(
        NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module
