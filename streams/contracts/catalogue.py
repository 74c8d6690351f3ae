"""``contracts.yaml`` as typed objects, strictly read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from streams.contracts.locator import contract_path
from streams.errors import ConfigurationError

CLEANUPS = ("compact", "delete")
COMPATIBILITIES = ("FULL_TRANSITIVE", "BACKWARD_TRANSITIVE")
ROLES = ("reference", "keyed", "internal", "published")
DATA_CLASSES = ("confidential", "personal", "financial", "operational")


@dataclass(frozen=True, slots=True)
class TopicContract:
    """What one topic promises its readers. ``retention_days`` -1 keeps for ever."""

    name: str
    schema: str | None
    key: str | None
    partitions: int
    cleanup: str
    retention_days: int
    compatibility: str
    owner: str
    sla_seconds: int
    data_class: str
    partition_by: str | None = None
    group: str | None = None
    role: str = "keyed"


@dataclass(frozen=True, slots=True)
class Contracts:
    """All topics by name."""

    topics: dict[str, TopicContract]

    def partitions(self, topic: str, override: int | None = None) -> int:
        """Partition count: the contract's, or the installation's override for topics that are spread at all."""
        contract = self.topics[topic]
        return override if override is not None and contract.partitions > 1 else contract.partitions

    def group_partitions(self, group: str, override: int | None = None) -> int:
        """Partition count of the topics of a group, which are read together."""
        return self.partitions(next(n for n, c in self.topics.items() if c.group == group), override)

    def reference_topics(self) -> list[str]:
        """Topics that every worker reads in full."""
        return [name for name, contract in self.topics.items() if contract.role == "reference"]


def load_contracts(path: Path | None = None) -> Contracts:
    """Read and check ``contracts.yaml``; `ConfigurationError` names the topic and key that is wrong."""
    path = path or contract_path("contracts.yaml")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("topics"), dict):
        raise ConfigurationError(f"{path}: expected a mapping with `defaults` and `topics`")
    defaults = document.get("defaults") or {}
    topics = {name: _contract(path, name, defaults, body) for name, body in document["topics"].items()}
    _check_groups(path, topics)
    return Contracts(topics)


def _contract(path: Path, name: str, defaults: dict[str, Any], own: object) -> TopicContract:
    if not isinstance(own, dict | None):
        raise ConfigurationError(f"{path}: {name}: expected a mapping of keys, not {own!r}")
    body = {**defaults, **(own or {})}
    known = {field.name for field in fields(TopicContract)}
    if unknown := sorted(body.keys() - known):
        raise ConfigurationError(
            f"{path}: {name}: unknown key {unknown[0]}; known are {', '.join(sorted(known))}"
        )
    try:
        contract = TopicContract(name=name, **body)
    except TypeError as error:
        raise ConfigurationError(f"{path}: {name}: {error}") from None
    for key, allowed in (
        ("cleanup", CLEANUPS),
        ("compatibility", COMPATIBILITIES),
        ("role", ROLES),
        ("data_class", DATA_CLASSES),
    ):
        if getattr(contract, key) not in allowed:
            raise ConfigurationError(f"{path}: {name}: {key} must be one of {', '.join(allowed)}")
    for key in ("partitions", "sla_seconds"):
        if not isinstance(getattr(contract, key), int) or getattr(contract, key) < 1:
            raise ConfigurationError(f"{path}: {name}: {key} must be a whole number of at least 1")
    return contract


def _check_groups(path: Path, topics: dict[str, TopicContract]) -> None:
    counts: dict[str, tuple[str, int]] = {}
    for name, contract in topics.items():
        if contract.group is None:
            continue
        first, count = counts.setdefault(contract.group, (name, contract.partitions))
        if count != contract.partitions:
            raise ConfigurationError(
                f"{path}: {name} has {contract.partitions} partitions and {first} has {count}; "
                f"topics of group {contract.group} are read together and must agree"
            )
