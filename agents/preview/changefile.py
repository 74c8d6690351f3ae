"""The file of changes that a preview supposes: YAML, in canonical names, its values read by the contracts.

::

    changes:
      - entity: rate                      # a row by its id: some fields get other values
        id: erp:R-7
        set: {price: 160.00, effective_from: 2026-04-01}
      - entity: time_entry                # all rows that have these values: a code, mapped once for all
        where: {project_id: erp:P-OLD}
        set: {project_id: erp:P-1}
      - entity: bill_adjustment           # an id that is not there is a new row, with all that it must have
        id: erp:BA-9
        set: {entry_id: time:1, engagement_id: erp:E, kind: discount, amount: 200.00, reason: agreed,
              approver_id: erp:C-2, decided_at: 2026-04-01T09:00:00Z}
      - entity: bill_adjustment
        id: erp:BA-3
        delete: true

Numbers are read as they are written, never by way of a float; ``null`` takes a value away. A corrected time entry
or expense has the next ``version``, as in its source, unless the file sets one. Its ``approved_at`` stays unless it
is set: who approves the correction later sets it too. Then the version before is kept, as its source would: it stays in
the months that were closed before that approval. Of whatever else is changed after a close the file says what was, by a
row of its own (`rate_version`, `engagement_version`, `time_entry_version`); else it is as if it had always been so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from agents.billing.reference import REFERENCE_ENTITIES
from agents.canonical.conversions import quoted
from agents.preview.values import NULLS, kind_name, read_value
from streams.contracts import load_schema
from streams.errors import UsageError

FACT_ENTITIES: Final = (
    *("time_entry", "time_entry_version", "milestone", "expense", "expense_version"),
    *("invoice_line", "bill_adjustment"),
)
VERSIONED: Final = ("time_entry", "expense")
ENTITIES: Final = (*REFERENCE_ENTITIES, *FACT_ENTITIES)
_KEYS: Final = frozenset(("entity", "id", "where", "set", "delete"))

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One of the file: rows of ``entity`` that have the values of ``where`` get those of ``fields``, or are deleted.

    ``place`` names it in messages. With an ``id`` it concerns the row of that id, and makes one if need be.
    """

    place: str
    entity: str
    id: str | None
    where: Mapping[str, Any]
    fields: Mapping[str, Any]
    deletes: bool

    def concerns(self, row: Row) -> bool:
        """Whether the row, as it is now, is one of those; a deleted row is none of any."""
        return not row["deleted"] and all(row.get(name) == value for name, value in self.where.items())

    def amended(self, row: Row) -> Row:
        """The row afterwards."""
        return {**row, **self.fields, "deleted": self.deletes}

    def new_row(self) -> Row:
        """A row of this id that has nothing but what is set."""
        position = {"source_system": "preview", "source_epoch": 0, "source_lsn": 0, "source_ordinal": 0}
        nothing = dict.fromkeys(content_fields(self.entity))
        return {**nothing, **position, "id": self.id, "deleted": False, **self.fields}


class _Loader(yaml.BaseLoader):
    """Scalars as they are written: a float would round money before anybody has looked. No key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            names = [key.value for key, _ in node.value]
            twice = next(name for name in names if names.count(name) > 1)
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {quoted(twice)} is there twice", node.start_mark
            )
        return mapping


def read_changes(path: Path) -> list[Change]:
    """The changes of a file, in its order; `UsageError` says what is wrong and where."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}") from None
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 -- makes text, lists and mappings only
    except (yaml.YAMLError, ValueError, ArithmeticError) as error:
        raise UsageError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply; changes are three levels") from None
    given = document.get("changes") if isinstance(document, dict) else None
    if not isinstance(given, list) or not given or len(document) != 1:
        raise UsageError(f"{path}: give a list of changes under the one key `changes`")
    return [_change(f"{path}: change {number}", one) for number, one in enumerate(given, 1)]


def _change(place: str, given: object) -> Change:
    if not isinstance(given, dict):
        raise UsageError(f"{place}: give entity, id or where, and set or delete")
    if unknown := sorted(given.keys() - _KEYS):
        raise UsageError(f"{place}: unknown key {quoted(unknown[0])}; known are {', '.join(sorted(_KEYS))}")
    entity = _scalar(place, "entity", given.get("entity", ""))
    if entity not in ENTITIES:
        raise UsageError(f"{place}: entity {quoted(entity)} is none of {', '.join(ENTITIES)}")
    deletes = _scalar(place, "delete", given.get("delete", "false"))
    if deletes not in ("true", "false"):
        raise UsageError(f"{place}: delete is true or false, not {quoted(deletes)}")
    row_id, where = _id(place, given), _values(place, entity, "where", given)
    if (row_id is None) == (not where):
        raise UsageError(f"{place}: say which rows, by either id or where")
    fields = _values(place, entity, "set", given)
    if bool(fields) == (deletes == "true"):
        raise UsageError(f"{place}: say what becomes of them, by either set or delete")
    if row_id is not None:
        where = {"id": row_id}
    return Change(place, entity, row_id, where, fields, deletes == "true")


def _id(place: str, given: Mapping[str, Any]) -> str | None:
    if "id" not in given:
        return None
    text = _scalar(place, "id", given["id"])
    if text in NULLS:
        raise UsageError(f"{place}: id is empty; give that of a row, or where instead")
    try:
        return str(read_value("string", text))
    except ValueError:
        raise UsageError(f"{place}: id {quoted(text)} is no text") from None


def _scalar(place: str, name: str, given: object) -> str:
    if not isinstance(given, str):
        raise UsageError(f"{place}: {name} takes one value, not a {_shape(given)}")
    return given


def _shape(given: object) -> str:
    return "list" if isinstance(given, list) else "mapping"


def _values(place: str, entity: str, key: str, given: Mapping[str, Any]) -> Row:
    values = given.get(key, {})
    if not isinstance(values, dict):
        raise UsageError(f"{place}: {key} takes fields and their values")
    known = content_fields(entity)
    found = {}
    for name, given_value in values.items():
        if name not in known:
            raise UsageError(f"{place}: {entity} has no field {quoted(name)}; it has {', '.join(known)}")
        text = _scalar(place, name, given_value)
        try:
            found[name] = read_value(known[name], text)
        except (ValueError, ArithmeticError):
            raise UsageError(f"{place}: {name}: {quoted(text)} is no {kind_name(known[name])}") from None
    return found


def content_fields(entity: str) -> dict[str, Any]:
    """The types of the fields that a change may name: those before the bookkeeping of capture, without the id."""
    fields = load_schema(f"canonical/{entity}")["fields"]
    bookkeeping = [field["name"] for field in fields].index("deleted")
    return {field["name"]: field["type"] for field in fields[1:bookkeeping]}
