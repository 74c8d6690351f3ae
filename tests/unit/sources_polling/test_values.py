"""Values to Avro: decoded by fastavro they are what they were, or they are refused with their text."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources.polling import values
from connectors.sources.polling.values import Form, NoForm
from connectors.sources.sqlite.types import form_of


def decoded(form: Form, value: Any) -> Any:
    stream = BytesIO(form.encode(value))
    found = schemaless_reader(stream, parse_schema(form.schema), None)
    assert not stream.read()
    return found


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9))
def test_decimals_stay_decimals(value: Decimal) -> None:
    """With and without a declared scale."""
    assert decoded(values.decimal(12, 2), value) == value
    found = decoded(values.VARIABLE_DECIMAL, value)
    assert Decimal(int.from_bytes(found["value"], "big", signed=True)).scaleb(-found["scale"]) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_reals_of_a_numeric_column_read_back(value: float) -> None:
    """A decimal of the shortest text gives the stored real back."""
    found = decoded(form_of("NUMERIC"), value)
    exact = Decimal(int.from_bytes(found["value"], "big", signed=True)) / Decimal(10) ** found["scale"]
    assert float(str(exact)) == value or found["scale"] > 28 or abs(value) > 1e28


@given(st.datetimes())
def test_instants(value: datetime) -> None:
    """Microseconds since 1970, and ISO in UTC."""
    assert decoded(values.TIMESTAMP, value) == (value - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
    zoned = value.replace(tzinfo=UTC)
    assert datetime.fromisoformat(decoded(values.ZONED_TIMESTAMP, zoned)) == zoned


def test_other_zones_become_utc() -> None:
    """An instant is an instant."""
    value = datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert decoded(values.ZONED_TIMESTAMP, value) == "2023-12-31T23:00:00.000000Z"


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (values.INT16, 2**15, "32768"),
        (values.INT64, 2**63, "9223372036854775808"),
        (values.decimal(4, 2), Decimal("1.234"), "1.234"),
        (values.decimal(4, 2), Decimal("NaN"), "NaN"),
        (values.DATE, "infinity", "infinity"),
        (values.DATE, datetime(2024, 1, 1), "2024-01-01 00:00:00"),  # noqa: DTZ001
        (values.TIME, timedelta(hours=25), "1 day, 1:00:00"),
        (values.DOUBLE, 2**53 + 1, "9007199254740993"),
        (form_of("INT"), "it's", "'it''s'"),
        (form_of("TEXT"), b"\xff", "x'ff'"),
        (form_of("TEXT"), "a\udcff", "CAST(x'61ff' AS TEXT)"),
        (form_of("DECIMAL(5,2)"), 0.125, "0.125"),
    ],
)
def test_what_has_no_form_keeps_its_text(form: Form, value: Any, text: str) -> None:
    """Nothing is rounded, cut or made a default."""
    with pytest.raises(NoForm) as raised:
        form.encode(value)
    assert str(raised.value) == text


def test_dates_of_sqlite_are_what_is_stored() -> None:
    """Texts and numbers as text; an untyped column as literals."""
    assert decoded(form_of("DATETIME"), "2024-01-01 00:00:00") == "2024-01-01 00:00:00"
    assert decoded(form_of("DATE"), 2460310.5) == "2460310.5"
    assert decoded(form_of(""), b"\x01") == "x'01'"
    assert decoded(values.DATE, date(1970, 1, 2)) == 1
