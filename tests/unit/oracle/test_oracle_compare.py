"""The comparison: equal outputs are equal, and each kind of planted error is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from oracle import (
    Actual,
    DayKey,
    Expected,
    Fold,
    FoldKey,
    Incident,
    Utilization,
    billing_from_records,
    compare,
    current_from_records,
    daily_from_records,
    open_incidents,
    windows_from_records,
)
from unit.oracle.builders import (
    HOUR,
    D,
    charge,
    engagement,
    entry,
    expect,
    firm,
    milestone,
    put,
    without,
)


def outputs() -> Expected:
    """A firm with billed, unbilled, over-cap, due and parked segments, and a parked milestone."""
    rows = firm(
        engagement(cap_money=D(1000)),
        entry(1, "03-05", 6 * HOUR),
        entry(2, "03-06", 6 * HOUR),
        entry(3, "03-07", HOUR, project_id="erp:GONE"),
        entry(4, "03-04", HOUR, status="withdrawn"),
        charge("I1", "time:1", 6 * HOUR, "600.00"),
        charge("I2", "time:4", HOUR, "100.00"),
    )
    return expect(put(rows, replace(milestone(), contract_line_id="erp:GONE")))


def ledger(expected: Expected) -> list[dict[str, Any]]:
    """One CHARGE for each expected segment, as decoded ledger records."""
    return [
        {
            "event_id": f"{key.root}:{key.entry}:{key.segment}:1:CHARGE",
            "kind": "CHARGE",
            **segment(key, fold),
        }
        for key, fold in expected.billing.items()
    ]


def segment(key: FoldKey, fold: Fold) -> dict[str, Any]:
    return {
        "root_id": key.root,
        "entry_id": key.entry,
        "segment": key.segment,
        "bucket": key.bucket,
        "contract_line_id": key.line,
        "currency": key.currency,
        "accounting_date": None if key.month is None else date.fromisoformat(f"{key.month}-15"),
        "client_id": key.client,
        "project_id": key.project,
        "task_id": key.task,
        "consultant_id": key.consultant,
        "work_date": key.day,
        "seconds": fold.seconds,
        "amount": fold.amount,
        "functional_amount": fold.functional,
    }


def current(expected: Expected) -> list[dict[str, Any]]:
    """The live segments as decoded records of the current state."""
    records = []
    for key, fold in expected.billing.items():
        parked = expected.parked.get(key.entry)
        records.append(
            {
                "deleted": False,
                "exception_class": None if parked is None else parked.exception_class,
                "missing_keys": None if parked is None else list(parked.missing_keys),
                **segment(key, fold),
            }
        )
    return records


def utilization(row: Utilization) -> dict[str, Any]:
    return {
        "deleted": False,
        "worked_seconds": row.worked,
        "billable_seconds": row.billable,
        "unclassified_seconds": row.unclassified,
        "capacity_seconds": row.capacity,
        "utilization": row.ratio,
        "practice": row.practice,
        "region": row.region,
        "role": row.role,
        "grade": row.grade,
        "target_seconds": row.target,
        "shortfall_seconds": row.shortfall,
        "planned_seconds": row.planned,
        "planned_billable_seconds": row.planned_billable,
        "planned_unclassified_seconds": row.planned_unclassified,
        "forecast": row.forecast,
        "variance_seconds": row.variance,
    }


def daily(expected: Expected) -> list[dict[str, Any]]:
    return [
        {"consultant_id": key.consultant_id, "day": key.day, **utilization(row)}
        for key, row in expected.daily.items()
    ]


def windows(expected: Expected) -> list[dict[str, Any]]:
    return [
        {
            "consultant_id": key.consultant_id,
            "window": key.window,
            "starts_on": key.starts_on,
            **utilization(row),
        }
        for key, row in expected.windows.items()
    ]


def reversal(record: dict[str, Any]) -> dict[str, Any]:
    amount = record["amount"]
    return record | {
        "kind": "REVERSAL",
        "event_id": record["event_id"].replace("CHARGE", "REVERSAL"),
        "seconds": -record["seconds"],
        "amount": None if amount is None else -amount,
        "functional_amount": None if record["functional_amount"] is None else -record["functional_amount"],
    }


def test_equal_outputs_are_equal() -> None:
    """Every check runs, nothing differs, and the rows are counted."""
    expected = outputs()
    actual = Actual(
        billing_from_records(ledger(expected)),
        current_from_records(current(expected)),
        daily_from_records(daily(expected)),
        windows_from_records(windows(expected)),
    )
    found = compare(expected, actual)
    assert found.equal
    assert found.differences == ()
    assert found.by_check == {
        "ledger": (7, 0),
        "conservation": (5, 0),
        "duplicates": (0, 0),
        "current": (7, 0),
        "parked": (2, 0),
        "drafts": (0, 0),
        "refused": (0, 0),
        "daily": (3, 0),
        "windows": (3, 0),
    }
    assert found.rows_compared == 27


def test_history_does_not_matter() -> None:
    """A line that was reversed and charged anew, and one that came and went, fold to the same."""
    expected = outputs()
    records = ledger(expected)
    first = records[0] | {"event_id": "old:CHARGE", "amount": Decimal(1), "seconds": 5, "currency": "USD"}
    parked = next(record for record in records if record["entry_id"] == "erp:M")
    gone = parked | {"event_id": "gone:CHARGE", "root_id": "entry:erp:M"}
    records = [first, reversal(first), gone, reversal(gone), *records]
    assert compare(expected, Actual(billing_from_records(records))).equal


def test_a_planted_cent_is_found() -> None:
    """One cent more on one line: one row differs, by 0.01, and the line says which."""
    expected = outputs()
    records = ledger(expected)
    wrong = next(record for record in records if record["segment"] == "base" and record["amount"])
    wrong["amount"] += D("0.01")
    found = compare(expected, Actual(billing_from_records(records)))
    assert (found.rows_different, found.money_difference) == (1, D("0.01"))
    assert found.differences == (
        "ledger erp:E time:2 base unbilled erp:L EUR 2026-03 erp:A erp:P - erp:C 2026-03-06:"
        " expected 10800 s 300.00 EUR, found 10800 s 300.01 EUR",
    )


def test_cents_that_cancel_out_are_found() -> None:
    """A cent too much and a cent too little are two cents of difference, not none."""
    expected = outputs()
    records = [record for record in ledger(expected) if record["amount"]]
    assert len(records) >= 2
    records[0]["amount"] += D("0.01")
    records[1]["amount"] -= D("0.01")
    found = compare(expected, Actual(billing_from_records([*records])))
    assert found.money_difference == D("0.02")


def test_a_missing_row_is_found() -> None:
    """A segment that was never charged: the row, its whole amount, and the entry's time."""
    expected = outputs()
    records = [record for record in ledger(expected) if record["segment"] != "over-engagement"]
    found = compare(expected, Actual(billing_from_records(records)))
    assert found.money_difference == D(300)
    assert found.by_check["ledger"] == (7, 1)
    assert found.by_check["conservation"] == (5, 1)
    assert "found nothing" in found.differences[0]


def test_a_missing_parked_milestone_is_found() -> None:
    """Neither time nor money, but it must be there."""
    expected = outputs()
    records = [record for record in ledger(expected) if record["entry_id"] != "erp:M"]
    found = compare(expected, Actual(billing_from_records(records)))
    assert found.by_check["ledger"] == (7, 1)


def test_a_doubled_event_is_found() -> None:
    """The same event id twice is reported as such, and its amount is counted twice."""
    expected = outputs()
    records = ledger(expected)
    twice = next(record for record in records if record["amount"] == 600)
    found = compare(expected, Actual(billing_from_records([*records, twice])))
    assert found.by_check["duplicates"] == (1, 1)
    assert found.money_difference == D(600)
    assert "duplicate event erp:E:time:1:inv:erp:I1:1:CHARGE: 2 times" in found.differences


def test_an_orphan_row_is_found() -> None:
    """A line for an entry that nobody approved: an extra row, and time that is not conserved."""
    expected = outputs()
    extra = ledger(expected)[0] | {"event_id": "x", "entry_id": "time:99"}
    found = compare(expected, Actual(billing_from_records([*ledger(expected), extra])))
    assert (found.by_check["ledger"][1], found.by_check["conservation"][1]) == (1, 1)


def test_unknown_money_is_not_zero() -> None:
    """A parked line with an amount of 0 instead of null is wrong, though no money differs."""
    expected = outputs()
    records = ledger(expected)
    next(record for record in records if record["bucket"] == "parked" and record["seconds"])["amount"] = D(0)
    found = compare(expected, Actual(billing_from_records(records)))
    assert (found.rows_different, found.money_difference) == (1, D(0))


def test_a_line_in_the_wrong_month_is_found() -> None:
    """The same money in another period is two rows: one missing, one extra."""
    expected = outputs()
    records = ledger(expected)
    records[0]["accounting_date"] = date(2026, 7, 1)
    assert compare(expected, Actual(billing_from_records(records))).by_check["ledger"] == (8, 2)


def test_the_current_state_is_the_last_record_of_each_segment() -> None:
    """Earlier records of a key are superseded; a deleted one is gone."""
    expected = outputs()
    records = current(expected)
    stale = records[0] | {"amount": D(1), "bucket": "unbilled"}
    gone = records[0] | {"segment": "old"}
    records = [stale, gone, *records, gone | {"deleted": True}]
    assert compare(expected, Actual(current=current_from_records(records))).equal


def test_a_live_segment_that_should_be_gone_is_found() -> None:
    """A deletion that never came."""
    expected = outputs()
    extra = current(expected)[0] | {"segment": "old"}
    found = compare(expected, Actual(current=current_from_records([*current(expected), extra])))
    assert found.by_check["current"] == (8, 1)


def test_a_wrong_reason_for_parking_is_found() -> None:
    """The figures are right, the missing key is not."""
    expected = outputs()
    records = current(expected)
    next(record for record in records if record["bucket"] == "parked")["missing_keys"] = ["rate:x"]
    found = compare(expected, Actual(current=current_from_records(records)))
    assert found.by_check["parked"] == (2, 1)
    assert "expected MISSING_REFERENCE" in found.differences[0]


def test_wrong_utilization_is_found() -> None:
    """A second too much worked on a day, a missing window."""
    expected = outputs()
    days = daily_from_records(daily(expected))
    key: DayKey = min(days)
    days[key] = replace(days[key], worked=days[key].worked + 1)
    found = compare(expected, Actual(daily=days, windows={}))
    assert found.by_check == {"daily": (3, 1), "windows": (3, 3)}
    assert found.differences[0].startswith(f"daily erp:C {key.day}: expected worked 21600")


def test_only_the_first_differences_are_listed() -> None:
    """All are counted, a few are told."""
    expected = outputs()
    found = compare(expected, Actual(billing_from_records([])), listed=3)
    assert found.by_check["ledger"] == (7, 7)
    assert len(found.differences) == 3


def test_an_empty_firm_compares_to_nothing() -> None:
    """No rows anywhere is equal, and says that nothing was compared."""
    expected = expect(without(firm(), "erp:R0"))
    actual = Actual(billing_from_records([]), current_from_records([]), {}, {})
    assert (compare(expected, actual).equal, compare(expected, actual).rows_compared) == (True, 0)


def test_totals_add_up() -> None:
    """Seconds over all buckets are what is approved; money is by currency, parked money is not in it."""
    totals = outputs().totals
    assert totals.approved_seconds == 13 * HOUR == sum(totals.seconds_by_bucket.values())
    assert totals.money_by_bucket == {
        ("billed", "EUR"): D(700),
        ("unbilled", "EUR"): D(200),
        ("over_cap", "EUR"): D(300),
    }


def test_incidents_that_are_not_resolved_are_compared() -> None:
    """The last of each subject, of the judged classes, waiting or open; those of other flows are not billing's."""
    due = {"flow": "allocation", "subject": "erp:E:time:1:base", "state": "waiting"}
    due |= {"exception_class": "CREDIT_DUE", "seconds": 0, "amount": Decimal(-200), "currency": "EUR"}
    records = [
        due | {"state": "open", "amount": Decimal(-50)},
        due,
        due | {"subject": "erp:E:time:2:base"},
        due | {"subject": "erp:E:time:2:base", "state": "resolved"},
        due | {"subject": "erp:E:time:3:draft:erp:I", "exception_class": "STALE_DRAFT"},
        due | {"subject": "erp:E:time:4:base", "flow": "billing"},
    ]
    found = open_incidents([one | {"exception_id": f"{one['flow']}|{one['subject']}"} for one in records])
    wanted = {"erp:E:time:1:base": Incident("CREDIT_DUE", 0, Decimal(-200), "EUR")}
    assert found == wanted
    expected = replace(outputs(), incidents=wanted)
    assert compare(expected, Actual(incidents=found)).equal
    assert compare(expected, Actual(incidents={})).by_check == {"incidents": (1, 1)}
