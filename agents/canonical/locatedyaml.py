"""YAML that remembers its lines and refuses repeated keys, so that an error can say where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from streams.errors import ConfigurationError


class Located(dict[str, Any]):
    """A mapping that knows the line of each of its keys, from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class _Loader(yaml.SafeLoader):
    """SafeLoader whose mappings are `Located`."""


def _construct(loader: _Loader, node: yaml.MappingNode) -> Located:
    located = Located()
    for key_node, value_node in node.value:
        key = str(loader.construct_object(key_node, deep=True))
        line = key_node.start_mark.line + 1
        if key in located:
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} is repeated", key_node.start_mark)
        located[key] = loader.construct_object(value_node, deep=True)
        located.lines[key] = line
    return located


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct)


def read_yaml(path: Path) -> Located:
    """The document in ``path``, a mapping; `ConfigurationError` if it can't be read or is something else."""
    try:
        with path.open(encoding="utf-8") as stream:
            document = yaml.load(stream, _Loader)  # noqa: S506  # derived from SafeLoader
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(document, Located):
        raise ConfigurationError(f"{path}: expected a mapping at the top")
    return document
