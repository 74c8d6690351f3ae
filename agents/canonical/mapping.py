"""Applies a compiled mapping to one row change: a canonical record, or the reason why there is none.

Pure, and compiled once: `agents.canonical.loader` turns the YAML into these objects, with one closure a
field. A row that breaks a rule is quarantined: it has no canonical content, and one exception.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from agents.canonical.conversions import Convert, quoted
from streams.errors import InvalidValue, RecordError, SchemaMismatch

Record: TypeAlias = dict[str, Any]
Row: TypeAlias = Mapping[str, Any]

UNMAPPED: Final = "UNMAPPED"
OWNERSHIP: Final = "OWNERSHIP"
_MISSING: Final = object()
_AFTER: Final = "after."


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """One canonical field of a table. ``where`` is its line: ``reference-erp.yaml:27 client.status``."""

    name: str
    column: str
    convert: Convert
    required: bool
    absent_is_null: bool
    before: str | None
    where: str
    required_where: tuple[str, frozenset[str]] | None = None
    """Another field, and the values of it with which this one is required."""
    conversion: str = ""
    """What its YAML has under ``as``."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A column that shows a field which ``owner`` owns; its change is reported, never merged."""

    field: str
    column: str
    owner: str


@dataclass(frozen=True, slots=True)
class TableMapping:
    """How the rows of one table become records of one canonical entity."""

    table: str
    entity: str
    label: str
    """``<mapping>/<version>``, as records carry it."""
    version: int
    fields: tuple[FieldMapping, ...]
    id_field: FieldMapping
    route: FieldMapping | None
    observed: tuple[Observed, ...]
    backfill: bool
    """Rows may also come by a topic of their own, behind live changes."""
    plan: tuple[tuple[str, str, Convert, bool], ...]
    """(name, column, convert, required) a field, for the loop."""
    ranges: tuple[tuple[str, str, str], ...]
    """(from, to, where): dates of which the first must be before the second."""
    conditions: tuple[tuple[str, str, frozenset[str]], ...]
    """(name, other, values): fields that are required where another has one of these values."""
    by_column: Mapping[str, FieldMapping]

    def convert_row(self, row: Row, specials: Mapping[str, str] | None, unknown: Collection[str]) -> Record:
        """The canonical business fields of ``row``, or a `RecordError` that names the mapping's line."""
        if specials:
            self._check_specials(specials)
        record: Record = {}
        name = ""
        try:
            for name, column, convert, required in self.plan:
                value = row.get(column, _MISSING)
                if value is None:
                    if required:
                        raise InvalidValue("null, but required")
                    if unknown and column in unknown:
                        raise SchemaMismatch(
                            "the source did not send the unchanged value; set REPLICA IDENTITY FULL"
                        )
                    record[name] = None
                elif value is _MISSING:
                    self._check_absent(name, row)
                    record[name] = None
                else:
                    converted = convert(value)
                    if converted is None and required:
                        raise InvalidValue("an open end, but a date is required")
                    record[name] = converted
            for name, until, _ in self.ranges:
                first, last = record[name], record[until]
                if first is not None and last is not None and first >= last:
                    raise InvalidValue(f"{first} must be before {until} {last}")
            for name, other, values in self.conditions:
                if record[name] is None and record[other] in values:
                    raise InvalidValue(f"null, but required where {other} is {record[other]}")
        except RecordError as error:
            field = next(field for field in self.fields if field.name == name)
            raise type(error)(f"{field.where} (column {field.column}): {error}") from None
        return record

    def _check_specials(self, specials: Mapping[str, str]) -> None:
        """Refuse a mapped column whose value the wire type can't hold; it came as null beside a header."""
        for place, text in specials.items():
            field = self.by_column.get(place.removeprefix(_AFTER)) if place.startswith(_AFTER) else None
            if field is not None:
                raise InvalidValue(f"{field.where} (column {field.column}): {quoted(text)} is not allowed")

    def _check_absent(self, name: str, row: Row) -> None:
        field = next(field for field in self.fields if field.name == name)
        if not field.absent_is_null:
            # Not read as null: a cap whose column was renamed would silently be no cap.
            raise SchemaMismatch(f"the row has no such column, only {', '.join(sorted(row))}")

    def id_of(self, row: Row) -> str:
        """The canonical id of a row, by its key column alone."""
        value = row.get(self.id_field.column)
        if value is None:
            raise SchemaMismatch(f"{self.id_field.where} (column {self.id_field.column}): the row has no key")
        try:
            identifier: str = self.id_field.convert(value)
        except RecordError as error:
            raise type(error)(f"{self.id_field.where} (column {self.id_field.column}): {error}") from None
        return identifier

    def route_of(self, row: Row) -> str | None:
        """The value of the route field, or None where the row has none that is valid."""
        if self.route is None or row.get(self.route.column) is None:
            return None
        try:
            route: str = self.route.convert(row[self.route.column])
        except RecordError:
            return None
        return route


@dataclass(frozen=True, slots=True)
class IgnoredTable:
    """A table that has no canonical entity on purpose."""

    table: str
    reason: str


@dataclass(frozen=True, slots=True)
class SystemMapping:
    """All tables of one source system."""

    name: str
    version: int
    system: str
    schema: str | None
    tables: Mapping[str, TableMapping | IgnoredTable]

    def table_of(self, source: Mapping[str, Any]) -> TableMapping | IgnoredTable | None:
        """The mapping of the table that a source block names; None if there is none."""
        if self.schema is not None and source.get("schema", self.schema) != self.schema:
            return None
        return self.tables.get(source.get("table") or "")

    def full_name(self, source: Mapping[str, Any]) -> str:
        """``<system>.<schema>.<table>`` of a source block, for messages and subjects."""
        return ".".join(part for part in (self.system, source.get("schema"), source.get("table")) if part)


class Quarantine(NamedTuple):
    """Why a row has no canonical record: an exception class and a message for its owner."""

    exception_class: str
    message: str


class MappedChange(NamedTuple):
    """What a change of a mapped table means: one of content, deletion, or quarantine.

    ``id`` is None only where even the key could not be read. ``route`` is the partition-deciding field
    where the entity has one and the row's is valid.
    """

    id: str | None
    record: Record | None
    deleted: bool
    quarantine: Quarantine | None
    route: str | None = None


def map_change(
    mapping: TableMapping,
    change: Mapping[str, Any],
    specials: Mapping[str, str] | None = None,
    unknown: Collection[str] = (),
) -> MappedChange:
    """Map one decoded envelope of ``mapping``'s table; never raises for what a source may send.

    ``specials``: values that the wire types can't hold, by place, such as ``{"after.price": "NaN"}``.
    ``unknown``: columns that are null in ``after`` only because the log left them out. Columns that the
    mapping does not name are tolerated.
    """
    row = change.get("after")
    deleted = change["op"] == "d"
    if deleted:
        row = change.get("before")
    if row is None:
        side = "before" if deleted else "after"
        message = f"{mapping.table}: the change has no row under {side!r}; set REPLICA IDENTITY FULL"
        return MappedChange(None, None, False, Quarantine(SchemaMismatch.exception_class, message))
    try:
        if deleted:
            return MappedChange(mapping.id_of(row), None, True, None, mapping.route_of(row))
        record = mapping.convert_row(row, specials, unknown)
    except RecordError as error:
        quarantine = Quarantine(error.exception_class, str(error))
        try:
            return MappedChange(mapping.id_of(row), None, False, quarantine, mapping.route_of(row))
        except RecordError:
            return MappedChange(None, None, False, quarantine)
    route = record[mapping.route.name] if mapping.route is not None else None
    return MappedChange(record["id"], record, False, None, route)


def violations(
    mapping: TableMapping, change: Mapping[str, Any], absent: Collection[str] = ()
) -> tuple[Observed, ...]:
    """The observed columns that an update changed although another system owns them.

    ``absent``: columns whose former value the log does not hold; nothing can be said of them. Inserts
    bring a first copy and are no violation.
    """
    if not mapping.observed or change["op"] != "u":
        return ()
    before, after = change.get("before"), change.get("after")
    if before is None or after is None:
        return ()
    return tuple(
        seen
        for seen in mapping.observed
        if seen.column in before
        and seen.column in after
        and seen.column not in absent
        and before[seen.column] != after[seen.column]
    )
