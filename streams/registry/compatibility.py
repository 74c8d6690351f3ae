"""Whether a schema may follow others: PyPI's ``avro`` for structure, our own walk for logical types."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import avro.compatibility
import avro.errors
import avro.schema

from streams.registry.logical import misreading
from streams.registry.schemas import NAMED, AvroSchema, InvalidSchema, full_name, type_label

# What a reader of the first type also reads, by the specification's table of promotions.
PROMOTIONS: Mapping[str, frozenset[str]] = {
    "long": frozenset({"int"}),
    "float": frozenset({"int", "long"}),
    "double": frozenset({"int", "long", "float"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}


class Compatibility(StrEnum):
    """Levels as Confluent's registry has them.

    BACKWARD: the new schema reads what older ones wrote. FORWARD: older ones read what the new one
    writes. FULL: both. TRANSITIVE: not only for the latest older schema but for all.
    """

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @property
    def transitive(self) -> bool:
        """Whether all older schemas count, not only the latest."""
        return self.endswith("_TRANSITIVE")

    @property
    def new_reads_old(self) -> bool:
        """Whether readers are upgraded first."""
        return self.startswith(("BACKWARD", "FULL"))

    @property
    def old_reads_new(self) -> bool:
        """Whether writers are upgraded first."""
        return self.startswith(("FORWARD", "FULL"))


def check_compatibility(new: AvroSchema, old: Sequence[AvroSchema], level: Compatibility) -> list[str]:
    """Why ``new`` may not follow ``old`` (oldest first); empty if it may."""
    problems: list[str] = []
    first = 0 if level.transitive else max(0, len(old) - 1)
    for number, schema in enumerate(old[first:], start=first + 1):
        if level.new_reads_old:
            problems += [f"new can't read old #{number}: {problem}" for problem in read_problems(new, schema)]
        if level.old_reads_new:
            problems += [f"old #{number} can't read new: {problem}" for problem in read_problems(schema, new)]
    return problems


def read_problems(reader: AvroSchema, writer: AvroSchema) -> list[str]:
    """Why a reader with one schema can't read what was written with another; empty if it can."""
    return [*_structural_problems(reader, writer), *_Walk(reader, writer).problems()]


def _structural_problems(reader: AvroSchema, writer: AvroSchema) -> list[str]:
    checker = avro.compatibility.ReaderWriterCompatibilityChecker()
    result = checker.get_compatibility(_avro(reader), _avro(writer))
    if result.compatibility is avro.compatibility.SchemaCompatibilityType.compatible:
        return []
    kinds = ", ".join(sorted({kind.name for kind in result.incompatibilities}))
    where = ", ".join(sorted(result.locations - {"/"})) or "/"
    return [f"{kinds} at {where}: {'; '.join(sorted(result.messages))}"]


def _avro(schema: AvroSchema) -> Any:
    """The schema as ``avro`` has it, without logical types: it ignores them, and warns about some."""
    try:
        return avro.schema.parse(json.dumps(_without_logical_types(schema.tree)))
    except (avro.errors.AvroException, TypeError, AttributeError) as error:
        raise InvalidSchema(str(error).partition("\n")[0]) from None


def _without_logical_types(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_without_logical_types(branch) for branch in tree]
    if not isinstance(tree, dict):
        return tree
    result = {name: value for name, value in tree.items() if name != "logicalType"}
    for part in ("items", "values"):
        if part in result:
            result[part] = _without_logical_types(result[part])
    if tree.get("type") == "record":
        result["fields"] = [{**f, "type": _without_logical_types(f["type"])} for f in tree["fields"]]
    return result


class _Walk:
    """Both schemas side by side, looking at logical types only; structure is somebody else's matter."""

    def __init__(self, reader: AvroSchema, writer: AvroSchema) -> None:
        self._reader, self._writer = reader, writer
        self._seen: set[tuple[str, str]] = set()
        self._problems: list[str] = []

    def problems(self) -> list[str]:
        """What would be misread, with the place."""
        self._visit(self._reader.tree, self._writer.tree, "/")
        return self._problems

    def _visit(self, reader: Any, writer: Any, path: str) -> None:
        if isinstance(writer, list):
            for branch in writer:
                self._visit(reader, branch, path)
            return
        writer = self._writer.types.get(writer, writer) if isinstance(writer, str) else writer
        reader = self._choose(reader, writer)
        if reader is None:
            return
        kind, written = _kind(reader), _kind(writer)
        if kind != written and written not in PROMOTIONS.get(kind, frozenset()):
            return
        match kind:
            case "record":
                self._visit_record(reader, writer, path)
            case "array":
                self._visit(reader["items"], writer["items"], f"{path}items/")
            case "map":
                self._visit(reader["values"], writer["values"], f"{path}values/")
            case "enum":
                pass
            case _:
                problem = misreading(reader, writer)
                if problem:
                    self._problems.append(f"LOGICAL_TYPE at {path.rstrip('/') or '/'}: {problem}")

    def _choose(self, reader: Any, writer: Any) -> Any:
        """The schema that a reader resolves ``writer``, no union, with: of a union the first that fits."""
        branches = reader if isinstance(reader, list) else [reader]
        resolved = [self._reader.types.get(b, b) if isinstance(b, str) else b for b in branches]
        if not isinstance(reader, list):
            return resolved[0]
        label, kind = type_label(writer), _kind(writer)
        same = [branch for branch in resolved if type_label(branch) == label or _has_alias(branch, label)]
        unnamed_kind = [branch for branch in resolved if _kind(branch) == kind and kind in NAMED]
        promoted = [branch for branch in resolved if kind in PROMOTIONS.get(_kind(branch), frozenset())]
        return next(iter([*same, *unnamed_kind, *promoted]), None)

    def _visit_record(self, reader: Mapping[str, Any], writer: Mapping[str, Any], path: str) -> None:
        pair = (type_label(reader), type_label(writer))
        if pair in self._seen:  # a type that holds itself
            return
        self._seen.add(pair)
        written = {field["name"]: field for field in writer["fields"]}
        for field in reader["fields"]:
            names = [field["name"], *field.get("aliases", [])]
            match_ = next((written[name] for name in names if name in written), None)
            if match_ is not None:
                self._visit(field["type"], match_["type"], f"{path}{field['name']}/")


def _kind(tree: Any) -> str:
    return tree if isinstance(tree, str) else str(tree["type"])


def _has_alias(tree: Any, label: str) -> bool:
    if not isinstance(tree, Mapping):
        return False
    return label in [full_name(alias, tree.get("namespace", "")) for alias in tree.get("aliases", [])]
