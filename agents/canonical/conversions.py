"""From a column's value as the change topic carries it to a canonical value, one closure a field.

Wire forms that are understood, since sources differ and columns get retyped:

    numbers      Decimal, int, float (by its shortest text, so 0.1 is 0.1), decimal text, and Debezium's
                 VariableScaleDecimal ``{"scale": int, "value": bytes}``
    dates        days since 1970-01-01 (io.debezium.time.Date), ISO text
    timestamps   microseconds since 1970-01-01 UTC (MicroTimestamp), ISO text (ZonedTimestamp); text
                 without an offset is UTC
    durations    microseconds, ISO 8601 and clock text (see `durations`), where the mapping asks for a duration
    booleans     true and false, 0 and 1

A closure gets a value that is not null. It raises `InvalidValue` for a value that breaks a rule and
`SchemaMismatch` for one of a type that the conversion does not know; both say what is wrong and leave
the where to their caller. Bounds hold for the source's value in the source's unit (hours, not seconds, also of a duration).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from agents.canonical.durations import duration_in_seconds
from streams.errors import InvalidValue, SchemaMismatch
from streams.money import EXACT, SECONDS_PER_HOUR, hours_to_seconds

Convert: TypeAlias = Callable[[Any], Any]

FIRST_YEAR, LAST_YEAR = 1900, 2999
UNAVAILABLE: Final = "__debezium_unavailable_value"
NOT_SENT: Final = "the source did not send the unchanged value; set REPLICA IDENTITY FULL"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL: Final = EPOCH.toordinal()
LONG_MIN: Final = -(2**63)
LONG_MAX: Final = 2**63 - 1
# A wrong value is quoted in the exception; free text could be of any length.
QUOTED: Final = 40


@dataclass(frozen=True, slots=True)
class Rules:
    """What a field's mapping demands; ``scale`` and ``precision`` are the canonical schema's."""

    minimum: Decimal | None = None
    maximum: Decimal | None = None
    exclusive: bool = False
    one_of: frozenset[str] | None = None
    system: str = ""
    scale: int = 0
    precision: int = 0


def quoted(value: object) -> str:
    """A value as it is shown in a message, cut short."""
    text = repr(value)
    return text if len(text) <= QUOTED else text[: QUOTED - 1] + "…"


def exact_number(value: Any) -> Decimal:
    """The number in any of its wire forms, not rounded; NaN and infinities are invalid."""
    kind = type(value)
    try:
        if kind is Decimal:
            number: Decimal = value
        elif kind is int or kind is str:
            number = Decimal(value)
        elif kind is float:  # float: its shortest text is what the source means
            number = Decimal(repr(value))
        elif kind is dict:
            number = Decimal(int.from_bytes(value["value"], "big", signed=True)).scaleb(
                -value["scale"], EXACT
            )
        else:
            raise SchemaMismatch(f"{quoted(value)} is no number")
    except (InvalidOperation, KeyError, TypeError):
        raise InvalidValue(f"{quoted(value)} is no number") from None
    if not number.is_finite():
        raise InvalidValue(f"{number} is not a finite number")
    return number


def _check_bounds(rules: Rules) -> Callable[[Decimal], None] | None:
    low, high, exclusive = rules.minimum, rules.maximum, rules.exclusive
    if low is None and high is None:
        return None

    def check(number: Decimal) -> None:
        if low is not None and (number < low or (exclusive and number == low)):
            raise InvalidValue(f"{number} must be {'more than' if exclusive else 'at least'} {low}")
        if high is not None and (number > high or (exclusive and number == high)):
            raise InvalidValue(f"{number} must be {'less than' if exclusive else 'at most'} {high}")

    return check


def _text(rules: Rules) -> Convert:
    allowed = rules.one_of

    def convert(value: Any) -> str:
        if type(value) is not str:
            raise SchemaMismatch(f"{quoted(value)} is no text")
        if value == UNAVAILABLE:
            raise SchemaMismatch(NOT_SENT)
        return value

    if allowed is None:
        return convert
    listed = ", ".join(sorted(allowed))

    def convert_listed(value: Any) -> str:
        if type(value) is str and value in allowed:
            return value
        raise InvalidValue(f"{quoted(convert(value))} is none of {listed}")

    return convert_listed


def _id(rules: Rules) -> Convert:
    prefix = rules.system + ":"

    def convert(value: Any) -> str:
        kind = type(value)
        if value == UNAVAILABLE:
            raise SchemaMismatch(NOT_SENT)
        if kind is str or kind is int:
            return f"{prefix}{value}"
        raise SchemaMismatch(f"{quoted(value)} is no id: expected text or a whole number")

    return convert


def _decimal(rules: Rules) -> Convert:
    check = _check_bounds(rules)
    scale, step = rules.scale, Decimal(1).scaleb(-rules.scale)
    limit = Decimal(10) ** (rules.precision - rules.scale)

    def convert(value: Any) -> Decimal:
        number = exact_number(value)
        if check is not None:
            check(number)
        if not -limit < number < limit:
            raise InvalidValue(f"{number} has more than {rules.precision - scale} digits before the point")
        exponent = number.as_tuple().exponent
        if type(exponent) is int and exponent < -scale:
            shorter = number.quantize(step, context=EXACT)
            if shorter != number:
                raise InvalidValue(f"{number} has more than {scale} decimal places")
            return shorter
        return number

    return convert


def _hours_to_seconds(rules: Rules) -> Convert:
    check = _check_bounds(rules)

    def convert(value: Any) -> int:
        number = exact_number(value)
        if check is not None:
            check(number)
        try:
            seconds = hours_to_seconds(number)
        except InvalidOperation:
            raise InvalidValue(f"{number} hours are too many") from None
        if not LONG_MIN <= seconds <= LONG_MAX:
            raise InvalidValue(f"{number} hours are too many")
        return seconds

    return convert


def _duration_to_seconds(rules: Rules) -> Convert:
    """Whole seconds, half up where an interval has parts of one."""
    check = _check_bounds(rules)

    def convert(value: Any) -> int:
        if value == UNAVAILABLE:
            raise SchemaMismatch(NOT_SENT)
        exact = duration_in_seconds(value)
        if check is not None:
            check(EXACT.divide(exact, Decimal(SECONDS_PER_HOUR)))
        seconds = int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP, context=EXACT))
        if not LONG_MIN <= seconds <= LONG_MAX:
            raise InvalidValue(f"{quoted(value)} is too long")
        return seconds

    return convert


def _integer(rules: Rules) -> Convert:
    check = _check_bounds(rules)

    def convert(value: Any) -> int:
        if type(value) is int:
            whole = value
        else:
            number = exact_number(value)
            if not LONG_MIN <= number <= LONG_MAX:  # before int(), which 1E+999999 would keep busy
                raise InvalidValue(f"{number} is out of range")
            if number != number.to_integral_value():
                raise InvalidValue(f"{number} is no whole number")
            whole = int(number)
        if check is not None:
            check(Decimal(whole))
        if not LONG_MIN <= whole <= LONG_MAX:
            raise InvalidValue(f"{whole} is out of range")
        return whole

    return convert


def _date(rules: Rules) -> Convert:
    """A day on which somebody may work or an agreement may end; the last one of the calendar, by which some
    systems write that there is no end, is none."""

    def convert(value: Any) -> date | None:
        kind = type(value)
        try:
            if kind is int:
                day = date.fromordinal(value + EPOCH_ORDINAL)
            elif kind is str:
                day = date.fromisoformat(value)
            elif kind is date:
                day = value
            else:
                raise SchemaMismatch(f"{quoted(value)} is no date")
        except (ValueError, OverflowError):
            raise InvalidValue(f"{quoted(value)} is no date between the years 1900 and 2999") from None
        if FIRST_YEAR <= day.year <= LAST_YEAR:
            return day
        if day == date.max:
            return None
        raise InvalidValue(f"{quoted(str(day))} is no date between the years 1900 and 2999")

    return convert


def instant(value: Any) -> datetime:
    """A timestamp in any of its wire forms, in UTC."""
    kind = type(value)
    try:
        if kind is str:
            moment = datetime.fromisoformat(value)
        elif kind is int:
            return EPOCH + timedelta(microseconds=value)
        elif kind is datetime:
            moment = value
        else:
            raise SchemaMismatch(f"{quoted(value)} is no timestamp")
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC)
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidValue(f"{quoted(value)} is no timestamp between the years 1 and 9999") from None


def _timestamp(rules: Rules) -> Convert:
    return instant


def _boolean(rules: Rules) -> Convert:
    def convert(value: Any) -> bool:
        if value is True or value is False:
            return value
        if type(value) is int and value in (0, 1):
            return value == 1
        raise SchemaMismatch(f"{quoted(value)} is no boolean")

    return convert


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a conversion is built, which canonical Avro type it makes, and which rules it takes."""

    build: Callable[[Rules], Convert]
    makes: str
    bounded: bool = False
    listable: bool = False


CONVERSIONS: Final[dict[str, Conversion]] = {
    "text": Conversion(_text, "string", listable=True),
    "id": Conversion(_id, "string"),
    "canonical_id": Conversion(_text, "string"),
    "decimal": Conversion(_decimal, "decimal", bounded=True),
    "hours_to_seconds": Conversion(_hours_to_seconds, "long", bounded=True),
    "duration_to_seconds": Conversion(_duration_to_seconds, "long", bounded=True),
    "integer": Conversion(_integer, "long", bounded=True),
    "date": Conversion(_date, "date"),
    "timestamp": Conversion(_timestamp, "timestamp-micros"),
    "boolean": Conversion(_boolean, "boolean"),
}
