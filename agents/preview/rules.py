"""The rules of the mappings for a row that no source has: it goes the way of a source's own row.

It is turned back into columns, and those are mapped as the pipeline does it. What the pipeline would quarantine
is refused here with the same words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any, Final, NamedTuple

from agents.canonical.conversions import quoted
from agents.canonical.mapping import FieldMapping, SystemMapping, TableMapping
from streams.errors import RecordError
from streams.money import SECONDS_PER_HOUR

Row = Mapping[str, Any]

# Hours of any number of seconds that a long holds come back as the same seconds.
_HOURS: Final = Context(prec=28)


class Problem(NamedTuple):
    """The field that breaks a rule, and what is wrong with it."""

    field: str
    message: str


class MappingRules:
    """What the mappings demand of canonical rows."""

    def __init__(self, mappings: Mapping[str, SystemMapping]) -> None:
        self._tables: dict[str, list[TableMapping]] = defaultdict(list)
        for system in mappings.values():
            for table in system.tables.values():
                if isinstance(table, TableMapping):
                    self._tables[table.entity].append(table)

    def problem(self, entity: str, row: Row) -> Problem | None:
        """Why no source can have the row; None if a table can. Of several tables the first one's answer counts."""
        tables = self._tables.get(entity, [])
        own = [table for table in tables if row["id"].startswith(_prefix(table.id_field))]
        if not own:
            listed = " or ".join(sorted({_prefix(table.id_field) for table in tables}))
            return Problem("id", f"ids begin with {listed}" if listed else "no mapping makes such rows")
        found = [_problem(table, row) for table in own]
        return None if None in found else found[0]


def _problem(table: TableMapping, row: Row) -> Problem | None:
    try:
        columns = {field.column: _in_source(field, row.get(field.name)) for field in table.fields}
        made = table.convert_row(columns, None, ())
    except RecordError as error:
        message = str(error)
        named = (field.name for field in table.fields if message.startswith(f"{field.where} "))
        return Problem(next(named, "id"), message)
    for field in table.fields:
        if made[field.name] != row.get(field.name):
            return Problem(
                field.name,
                f"{field.where} (column {field.column}): can't be {quoted(row.get(field.name))};"
                f" would be {quoted(made[field.name])}",
            )
    return None


def _prefix(field: FieldMapping) -> str:
    """What the mapping puts before a source's own id."""
    return str(field.convert("")) if field.conversion == "id" else ""


def _in_source(field: FieldMapping, value: Any) -> Any:
    """The value as the column has it."""
    if value is not None and field.conversion == "hours_to_seconds":
        return _HOURS.divide(Decimal(value), Decimal(SECONDS_PER_HOUR))
    if value is not None and field.conversion == "duration_to_seconds":
        return f"PT{value}S"
    if value is not None and field.conversion == "id":
        return value.removeprefix(_prefix(field))
    return value
