"""Registers the contracts' schemas, each under its topic's subject with the contract's compatibility."""

from __future__ import annotations

from streams.contracts.catalogue import Contracts
from streams.contracts.locator import load_schema
from streams.serde import Registry


def register_schemas(registry: Registry, contracts: Contracts) -> dict[str, int]:
    """Register every contract's schema; returns the schema id by topic.

    Raises `ContractViolation` for a schema that its registered versions can't be evolved to.
    """
    ids = {}
    for name, contract in contracts.topics.items():
        if contract.schema is None:
            continue
        subject = f"{name}-value"
        registry.set_compatibility(subject, contract.compatibility)
        ids[name] = registry.register(subject, load_schema(contract.schema))
    return ids
