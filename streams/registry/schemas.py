"""Avro schemas, checked by the specification's own rules and brought to one form.

PyPI's ``avro`` accepts names like ``a-b``, defaults that don't fit their type, and decimals that can't
be; all three surface much later, in somebody else's reader. They are refused here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from streams.registry.defaults import default_problem
from streams.registry.logical import logical_problem

# A schema as JSON holds it: a name, a union (list) or an object.
Json: TypeAlias = Any

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
NAMED = frozenset({"record", "enum", "fixed"})
RESERVED = PRIMITIVES | NAMED | {"array", "map", "union", "error"}  # `error` is for RPC, unknown to readers
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ORDERS = ("ascending", "descending", "ignore")


class InvalidSchema(ValueError):
    """The text is no Avro schema; the message says where and why."""


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """A valid schema.

    ``text`` is the schema as it was given, without needless blanks. ``tree`` is its one form: names are
    full names with an explicit namespace, and primitives without attributes are plain strings.
    ``types`` holds the named types in it by full name. Equal ``identity`` means the same schema.
    """

    text: str
    tree: Json
    types: Mapping[str, Mapping[str, Json]]
    identity: str


def parse_schema(text: str) -> AvroSchema:
    """Parse and check a schema, or raise `InvalidSchema`."""
    try:
        raw = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
        parser = _Parser()
        tree = parser.schema(raw, "", "/")
    except json.JSONDecodeError as error:
        raise InvalidSchema(f"not JSON: {error}") from None
    except RecursionError:
        raise InvalidSchema("nested too deeply") from None
    identity = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return AvroSchema(json.dumps(raw, separators=(",", ":")), tree, parser.types, identity)


def full_name(name: str, namespace: str) -> str:
    """A name with its namespace, unless it has one already."""
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _refuse_constant(constant: str) -> None:
    raise InvalidSchema(f"{constant} is not JSON")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _value in pairs]
        raise InvalidSchema(f"attribute {next(n for n in names if names.count(n) > 1)!r} is given twice")
    return result


@dataclass(slots=True)
class _Parser:
    types: dict[str, Mapping[str, Json]] = field(default_factory=dict)

    def schema(self, raw: Json, namespace: str, path: str) -> Json:
        """One schema at ``path``, in normal form."""
        if isinstance(raw, str):
            return self._reference(raw, namespace, path)
        if isinstance(raw, list):
            return self._union(raw, namespace, path)
        if not isinstance(raw, dict):
            raise InvalidSchema(f"{path}: a schema is a name, a list or an object, not {raw!r}")
        kind = raw.get("type")
        if isinstance(kind, dict | list):
            # {"type": {"type": …}} is how some writers nest; only without attributes of its own.
            if len(raw) > 1:
                raise InvalidSchema(f"{path}: a nested type can't have attributes outside it")
            return self.schema(kind, namespace, path)
        if not isinstance(kind, str):
            raise InvalidSchema(f"{path}: type is missing")
        tree = self._typed(raw, kind, namespace, path)
        if isinstance(tree, dict):
            problem = logical_problem(tree)
            if problem:
                raise InvalidSchema(f"{path}: {problem}")
        return tree

    def _typed(self, raw: dict[str, Json], kind: str, namespace: str, path: str) -> Json:
        match kind:
            case "record" | "enum" | "fixed":
                return self._named(raw, kind, namespace, path)
            case "array" | "map":
                inner = "items" if kind == "array" else "values"
                if inner not in raw:
                    raise InvalidSchema(f"{path}: {kind} needs {inner}")
                return {**raw, inner: self.schema(raw[inner], namespace, f"{path}{inner}/")}
            case "union" | "error":
                raise InvalidSchema(f"{path}: {kind} is no type of a schema")
            case _ if kind in PRIMITIVES:
                return kind if len(raw) == 1 else dict(raw)
            case _ if len(raw) == 1:
                return self._reference(kind, namespace, path)
        raise InvalidSchema(f"{path}: {kind!r} is no type, and a reference can't have attributes")

    def _reference(self, name: str, namespace: str, path: str) -> str:
        if name in PRIMITIVES:
            return name
        resolved = full_name(name, namespace)
        if resolved not in self.types:
            raise InvalidSchema(f"{path}: {name!r} is no type, nor defined before its use")
        return resolved

    def _union(self, branches: list[Json], namespace: str, path: str) -> list[Json]:
        trees: list[Json] = []
        seen: set[str] = set()
        for index, branch in enumerate(branches):
            tree = self.schema(branch, namespace, f"{path}{index}/")
            if isinstance(tree, list):
                raise InvalidSchema(f"{path}: a union can't directly hold a union")
            label = type_label(tree)
            if label in seen:
                raise InvalidSchema(f"{path}: {label} is twice in the union")
            seen.add(label)
            trees.append(tree)
        return trees

    def _named(self, raw: dict[str, Json], kind: str, namespace: str, path: str) -> dict[str, Json]:
        name, own_namespace = self._names(raw, namespace, path)
        full = full_name(name, own_namespace)
        if full in self.types:
            raise InvalidSchema(f"{path}: {full} is defined twice")
        tree: dict[str, Json] = {**raw, "name": name, "namespace": own_namespace}
        if "aliases" in raw:
            tree["aliases"] = [full_name(a, own_namespace) for a in _strings(raw, "aliases", path)]
            _check_names(tree["aliases"], path, dotted=True)
        self.types[full] = tree  # before its parts: it may hold itself
        match kind:
            case "record":
                tree["fields"] = self._fields(raw, own_namespace, path)
                self._check_defaults(tree["fields"], path)
            case "enum":
                _check_enum(raw, path)
            case _:
                size = raw.get("size")
                if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                    raise InvalidSchema(f"{path}: fixed needs a size")
        return tree

    def _names(self, raw: dict[str, Json], namespace: str, path: str) -> tuple[str, str]:
        name, own = raw.get("name"), raw.get("namespace", namespace)
        if not isinstance(name, str) or not isinstance(own, str):
            raise InvalidSchema(f"{path}: name is missing, or name or namespace is no string")
        if "." in name:
            own, _dot, name = name.rpartition(".")
        _check_names([name, *([own] if own else [])], path, dotted=True)
        if not own and name in RESERVED:
            raise InvalidSchema(f"{path}: {name!r} can't be a type's name")
        return name, own

    def _fields(self, raw: dict[str, Json], namespace: str, path: str) -> list[dict[str, Json]]:
        fields = raw.get("fields")
        if not isinstance(fields, list):
            raise InvalidSchema(f"{path}: record needs a list of fields")
        trees, seen = [], set()
        for item in fields:
            if not isinstance(item, dict) or not isinstance(item.get("name"), str) or "type" not in item:
                raise InvalidSchema(f"{path}: a field is an object with name and type, not {item!r}")
            name = item["name"]
            _check_names([name, *_strings(item, "aliases", path)], path)
            if name in seen:
                raise InvalidSchema(f"{path}: field {name!r} is there twice")
            if item.get("order", ORDERS[0]) not in ORDERS:
                raise InvalidSchema(f"{path}: order of field {name!r} is none of {', '.join(ORDERS)}")
            seen.add(name)
            trees.append({**item, "type": self.schema(item["type"], namespace, f"{path}{name}/")})
        return trees

    def _check_defaults(self, fields: Iterable[Mapping[str, Json]], path: str) -> None:
        for item in fields:
            if "default" in item:
                problem = default_problem(item["default"], item["type"], self.types)
                if problem:
                    raise InvalidSchema(f"{path}{item['name']}: default {problem}")


def type_label(tree: Json) -> str:
    """What tells the branches of a union apart: the full name, or the kind of an unnamed type."""
    if isinstance(tree, str):
        return tree
    kind: str = tree["type"]
    return full_name(tree["name"], tree["namespace"]) if kind in NAMED else kind


def _check_enum(raw: Mapping[str, Json], path: str) -> None:
    symbols = _strings(raw, "symbols", path)
    if not symbols or len(set(symbols)) != len(symbols):
        raise InvalidSchema(f"{path}: enum needs symbols, each once")
    _check_names(symbols, path)
    if "default" in raw and raw["default"] not in symbols:
        raise InvalidSchema(f"{path}: default {raw['default']!r} is no symbol of the enum")


def _check_names(names: Iterable[str], path: str, *, dotted: bool = False) -> None:
    for name in names:
        for part in name.split(".") if dotted else [name]:
            if not NAME.fullmatch(part):
                raise InvalidSchema(f"{path}: {name!r} is no name: letters, digits and _, no digit first")


def _strings(raw: Mapping[str, Json], attribute: str, path: str) -> list[str]:
    values = raw.get(attribute, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidSchema(f"{path}: {attribute} is no list of strings")
    return values
