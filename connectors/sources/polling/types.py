"""SQLAlchemy's column types as Avro, with the semantic types of the sources that read a log.

Values come as the driver gives them: SQLAlchemy's own conversions are left out, for some of them
round (decimals of SQLite) or normalise (JSON). Where a driver would alter a value (infinite dates
become the largest date), the database is asked for its text.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from connectors.sources.polling import values
from connectors.sources.polling.values import Form
from connectors.sources.sqlite import types as sqlite

_UNSIGNED_BIGINT_DIGITS = 20
_SINGLE_DIGITS = 24  # bits: a FLOAT(p) up to it is stored in 32 bits, by the SQL standard


class Reading(NamedTuple):
    """How a column is read: its form, and whether the database casts it to text first."""

    form: Form
    as_text: bool = False


def reading_of(column_type: TypeEngine[Any], dialect: str) -> Reading:
    """How to read a column of a reflected type."""
    if dialect == "sqlite":
        return Reading(sqlite.form_of(_declared(column_type)))
    name = str(getattr(column_type, "__visit_name__", "")).upper()
    match column_type:
        case sa.Boolean():
            return Reading(values.BOOLEAN)
        case sa.Integer():
            return Reading(_integer(column_type, name))
        case sa.Float():
            return Reading(_float(column_type, name, dialect))
        case sa.Numeric():
            return Reading(_numeric(column_type))
        case sa.Enum():
            return Reading(values.enum(tuple(column_type.enums)), as_text=True)
        case sa.Uuid():
            return Reading(values.UUID_TEXT, as_text=dialect == "postgresql")
        case sa.JSON():
            return Reading(values.JSON_TEXT, as_text=True)
        case sa.Date():
            return Reading(values.DATE, as_text=dialect == "postgresql")
        case sa.DateTime():
            zoned = bool(column_type.timezone) or name == "DATETIMEOFFSET"
            # MySQL's TIMESTAMP is an instant, but what the driver gives is the session's local time.
            form = values.ZONED_TIMESTAMP if zoned else values.TIMESTAMP
            return Reading(form, as_text=dialect == "postgresql")
        case sa.Time():
            if column_type.timezone:
                return Reading(values.named_text("timetz"), as_text=True)
            return Reading(values.TIME, as_text=dialect == "postgresql")
        case sa.LargeBinary() | sa.types._Binary():
            return Reading(values.BINARY)
        case sa.String() if name not in ("SET",):
            return Reading(values.TEXT)
    if name == "BYTEA" or (name == "BIT" and dialect in ("mysql", "mariadb")):
        return Reading(values.BINARY)
    if name == "YEAR":
        return Reading(values.INT32)
    if name == "CITEXT":
        return Reading(values.TEXT)
    return Reading(values.named_text(_declared(column_type) or name), as_text=True)


def _declared(column_type: TypeEngine[Any]) -> str:
    if isinstance(column_type, sa.types.NullType):
        return ""
    try:
        return str(column_type.compile())
    except sa.exc.CompileError:  # of a dialect's own type; its name is what we are after
        return str(getattr(column_type, "__visit_name__", ""))


def _integer(column_type: TypeEngine[Any], name: str) -> Form:
    if getattr(column_type, "unsigned", False):
        return values.decimal(_UNSIGNED_BIGINT_DIGITS, 0) if name == "BIGINT" else values.INT64
    if isinstance(column_type, sa.BigInteger):
        return values.INT64
    if isinstance(column_type, sa.SmallInteger) or name == "TINYINT":
        return values.INT16
    return values.INT32


def _float(column_type: sa.Float[Any], name: str, dialect: str) -> Form:
    if dialect == "postgresql":
        single = name == "REAL" or (column_type.precision or 53) <= _SINGLE_DIGITS
        return values.FLOAT if single else values.DOUBLE
    return values.DOUBLE  # a double holds every single; what REAL means differs between databases


def _numeric(column_type: sa.Numeric[Any]) -> Form:
    if column_type.precision is None:
        return values.VARIABLE_DECIMAL
    return values.decimal(column_type.precision, column_type.scale or 0)
