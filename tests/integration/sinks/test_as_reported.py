"""What was reported on a day and what is known now, on a real PostgreSQL."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from psycopg2.errors import RaiseException, UniqueViolation

from connectors.sinks.warehouse import WarehouseTarget, store
from tests.integration.sinks.sink_world import World
from tests.unit.sinks.sink_builders import DAY, group, record_of, segment, window

BILLING = "SELECT entry_id, bucket, seconds, amount FROM billing_as_of(%s) ORDER BY 1"
DAILY = "SELECT consultant_id, worked_seconds FROM utilization_daily_as_of(%s) ORDER BY 1"
WINDOWS = "SELECT consultant_id, billable_seconds FROM utilization_window_as_of(%s) ORDER BY 1"


def now(world: World) -> datetime:
    """The database's clock."""
    at: datetime = world.rows("SELECT clock_timestamp()")[0][0]
    return at


def of_day(revision: int, seconds: int, **values: object) -> dict[str, object]:
    """A consultant's day."""
    key = {"consultant_id": "erp:1", "day": DAY, "revision": revision}
    return record_of("utilization.daily", **{**key, "worked_seconds": seconds, "deleted": False, **values})


def test_a_correction_leaves_what_was_reported_before_it(world: World) -> None:
    """8 h at 150 reported on day D; corrected to 6 h after it, and another entry withdrawn: D still says 8 h."""
    before = now(world)
    world.send("billing.current", segment(1, 1, seconds=28_800, amount=Decimal("1200.0000")), segment(2, 1))
    world.send("utilization.daily", of_day(1, 28_800))
    world.send("utilization.windows", window())
    world.load()
    on_the_day = now(world)
    reported = [world.rows(query, on_the_day) for query in (BILLING, DAILY, WINDOWS)]
    assert reported == [
        [("time:1", "unbilled", 28_800, Decimal(1200)), ("time:2", "unbilled", 3600, Decimal(150))],
        [("erp:1", 28_800)],
        [("erp:1", 108_000)],
    ]
    world.send(
        "billing.current",
        segment(1, 2, seconds=21_600, amount=Decimal("900.0000")),
        segment(2, 1, deleted=True, seconds=0),
    )
    world.send("utilization.daily", of_day(2, 21_600))
    world.send("utilization.windows", window(revision=2, billable_seconds=100_800))
    world.load()
    assert [world.rows(query, on_the_day) for query in (BILLING, DAILY, WINDOWS)] == reported
    assert [world.rows(query, now(world)) for query in (BILLING, DAILY, WINDOWS)] == [
        [("time:1", "unbilled", 21_600, Decimal(900))],
        [("erp:1", 21_600)],
        [("erp:1", 100_800)],
    ]
    assert world.rows("SELECT entry_id FROM billing_as_of()") == [("time:1",)]
    assert [world.rows(query, before) for query in (BILLING, DAILY, WINDOWS)] == [[], [], []]


def test_reading_again_makes_no_versions(world: World) -> None:
    """Duplicates, older revisions, and all topics read again: a version is there once, and ends when the next begins."""
    states = [segment(1, 1), segment(1, 2, bucket="billed"), segment(1, 3, bucket="unbilled"), segment(2, 1)]
    for state in states:
        world.send("billing.current", state)
        world.load()
    versions = (
        "SELECT entry_id, revision, recorded_at, superseded_at FROM billing_current_version ORDER BY 1, 2"
    )
    kept = world.rows(versions)
    assert [row[:2] for row in kept] == [("time:1", 1), ("time:1", 2), ("time:1", 3), ("time:2", 1)]
    assert [row[3] for row in kept] == [kept[1][2], kept[2][2], None, None]
    world.send("billing.current", *states, segment(1, 3, bucket="unbilled"))
    world.load()
    target = WarehouseTarget(world.dsn)
    target.open()
    target.forget(None)
    target.close()
    world.load()
    assert world.rows(versions) == kept


def test_a_warehouse_that_kept_no_versions_begins_with_what_it_has(world: World) -> None:
    """After an upgrade each row is a version since it was written, once."""
    world.send("billing.current", segment(1), segment(2))
    world.load()
    world.rows("DROP TABLE billing_current_version CASCADE")
    for _ in range(2):
        world.load()
    written = world.rows("SELECT entry_id, loaded_at FROM billing_current ORDER BY 1")
    assert world.rows("SELECT entry_id, recorded_at FROM billing_as_of() ORDER BY 1") == written
    assert len(written) == 2


def test_the_same_revision_with_other_content_is_the_same_version(world: World) -> None:
    """8 h, then 6 h under the same revision: the table says 6 h, and so does what is reported; one version."""
    world.send("utilization.daily", of_day(1, 28_800))
    world.load()
    begun = world.rows("SELECT recorded_at FROM utilization_daily_version")
    world.send("utilization.daily", of_day(1, 21_600))
    world.load()
    assert world.rows("SELECT worked_seconds FROM utilization_daily") == [(21_600,)]
    assert world.rows(DAILY, now(world)) == [("erp:1", 21_600)]
    assert world.rows("SELECT recorded_at FROM utilization_daily_version") == begun


def test_groups_and_plans_are_reported_as_they_were(world: World) -> None:
    """A practice's week of 50 h, then 40 h; a plan of 20 h, then withdrawn."""
    plan = {"consultant_id": "erp:1", "project_id": "erp:2", "starts_on": DAY, "deleted": False}
    world.send("utilization.groups", group())
    world.send("utilization.plan", record_of("utilization.plan", **{**plan, "planned_seconds": 72_000}))
    world.load()
    then = now(world)
    world.send("utilization.groups", group(revision=2, billable_seconds=144_000))
    world.send("utilization.plan", record_of("utilization.plan", **{**plan, "revision": 2, "deleted": True}))
    world.load()
    groups = "SELECT value, billable_seconds FROM utilization_group_as_of(%s)"
    plans = "SELECT project_id, planned_seconds FROM utilization_plan_as_of(%s)"
    assert [world.rows(query, then) for query in (groups, plans)] == [
        [("data", 180_000)],
        [("erp:2", 72_000)],
    ]
    assert [world.rows(query, now(world)) for query in (groups, plans)] == [[("data", 144_000)], []]


def test_a_row_has_one_open_version(world: World) -> None:
    """The database refuses a second one; a warehouse that kept versions without that rule gets it, and statistics."""
    world.send("billing.current", segment(1))
    world.load()
    again = "INSERT INTO billing_current_version SELECT * FROM billing_current_version"
    for _ in range(2):
        with pytest.raises(UniqueViolation, match="ix_billing_current_version_open"):
            world.rows(again.replace("SELECT *", f"SELECT {other_time(world)}"))
        world.rows("DROP INDEX ix_billing_current_version_open")
        world.load()
    world.rows("DROP TABLE billing_current_version CASCADE")
    world.load()
    assert world.rows("SELECT reltuples FROM pg_class WHERE relname = 'billing_current_version'") == [(1.0,)]


def test_what_was_reported_while_a_batch_is_written_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 h; 6 h are being written: asked at that instant, the answer waits, is 6 h, and is 6 h ever after."""
    world.send("utilization.daily", of_day(1, 28_800))
    world.load()
    before = now(world)
    world.send("utilization.daily", of_day(2, 21_600))
    merged, go_on = threading.Event(), threading.Event()
    then = store._write_dead_letters

    def wait(*arguments: Any) -> None:
        merged.set()
        assert go_on.wait(30)
        then(*arguments)

    monkeypatch.setattr(store, "_write_dead_letters", wait)
    answers: list[list[tuple[Any, ...]]] = []
    writing = threading.Thread(target=world.load)
    writing.start()
    assert merged.wait(30)
    at = now(world)
    asking = threading.Thread(target=lambda: answers.append(world.rows(DAILY, at)))
    asking.start()
    asking.join(0.5)
    assert asking.is_alive()
    go_on.set()
    asking.join(30)
    writing.join(30)
    assert [*answers, world.rows(DAILY, at)] == [[("erp:1", 21_600)]] * 2
    assert world.rows(DAILY, before) == [("erp:1", 28_800)]


def test_who_asks_does_not_keep_the_sink_waiting(world: World) -> None:
    """A transaction that asked and stays open holds no lock; instants to come and old snapshots are refused."""
    world.send("utilization.daily", of_day(1, 28_800))
    world.load()
    with contextlib.closing(psycopg2.connect(world.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM utilization_daily_as_of()")
        assert cursor.fetchone() == (1,)
        world.send("utilization.daily", of_day(2, 21_600))
        world.load()
        cursor.execute("SELECT worked_seconds FROM utilization_daily_as_of(clock_timestamp())")
        assert cursor.fetchone() == (21_600,)
        with pytest.raises(RaiseException, match="which is to come"):
            cursor.execute("SELECT count(*) FROM utilization_daily_as_of(clock_timestamp() + interval '1 h')")
        connection.rollback()
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with pytest.raises(RaiseException, match="READ COMMITTED"):
            cursor.execute(DAILY, [datetime(2026, 5, 1, tzinfo=UTC)])
        connection.rollback()
        connection.set_session(isolation_level="READ COMMITTED")
        cursor.execute("SELECT count(*) FROM utilization_daily_as_of()")
        assert cursor.fetchone() == (1,)


def other_time(world: World) -> str:
    """The columns of a version of billing, recorded a second later."""
    columns = world.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'billing_current_version'"
        " ORDER BY ordinal_position"
    )
    names = [f'"{name}"' for (name,) in columns]
    return ", ".join(f"{name} + interval '1 s'" if name == '"recorded_at"' else name for name in names)
