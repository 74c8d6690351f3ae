"""Reads and checks ``avro/mappings/*.yaml`` and compiles them; mappings are configuration, not code.

Everything that can be known at start is refused at start, with one line that names file, line, table
and field: unknown keys and conversions, fields that the canonical schema does not have or has with
another type, fields left unmapped without a reason, rules that do not fit their conversion, and fields
that belong to another system.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from agents.canonical.conversions import CONVERSIONS, Rules
from agents.canonical.locatedyaml import Located, read_yaml
from agents.canonical.mapping import FieldMapping, IgnoredTable, Observed, SystemMapping, TableMapping
from agents.canonical.ownership import Ownership, load_ownership
from streams.contracts import contract_path, load_schema
from streams.errors import ConfigurationError

# What every canonical record carries beside its business fields; the flow fills it, no mapping does.
LINEAGE: Final = frozenset(
    (
        "deleted",
        "source_system",
        "source_epoch",
        "source_lsn",
        "source_ordinal",
        "occurred_at",
        "captured_at",
        "published_at",
        "snapshot",
        "mapping_version",
    )
)
_TOP: Final = {"mapping", "version", "system", "schema", "tables"}
_TABLE: Final = {"entity", "route", "backfill", "fields", "observe", "unused", "lacks", "ignore"}
_FIELD: Final = {
    "column",
    "as",
    "required",
    "system",
    "min",
    "max",
    "exclusive",
    "one_of",
    "before",
    "absent",
}


def load_mappings(folder: Path | None = None, ownership: Path | None = None) -> dict[str, SystemMapping]:
    """All mappings by source system; the shipped ones unless a folder and an ownership file are named."""
    folder = folder or contract_path("mappings")
    owners = load_ownership(ownership or contract_path("ownership.yaml"))
    mappings: dict[str, SystemMapping] = {}
    for path in sorted(folder.glob("*.yaml")):
        mapping = load_mapping(path, owners)
        if mapping.system in mappings:
            other = mappings[mapping.system].name
            raise ConfigurationError(f"{path}: system {mapping.system} is already mapped by {other}.yaml")
        mappings[mapping.system] = mapping
    if not mappings:
        raise ConfigurationError(f"{folder} holds no mapping (*.yaml)")
    return mappings


def load_mapping(path: Path, owners: Ownership) -> SystemMapping:
    """One system's mapping, checked and compiled."""
    document = read_yaml(path)
    _known_keys(path.name, document, _TOP)
    for key in ("mapping", "version", "system", "tables"):
        if key not in document:
            raise ConfigurationError(f"{path.name}: {key} is missing")
    version, tables = document["version"], document["tables"]
    if type(version) is not int or version < 1:
        raise ConfigurationError(f"{path.name}: version must be a whole number of at least 1")
    if document["mapping"] != path.stem:
        raise ConfigurationError(f"{path.name}: mapping must be {path.stem}, as its file is named")
    if not isinstance(tables, Located) or not tables:
        raise ConfigurationError(f"{path.name}: tables must be a mapping from table to its fields")
    system = str(document["system"])
    compiled: dict[str, TableMapping | IgnoredTable] = {}
    for table, body in tables.items():
        where = f"{path.name}:{tables.lines[table]} {table}"
        if not isinstance(body, Located):
            raise ConfigurationError(f"{where}: expected `entity` and `fields`, or `ignore` with a reason")
        _known_keys(where, body, _TABLE)
        if "ignore" in body:
            if body.keys() != {"ignore"} or not isinstance(body["ignore"], str):
                raise ConfigurationError(f"{where}: ignore takes a reason, and stands alone")
            compiled[table] = IgnoredTable(table, body["ignore"])
        else:
            label = f"{path.stem}/{version}"
            compiled[table] = _Table(path.name, where, table, system, owners).build(body, label, version)
    schema = document.get("schema")
    return SystemMapping(path.stem, version, system, None if schema is None else str(schema), compiled)


class _Table:
    """Builds one table's mapping."""

    def __init__(self, file: str, where: str, table: str, system: str, owners: Ownership) -> None:
        self._file = file
        self._where = where
        self._table = table
        self._system = system
        self._owners = owners

    def build(self, body: Located, label: str, version: int) -> TableMapping:
        """The compiled mapping of this table's YAML."""
        entity, bodies = body.get("entity"), body.get("fields")
        if not isinstance(entity, str) or not isinstance(bodies, Located):
            raise ConfigurationError(
                f"{self._where}: expected `entity` and `fields`, or `ignore` with a reason"
            )
        types = self._canonical_types(entity)
        fields = tuple(self._field(entity, types, bodies, name) for name in bodies)
        by_name = {field.name: field for field in fields}
        self._check_complete(body, types, by_name)
        return TableMapping(
            table=self._table,
            entity=entity,
            label=label,
            version=version,
            fields=fields,
            id_field=by_name["id"],
            route=self._route(body, by_name),
            observed=self._observed(entity, body),
            backfill=self._backfill(body),
            plan=tuple((field.name, field.column, field.convert, field.required) for field in fields),
            ranges=tuple((f.name, f.before, f.where) for f in fields if f.before is not None),
            conditions=tuple((f.name, *f.required_where) for f in fields if f.required_where is not None),
            by_column={field.column: field for field in fields},
        )

    def _canonical_types(self, entity: str) -> dict[str, Any]:
        try:
            schema = load_schema(f"canonical/{entity}")
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._where}: {error}") from None
        return {f["name"]: _branch(f["type"]) for f in schema["fields"] if f["name"] not in LINEAGE}

    def _field(self, entity: str, types: Mapping[str, Any], bodies: Located, name: str) -> FieldMapping:
        where = f"{self._file}:{bodies.lines[name]} {self._table}.{name}"
        body = bodies[name]
        if not isinstance(body, Located):
            raise ConfigurationError(f"{where}: expected {{column: …, as: …}}")
        _known_keys(where, body, _FIELD)
        if not isinstance(body.get("column"), str):
            raise ConfigurationError(f"{where}: column must be a name; quote one that YAML reads otherwise")
        if name not in types:
            raise ConfigurationError(f"{where}: canonical.{entity} has no such field")
        owner = self._owners.owner(entity, name)
        if owner != self._system:
            raise ConfigurationError(
                f"{where}: {owner or 'no system'} owns {entity}.{name} (ownership.yaml), not {self._system}"
            )
        convert = self._conversion(where, body, types[name])
        before = body.get("before")
        if before is not None and (
            body["as"] not in ("date", "timestamp")
            or not isinstance(bodies.get(before), Located)
            or bodies[before].get("as") != body["as"]
        ):
            raise ConfigurationError(f"{where}: before must name another {body['as']} field of this table")
        required, condition = _required(where, body, bodies)
        absent = body.get("absent", "absent")  # YAML's null is a value here
        if absent not in ("absent", None) or (absent is None and required):
            raise ConfigurationError(f"{where}: absent takes null, for a field that is not required")
        return FieldMapping(
            name, body["column"], convert, required, absent is None, before, where, condition, body["as"]
        )

    def _conversion(self, where: str, body: Located, avro_type: Any) -> Any:
        conversion = CONVERSIONS.get(body.get("as", ""))
        if conversion is None:
            raise ConfigurationError(
                f"{where}: as must be one of {', '.join(sorted(CONVERSIONS))}, not {body.get('as')}"
            )
        logical = _logical(avro_type)
        if conversion.makes != logical:
            raise ConfigurationError(
                f"{where}: {body['as']} makes {conversion.makes}, the field is {logical}"
            )
        if not conversion.bounded and body.keys() & {"min", "max", "exclusive"}:
            raise ConfigurationError(f"{where}: min, max and exclusive are for numbers, not for {body['as']}")
        if "one_of" in body and not conversion.listable:
            raise ConfigurationError(f"{where}: one_of is for text, not for {body['as']}")
        if "system" in body and body["as"] != "id":
            raise ConfigurationError(f"{where}: system is for id, not for {body['as']}")
        listed = body.get("one_of")
        if listed is not None and (
            not isinstance(listed, list) or not listed or not all(isinstance(item, str) for item in listed)
        ):
            raise ConfigurationError(
                f"{where}: one_of takes a list of texts; quote those that YAML reads otherwise"
            )
        return conversion.build(
            Rules(
                minimum=_number(where, body, "min"),
                maximum=_number(where, body, "max"),
                exclusive=_flag(where, body, "exclusive"),
                one_of=frozenset(listed) if listed is not None else None,
                system=str(body.get("system", self._system)),
                scale=avro_type.get("scale", 0) if isinstance(avro_type, dict) else 0,
                precision=avro_type.get("precision", 0) if isinstance(avro_type, dict) else 0,
            )
        )

    def _check_complete(
        self, body: Located, types: Mapping[str, Any], mapped: Mapping[str, FieldMapping]
    ) -> None:
        lacks = self._reasons(body, "lacks")
        for name in types:
            if (name in mapped) == (name in lacks):
                problem = (
                    "both mapped and under lacks" if name in mapped else "neither mapped nor under lacks"
                )
                raise ConfigurationError(f"{self._where}: canonical field {name} is {problem}")
        if "id" not in mapped or not mapped["id"].required:
            raise ConfigurationError(f"{self._where}: id must be mapped, and required")
        self._reasons(body, "unused")

    def _reasons(self, body: Located, key: str) -> Mapping[str, str]:
        reasons = body.get(key, {})
        if not isinstance(reasons, dict) or not all(isinstance(reason, str) for reason in reasons.values()):
            raise ConfigurationError(f"{self._where}: {key} takes names, each with its reason")
        return reasons

    def _backfill(self, body: Located) -> bool:
        backfill = body.get("backfill", False)
        if not isinstance(backfill, bool):
            raise ConfigurationError(f"{self._where}: backfill is true or false")
        return backfill

    def _route(self, body: Located, mapped: Mapping[str, FieldMapping]) -> FieldMapping | None:
        route = body.get("route")
        if route is None:
            return None
        if route not in mapped or not mapped[route].required:
            raise ConfigurationError(f"{self._where}: route must name a required field")
        return mapped[route]

    def _observed(self, entity: str, body: Located) -> tuple[Observed, ...]:
        observed = []
        for name, seen in (body.get("observe") or {}).items():
            where = f"{self._where} observe {name}"
            if not isinstance(seen, Located) or seen.keys() != {"column"}:
                raise ConfigurationError(f"{where}: expected {{column: …}}")
            owner = self._owners.owner(entity, name)
            if owner is None or owner == self._system:
                raise ConfigurationError(
                    f"{where}: belongs to {owner or 'no system'}; observe is for another's"
                )
            observed.append(Observed(name, str(seen["column"]), owner))
        return tuple(observed)


def _known_keys(where: str, body: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(body.keys() - known):
        raise ConfigurationError(f"{where}: unknown key {unknown[0]}; known are {', '.join(sorted(known))}")


def _required(
    where: str, body: Mapping[str, Any], bodies: Mapping[str, Any]
) -> tuple[bool, tuple[str, frozenset[str]] | None]:
    """Always, never, or with some values of another field: ``required: {kind: [write_off]}``."""
    given = body.get("required", False)
    if not isinstance(given, dict):
        return _flag(where, body, "required"), None
    other, values = next(iter(given.items()), ("", None))
    body_of = bodies.get(other)
    listed = body_of.get("one_of", ()) if isinstance(body_of, dict) else ()
    if len(given) != 1 or not isinstance(values, list) or not values or any(v not in listed for v in values):
        raise ConfigurationError(
            f"{where}: required takes true, or another field of this table with some of the values that its "
            "one_of lists"
        )
    return False, (other, frozenset(values))


def _flag(where: str, body: Mapping[str, Any], key: str) -> bool:
    value = body.get(key, False)
    if not isinstance(value, bool):
        raise ConfigurationError(f"{where}: {key} must be true or false")
    return value


def _number(where: str, body: Mapping[str, Any], key: str) -> Decimal | None:
    value = body.get(key)
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise InvalidOperation
        return Decimal(str(value))
    except InvalidOperation:
        raise ConfigurationError(f"{where}: {key} must be a number") from None


def _branch(avro_type: Any) -> Any:
    """The type of a field, out of its null union."""
    return avro_type[1] if isinstance(avro_type, list) else avro_type


def _logical(avro_type: Any) -> str:
    return str(avro_type.get("logicalType", avro_type["type"]) if isinstance(avro_type, dict) else avro_type)
