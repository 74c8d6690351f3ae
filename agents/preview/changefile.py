"""The file of changes that a preview supposes: YAML, in canonical names, its values read by the contracts.

::

    changes:
      - entity: rate                      # a row by its id: some fields get other values
        id: erp:R-7
        set: {price: 160.00, effective_from: 2026-04-01}
      - entity: time_entry                # all rows that have these values: a code, mapped once for all
        where: {project_id: erp:P-OLD}
        set: {project_id: erp:P-1}
      - entity: engagement                # an id that is not there is a new row
        id: erp:E-NEW
        set: {client_id: erp:C-1, legal_entity_id: erp:LE, currency: EUR}
      - entity: bill_adjustment
        id: erp:BA-3
        delete: true

Numbers are read as they are written, never by way of a float; ``null`` takes a value away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import yaml

from agents.billing.reference import REFERENCE_ENTITIES
from streams.contracts import load_schema
from streams.errors import UsageError

FACT_ENTITIES: Final = ("time_entry", "milestone", "invoice_line", "bill_adjustment")
ENTITIES: Final = (*REFERENCE_ENTITIES, *FACT_ENTITIES)
_KEYS: Final = frozenset(("entity", "id", "where", "set", "delete"))
_NULLS: Final = ("null", "~", "")

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
        """Whether the row, as it is now, is one of those."""
        return all(row.get(name) == value for name, value in self.where.items())

    def amended(self, row: Row) -> Row:
        """The row afterwards."""
        return {**row, **self.fields, "deleted": self.deletes}

    def new_row(self) -> Row:
        """A row of this id that has nothing but what is set."""
        names = (field["name"] for field in _fields(self.entity).values())
        position = {"source_system": "preview", "source_epoch": 0, "source_lsn": 0, "source_ordinal": 0}
        return {**dict.fromkeys(names), **position, "id": self.id, "deleted": False, **self.fields}


def read_changes(path: Path) -> list[Change]:
    """The changes of a file, in its order; `UsageError` says what is wrong and where."""
    try:
        # Scalars as they are written: a float would round money before anybody has looked.
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 -- text only
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    given = document.get("changes") if isinstance(document, dict) else None
    if not isinstance(given, list) or not given or len(document) != 1:
        raise UsageError(f"{path}: give a list of changes under the one key `changes`")
    return [_change(f"{path}: change {number}", one) for number, one in enumerate(given, 1)]


def _change(place: str, given: object) -> Change:
    if not isinstance(given, dict):
        raise UsageError(f"{place}: give entity, id or where, and set or delete")
    if unknown := sorted(given.keys() - _KEYS):
        raise UsageError(f"{place}: unknown key {unknown[0]}; known are {', '.join(sorted(_KEYS))}")
    entity = given.get("entity")
    if entity not in ENTITIES:
        raise UsageError(f"{place}: entity {entity!r} is none of {', '.join(ENTITIES)}")
    deletes = given.get("delete", "false")
    if deletes not in ("true", "false"):
        raise UsageError(f"{place}: delete is true or false, not {deletes!r}")
    row_id, where = given.get("id"), _values(place, entity, "where", given)
    if (row_id is None) == (not where):
        raise UsageError(f"{place}: say which rows, by either id or where")
    fields = _values(place, entity, "set", given)
    if bool(fields) == (deletes == "true"):
        raise UsageError(f"{place}: say what becomes of them, by either set or delete")
    if row_id is not None:
        where = {"id": row_id}
    return Change(place, entity, row_id, where, fields, deletes == "true")


def _values(place: str, entity: str, key: str, given: Mapping[str, Any]) -> Row:
    values = given.get(key, {})
    if not isinstance(values, dict):
        raise UsageError(f"{place}: {key} takes fields and their values")
    known = _fields(entity)
    found = {}
    for name, text in values.items():
        if name not in known:
            raise UsageError(f"{place}: {entity} has no field {name}; it has {', '.join(known)}")
        try:
            found[name] = _value(known[name]["type"], text)
        except (ValueError, InvalidOperation):
            raise UsageError(f"{place}: {name}: {text!r} is no {_kind(known[name]['type'])[1]}") from None
    return found


def _fields(entity: str) -> dict[str, Any]:
    """The fields that a change may name: those before the bookkeeping of capture, without the id."""
    fields = load_schema(f"canonical/{entity}")["fields"]
    names = [field["name"] for field in fields]
    return {field["name"]: field for field in fields[1 : names.index("deleted")]}


def _kind(schema: Any) -> tuple[Any, str]:
    """The type within its union with null, and its name."""
    kind = schema[1] if isinstance(schema, list) else schema
    return kind, str(kind.get("logicalType", kind["type"]) if isinstance(kind, dict) else kind)


def _value(schema: Any, text: object) -> Any:
    if not isinstance(text, str):
        raise ValueError
    if text in _NULLS:
        return None
    kind, name = _kind(schema)
    if name == "decimal":
        number = Decimal(text)
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or -exponent > kind["scale"]:
            raise ValueError
        return number
    return _READERS[name](text)


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


def _boolean(text: str) -> bool:
    return ("false", "true").index(text) == 1


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "string": str,
    "long": int,
    "int": int,
    "boolean": _boolean,
    "date": date.fromisoformat,
    "timestamp-micros": _instant,
}
