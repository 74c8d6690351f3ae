"""What records that were written under an earlier version of a contract do not have yet."""

from __future__ import annotations

from functools import cache
from typing import Any

from streams.contracts.locator import contract_path, load_schema

FOLDERS = ("canonical", "events")


def later_fields(schema: Any) -> dict[str, Any]:
    """The fields that the contract's schema of today has beyond an earlier one, with their defaults.

    Topics and states keep records for years, so readers meet all versions. Contracts only grow by fields that
    have a default. Empty for a schema that is none of ours.
    """
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return {}
    today = _contracts().get(_full_name(schema))
    if today is None:
        return {}
    written = {field["name"] for field in schema["fields"]}
    return {
        field["name"]: field["default"]
        for field in today["fields"]
        if field["name"] not in written and "default" in field
    }


@cache
def _contracts() -> dict[str, dict[str, Any]]:
    found = {}
    for folder in FOLDERS:
        for path in sorted(contract_path(folder).glob("*.avsc")):
            schema = load_schema(f"{folder}/{path.stem}")
            found[_full_name(schema)] = schema
    return found


def _full_name(schema: dict[str, Any]) -> str:
    return f"{schema.get('namespace', '')}.{schema['name']}"
