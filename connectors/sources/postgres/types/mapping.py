"""PostgreSQL types as Avro: a Debezium-compatible schema, and the wire text compiled to Avro bytes.

`column_type` picks, once a column, the schema and the function that turns each value's text (as
``pgoutput`` and COPY have it under `SESSION_OPTIONS`) into the bytes of that schema. Text that the
schema cannot hold (NaN, ±Infinity, infinite or BC instants beyond it, arrays of several dimensions)
raises `SpecialValue`: the caller writes null and keeps the text in a header, so that nothing is lost
and nothing stops.

==========================  ==================================================================
PostgreSQL                  Avro
==========================  ==================================================================
numeric(p, s), money        bytes, Connect's Decimal
numeric                     VariableScaleDecimal: scale and unscaled value
real, double precision      float, double; NaN and the infinities are values of these
date, time, timestamp       int days, long microseconds (Date, MicroTime, MicroTimestamp)
timestamptz                 string, ISO 8601 in UTC (ZonedTimestamp)
interval                    string, ISO 8601 (Interval); ``infinity`` and ``-infinity`` as such
bit(1), bit(n)              boolean, bytes with the lowest bits first (Bits)
point                       record of x, y and their WKB (geometry.Point)
hstore                      string, a JSON object of strings and nulls (Json)
T[]                         array of nullable T, for one dimension that counts from 1
domain                      as what it rests on
enum                        string with the labels in a schema parameter (Enum)
anything else               string, PostgreSQL's own text, the type named in a schema parameter
==========================  ==================================================================

Where this differs from Debezium's defaults, its form would lose something: ``timestamp`` is always
MicroTimestamp; an interval as microseconds takes a month for 30.4 days; timetz in UTC forgets its
offset; Bits of varying length forget how long they were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from connectors.sources import avro
from connectors.sources.postgres.types import forms, numbers, times
from connectors.sources.postgres.types.values import (
    ColumnType,
    Encode,
    EnumLabels,
    NewLabel,
    Schema,
    SpecialValue,
    semantic,
)

__all__ = [
    "SESSION_OPTIONS",
    "ColumnType",
    "Encode",
    "EnumLabels",
    "NewLabel",
    "Schema",
    "SpecialValue",
    "TypeInfo",
    "column_type",
    "lossy",
    "text_type",
    "with_labels",
]

# What the text forms assume of the session; sent with every connection.
SESSION_OPTIONS = (
    "-c datestyle=ISO,YMD -c timezone=UTC -c intervalstyle=iso_8601 "
    "-c extra_float_digits=3 -c bytea_output=hex -c client_encoding=UTF8"
)

# Index-internal types that a column may have, whose text is a summary ("3 unique words") or a refusal.
_LOSSY = frozenset({"gtsvector", "gtrgm", "ghstore", "ltree_gist", "intbig_gkey"})


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A type as the catalog has it. A domain is described by what it rests on.

    ``element`` is an array's element type with its modifier, ``delimiter`` what stands between two of
    them; ``fraction`` is the number of digits that the server's money has after the point.
    """

    oid: int
    name: str
    enum_labels: tuple[str, ...] = ()
    element: tuple[TypeInfo, int] | None = None
    delimiter: str = ","
    fraction: int = 2


def column_type(info: TypeInfo, typmod: int) -> ColumnType:
    """The Avro type of a column of type ``info`` with modifier ``typmod`` (-1: none)."""
    if info.enum_labels:
        labels = EnumLabels(info.enum_labels)
        parameters = {"allowed": ",".join(info.enum_labels)}
        return ColumnType(semantic("string", "io.debezium.data.Enum", parameters), labels, labels)
    if info.element is not None:
        element, element_typmod = info.element
        # The column's modifier is that of its elements, unless these bring their own (a domain).
        return forms.array(
            column_type(element, typmod if element_typmod == -1 else element_typmod), info.delimiter
        )
    if info.name == "numeric":
        return numbers.numeric(typmod)
    if info.name == "money":
        return numbers.money(info.fraction)
    if info.name == "bit" and typmod > 0:
        return forms.bits(typmod)
    return _SIMPLE.get(info.name) or text_type(info)


def text_type(info: TypeInfo) -> ColumnType:
    """PostgreSQL's own text, with the type named in a parameter of the schema."""
    name = info.name if info.element is None else f"_{info.element[0].name}"
    parameters = {"__debezium.source.column.type": name.upper()}
    return ColumnType({"type": "string", "connect.parameters": parameters}, avro.data)


def with_labels(info: TypeInfo, labels: tuple[str, ...]) -> TypeInfo:
    """The enum, or the array of one, with these labels."""
    if info.element is not None:
        return replace(info, element=(with_labels(info.element[0], labels), info.element[1]))
    return replace(info, enum_labels=labels)


def lossy(info: TypeInfo) -> bool:
    """Whether the type, or that of an array's elements, has no text that holds its whole value."""
    bare = info.name.rpartition(".")[2]
    return (
        bare in _LOSSY
        or bare.startswith("gbtreekey")
        or (info.element is not None and lossy(info.element[0]))
    )


_STRING = ColumnType("string", avro.data)
_JSON = semantic("string", "io.debezium.data.Json")

_SIMPLE: dict[str, ColumnType] = {
    "bool": ColumnType("boolean", numbers.boolean),
    "int2": ColumnType({"type": "int", "connect.type": "int16"}, numbers.integer),
    "int4": ColumnType("int", numbers.integer),
    "int8": ColumnType("long", numbers.integer),
    "oid": ColumnType("long", numbers.integer),
    "float4": ColumnType("float", numbers.float_),
    "float8": ColumnType("double", numbers.double),
    "text": _STRING,
    "varchar": _STRING,
    "bpchar": _STRING,
    "char": _STRING,
    "name": _STRING,
    "citext": _STRING,
    "uuid": ColumnType(semantic("string", "io.debezium.data.Uuid"), avro.data),
    "json": ColumnType(_JSON, avro.data),
    "jsonb": ColumnType(_JSON, avro.data),
    "xml": ColumnType(semantic("string", "io.debezium.data.Xml"), avro.data),
    "hstore": ColumnType(_JSON, forms.hstore),
    "bytea": ColumnType("bytes", forms.bytea),
    "point": ColumnType(forms.POINT, forms.point),
    "date": ColumnType(semantic("int", "io.debezium.time.Date"), times.date),
    "time": ColumnType(semantic("long", "io.debezium.time.MicroTime"), times.time),
    "timestamp": ColumnType(semantic("long", "io.debezium.time.MicroTimestamp"), times.timestamp),
    "timestamptz": ColumnType(semantic("string", "io.debezium.time.ZonedTimestamp"), times.timestamptz),
    "interval": ColumnType(semantic("string", "io.debezium.time.Interval"), avro.data),
}
