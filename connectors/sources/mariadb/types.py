"""MariaDB's and MySQL's types as Avro: a Debezium-compatible schema, and cells compiled to Avro bytes.

Cells are texts as SELECT gives them in UTC (see `connectors.sources.mariadb.cells`); bytes for binary
columns, sixteen or four of them for uuid and inet. A text that the schema cannot hold (zero dates)
raises `SpecialValue`: the caller writes null and keeps the text in a header.

Where this differs from Debezium's defaults: ``bigint unsigned`` is a decimal (Debezium's long turns
negative from 2**63 on), ``datetime`` is always MicroTimestamp (Debezium takes milliseconds for
precisions up to 3), ``timestamp`` always has six digits, and geometry is the server's own bytes
(SRID, then WKB).
"""

from __future__ import annotations

import functools
import re
import socket
import uuid
from dataclasses import dataclass
from typing import Any

from connectors.sources import avro
from connectors.sources.mariadb import tablemap
from connectors.sources.mariadb.tablemap import LogColumn
from connectors.sources.postgres.types.mapping import ColumnType, SpecialValue

_MEMO = 4096
_DAY_US = 86_400_000_000
_UINT64_DIGITS = 20

GEOMETRIES = frozenset(
    {
        "geometry", "point", "linestring", "polygon",
        "multipoint", "multilinestring", "multipolygon", "geometrycollection",
    }
)  # fmt: skip
# Kept by the log as bytes or text: only the catalog knows that they are more.
HINTED = frozenset({"json", "uuid", "inet6", "inet4"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column, as far as its schema depends on it.

    ``type`` is the server's name of it, ``string`` for all that is text and ``bytes`` for all that is not.
    """

    name: str
    type: str
    nullable: bool
    unsigned: bool = False
    precision: int = 0
    scale: int = 0
    labels: tuple[str, ...] = ()


def column_type(column: Column) -> ColumnType:
    """The Avro type of a column, not yet nullable."""
    match column.type:
        case "tinyint":
            return _INT16
        case "smallint":
            return _INT if column.unsigned else _INT16
        case "mediumint":
            return _INT
        case "int":
            return _LONG if column.unsigned else _INT
        case "bigint":
            return _decimal(_UINT64_DIGITS, 0) if column.unsigned else _LONG
        case "decimal":
            return _decimal(column.precision, column.scale)
        case "enum":
            return ColumnType(_semantic("string", "io.debezium.data.Enum", _allowed(column)), avro.data)
        case "set":
            return ColumnType(_semantic("string", "io.debezium.data.EnumSet", _allowed(column)), avro.data)
        case "bit":
            if column.precision == 1:
                return ColumnType("boolean", _bit)
            parameters = {"length": str(column.precision)}
            return ColumnType(_semantic("bytes", "io.debezium.data.Bits", parameters), _bits)
    return _SIMPLE[column.type]


def _semantic(base: str, connect_name: str, parameters: dict[str, str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": base, "connect.version": 1}
    if parameters:
        schema["connect.parameters"] = parameters
    schema["connect.name"] = connect_name
    return schema


def _allowed(column: Column) -> dict[str, str]:
    return {"allowed": ",".join(column.labels)}


@functools.lru_cache(_MEMO)
def _integer(raw: bytes) -> bytes:
    return avro.long(int(raw))


def _decimal(precision: int, scale: int) -> ColumnType:
    @functools.lru_cache(_MEMO)
    def encode(raw: bytes) -> bytes:
        whole, _, fraction = raw.partition(b".")
        if len(fraction) != scale:
            raise SpecialValue
        return avro.data(avro.twos_complement(int(whole + fraction)))

    schema: dict[str, Any] = {
        "type": "bytes",
        "scale": scale,
        "precision": precision,
        "connect.version": 1,
        "connect.parameters": {"scale": str(scale), "connect.decimal.precision": str(precision)},
        "connect.name": "org.apache.kafka.connect.data.Decimal",
        "logicalType": "decimal",
    }
    return ColumnType(schema, encode)


def _float(raw: bytes) -> bytes:
    return avro.float_(float(raw))


def _double(raw: bytes) -> bytes:
    return avro.double(float(raw))


def _bit(raw: bytes) -> bytes:
    return avro.boolean(raw != b"\0")


def _vector(raw: bytes) -> bytes:
    """Its floats, as stored: the lowest byte first, which is Avro's order too."""
    return avro.long(len(raw) // 4) + raw + avro.long(0) if raw else avro.long(0)


def _bits(raw: bytes) -> bytes:
    """Least significant byte first, as Debezium has it."""
    return avro.data(raw[::-1])


def _uuid(raw: bytes) -> bytes:
    return avro.text(str(uuid.UUID(bytes=raw)))


def _inet(raw: bytes) -> bytes:
    return avro.text(socket.inet_ntop(socket.AF_INET6 if len(raw) == 16 else socket.AF_INET, raw))


_DATETIME = re.compile(rb"(\d{4}-\d\d-\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_TIME = re.compile(rb"(-?)(\d{2,3}):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@functools.lru_cache(_MEMO)
def _days(raw: bytes) -> int:
    """Days from 1970-01-01; `SpecialValue` for dates that no calendar has, such as 0000-00-00.

    Year 0 is one: MariaDB takes 0000-01-01, and its day counts back as any other.
    """
    year, month, day = int(raw[:4]), int(raw[5:7]), int(raw[8:10])
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= _MONTH_DAYS[month - 1] + leap:
        raise SpecialValue
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def _date(raw: bytes) -> bytes:
    return avro.long(_days(raw))


def _datetime(raw: bytes) -> bytes:
    match = _DATETIME.fullmatch(raw)
    if match is None:
        raise SpecialValue
    day, hours, minutes, seconds, fraction = match.groups()
    clock = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return avro.long(_days(day) * _DAY_US + clock * 1_000_000 + int((fraction or b"").ljust(6, b"0")))


def _timestamp(raw: bytes) -> bytes:
    match = _DATETIME.fullmatch(raw)
    if match is None:
        raise SpecialValue
    _days(match.group(1))
    return avro.data(b"%bT%b.%bZ" % (raw[:10], raw[11:19], (match.group(5) or b"").ljust(6, b"0")))


def _time(raw: bytes) -> bytes:
    """Microseconds; up to 838 hours, and less than none."""
    match = _TIME.fullmatch(raw)
    if match is None:
        raise SpecialValue
    sign, hours, minutes, seconds, fraction = match.groups()
    clock = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    micros = clock * 1_000_000 + int((fraction or b"").ljust(6, b"0"))
    return avro.long(-micros if sign else micros)


_INT16 = ColumnType({"type": "int", "connect.type": "int16"}, _integer)
_INT = ColumnType("int", _integer)
_LONG = ColumnType("long", _integer)


def _named(base: str, column_type_name: str) -> dict[str, Any]:
    return {"type": base, "connect.parameters": {"__debezium.source.column.type": column_type_name}}


_SIMPLE: dict[str, ColumnType] = {
    "float": ColumnType("float", _float),
    "double": ColumnType("double", _double),
    "string": ColumnType("string", avro.data),
    "bytes": ColumnType("bytes", avro.data),
    "json": ColumnType(_semantic("string", "io.debezium.data.Json"), avro.data),
    "uuid": ColumnType(_semantic("string", "io.debezium.data.Uuid"), _uuid),
    "inet6": ColumnType(_named("string", "INET6"), _inet),
    "inet4": ColumnType(_named("string", "INET4"), _inet),
    "geometry": ColumnType(_named("bytes", "GEOMETRY"), avro.data),
    "vector": ColumnType(
        {
            "type": "array",
            "items": "float",
            "connect.version": 1,
            "connect.name": "io.debezium.data.FloatVector",
        },
        _vector,
    ),
    "year": ColumnType(_semantic("int", "io.debezium.time.Year"), _integer),
    "date": ColumnType(_semantic("int", "io.debezium.time.Date"), _date),
    "time": ColumnType(_semantic("long", "io.debezium.time.MicroTime"), _time),
    "datetime": ColumnType(_semantic("long", "io.debezium.time.MicroTimestamp"), _datetime),
    "timestamp": ColumnType(_semantic("string", "io.debezium.time.ZonedTimestamp"), _timestamp),
}

_LOG_NAMES = {
    tablemap.TINY: "tinyint",
    tablemap.SHORT: "smallint",
    tablemap.INT24: "mediumint",
    tablemap.LONG: "int",
    tablemap.LONGLONG: "bigint",
    tablemap.FLOAT: "float",
    tablemap.DOUBLE: "double",
    tablemap.NEWDECIMAL: "decimal",
    tablemap.BIT: "bit",
    tablemap.YEAR: "year",
    tablemap.DATE: "date",
    tablemap.TIME2: "time",
    tablemap.DATETIME2: "datetime",
    tablemap.TIMESTAMP2: "timestamp",
    tablemap.ENUM: "enum",
    tablemap.SET: "set",
    tablemap.GEOMETRY: "geometry",
    tablemap.JSON: "json",
    tablemap.VECTOR: "vector",
}
_NUMBERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})


def logged_column(column: LogColumn, hint: str | None, binary: bool, labels: tuple[str, ...]) -> Column:
    """A column of a table map. ``hint``: what the catalog says it is, one of `HINTED`.

    ``binary``: its character set is none; ``labels`` as text.
    """
    name = _LOG_NAMES.get(column.type, "bytes" if binary else "string")
    if hint is not None and (hint == "json") == (name == "string") and name in ("string", "bytes"):
        name = hint
    precision = scale = 0
    if name == "decimal":
        precision, scale = column.meta >> 8, column.meta & 0xFF
    elif name == "bit":
        precision = column.meta
    return Column(
        column.name, name, column.nullable, column.unsigned and name in _NUMBERS, precision, scale, labels
    )
