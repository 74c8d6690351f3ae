"""The exception classes as data: owner's queue, severity, what each blocks, grace period, remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from streams.contracts import contract_path
from streams.errors import ConfigurationError

SEVERITIES: Final = ("critical", "high", "medium", "low")
BLOCKS: Final = ("billing", "utilization", "margin", "revenue", "all", None)
_KEYS: Final = {"queue", "severity", "blocks", "grace_seconds", "action"}


@dataclass(frozen=True, slots=True)
class ExceptionClass:
    """What is fixed of a class; ``grace`` is how long it may clear before people see it."""

    name: str
    queue: str
    severity: str
    blocks: str | None
    grace: timedelta
    action: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All classes by name."""

    classes: Mapping[str, ExceptionClass]
    unknown: ExceptionClass

    def __getitem__(self, name: str) -> ExceptionClass:
        """The class of that name. A report of a class that this version does not know, as during a
        rollout, is not lost: it goes to the engineers under its own name."""
        found = self.classes.get(name)
        return found if found is not None else replace(self.unknown, name=name)


def load_catalogue(default_grace: timedelta, path: Path | None = None) -> Catalogue:
    """Read ``exceptions.yaml``; `ConfigurationError` names class and key. ``default_grace`` is a setting."""
    path = path or contract_path("exceptions.yaml")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {' '.join(str(error).split())}") from None
    bodies = document.get("classes") if isinstance(document, dict) else None
    if not isinstance(bodies, dict) or not bodies:
        raise ConfigurationError(f"{path}: expected `classes`, a mapping from class to its properties")
    classes = {name: _class(path, name, body, default_grace) for name, body in bodies.items()}
    unknown = ExceptionClass(
        "", "billing-engineering", "high", None, default_grace, "upgrade the worker, which does not know it"
    )
    return Catalogue(classes, unknown)


def _class(path: Path, name: str, body: Any, default_grace: timedelta) -> ExceptionClass:
    where = f"{path.name}: {name}"
    if not isinstance(body, dict) or not {"queue", "severity", "blocks", "action"} <= body.keys():
        raise ConfigurationError(f"{where}: expected queue, severity, blocks and action")
    if unknown := sorted(body.keys() - _KEYS):
        raise ConfigurationError(f"{where}: unknown key {unknown[0]}; known are {', '.join(sorted(_KEYS))}")
    if body["severity"] not in SEVERITIES:
        raise ConfigurationError(f"{where}: severity must be one of {', '.join(SEVERITIES)}")
    if body["blocks"] not in BLOCKS:
        raise ConfigurationError(
            f"{where}: blocks must be billing, utilization, margin, revenue, all or null"
        )
    grace = body.get("grace_seconds")
    if grace is not None and (type(grace) not in (int, float) or grace < 0):  # float: a wait
        raise ConfigurationError(f"{where}: grace_seconds must be a number of at least 0")
    return ExceptionClass(
        name,
        str(body["queue"]),
        body["severity"],
        body["blocks"],
        default_grace if grace is None else timedelta(seconds=grace),
        str(body["action"]),
    )
