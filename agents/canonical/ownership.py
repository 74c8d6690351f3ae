"""Which system is the system of record of an entity and of its single fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.canonical.locatedyaml import Located, read_yaml
from streams.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Ownership:
    """The systems of record, by entity and by (entity, field)."""

    entities: Mapping[str, str]
    fields: Mapping[tuple[str, str], str]

    def owner(self, entity: str, field: str) -> str | None:
        """The system that owns a field: its own owner, else its entity's; None for an unknown entity."""
        return self.fields.get((entity, field)) or self.entities.get(entity)


def load_ownership(path: Path) -> Ownership:
    """Read ``ownership.yaml``; `ConfigurationError` names what is wrong in it."""
    document = read_yaml(path)
    bodies = document.get("entities")
    if document.keys() != {"entities"} or not isinstance(bodies, Located):
        raise ConfigurationError(f"{path}: expected one key, `entities`, with a mapping")
    entities: dict[str, str] = {}
    fields: dict[tuple[str, str], str] = {}
    for entity, body in bodies.items():
        where = f"{path.name}:{bodies.lines[entity]} {entity}"
        if not isinstance(body, Located) or not body.keys() <= {"system", "fields"} or "system" not in body:
            raise ConfigurationError(f"{where}: expected `system`, and `fields` where another one owns some")
        entities[entity] = str(body["system"])
        for field, owner in (body.get("fields") or {}).items():
            fields[(entity, field)] = str(owner)
    return Ownership(entities, fields)
