"""Whether a field's default fits its type, by the Avro specification's table of JSON encodings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INT_RANGE = range(-(2**31), 2**31)
LONG_RANGE = range(-(2**63), 2**63)
LAST_BYTE = 255  # bytes are written as a string of the code points 0 to 255


def default_problem(value: Any, schema: Any, types: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What is wrong with the default, or None.

    A union's default must fit its *first* branch: readers of Avro before 1.12 accept no other.
    """
    if isinstance(schema, list):
        if not schema:
            return "of an empty union"
        problem = default_problem(value, schema[0], types)
        return f"{problem} (the union's first branch decides)" if problem else None
    if isinstance(schema, str) and schema in types:
        schema = types[schema]
    kind = schema if isinstance(schema, str) else schema["type"]
    details: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
    if isinstance(value, list) and kind == "array":
        return _first(default_problem(item, details["items"], types) for item in value)
    if isinstance(value, dict) and kind == "map":
        return _first(default_problem(item, details["values"], types) for item in value.values())
    if isinstance(value, dict) and kind == "record":
        return _record_problem(value, details, types)
    return None if _fits(value, kind, details) else f"{value!r} is no {kind}"


def _record_problem(
    value: dict[str, Any], record: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]]
) -> str | None:
    for field in record["fields"]:
        name = field["name"]
        if name in value:
            problem = default_problem(value[name], field["type"], types)
            if problem:
                return f"{name}: {problem}"
        elif "default" not in field:
            return f"lacks {name}"
    return None


def _fits(value: Any, kind: str, details: Mapping[str, Any]) -> bool:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "int":
            return is_int and value in INT_RANGE
        case "long":
            return is_int and value in LONG_RANGE
        case "float" | "double":
            return is_int or isinstance(value, float)
        case "string":
            return isinstance(value, str)
        case "bytes":
            return _is_bytes(value)
        case "fixed":
            return _is_bytes(value) and len(value) == details["size"]
        case "enum":
            return value in details["symbols"]
    return False


def _is_bytes(value: Any) -> bool:
    return isinstance(value, str) and all(ord(character) <= LAST_BYTE for character in value)


def _first(problems: Any) -> str | None:
    return next((problem for problem in problems if problem), None)
