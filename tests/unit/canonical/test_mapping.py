"""Mapping of rows: golden records of every table, rules, and rows that are not as the mapping expects."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from canonical_builders import GOLDEN, MAPPINGS, NOW, change, headers, mapping_of, row_of, table_of
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from agents.canonical import IgnoredTable, MappedChange, TableMapping, decide, map_change
from agents.canonical.conversions import CONVERSIONS, Rules
from streams.contracts import load_contracts, load_schema
from streams.errors import InvalidValue
from streams.money import hours_to_seconds

TABLES = [(system, table) for system, tables in GOLDEN.items() for table in tables]


def mapped(system: str, table: str, **changes: Any) -> MappedChange:
    return map_change(table_of(system, table), change(system, table, after=row_of(system, table, **changes)))


def problem(system: str, table: str, **changes: Any) -> tuple[str, str]:
    """Class and message of the quarantine that a changed golden row ends in."""
    outcome = mapped(system, table, **changes)
    assert outcome.record is None
    assert outcome.quarantine is not None
    assert outcome.id is not None
    return outcome.quarantine


@pytest.mark.parametrize(("system", "table"), TABLES)
def test_golden(system: str, table: str) -> None:
    """The row of each table becomes exactly the canonical record written beside it."""
    outcome = mapped(system, table)
    assert outcome.quarantine is None
    assert outcome.record == GOLDEN[system][table]["record"]
    assert outcome.id == outcome.record["id"]


@pytest.mark.parametrize(("system", "table"), TABLES)
def test_golden_record_fits_its_schema(system: str, table: str) -> None:
    """With its lineage, each record is written and read back by the canonical schema unchanged."""
    decision = decide(
        change(system, table, after=row_of(system, table)), headers(), None, mapping_of(system), NOW
    )
    (record,) = decision.records
    schema = parse_schema(load_schema(f"canonical/{decision.entity}"))
    stream = io.BytesIO()
    schemaless_writer(stream, schema, record)
    stream.seek(0)
    assert schemaless_reader(stream, schema, schema) == record
    assert record.keys() == {field["name"] for field in load_schema(f"canonical/{decision.entity}")["fields"]}


def test_golden_covers_every_mapped_table() -> None:
    """No table is mapped without a golden row, and every canonical entity is made by exactly one table."""
    tables = [
        (system, name, table)
        for system, mapping in MAPPINGS.items()
        for name, table in mapping.tables.items()
    ]
    assert {(s, n) for s, n, table in tables if isinstance(table, TableMapping)} == set(TABLES)
    entities = sorted(table.entity for _, _, table in tables if isinstance(table, TableMapping))
    topics = sorted(
        name.removeprefix("canonical.") for name in load_contracts().topics if name.startswith("canonical.")
    )
    assert entities == topics


def test_ignored_tables_say_why() -> None:
    """The tables without a canonical entity are ignored on purpose, each with a reason."""
    ignored = {
        name: table.reason
        for mapping in MAPPINGS.values()
        for name, table in mapping.tables.items()
        if isinstance(table, IgnoredTable)
    }
    assert set(ignored) == {"invoice"}
    assert all(len(reason) > 20 for reason in ignored.values())


def test_routes_agree_with_the_contracts() -> None:
    """The route field of an entity is what its topic is partitioned by."""
    contracts = load_contracts().topics
    for mapping in MAPPINGS.values():
        for table in mapping.tables.values():
            if isinstance(table, TableMapping):
                declared = contracts[f"canonical.{table.entity}"].partition_by
                assert (table.route.name if table.route else None) == declared


D = Decimal
BREACHES = [
    ("time", "time_entry", {"hours": D("-0.0001")}),
    ("time", "time_entry", {"hours": D("24.0001")}),
    ("time", "time_entry", {"kind": "night"}),
    ("time", "time_entry", {"status": "Approved"}),
    ("time", "absence", {"hours": D("25")}),
    ("time", "absence", {"kind": "strike"}),
    ("erp", "client", {"status": "gone"}),
    ("erp", "engagement", {"cap_money": D("-0.01")}),
    ("erp", "engagement", {"cap_hours": D("-1")}),
    ("erp", "engagement", {"over_cap_action": "ignore"}),
    ("erp", "contract_line", {"billing_method": "barter"}),
    ("erp", "contract_line", {"cap_money": D("-1")}),
    ("erp", "contract_line", {"included_hours": D("-1")}),
    ("erp", "contract_line", {"per_diem_amount": D("-1")}),
    ("erp", "contract_line", {"day_minimum_hours": D("-1")}),
    ("erp", "contract_line", {"quantity_increment_seconds": 0}),
    ("erp", "contract_line", {"rounding": "up"}),
    ("erp", "contract_line", {"quantity_rounding": "down"}),
    ("erp", "contract_line", {"minimum_quantity_hours": D("24.5")}),
    ("erp", "contract_line", {"revenue_method": "when paid"}),
    ("erp", "contract_line", {"fee": D("-1")}),
    ("erp", "contract_line", {"planned_hours": D("-1")}),
    ("erp", "engagement_version", {"cap_hours": D("-1")}),
    ("erp", "contract_line_version", {"over_cap_action": "ignore"}),
    ("erp", "contract_line_version", {"starts_on": None}),
    ("erp", "plan_revision", {"fee": D("-1")}),
    ("erp", "plan_revision", {"planned_hours": D("1000001")}),
    ("erp", "project", {"status": "open"}),
    ("erp", "task", {"billing_class": "maybe"}),
    ("erp", "consultant", {"fte": D("2.0001")}),
    ("erp", "consultant", {"fte": D("-0.1")}),
    ("erp", "consultant_position", {"fte": D("2.0001")}),
    ("erp", "consultant_position", {"fte": D("-0.1")}),
    ("erp", "consultant_position", {"effective_to": 19723}),
    ("erp", "calendar", {"sunday": D("24.5")}),
    ("erp", "rate", {"price": D("0.0000")}),
    ("erp", "rate", {"overtime_multiplier": D("0")}),
    ("erp", "rate", {"weekend_multiplier": D("-1")}),
    ("erp", "rate", {"effective_to": 19723}),
    ("erp", "cost_rate", {"effective_from": 19787, "effective_to": 19787}),
    ("erp", "fx_rate", {"rate": D("0")}),
    ("erp", "assignment", {"hours_per_day": D("24.5")}),
    ("erp", "assignment", {"hours_per_day": D("-1")}),
    ("erp", "assignment", {"status": "maybe"}),
    ("erp", "assignment", {"ends_on": 19723}),
    ("erp", "utilization_target", {"ratio": D("1.0001")}),
    ("erp", "utilization_target", {"ratio": D("-0.1")}),
    ("erp", "utilization_target", {"scope": "team"}),
    ("erp", "utilization_target", {"consultant_id": None}),
    ("erp", "utilization_target", {"scope": "grade"}),
    ("erp", "utilization_target", {"scope": "practice"}),
    ("erp", "utilization_target", {"effective_to": 19723}),
    ("erp", "accounting_period", {"status": "half"}),
    ("erp", "milestone", {"amount": D("-5")}),
    ("erp", "milestone", {"status": "late"}),
    ("erp", "invoice_line", {"seconds": -1}),
    ("erp", "engagement", {"cap_hours": D(27_000_000)}),  # an interval's microseconds
    ("erp", "holiday", {"hours": D("24.5")}),
    ("erp", "bill_adjustment", {"hours": D(1001)}),
    ("erp", "bill_adjustment", {"hours": None}),
    ("erp", "bill_adjustment", {"kind": "discount", "amount": None}),
    ("erp", "invoice_line", {"amount": D("-0.01")}),
    ("erp", "invoice_line", {"kind": "debit"}),
    ("erp", "bill_adjustment", {"hours": D("-1")}),
    ("erp", "bill_adjustment", {"kind": "gift"}),
    ("crm", "account", {"status": "unknown"}),
    ("crm", "opportunity", {"stage": "maybe"}),
]


@pytest.mark.parametrize(("system", "table", "columns"), BREACHES)
def test_rules(system: str, table: str, columns: dict[str, Any]) -> None:
    """Each rule of a mapping quarantines a row that breaks it, and names its line and column."""
    kind, message = problem(system, table, **columns)
    assert kind == "INVALID_VALUE"
    assert f"reference-{system}.yaml:" in message
    assert f" {table}." in message
    assert any(column in message for column in columns)


@pytest.mark.parametrize(
    ("system", "table", "columns"),
    [
        ("time", "time_entry", {"hours": D(0)}),
        ("erp", "bill_adjustment", {"kind": "hold", "hours": None}),
        ("erp", "bill_adjustment", {"kind": "discount", "hours": None, "amount": D(5)}),
        ("time", "time_entry", {"hours": D(24)}),
        ("erp", "engagement", {"cap_money": D(0), "cap_hours": None}),
        ("erp", "consultant", {"fte": D(2)}),
        ("erp", "contract_line", {"quantity_increment_seconds": 1}),
        ("erp", "rate", {"effective_to": 19724}),
        ("erp", "invoice_line", {"seconds": 0, "amount": D(0)}),
    ],
)
def test_bounds_are_valid_themselves(system: str, table: str, columns: dict[str, Any]) -> None:
    """The ends of an inclusive range, nulls of optional fields, and ranges of one day are valid."""
    assert mapped(system, table, **columns).quarantine is None


@pytest.mark.parametrize("value", [D("NaN"), D("Infinity"), float("nan"), "-Infinity", "eight"])
def test_numbers_that_are_none(value: Any) -> None:
    """NaN, infinities and words are no hours, in whatever form they come."""
    assert problem("time", "time_entry", hours=value)[0] == "INVALID_VALUE"


def test_special_values_come_in_a_header() -> None:
    """A NaN that the wire type can't hold is null in the row and named beside it: invalid, not uncapped."""
    row = row_of("erp", "engagement", cap_money=None)
    table = table_of("erp", "engagement")
    outcome = map_change(table, change("erp", "engagement", after=row), {"after.cap_money": "NaN"})
    assert outcome.quarantine is not None
    assert outcome.quarantine.exception_class == "INVALID_VALUE"
    assert "engagement.cap_money (column cap_money): 'NaN'" in outcome.quarantine.message
    untouched = map_change(
        table, change("erp", "engagement", after=row), {"before.cap_money": "NaN", "after.memo": "infinity"}
    )
    assert untouched.quarantine is None


def test_unknown_columns_are_tolerated() -> None:
    """A column that the vendor added is no reason to stop."""
    assert mapped("erp", "task", added_by_vendor=1).record == GOLDEN["erp"]["task"]["record"]


def test_missing_column() -> None:
    """A column that vanished is reported with the mapping's line, even where null would be allowed."""
    row = row_of("erp", "engagement")
    del row["cap_money"]
    outcome = map_change(table_of("erp", "engagement"), change("erp", "engagement", after=row))
    assert outcome.quarantine is not None
    assert outcome.quarantine.exception_class == "SCHEMA"
    assert "engagement.cap_money (column cap_money): the row has no such column" in outcome.quarantine.message


def test_null_in_a_required_column() -> None:
    """A null where the canonical record needs a value is invalid."""
    assert problem("time", "time_entry", work_date=None) == (
        "INVALID_VALUE",
        next(f.where for f in table_of("time", "time_entry").fields if f.name == "work_date")
        + " (column work_date): null, but required",
    )


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"work_date": 10**9}, "INVALID_VALUE"),
        ({"work_date": "yesterday"}, "INVALID_VALUE"),
        ({"work_date": 1.5}, "SCHEMA"),
        ({"approved_at": "infinity"}, "INVALID_VALUE"),
        ({"approved_at": 10**19}, "INVALID_VALUE"),
        ({"approved_at": b"x"}, "SCHEMA"),
        ({"project_code": 1.5}, "SCHEMA"),
        ({"status": 5}, "SCHEMA"),
        ({"hours": b"x"}, "SCHEMA"),
        ({"hours": {"scale": 2}}, "INVALID_VALUE"),
        ({"version": D("1.5")}, "INVALID_VALUE"),
        ({"approved_by": "__debezium_unavailable_value"}, "SCHEMA"),
    ],
)
def test_values_of_other_types(columns: dict[str, Any], kind: str) -> None:
    """A value out of range is the row's fault; a type that the conversion does not know is the schema's."""
    assert problem("time", "time_entry", **columns)[0] == kind


@pytest.mark.parametrize(
    "hours",
    [D("7.50"), "7.5", 7.5, {"scale": 3, "value": (7500).to_bytes(2, "big")}, {"scale": -1, "value": b"\0"}],
)
def test_hours_in_all_their_forms(hours: Any) -> None:
    """Decimal, text, float and variable-scale hours convert exactly."""
    record = mapped("time", "time_entry", hours=hours).record
    assert record is not None
    assert record["seconds"] == (0 if hours == {"scale": -1, "value": b"\0"} else 27_000)


@pytest.mark.parametrize(
    ("columns", "field", "expected"),
    [
        ({"work_date": "2024-02-29"}, "work_date", date(2024, 2, 29)),
        ({"work_date": date(2024, 2, 29)}, "work_date", date(2024, 2, 29)),
        ({"approved_at": 1_000_001}, "approved_at", datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)),
        ({"approved_at": "2024-03-06T09:00:00+01:00"}, "approved_at", datetime(2024, 3, 6, 8, tzinfo=UTC)),
        ({"approved_at": "2024-03-06T08:00:00"}, "approved_at", datetime(2024, 3, 6, 8, tzinfo=UTC)),
        ({"approved_at": NOW}, "approved_at", NOW),
        ({"version": D(4)}, "version", 4),
        ({"id": "abc"}, "id", "time:abc"),
    ],
)
def test_retyped_columns(columns: dict[str, Any], field: str, expected: Any) -> None:
    """Columns that change to another type of the same meaning go on working."""
    record = mapped("time", "time_entry", **columns).record
    assert record is not None
    assert record[field] == expected


def test_booleans() -> None:
    """MySQL's 0 and 1 are booleans, other numbers are not."""
    record = mapped("erp", "rate", applies_to_invoiced=1).record
    assert record is not None
    assert record["applies_to_invoiced"] is True
    assert problem("erp", "rate", applies_to_invoiced=2)[0] == "SCHEMA"


def test_decimals_that_do_not_fit() -> None:
    """A number with more places or digits than the canonical field is refused, not rounded."""
    assert "decimal places" in problem("erp", "rate", price=D("1.00001"))[1]
    assert "digits" in problem("erp", "cost_rate", cost=D(10) ** 14)[1]
    assert "less than" in problem("erp", "rate", price=D(1_000_000))[1]
    record = mapped("erp", "rate", price=D("1.2000000")).record
    assert record is not None
    assert str(record["price"]) == "1.2000"
    assert "at most" in problem("erp", "engagement", cap_hours=D("1e17"))[1]
    assert "out of range" in problem("erp", "invoice_line", entry_version=2**63)[1]


@pytest.mark.parametrize("hours", [D("1e17"), D("1e40")])
def test_hours_beyond_what_counts_seconds(hours: Decimal) -> None:
    """Also where the mapping names no bound."""
    convert = CONVERSIONS["hours_to_seconds"].build(Rules())
    with pytest.raises(InvalidValue, match="too many"):
        convert(hours)


def test_row_without_a_key() -> None:
    """Where not even the key is readable, there is no id, and the exception says so."""
    for row in ({**row_of("erp", "task"), "id": None}, {**row_of("erp", "task"), "id": 1.5}):
        outcome = map_change(table_of("erp", "task"), change("erp", "task", after=row))
        assert outcome.id is None
        assert outcome.quarantine is not None


def test_change_without_a_row() -> None:
    """An update or delete without its row is reported with what to set in the database."""
    for op in ("u", "d"):
        outcome = map_change(table_of("erp", "task"), change("erp", "task", op))
        assert outcome.quarantine is not None
        assert "REPLICA IDENTITY FULL" in outcome.quarantine.message


def test_unchanged_columns_that_are_unknown() -> None:
    """A large value that the log left out is not read as null."""
    row = row_of("erp", "engagement", po_number=None)
    table = table_of("erp", "engagement")
    outcome = map_change(table, change("erp", "engagement", "u", after=row), None, ["po_number"])
    assert outcome.quarantine is not None
    assert outcome.quarantine.exception_class == "SCHEMA"


def test_delete_needs_only_the_key() -> None:
    """With a default replica identity a delete carries the key alone, and is a deletion all the same."""
    outcome = map_change(table_of("erp", "task"), change("erp", "task", "d", before={"id": "T-1"}))
    assert outcome == MappedChange("erp:T-1", None, True, None, None)


@given(st.decimals(min_value=0, max_value=24, places=4))
def test_hours_become_seconds_half_up(hours: Decimal) -> None:
    """Any hours in range become the nearest whole second, never another rule's."""
    record = mapped("time", "time_entry", hours=hours).record
    assert record is not None
    assert record["seconds"] == hours_to_seconds(hours)
    assert abs(D(record["seconds"]) - hours * 3600) <= D("0.5")


WIRE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=8),
    st.floats(),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.binary(max_size=4),
    st.dictionaries(
        st.sampled_from(["scale", "value"]), st.one_of(st.integers(-50, 50), st.binary(max_size=3))
    ),
)


@pytest.mark.parametrize(("system", "table"), TABLES)
@given(data=st.data())
def test_anything_maps_or_is_quarantined(system: str, table: str, data: st.DataObject) -> None:
    """Whatever a column holds, a row becomes a record that its schema can hold, or one exception."""
    column = data.draw(st.sampled_from(sorted(GOLDEN[system][table]["row"])))
    row = row_of(system, table, **{column: data.draw(WIRE)})
    decision = decide(change(system, table, after=row), headers(), None, mapping_of(system), NOW)
    schema = parse_schema(load_schema(f"canonical/{decision.entity}"))
    live = [record for record in decision.records if not record["deleted"]]
    raised = [report for report in decision.reports if report["op"] == "RAISE"]
    assert len(live) + len(raised) == 1
    for record in decision.records:
        schemaless_writer(io.BytesIO(), schema, record)
