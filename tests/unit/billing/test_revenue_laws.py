"""Laws of revenue on random firms that change: both judges agree, schedules sum to the price, closed months stay."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from revenue_judges import Months, Oracle, Stage
from source_databases import D, Sources, at, day

from agents.revenue import EntryState, MonthSums
from agents.revenue.terms import FEE_METHODS
from streams.errors import InvalidValue

one_of = st.sampled_from
DAYS = one_of([day(text) for text in ("02-20", "03-05", "03-05", "03-31", "04-01", "04-15")])
DECIDED = one_of([at(text) for text in ("03-10 09:00", "04-02 09:00", "04-04 09:00", "05-04 09:00")])
METHODS = one_of(
    [
        None,
        None,
        "as_delivered",
        "milestone",
        "percent_complete",
        "percent_complete",
        "straight_line",
        "as_consumed",
    ]
)
BILLING = one_of(["tm", "tm", "milestone", "retainer", "prepaid", "per_diem", "non_billable"])
FEES = one_of([None, D(0), D(1000), D("999.99"), D(100_000), D("0.01")])
HOURS = one_of([None, D(0), D(7), D("33.3333"), D(1000)])
CONTENT = (
    *("recognised", "breakage", "billed", "recognised_to_date", "billed_to_date", "net_change", "remaining"),
    *("contract_asset", "deferred_revenue", "transaction_price", "scheduled", "progress_seconds"),
    *("planned_seconds", "parked_items", "parked_seconds", "missing_keys", "deleted", "revenue_method"),
    *("currency", "client_id", "legal_entity_id"),
)


def optional_day(*texts: str) -> st.SearchStrategy[date | None]:
    """One of the days of 2026, or none."""
    return one_of([None, *(day(text) for text in texts)])


@st.composite
def terms(draw: st.DrawFn) -> dict[str, Any]:
    """A contract line's terms, which may lack something."""
    return {
        "billing_method": draw(BILLING),
        "revenue_method": draw(METHODS),
        "fee": draw(FEES),
        "planned_hours": draw(HOURS),
        "included_hours": draw(HOURS),
        "starts_on": draw(optional_day("01-15", "03-01")),
        "ends_on": draw(optional_day("03-01", "04-20", "06-01")),
        "expires_on": draw(optional_day("02-28", "03-31", "12-31")),
        "unused_hours": draw(one_of([None, "roll_over"])),
        "rollover_months": draw(one_of([None, 1])),
        "cap_hours": draw(one_of([None, None, D(10)])),
        "over_cap_action": draw(one_of(["hold", "bill", "write_off"])),
        "per_diem_amount": D(900),
        "expenses_billed": draw(one_of([None, True, False])),
        "expense_markup": draw(one_of([None, D("7.5")])),
        "day_minimum_hours": draw(one_of([None, D(4)])),
        "engagement_id": draw(one_of(["E", "E", "E", "E2"])),
    }


@st.composite
def acts(draw: st.DrawFn) -> tuple[str, str | int, dict[str, Any] | None]:
    """A row of some table to put, or (None) to drop."""
    line = draw(one_of(["L", "L2"]))
    table = draw(
        one_of(
            [
                *("time_entry", "time_entry", "time_entry", "invoice_line", "milestone", "contract_line"),
                *("plan_revision", "accounting_period", "bill_adjustment", "project", "rate", "engagement"),
                *("prepaid_lot", "expense", "expense", "expense_version"),
            ]
        )
    )
    number = draw(st.integers(1, 5))
    gone = draw(st.integers(0, 5)) == 0
    row: dict[str, Any] = {}
    key: str | int = f"{table[0].upper()}{number}"
    match table:
        case "time_entry":
            key, on = number, draw(DAYS)
            status = draw(one_of(["approved", "approved", "approved", "withdrawn"]))
            row = {"work_date": on, "hours": D(draw(st.integers(1, 9))), "status": status}
            row |= {"approved_at": draw(DECIDED), "version": draw(st.integers(1, 2))}
            row["project_code"] = draw(one_of(["P", "P2"]))
        case "invoice_line":
            entry = draw(
                one_of(
                    [
                        *(f"time:{one}" for one in range(1, 6)),
                        "erp:M1",
                        "erp:X1",
                        "erp:X2",
                        f"day:erp:C:erp:{line}:2026-03-05",
                    ]
                )
            )
            row = {"entry_id": entry, "contract_line_id": line, "entry_version": draw(st.integers(1, 2))}
            row |= {
                "seconds": draw(one_of([0, 3600, 20_000])),
                "amount": draw(one_of([D(0), D(100), D("812.34")])),
            }
            row["posted_at"] = draw(DECIDED)
        case "milestone":
            key = f"M{number}"
            row = {
                "contract_line_id": line,
                "amount": draw(one_of([D(500), D("0.01")])),
                "due_on": draw(DAYS),
            }
            row |= {"status": draw(one_of(["planned", "accepted", "cancelled"])), "accepted_on": draw(DAYS)}
            row["accepted_at"] = draw(DECIDED)
        case "expense" | "expense_version":
            key = f"X{number}"
            row = {"incurred_on": draw(DAYS), "amount": draw(one_of([D(200), D("0.05"), D(0)]))}
            row |= {"markup": draw(one_of([None, D(10), D("12.25")])), "approved_at": draw(DECIDED)}
            row |= {"currency": draw(one_of(["EUR", "EUR", "CHF"])), "project_id": draw(one_of(["P", "P2"]))}
            row |= {"cap_scope": draw(one_of(["none", "line", "engagement"]))}
            row |= {"version": draw(st.integers(1, 2)), "approved_by": "B"}
            if table == "expense":
                row["status"] = draw(one_of(["approved", "approved", "submitted", "rejected"]))
            else:
                row |= {"expense_id": f"X{draw(st.integers(1, 3))}", "ended_at": draw(DECIDED)}
        case "contract_line":
            key, row = line, draw(terms())
        case "plan_revision":
            row = {"contract_line_id": line, "fee": draw(FEES), "planned_hours": draw(HOURS)}
            row |= {"ends_on": draw(optional_day("02-10", "05-05", "07-01"))}
            row |= {"effective_on": draw(DAYS), "decided_at": draw(DECIDED)}
        case "accounting_period":
            month = draw(st.integers(1, 5))
            key, gone = f"P{month}", False
            row = {"starts_on": date(2026, month, 1), "ends_on": date(2026, month + 1, 1)}
            row["closed_at"] = draw(one_of([None, at(f"{month + 1:02}-03 18:00")]))
        case "bill_adjustment":
            row = {"entry_id": f"time:{draw(st.integers(1, 5))}", "hours": D(2), "amount": D(50)}
            row["kind"] = draw(one_of(["write_off", "discount", "hold"]))
        case "prepaid_lot":
            row = {
                "contract_line_id": line,
                "hours": draw(one_of([D(3), D("33.3333")])),
                "fee": draw(FEES) or D(7),
            }
            row |= {"starts_on": draw(optional_day("02-20", "04-01"))}
            row |= {"expires_on": draw(optional_day("02-28", "03-31", "05-01"))}
        case "project":
            key, row, gone = draw(one_of(["P", "P2"])), {"contract_line_id": line}, False
        case "rate":
            key, row = "R", {"price": draw(one_of([D(100), D("133.33")]))}
            if draw(st.booleans()):  # of one project only: fixed prices and others on one day
                key, row = "R2", {**row, "project_id": "P2", "consultant_id": "C", "role": None}
                row["unit"] = draw(one_of([None, "fixed"]))
        case _:
            key = "E"
            row = {"cap_money": draw(one_of([None, D(700)])), "currency": draw(one_of(["EUR", "EUR", "JPY"]))}
    return table, key, None if gone else row


def change(sources: Sources, act: tuple[str, str | int, dict[str, Any] | None]) -> None:
    """Put or drop a row."""
    table, key, row = act
    if row is not None:
        sources.put(table, key, **row)
    elif key in sources.tables[table]:
        sources.drop(table, key)


def a_firm() -> Sources:
    """Two lines, two projects, two engagements."""
    sources = Sources().put("engagement", "E2").put("contract_line", "L2")
    return sources.put("project", "P2", contract_line_id="L2")


def check_sums(months: Months) -> None:
    """Recognised and remaining are the price; all that is recognised or scheduled is the last price."""
    by_line: dict[tuple[str, str], list[tuple[date, Any]]] = defaultdict(list)
    for key, of in months.items():
        by_line[key.root, key.line].append((key.month, of))
    for rows in by_line.values():
        rows.sort(key=lambda pair: pair[0])
        if rows[0][1].missing:
            continue
        total = billed = D(0)
        for _, of in rows:
            assert of.to_date + of.remaining == of.price
            total += of.recognised + of.breakage
            billed += of.billed
            assert (of.to_date, of.billed_to_date) == (total, billed)
            assert of.asset - of.deferred == total - billed
            assert min(of.asset, of.deferred) == 0
        assert total + sum(of.scheduled for _, of in rows) == rows[-1][1].price


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(acts(), min_size=1, max_size=8), min_size=1, max_size=3), st.integers(0, 9))
def test_both_judges_agree_whatever_happens(
    history: list[list[tuple[str, str | int, dict[str, Any] | None]]], seed: int
) -> None:
    """After each batch of changes, in any order of arrival; and the sums hold."""
    sources, stage = a_firm(), Stage(seed)
    for batch in history:
        for act in batch:
            change(sources, act)
        said, must_be = stage(sources), Oracle()(sources)
        assert said == must_be
        check_sums(must_be)
    last: dict[Any, dict[str, Any]] = {}
    for record in stage.records():
        key = (record["root_id"], record["contract_line_id"], record["period_start"])
        before, last[key] = last.get(key), record
        assert record["revision"] == (1 if before is None else before["revision"] + 1)
        assert before is None or any(record[name] != before[name] for name in CONTENT)
        if record["recognised"] is not None:
            assert record["net_change"] == record["recognised"] + record["breakage"] - record["billed"]


@settings(max_examples=30, deadline=None)
@given(st.lists(acts(), min_size=1, max_size=12), st.integers(1, 9))
def test_no_order_of_arrival_matters(
    acts_: list[tuple[str, str | int, dict[str, Any] | None]], seed: int
) -> None:
    """All at once, or act by act in another order: the same months."""
    at_once, sources = Stage(0), a_firm()
    for act in acts_:
        change(sources, act)
    result = at_once(sources)
    step_by_step, sources = Stage(seed), a_firm()
    for act in acts_:
        change(sources, act)
        after = step_by_step(sources)
    assert after == result


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(FEE_METHODS),
    st.lists(st.tuples(DAYS, st.integers(1, 9)), max_size=5),
    FEES,
    HOURS,
    optional_day("05-05", "07-01"),
    st.integers(0, 60),
)
def test_a_decision_moves_no_month_that_was_closed_before(
    method: str,
    work: list[tuple[date, int]],
    fee: Decimal | None,
    hours: Decimal | None,
    ends_on: date | None,
    days_before: int,
) -> None:
    """A plan that is decided after March was closed, about any day: up to March all figures stay."""
    sources = a_firm()
    sources.put(
        "contract_line",
        "L",
        billing_method="prepaid" if method == "as_consumed" else "retainer",
        revenue_method=method,
        fee=D(10_000),
        planned_hours=D(40),
        included_hours=D(20),
        starts_on=day("01-15"),
        ends_on=day("06-01"),
        expires_on=day("03-31"),
    )
    for month in range(1, 7):
        closed_at = at(f"{month + 1:02}-03 18:00") if month <= 3 else None
        starts_on, ends_on_ = date(2026, month, 1), date(2026, month + 1, 1)
        sources.put(
            "accounting_period", f"P{month}", starts_on=starts_on, ends_on=ends_on_, closed_at=closed_at
        )
    for number, (on, spent) in enumerate(work, 1):
        sources.work(number, f"{on:%m-%d}", spent, approved_at=at("04-01 09:00"))
    before = Oracle()(sources)
    decided_at: datetime = at("04-04 09:00")
    effective_on = decided_at.date() - timedelta(days=days_before)
    plan = {"fee": fee, "planned_hours": hours, "ends_on": ends_on}
    sources.put(
        "plan_revision", "V", contract_line_id="L", effective_on=effective_on, decided_at=decided_at, **plan
    )
    after = Stage()(sources)
    assert after == Oracle()(sources)
    names = (
        "recognised",
        "breakage",
        "to_date",
        "price",
        "remaining",
        "progress",
        "planned",
        "asset",
        "deferred",
    )
    for key in {*before, *after}:
        if key.month <= day("03-01"):
            assert [getattr(before[key], name) for name in names] == [
                getattr(after[key], name) for name in names
            ]


def test_what_is_older_changes_nothing() -> None:
    """A rated item and a segment that come after a later revision of theirs, and the removal that came first."""
    entry = EntryState()
    item = {
        "item_kind": "entry",
        "contract_line_id": "erp:L",
        "consultant_id": "erp:C",
        "work_date": day("03-05"),
        "accounting_date": day("03-05"),
        "disposition": "priced",
        "price_unit_seconds": 3600,
        "seconds": 3600,
    }
    part = {
        "entry_id": "time:1",
        "segment": "base",
        "bucket": "unbilled",
        "contract_line_id": "erp:L",
        "accounting_date": day("03-05"),
        "seconds": 3600,
        "amount": D(100),
        "earned": None,
    }
    assert entry.put_rated({"op": "REMOVE", "revision": 2})
    assert entry.put_segment({**part, "revision": 2, "deleted": True})
    assert not entry.put_rated({**item, "op": "PUT", "revision": 1})
    assert not entry.put_segment({**part, "revision": 1, "deleted": False})
    assert entry.compute(None) == {}
    assert EntryState.unpacked(entry.packed()).compute(None) == {}
    assert entry.put_rated({**item, "op": "PUT", "revision": 3})
    assert entry.put_segment({**part, "revision": 3, "deleted": False})
    assert EntryState.unpacked(entry.packed()).compute(None) == {
        ("erp:L", day("03-01")): MonthSums(delivered=D(100), worked=3600)
    }
    with pytest.raises(InvalidValue, match="unbilled without an amount"):
        entry.put_segment({**part, "revision": 4, "deleted": False, "amount": None})
