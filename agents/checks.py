"""What `tallystream contracts check` asks of this layer: do mappings, ownership and schemas agree?"""

from __future__ import annotations

from datetime import timedelta

from agents.canonical.loader import load_mappings
from agents.canonical.mapping import TableMapping
from agents.exceptions.catalogue import load_catalogue
from streams.contracts import Contracts
from streams.errors import ConfigurationError


def problems(contracts: Contracts) -> list[str]:
    """One line for each thing that does not hold together."""
    found = []
    try:
        load_catalogue(timedelta(0))
    except ConfigurationError as error:
        found.append(str(error))
    try:
        mappings = load_mappings()
    except ConfigurationError as error:
        return [*found, str(error)]
    for mapping in mappings.values():
        for name, table in mapping.tables.items():
            if isinstance(table, TableMapping) and f"canonical.{table.entity}" not in contracts.topics:
                found.append(
                    f"{mapping.name}.yaml: {name}: no topic canonical.{table.entity} in contracts.yaml"
                )
    return found
