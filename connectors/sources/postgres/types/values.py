"""What the encoders of all types have in common: their shape, and how they say that a value is odd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from connectors.sources import avro

Schema: TypeAlias = str | dict[str, Any]
Encode: TypeAlias = Callable[[bytes], bytes]

# Repeated texts (dates, amounts, codes) are encoded once. Enough for a few years of dates or the
# amounts in use; an entry costs some 150 bytes.
MEMO = 4096


class SpecialValue(Exception):
    """A text without a form in its column's schema; internal, never leaves the encoder of a row."""


class NewLabel(SpecialValue):
    """A label that the schema of an enum's column does not list yet; internal as well."""


class EnumLabels:
    """Encodes an enum's labels. One that is not listed is remembered in ``unseen`` and raises `NewLabel`:
    an enum that gets a value announces nothing in the log."""

    __slots__ = ("_encoded", "listed", "unseen")

    def __init__(self, listed: tuple[str, ...]) -> None:
        self.listed = listed
        self.unseen: list[str] = []
        self._encoded = {label.encode(): avro.text(label) for label in listed}

    def __call__(self, raw: bytes) -> bytes:
        try:
            return self._encoded[raw]
        except KeyError:
            self.unseen.append(raw.decode())
            raise NewLabel from None


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column's Avro schema (not yet nullable) and its compiled encoder. ``labels``: those of the enum
    that it is or that its elements are."""

    schema: Schema
    encode: Encode
    labels: EnumLabels | None = None


def semantic(base: str, connect_name: str, parameters: dict[str, str] | None = None) -> dict[str, Any]:
    """A base type under one of Debezium's names."""
    schema: dict[str, Any] = {"type": base, "connect.version": 1}
    if parameters:
        schema["connect.parameters"] = parameters
    schema["connect.name"] = connect_name
    return schema


def nothing(raw: bytes) -> bytes:
    """The encoder of a column that is always null; never called."""
    raise SpecialValue
