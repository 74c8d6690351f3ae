"""Failures seen in real billing systems, each judged by the agents and by the oracle where both see it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_databases import HOUR, D, Sources, at, day
from two_judges import Judge

from agents.canonical import Action, RowState, TableMapping, decide, load_mappings
from agents.canonical.durations import duration_in_seconds
from streams.errors import InvalidValue, RecordError

MAPPINGS = load_mappings()
NOW = datetime(2026, 4, 30, tzinfo=UTC)

FREE = {"price": D(0)}


@pytest.mark.parametrize(
    ("rates", "why"),
    [
        ({}, ("MISSING_RATE", ("rate:erp:L/erp:C",))),
        ({"R": FREE}, ("MISSING_RATE", ("rate:erp:L/erp:C",))),
        ({"R": {}, "R2": {}}, ("AMBIGUOUS_RATE", ("rate:erp:R", "rate:erp:R2"))),
        ({"R": {"effective_to": day("03-05")}}, ("MISSING_RATE", ("rate:erp:L/erp:C",))),
    ],
    ids=["missing", "of price 0", "doubled", "ended the day before"],
)
def test_a_price_list_never_becomes_price_0(
    judge: Judge, rates: dict[str, dict[str, Any]], why: tuple[str, tuple[str, ...]]
) -> None:
    """Without exactly one price the time is parked and its money unknown; it isn't billed at 0."""
    sources = Sources().drop("rate", "R").work(1, "03-05", 8)
    for native, columns in rates.items():
        sources.put("rate", native, **columns)
    judgement = judge(sources)
    assert judgement.figures == {("time:1", "base"): ("parked", 8 * HOUR, None)}
    assert judgement.parked == {"time:1": why}


def test_a_copy_of_the_price_list_at_0_is_no_price(judge: Judge) -> None:
    """The copy is invalid and out of the way: the one valid price holds."""
    sources = Sources().put("rate", "R2", **FREE).work(1, "03-05", 8)
    assert judge(sources).figures == {("time:1", "base"): ("unbilled", 8 * HOUR, D(800))}


def two_projects() -> Sources:
    """One day of 4 h on project P and 4 h on project P2 of another engagement."""
    sources = Sources().put("engagement", "E2").put("contract_line", "L2", engagement_id="E2")
    sources.put("project", "P2", engagement_id="E2", contract_line_id="L2")
    return sources.work(1, "03-05", 4).work(2, "03-05", 4, project_code="P2")


def test_a_timesheet_of_two_projects_is_billed_where_it_is_invoiced(judge: Judge) -> None:
    """The invoice of one project leaves the day's time on the other unbilled."""
    assert judge(two_projects().charge("I1", 1, 4, 400)).figures == {
        ("time:1", "inv:erp:I1"): ("billed", 4 * HOUR, D(400)),
        ("time:2", "base"): ("unbilled", 4 * HOUR, D(400)),
    }


def test_a_timesheet_wholly_marked_billed_on_one_project(judge: Judge) -> None:
    """What an invoice takes along of the other project is due back there, and still to bill on its own."""
    assert judge(two_projects().charge("I1", 1, 4, 400).charge("I2", 2, 4, 400)).figures == {
        ("time:1", "inv:erp:I1"): ("billed", 4 * HOUR, D(400)),
        ("time:2", "inv:erp:I2"): ("billed", 4 * HOUR, D(400)),
        ("time:2", "due:erp:I2"): ("unbilled", -4 * HOUR, D(-400)),
        ("time:2", "base"): ("unbilled", 4 * HOUR, D(400)),
    }


@pytest.fixture(params=["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def host_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The time zone of the machine that computes."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.usefixtures("host_zone")
@pytest.mark.parametrize(
    ("zone", "on", "approved", "worth"),
    [
        # 1 April from 06:00 at +14:00 is 31 March in UTC; 31 March until 22:00 at -11:00 is 1 April.
        ("Pacific/Kiritimati", "04-01", "03-31 23:00", 1200),
        ("Pacific/Pago_Pago", "03-31", "04-01 09:30", 800),
    ],
)
def test_work_in_a_far_time_zone_keeps_its_local_date(
    judge: Judge, zone: str, on: str, approved: str, worth: int
) -> None:
    """Rate, accounting date, month and utilization follow the consultant's date, not that of UTC."""
    sources = Sources().put("consultant", "C", time_zone=zone)
    sources.put("rate", "R", effective_to=day("04-01"))
    sources.put("rate", "R2", price=D(150), effective_from=day("04-01"))
    sources.put("accounting_period", "03", starts_on=day("03-01"), ends_on=day("04-01"))
    sources.put("accounting_period", "04", starts_on=day("04-01"), ends_on=day("05-01"))
    judgement = judge(sources.work(1, on, 8, approved_at=at(approved)))
    assert judgement.figures == {("time:1", "base"): ("unbilled", 8 * HOUR, D(worth))}
    assert judgement.dates == {"time:1": day(on)}
    assert judgement.months == {("time:1", "base"): f"2026-{on[:2]}"}
    assert judgement.days == {("erp:C", day(on)): 8 * HOUR}


def entry_row(**columns: Any) -> dict[str, Any]:
    """A row of the time tracker."""
    return {**Sources().work(1, "03-05", 8).tables["time_entry"][1], **columns}


def reference_table(system: str, table: str) -> TableMapping:
    """The mapping of a table of the reference systems."""
    mapping = MAPPINGS[system].tables[table]
    assert isinstance(mapping, TableMapping)
    return mapping


@pytest.mark.parametrize("moment", ["2026-03-31T16:00:00Z", "2026-04-01T06:00:00+14:00", NOW])
def test_an_instant_is_no_local_date(moment: Any) -> None:
    """A start time in place of the work date is refused: its day depends on where the work was done."""
    with pytest.raises(RecordError, match="work_date"):
        reference_table("time", "time_entry").convert_row(entry_row(work_date=moment), None, ())


@pytest.mark.parametrize(
    ("hours", "seconds"),
    [
        (0.1, 360),
        (0.1 + 0.2, 1080),
        (1.1, 3960),
        (1 / 3, 1200),
        (2.675, 9630),
        (8.15, 29_340),
        ("0.3333", 1200),
        ("1e-1", 360),
        (" 7.25 ", 26_100),
    ],
)
def test_hours_that_are_no_binary_fraction_are_exact(hours: float | str, seconds: int) -> None:
    """Floats and texts of hours become the seconds that they mean, not a second less or more."""
    record = reference_table("time", "time_entry").convert_row(entry_row(hours=hours), None, ())
    assert record["seconds"] == seconds


TRACKER = """
mapping: tracker
version: 1
system: time
tables:
  absence:
    entity: absence
    fields:
      id:            {column: id, as: id, required: true}
      consultant_id: {column: consultant_code, as: id, system: erp, required: true}
      day:           {column: day, as: date, required: true}
      seconds:       {column: duration, as: integer, required: true, min: 0, max: 86400}
      kind:          {column: kind, as: text, required: true}
"""


@pytest.mark.parametrize("duration", [1200, "1200", 1200.0, Decimal("1200.000")])
def test_seconds_stay_what_they_are(tmp_path: Path, duration: Any) -> None:
    """A tracker that keeps seconds, as a number or as text, is mapped without hours in between."""
    (tmp_path / "tracker.yaml").write_text(TRACKER, encoding="utf-8")
    table = load_mappings(tmp_path)["time"].tables["absence"]
    assert isinstance(table, TableMapping)
    row = {"id": 1, "consultant_code": "C", "day": "2026-03-05", "kind": "sick"}
    assert table.convert_row({**row, "duration": duration}, None, ())["seconds"] == 1200
    with pytest.raises(InvalidValue, match="no whole number"):
        table.convert_row({**row, "duration": "1200.5"}, None, ())


@pytest.mark.parametrize(
    "duration", ["P0Y0M0DT7H30M0S", "PT7H30M", "07:30:00", "7:30", "7h30", 27_000_000_000, 27_000, "7,5"]
)
def test_a_duration_of_another_form_is_refused(duration: Any) -> None:
    """An interval, a clock time or seconds in a column of hours are an exception, never other hours."""
    with pytest.raises(InvalidValue, match=r"column hours"):
        reference_table("time", "time_entry").convert_row(entry_row(hours=duration), None, ())


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        (27_000_000_000, 27_000),  # an interval as microseconds
        (1_499_999, 1),
        (1_500_000, 2),
        ("P0Y0M0DT7H30M0S", 27_000),  # as Debezium writes one
        ("PT7H30M", 27_000),
        ("PT20M", 1200),
        ("P1DT2H", 93_600),
        ("PT0.5S", 1),
        ("7:30", 27_000),
        ("07:30:00", 27_000),
        ("0:00:59.4", 59),
        ("24:00", 86_400),
    ],
)
def test_intervals_and_clock_times_are_exact(tmp_path: Path, duration: int | str, seconds: int) -> None:
    """Of a tracker whose column is an interval, in whatever form it comes: the seconds that it means."""
    assert of_an_interval(tmp_path, duration) == seconds


@pytest.mark.parametrize(
    ("duration", "why"),
    [
        ("P1M", "years or months, which have no fixed length"),
        ("P1Y2M3DT4H", "years or months"),
        (2_629_800_000_000, "at most 48"),  # a month, as Debezium's microseconds have it
        ("-7:30", "at least 0"),
        ("PT-1H", "at least 0"),
        ("P2DT1S", "at most 48"),
        ("7.5", "no duration"),
        ("7:60", "no duration"),
        ("7h30", "no duration"),
        ("P", "no duration"),
        ("P1DT", "no duration"),
        ("infinity", "no duration"),
        ("", "no duration"),
        (7.5, "no duration"),
    ],
)
def test_what_is_no_duration_is_refused(tmp_path: Path, duration: Any, why: str) -> None:
    """What has no length, or no unit, or passes the mapping's bounds (in hours) is an exception."""
    with pytest.raises(RecordError, match=why):
        of_an_interval(tmp_path, duration)


def of_an_interval(folder: Path, duration: Any) -> int:
    """The seconds of a row of a tracker that keeps an interval."""
    as_interval = "as: duration_to_seconds, required: true, min: 0, max: 48"
    text = TRACKER.replace("as: integer, required: true, min: 0, max: 86400", as_interval)
    (folder / "tracker.yaml").write_text(text, encoding="utf-8")
    table = load_mappings(folder)["time"].tables["absence"]
    assert isinstance(table, TableMapping)
    row = {"id": 1, "consultant_code": "C", "day": "2026-03-05", "kind": "sick", "duration": duration}
    seconds: int = table.convert_row(row, None, ())["seconds"]
    return seconds


@given(st.integers(0, 48 * 3600))
def test_all_forms_of_a_duration_mean_the_same(seconds: int) -> None:
    """Microseconds, ISO 8601 and clock text."""
    minutes, of_minute = divmod(seconds, 60)
    hours, of_hour = divmod(minutes, 60)
    forms = (
        seconds * 1_000_000,
        f"PT{seconds}S",
        f"P0Y0M{hours // 24}DT{hours % 24}H{of_hour}M{of_minute}S",
        f"{hours}:{of_hour:02}:{of_minute:02}",
    )
    assert {duration_in_seconds(form) for form in forms} == {seconds}


def test_an_opportunity_won_and_un_won() -> None:
    """The latest stage holds; the won deal delivered once more, late, does not come back."""
    state: bytes | None = None
    live: dict[str, Any] = {}
    actions = []
    steps = [(100, "won", "2026-03-05"), (200, "proposal", None), (100, "won", "2026-03-05")]
    for lsn, stage, closed_on in steps:
        row = Sources().put("opportunity", "O", stage=stage, account_id="A", amount=D(9)).of("crm")
        after = {**row["opportunity"][0], "closed_on": closed_on}
        source = {"schema": "public", "table": "opportunity", "lsn": lsn, "ts_us": 1, "snapshot": "false"}
        change = {"op": "u", "before": None, "after": after, "source": source, "ts_ms": 1, "ts_us": 1}
        notes = {"tallystream.position": f"1/{lsn}/0".encode(), "tallystream.last_for_key": b"1"}
        held = RowState.from_bytes(state) if state else None
        decision = decide(change, notes, held, MAPPINGS["crm"], NOW)
        state = decision.state.to_bytes() if decision.state else state
        live |= {record["id"]: record for record in decision.records}
        actions.append(decision.action)
    assert actions == [Action.PUBLISH, Action.PUBLISH, Action.SKIP_DUPLICATE]
    assert (live["crm:O"]["stage"], live["crm:O"]["closed_on"]) == ("proposal", None)


@pytest.mark.parametrize("stage", ["won", "proposal", "lost"])
def test_the_contract_bills_and_not_the_opportunity(judge: Judge, stage: str) -> None:
    """Work under a contract is billed whatever became of the opportunity that it came from."""
    sources = Sources().put("opportunity", "O", stage=stage, account_id="A", amount=D(9))
    sources.put("engagement", "E", opportunity_id="O").work(1, "03-05", 8)
    assert judge(sources).figures == {("time:1", "base"): ("unbilled", 8 * HOUR, D(800))}
