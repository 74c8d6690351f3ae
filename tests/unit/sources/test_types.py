"""Each type's compiled encoder, decoded again by fastavro."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader
from hypothesis import given
from hypothesis import strategies as st

from connectors.sources import avro
from connectors.sources.postgres.types.mapping import (
    ColumnType,
    NewLabel,
    SpecialValue,
    TypeInfo,
    column_type,
    lossy,
    with_labels,
)


def kind(name: str, typmod: int = -1, labels: tuple[str, ...] = ()) -> ColumnType:
    return column_type(TypeInfo(1, name, labels), typmod)


def numeric(precision: int, scale: int) -> ColumnType:
    return kind("numeric", 4 + (precision << 16 | scale & 0x7FF))


def read(column: ColumnType, raw: bytes) -> Any:
    stream = BytesIO(column.encode(raw))
    value = schemaless_reader(stream, parse_schema(column.schema), None)
    assert not stream.read(), "the encoder wrote more than the schema takes"
    return value


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_of_all_sizes(value: int) -> None:
    """An int8 is the long it says."""
    assert read(kind("int8"), str(value).encode()) == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_longs_are_minimal(value: int) -> None:
    """The table-driven zigzag is the one the Avro specification describes."""
    rest, expected = (value << 1) ^ (value >> 63), bytearray()
    while rest > 127:
        expected.append(rest & 127 | 128)
        rest >>= 7
    assert avro.long(value) == bytes([*expected, rest])


@given(st.decimals(min_value="-9999999999.99", max_value="9999999999.99", places=2))
def test_money_is_exact(value: Decimal) -> None:
    """numeric(12,2) is a decimal of that precision and scale."""
    assert read(numeric(12, 2), f"{value:.2f}".encode()) == value


@given(st.integers(-(10**30), 10**30))
def test_twos_complement_is_the_shortest(value: int) -> None:
    """The bytes of a decimal read back as the number, and one byte less would not do."""
    encoded = avro.twos_complement(value)
    assert int.from_bytes(encoded, "big", signed=True) == value
    assert len(encoded) == 1 or int.from_bytes(encoded[1:], "big", signed=True) != value


def test_decimal_schema_is_connects() -> None:
    """Connect's Decimal with precision, scale and parameters, as Debezium registers it."""
    assert numeric(12, 2).schema == {
        "type": "bytes",
        "scale": 2,
        "precision": 12,
        "connect.version": 1,
        "connect.parameters": {"scale": "2", "connect.decimal.precision": "12"},
        "connect.name": "org.apache.kafka.connect.data.Decimal",
        "logicalType": "decimal",
    }


@pytest.mark.parametrize("raw", [b"NaN", b"Infinity", b"-Infinity"])
@pytest.mark.parametrize("column", [numeric(12, 2), kind("numeric")])
def test_numbers_that_are_none_are_special(column: ColumnType, raw: bytes) -> None:
    """NaN and the infinities have no decimal; they are told apart, not guessed."""
    with pytest.raises(SpecialValue):
        column.encode(raw)


def test_odd_scales() -> None:
    """A negative scale and one above the precision become decimals that Avro allows."""
    assert read(numeric(3, -2), b"12300") == Decimal(12300)
    assert read(numeric(2, 4), b"0.0012") == Decimal("0.0012")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=5))
def test_unconstrained_numeric_keeps_its_scale(value: Decimal) -> None:
    """numeric without precision is Debezium's VariableScaleDecimal, trailing zeros and all."""
    record = read(kind("numeric"), f"{value:f}".encode())
    unscaled = int.from_bytes(record["value"], "big", signed=True)
    assert record["scale"] == 5
    assert Fraction(unscaled, 10**5) == Fraction(value)


@given(st.dates())
def test_dates_are_days(value: date) -> None:
    """A date is the number of days since 1970."""
    assert read(kind("date"), value.isoformat().encode()) == (value - date(1970, 1, 1)).days


@pytest.mark.parametrize(
    ("raw", "days"),
    [(b"0001-01-01 BC", -719528), (b"0005-02-29 BC", -720930), (b"10000-01-01", 2932897)],
)
def test_dates_beyond_pythons(raw: bytes, days: int) -> None:
    """Years before 1 and after 9999 count as PostgreSQL counts them (`date - '1970-01-01'`)."""
    assert read(kind("date"), raw) == days


@given(st.datetimes())
def test_timestamps_are_exact_microseconds(value: datetime) -> None:
    """timestamp is MicroTimestamp, whatever digits the fraction has."""
    raw = value.isoformat(" ").rstrip("0") if value.microsecond else value.isoformat(" ")
    micros = (value - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001
    assert read(kind("timestamp"), raw.encode()) == micros


@given(st.datetimes(min_value=datetime(1000, 1, 1)))  # noqa: DTZ001
def test_instants_are_iso_in_utc_with_six_digits(value: datetime) -> None:
    """timestamptz is a text that reads back as the instant and sorts as it does."""
    raw = value.isoformat(" ").rstrip("0") if value.microsecond else value.isoformat(" ")
    text = read(kind("timestamptz"), raw.encode() + b"+00")
    assert len(text) == len("2024-02-29T12:00:00.000000Z")
    assert datetime.fromisoformat(text) == value.replace(tzinfo=UTC)


@pytest.mark.parametrize("name", ["date", "timestamp", "timestamptz"])
@pytest.mark.parametrize("raw", [b"infinity", b"-infinity"])
def test_infinite_times_are_special(name: str, raw: bytes) -> None:
    """An infinite date or time is no magic number."""
    with pytest.raises(SpecialValue):
        kind(name).encode(raw)


def test_timestamps_bc() -> None:
    """A timestamp before our era is a long like any other."""
    assert read(kind("timestamp"), b"0001-12-31 23:59:59.999999 BC") == -62_135_596_800_000_001


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("bool", b"t", True),
        ("bool", b"f", False),
        ("int2", b"-32768", -32768),
        ("int4", b"2147483647", 2147483647),
        ("oid", b"4294967295", 4294967295),
        ("float8", b"0.1", 0.1),
        ("float4", b"1.5", 1.5),
        ("float8", b"-Infinity", -math.inf),
        ("text", "Zürich 🏔".encode(), "Zürich 🏔"),
        ("bpchar", b"DE ", "DE "),
        ("uuid", b"6b2f4f7e-0d6f-4d9b-9c0a-3a9d3a1b2c3d", "6b2f4f7e-0d6f-4d9b-9c0a-3a9d3a1b2c3d"),
        ("jsonb", b'{"a": 1}', '{"a": 1}'),
        ("bytea", b"\\x00ff", b"\x00\xff"),
        ("time", b"23:59:59.5", 86_399_500_000),
        ("time", b"24:00:00", 86_400_000_000),
        ("timetz", b"24:00:00-15:59:59", "24:00:00-15:59:59"),
        ("interval", b"P1Y-1M3DT-4H5M-6.000007S", "P1Y-1M3DT-4H5M-6.000007S"),
        ("interval", b"-infinity", "-infinity"),
        (
            "hstore",
            b'"a"=>"1", "b"=>NULL, "q\\"k"=>"v, \\\\ =>"',
            '{"a": "1", "b": null, "q\\"k": "v, \\\\ =>"}',
        ),
        ("hstore", b"", "{}"),
        ("varbit", b"0001", "0001"),
        ("xid8", b"18446744073709551615", "18446744073709551615"),
    ],
)
def test_the_other_types(name: str, raw: bytes, value: Any) -> None:
    """One value of each type that has no law of its own."""
    assert read(kind(name), raw) == value


def test_semantic_names() -> None:
    """Debezium's names for semantic types, and the type's own name where there is none."""
    schemas = {name: kind(name).schema for name in ("date", "timestamp", "timestamptz", "uuid", "jsonb")}
    assert {name: schema["connect.name"] for name, schema in schemas.items() if isinstance(schema, dict)} == {
        "date": "io.debezium.time.Date",
        "timestamp": "io.debezium.time.MicroTimestamp",
        "timestamptz": "io.debezium.time.ZonedTimestamp",
        "uuid": "io.debezium.data.Uuid",
        "jsonb": "io.debezium.data.Json",
    }
    assert kind("tstzrange").schema == {
        "type": "string",
        "connect.parameters": {"__debezium.source.column.type": "TSTZRANGE"},
    }
    enum = kind("app.state", labels=("draft", "approved")).schema
    assert isinstance(enum, dict)
    assert enum["connect.parameters"] == {"allowed": "draft,approved"}


def test_nan_floats_stay_floats() -> None:
    """Avro's floats have a NaN, so that of a float column is not special."""
    assert math.isnan(read(kind("float8"), b"NaN"))


def array_of(element: TypeInfo, typmod: int = -1, delimiter: str = ",") -> ColumnType:
    return column_type(TypeInfo(1, "_", element=(element, -1), delimiter=delimiter), typmod)


def quoted(text: str) -> str:
    """An array's element as PostgreSQL writes it when it quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"))))
def test_arrays_of_any_text(values: list[str | None]) -> None:
    """Quotes, braces, delimiters, the text NULL and nulls are told apart."""
    raw = "{" + ",".join("NULL" if one is None else quoted(one) for one in values) + "}"
    assert read(array_of(TypeInfo(25, "text")), raw.encode()) == values


@given(st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)))
def test_arrays_of_integers(values: list[int | None]) -> None:
    """Without quotes, as PostgreSQL writes what needs none."""
    raw = "{" + ",".join("NULL" if one is None else str(one) for one in values) + "}"
    assert read(array_of(TypeInfo(23, "int4")), raw.encode()) == values


@pytest.mark.parametrize("raw", [b"{{1,2},{3,4}}", b"[0:1]={1,2}", b"[1:1][1:1]={{1}}"])
def test_arrays_that_would_be_flattened_are_special(raw: bytes) -> None:
    """Several dimensions, and indexes that do not start at 1, have no place in an Avro array."""
    with pytest.raises(SpecialValue):
        array_of(TypeInfo(23, "int4")).encode(raw)


def test_elements_of_arrays() -> None:
    """Take the column's modifier or their own, and another delimiter; one special makes all special."""
    numbers = array_of(TypeInfo(1700, "numeric"), 4 + (6 << 16 | 2))
    assert read(numbers, b"{1.10,NULL}") == [Decimal("1.10"), None]
    with pytest.raises(SpecialValue):
        numbers.encode(b"{1.10,NaN}")
    assert read(array_of(TypeInfo(603, "box"), delimiter=";"), b"{(1,1),(0,0);(2,2),(0,0)}") == [
        "(1,1),(0,0)",
        "(2,2),(0,0)",
    ]


@given(st.integers(1, 200), st.data())
def test_bits_are_the_number_they_spell(length: int, data: st.DataObject) -> None:
    """Lowest byte first; one bit is a boolean. Another length than the column's is special."""
    number = data.draw(st.integers(0, 2**length - 1))
    value = read(kind("bit", length), f"{number:0{length}b}".encode())
    assert (int(value) if length == 1 else int.from_bytes(value, "little")) == number
    with pytest.raises(SpecialValue):
        kind("bit", length).encode(b"0" * (length + 1))


@pytest.mark.parametrize(
    ("raw", "cents"),
    [("$1,234.50", 123450), ("-$92,233,720,368,547,758.08", -(2**63)), ("($0.01)", -1), ("1 234,50 €", 123450),
     ("\u22121.234,50 kr", -123450), ("0", 0)],
)  # fmt: skip
def test_money_of_any_locale(raw: str, cents: int) -> None:
    """Its digits are the number, whatever stands between and around them."""
    assert read(kind("money"), raw.encode()) == Decimal(cents).scaleb(-2)
    yen = column_type(TypeInfo(790, "money", fraction=0), -1)
    assert read(yen, raw.encode()) == Decimal(cents)


@pytest.mark.parametrize("digits", [1000, 4001, 147_455])
def test_numbers_longer_than_python_reads(digits: int) -> None:
    """Are values like all others."""
    record = read(kind("numeric"), b"-" + b"7" * digits)
    assert record["scale"] == 0
    assert int.from_bytes(record["value"], "big", signed=True) == -(7 * (10**digits - 1) // 9)


def test_the_last_instants_of_postgresql_are_special() -> None:
    """It counts microseconds from 2000, we count from 1970: the last thirty years do not fit, and do not wrap."""
    last = (2**63 - 1) // 86_400_000_000
    assert read(kind("timestamp"), b"294247-01-10 04:00:54.775807") == 2**63 - 1
    assert read(kind("date"), b"294247-01-10") == last
    with pytest.raises(SpecialValue):
        kind("timestamp").encode(b"294247-01-10 04:00:54.775808")


def test_points_have_their_wkb() -> None:
    """Coordinates exactly, and the same as well-known binary."""
    value = read(kind("point"), b"(1.5,-0)")
    assert (value["x"], str(value["y"]), value["srid"]) == (1.5, "-0.0", None)
    assert value["wkb"].hex() == "0101000000000000000000f83f0000000000000080"


def test_new_labels_are_remembered() -> None:
    """A label that the schema does not list is not guessed at; listed, it is encoded."""
    info = TypeInfo(1, "app.states", element=(TypeInfo(2, "app.state", ("a",)), -1))
    column = column_type(info, -1)
    with pytest.raises(NewLabel):
        column.encode(b"{a,b}")
    assert column.labels is not None
    assert column.labels.unseen == ["b"]
    assert read(column_type(with_labels(info, ("a", "b")), -1), b"{a,b}") == ["a", "b"]


def test_types_whose_text_is_a_summary() -> None:
    """Are known, also as elements."""
    assert lossy(TypeInfo(3642, "gtsvector"))
    assert lossy(TypeInfo(1, "_", element=(TypeInfo(2, "public.gbtreekey16"), -1)))
    assert not lossy(TypeInfo(3614, "tsvector"))
