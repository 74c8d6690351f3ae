"""A schema registry in memory, for the topology driver."""

from __future__ import annotations

import json
from typing import Any

from streams.errors import SchemaMismatch
from streams.serde import Registry


class MemoryRegistry(Registry):
    """Gives out ids; checks no compatibility."""

    def __init__(self) -> None:
        self.url = "memory://"
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, dict[str, Any]] = {}

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """The id of a schema, the same for the same schema."""
        text = json.dumps(schema, sort_keys=True)
        schema_id = self._ids.setdefault(text, len(self._ids) + 1)
        self._schemas[schema_id] = schema
        return schema_id

    def set_compatibility(self, subject: str, level: str) -> None:
        """Accepted and ignored."""

    def schema(self, schema_id: int) -> dict[str, Any]:
        """The schema of an id; `SchemaMismatch` if there is none."""
        if schema_id not in self._schemas:
            raise SchemaMismatch(f"schema id {schema_id} is not in the registry; register it, then replay")
        return self._schemas[schema_id]
