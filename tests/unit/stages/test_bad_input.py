"""Bad input through all flows: one exception each, with its bytes, and nothing else disturbed."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import pytest
from stage_builders import NAN, Firm, entry_row, some

TIME = "cdc.time.public.time_entry"


@pytest.mark.parametrize("crash", [0.0, 0.02])
def test_bytes_that_are_no_record_are_dead_lettered_once(crash: float) -> None:
    """Unframed, truncated and of an unknown schema, among good rows, with and without crashes."""
    firm = Firm(seed=1, crash=crash)
    firm.live_through()
    good = firm.insert("time_entry", **entry_row(900_001, status="draft"))
    assert good.value is not None
    bad = {
        b"{}": "POISON",
        b"": "POISON",
        good.value[:-3]: "POISON",
        good.value + b"\0": "POISON",
        struct.pack(">bI", 0, 4_000_000) + b"whatever": "SCHEMA",
    }
    for value in bad:
        firm.driver.produce(TIME, b"900001", value)
    firm.run()
    firm.assert_oracle()
    found = {r["raw_value"]: r for r in firm.exceptions().values() if r["raw_key"] == b"900001"}
    assert {value: r["exception_class"] for value, r in found.items()} == bad
    for record in found.values():
        assert record["raw_topic"] == TIME
        assert record["state"] == "open"
        assert record["subject"] == f"{TIME}/{record['raw_partition']}/{record['raw_offset']}"
        assert firm.times_published()[record["exception_id"]] == 1
    assert sorted(firm.dead_letters(), key=str) == sorted(bad, key=str)


def test_a_record_of_another_schema_is_a_mismatch() -> None:
    """A canonical record on a change topic decodes, and is no change all the same."""
    firm = Firm()
    firm.live_through()
    firm.run()
    stray = next(r for log in firm.driver.logs.partitions("canonical.time_entry") for r in log)
    firm.driver.produce(TIME, stray.key, stray.value)
    firm.run()
    firm.assert_oracle()
    (found,) = [r for r in firm.exceptions().values() if r["raw_value"] == stray.value]
    assert found["exception_class"] == "SCHEMA"
    assert firm.dead_letters() == [stray.value]


def test_broken_headers_are_poison() -> None:
    """A position that is none says so, and stops nobody."""
    firm = Firm()
    firm.live_through()
    change = firm.insert("time_entry", **entry_row(900_002, status="draft"))
    firm.driver.produce(TIME, change.key, change.value, (("tallystream.position", b"one/two"),))
    firm.run()
    firm.assert_oracle()
    (found,) = [
        r for r in firm.exceptions().values() if r["raw_topic"] == TIME and r["raw_key"] == change.key
    ]
    assert found["exception_class"] == "POISON"


BAD_ROWS: list[tuple[str, str, dict[str, Any], str]] = [
    ("time_entry", "time:900010", entry_row(900_010, hours=Decimal("25")), "25"),
    ("time_entry", "time:900011", entry_row(900_011, hours=Decimal("-1")), "-1"),
    ("time_entry", "time:900012", entry_row(900_012, hours=NAN), "NaN"),
    ("time_entry", "time:900013", entry_row(900_013, kind="holiday"), "holiday"),
    ("time_entry", "time:900014", entry_row(900_014, status="perhaps"), "perhaps"),
    ("engagement", "erp:EBAD", some("engagement", id="EBAD", cap_money=Decimal("-0.01")), "-0.01"),
    ("rate", "erp:RBAD", some("rate", id="RBAD", price=NAN), "NaN"),
    ("rate", "erp:RBAD0", some("rate", id="RBAD0", price=Decimal(0)), "0"),
    ("absence", "time:ABAD", some("absence", id="ABAD", hours=Decimal("24.5")), "24.5"),
]


@pytest.fixture(scope="module")
def firm_with_bad_rows() -> tuple[Firm, dict[str, bytes | None]]:
    """The firm, and the bytes of each bad row's change by its canonical id."""
    firm = Firm(seed=2, crash=0.01)
    firm.live_through()
    raw = {row_id: firm.insert(table, **row).value for table, row_id, row, _ in BAD_ROWS}
    firm.run()
    return firm, raw


@pytest.mark.parametrize(("row_id", "shown"), [(row_id, shown) for _, row_id, _, shown in BAD_ROWS])
def test_a_row_that_breaks_a_rule_is_one_exception_with_its_bytes(
    firm_with_bad_rows: tuple[Firm, dict[str, bytes | None]], row_id: str, shown: str
) -> None:
    """25 hours, a negative cap, NaN: the class, the value in words, the raw change, once."""
    firm, raw = firm_with_bad_rows
    found = firm.exceptions()[row_id]
    assert found["exception_class"] == "INVALID_VALUE"
    assert shown in found["message"]
    assert found["raw_value"] == raw[row_id]
    assert found["state"] == "open"
    assert firm.times_published()[found["exception_id"]] == 1


def test_rows_beside_the_bad_ones_are_the_oracles(
    firm_with_bad_rows: tuple[Firm, dict[str, bytes | None]],
) -> None:
    """Not a row and not a cent differs for the bad rows' company, and none of them is a dead letter."""
    firm, _ = firm_with_bad_rows
    firm.assert_oracle()
    assert firm.dead_letters() == []


def test_a_corrected_row_resolves_its_exception_and_counts() -> None:
    """The correction replaces the bad row: billed as if it had been right at once."""
    firm = Firm(seed=3)
    firm.live_through()
    row = entry_row(900_020, hours=Decimal("25"))
    firm.insert("time_entry", **row)
    firm.run()
    assert firm.exceptions()["time:900020"]["state"] == "open"
    firm.update("time_entry", 900_020, hours=Decimal("2.5"), version=2)
    firm.run()
    found = firm.exceptions()["time:900020"]
    assert found["state"] == "resolved"
    assert found["resolved_at"] is not None
    billed = [r for r in firm.driver.records("billing.current") if r["entry_id"] == "time:900020"]
    assert sum(r["seconds"] for r in billed if not r["deleted"]) == 9_000


def test_a_good_row_that_turns_bad_is_withdrawn() -> None:
    """What was billed is taken back while the row says nonsense."""
    firm = Firm(seed=4)
    firm.live_through()
    firm.insert("time_entry", **entry_row(900_030, hours=Decimal("1")))
    firm.run()
    firm.update("time_entry", 900_030, hours=Decimal("25"), version=2)
    firm.run()
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for record in firm.driver.records("billing.current"):
        latest[record["entry_id"], record["segment"]] = record
    assert all(r["deleted"] for (entry_id, _), r in latest.items() if entry_id == "time:900030")
    assert firm.exceptions()["time:900030"]["exception_class"] == "INVALID_VALUE"


def test_an_exception_report_that_can_not_be_read_does_not_loop() -> None:
    """Poison on the exceptions' own input goes to the dead letters, and makes no exception of itself."""
    firm = Firm()
    firm.driver.produce("exceptions.raised", b"x", b"garbage")
    firm.run()
    assert firm.dead_letters() == [b"garbage"]
    assert firm.driver.records("exceptions") == []


@pytest.mark.parametrize(
    ("topic", "flow"),
    [
        ("canonical.time_entry", "billing"),
        ("billing.rated", "allocation"),
        ("canonical.invoice_line", "allocation"),
        ("utilization.contribution", "utilization"),
        ("billing.events", "latency"),
        ("latency.samples", "latency"),
    ],
)
def test_every_stage_survives_poison_on_each_of_its_inputs(topic: str, flow: str) -> None:
    """Topics that only we write can be written to by others: an exception, and the lane goes on."""
    firm = Firm(seed=6)
    firm.driver.produce(topic, b"x", b"\xffgarbage", partition=0)
    firm.driver.produce(topic, b"x", None, partition=0)
    firm.live_through()
    firm.run()
    found = [r for r in firm.exceptions(flow).values() if r["raw_topic"] == topic]
    assert [r["raw_value"] for r in found] == [b"\xffgarbage"]
    if topic != "billing.events":  # which the comparison reads, and can't with garbage in it
        firm.assert_oracle()
