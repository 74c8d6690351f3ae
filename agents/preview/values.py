"""The values of a change file, read as the types of the contracts; nothing that these can't hold is taken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

# What takes a value away.
NULLS: Final = ("null", "~", "")


def kind_name(schema: Any) -> str:
    """The name of a field's type, as messages say it."""
    return _kind(schema)[1]


def read_value(schema: Any, text: str) -> Any:
    """The value that a text has as a field's type; `ValueError` or `ArithmeticError` if it is none of it."""
    if text in NULLS:
        return None
    kind, name = _kind(schema)
    if name == "decimal":
        return _decimal(text, kind["precision"], kind["scale"])
    return _READERS[name](text)


def _kind(schema: Any) -> tuple[Any, str]:
    """The type within its union with null, and its name."""
    kind = schema[1] if isinstance(schema, list) else schema
    return kind, str(kind.get("logicalType", kind["type"]) if isinstance(kind, dict) else kind)


def _decimal(text: str, precision: int, scale: int) -> Decimal:
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > scale:
        raise ValueError
    if number.copy_abs() >= Decimal(10) ** (precision - scale):
        raise ValueError
    return number


def _whole(bits: int) -> Callable[[str], int]:
    limit = 2 ** (bits - 1)

    def read(text: str) -> int:
        number = int(text)
        if not -limit <= number < limit:
            raise ValueError
        return number

    return read


def _text(text: str) -> str:
    text.encode()  # refuses half a surrogate pair, which nothing could print
    return text


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


def _boolean(text: str) -> bool:
    return ("false", "true").index(text) == 1


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "string": _text,
    "long": _whole(64),
    "int": _whole(32),
    "boolean": _boolean,
    "date": date.fromisoformat,
    "timestamp-micros": _instant,
}
