"""Dates that are none of any business: one row waits for its correction, and everything else goes on."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from source_databases import HOUR, D, Sources
from two_judges import Judge

BILLED = {("time:1", "base"): ("unbilled", 8 * HOUR, D(800))}
FAR = [date(1, 1, 1), date(1899, 12, 31), date(3000, 1, 1), date(9999, 12, 30)]
NO_END = date.max


@pytest.mark.parametrize("day", [*FAR, NO_END])
@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("time_entry", {"work_date": None, "consultant_code": "C", "project_code": "P", "hours": D(8)}),
        ("fx_rate", {"day": None, "from_currency": "USD", "to_currency": "EUR", "rate": D(1)}),
        ("holiday", {"day": None, "name": "x"}),
        ("absence", {"day": None, "consultant_code": "C", "hours": D(8)}),
        ("accounting_period", {"starts_on": None, "ends_on": date(2026, 4, 1), "status": "open"}),
        ("accounting_period", {"starts_on": date(2026, 3, 1), "ends_on": None, "status": "open"}),
    ],
)
def test_a_row_of_an_impossible_day_is_left_out(
    judge: Judge, table: str, columns: dict[str, Any], day: date
) -> None:
    """Quarantined; what is beside it is billed and counted as ever."""
    given = {name: day if value is None else value for name, value in columns.items()}
    sources = Sources().work(1, "03-05", 8).put(table, 7 if table == "time_entry" else "X", **given)
    assert judge(sources).figures == BILLED


@pytest.mark.parametrize(
    ("table", "native", "column"),
    [("rate", "R", "effective_to"), ("engagement", "E", "ends_on"), ("consultant", "C", "left_on")],
)
def test_the_last_day_of_the_calendar_is_no_end(judge: Judge, table: str, native: str, column: str) -> None:
    """As many systems write it; any other impossible end makes the row one that is not there."""
    sources = Sources().work(1, "03-05", 8)
    assert judge(sources.put(table, native, **{column: NO_END})).figures == BILLED
    assert judge(sources.put(table, native, **{column: FAR[-1]})).figures == {
        ("time:1", "base"): ("parked", 8 * HOUR, None)
    }
