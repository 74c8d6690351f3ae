"""Approved hours for payroll, extract by extract, on a real PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import threading
from datetime import date
from typing import Any

from sqlalchemy import create_engine, text

from connectors.sinks.warehouse.payroll import Line, extract
from tests.integration.sinks.sink_world import World
from tests.unit.sinks.sink_builders import DAY, record_of

APRIL = date(2026, 4, 1)
HOUR = 3600


def of_day(consultant: str, day: date, revision: int, hours: int, **values: Any) -> dict[str, Any]:
    """A consultant's approved hours of a day."""
    key = {"consultant_id": consultant, "day": day, "revision": revision, "deleted": False}
    return record_of("utilization.daily", **{**key, "worked_seconds": hours * HOUR, **values})


def payroll(world: World, *arguments: str, code: int = 0) -> str:
    """What ``tallystream payroll …`` prints; on an error, its one line."""
    done = subprocess.run(
        [sys.executable, "-m", "streams", "payroll", *arguments],
        env={**os.environ, **world.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def extracted(world: World, *arguments: str) -> list[tuple[str, str, int, str, int]]:
    """The lines of a new extract, as it prints them."""
    rows = list(csv.reader(io.StringIO(payroll(world, "extract", *arguments))))
    assert rows[0] == ["extract_id", "consultant_id", "work_date", "seconds", "hours", "approved_seconds"]
    return [(who, day, int(seconds), hours, int(whole)) for _, who, day, seconds, hours, whole in rows[1:]]


def test_corrections_are_differences_and_nothing_comes_twice(world: World) -> None:
    """8 h, then 6 h, then withdrawn: lines of +8, -2 and -6; what did not change is in one extract only."""
    world.send("utilization.daily", of_day("erp:1", DAY, 1, 8), of_day("erp:2", DAY, 1, 7))
    world.load()
    assert extracted(world) == [
        ("erp:1", "2026-03-02", 28_800, "8.0000", 28_800),
        ("erp:2", "2026-03-02", 25_200, "7.0000", 25_200),
    ]
    assert extracted(world) == []
    world.send("utilization.daily", of_day("erp:1", DAY, 2, 6), of_day("erp:1", APRIL, 1, 3))
    world.load()
    assert extracted(world, "--until", "2026-03-31") == [("erp:1", "2026-03-02", -7200, "-2.0000", 21_600)]
    assert extracted(world) == [("erp:1", "2026-04-01", 10_800, "3.0000", 10_800)]
    world.send("utilization.daily", of_day("erp:1", DAY, 3, 0, deleted=True))
    world.load()
    assert extracted(world) == [("erp:1", "2026-03-02", -21_600, "-6.0000", 0)]
    assert world.rows(
        "SELECT consultant_id, work_date, sum(seconds) FROM payroll_line GROUP BY 1, 2"
        " HAVING sum(seconds) <> 0 ORDER BY 1, 2"
    ) == [("erp:1", APRIL, 10_800), ("erp:2", DAY, 25_200)]
    assert world.count("v_payroll_due") == 0

    shown = json.loads(payroll(world, "show", "3", "--json"))
    assert (shown["until"], shown["definition"]) == ("2026-03-31", "payroll-1")
    assert [(line["consultant_id"], line["seconds"]) for line in shown["lines"]] == [("erp:1", -7200)]
    assert len(json.loads(payroll(world, "list", "--json"))) == len(payroll(world, "list").splitlines()) == 5
    assert "no payroll extract 9" in payroll(world, "show", "9", code=2)
    assert "is no day" in payroll(world, "extract", "--until", "April", code=2)


def test_extracts_at_the_same_time_share_nothing(world: World) -> None:
    """The second waits for the first, and has nothing left."""
    world.send("utilization.daily", *[of_day(f"erp:{n}", DAY, 1, 8) for n in range(20)])
    world.load()
    engine = create_engine(world.dsn.replace("postgresql://", "postgresql+psycopg2://"))
    found: list[list[Line]] = []

    def second() -> None:
        with engine.begin() as connection:
            found.append(extract(connection)[1])

    with engine.begin() as first:
        assert len(extract(first)[1]) == 20
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(30)
    assert found == [[]]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM payroll_extract")).scalar_one() == 2
    engine.dispose()


def test_what_is_not_loaded_yet_is_not_taken_back(world: World) -> None:
    """8 h and 7 h extracted; the warehouse is half loaded again, then emptied, then loaded: no line takes hours back."""
    world.send("utilization.daily", *[of_day(f"erp:{n}", DAY, 1, 9 - n) for n in (1, 2)])
    world.load()
    assert [line[2] for line in extracted(world)] == [28_800, 25_200]
    world.rows("DELETE FROM utilization_daily WHERE consultant_id = 'erp:2'")
    world.rows("UPDATE sink_offsets SET next_offset = 0 WHERE topic = 'utilization.daily'")
    for arguments in (("extract",), ("extract", "--until", "2026-04-30")):
        said = payroll(world, *arguments, code=1)
        assert "is at 0, and was at " in said
        assert "at the last extract; run the warehouse sink until it is there" in said
    world.rows("DELETE FROM utilization_daily")
    assert "holds none any more; run the warehouse sink" in payroll(world, "extract", code=1)
    assert "holds none any more" in payroll(world, "extract", "--topic-made-anew", code=1)
    world.load()
    assert extracted(world) == []
    assert len(json.loads(payroll(world, "list", "--json"))) == 2


def test_offsets_of_a_topic_that_was_made_anew_begin_again(world: World) -> None:
    """Positions are lower for ever, and whoever knows that it is loaded says so once."""
    world.send("utilization.daily", of_day("erp:1", DAY, 1, 8))
    world.load()
    assert [line[2] for line in extracted(world)] == [28_800]
    world.rows("UPDATE sink_offsets SET next_offset = 0 WHERE topic = 'utilization.daily'")
    payroll(world, "extract", code=1)
    assert extracted(world, "--topic-made-anew") == extracted(world) == []


def test_before_the_sink_made_its_tables_payroll_says_so(world: World) -> None:
    """An empty warehouse, and one of a version before: one line that says what to do."""
    told = "start the warehouse sink once"
    for arguments in (("extract",), ("list",), ("show", "1")):
        assert told in payroll(world, *arguments, code=1)
    world.load()
    assert extracted(world) == []
    world.rows("ALTER TABLE payroll_extract DROP COLUMN positions")
    for arguments in (("extract",), ("list",), ("show", "1")):
        said = payroll(world, *arguments, code=1)
        assert told in said
        assert len(said.splitlines()) == 1
    world.load()
    assert extracted(world) == []
