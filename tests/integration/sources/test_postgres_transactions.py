"""Transactions that are prepared first, metadata of transactions, and slots of databases in which nothing happens."""

from __future__ import annotations

import psycopg
import pytest
from integration.sources.harness import (
    Capture,
    wait_until,
)
from integration.sources.large_transactions import (
    FEW,
    LINE,
    check,
    metadata,
    streamed,
)

from connectors.sources.metrics import LAG
from connectors.sources.postgres.log import streaming
from connectors.sources.postgres.log.heartbeat import COMMIT_RACE_US


@pytest.fixture
def line(capture: Capture) -> Capture:
    capture.sql.execute(LINE)
    capture.sql.execute("ALTER TABLE line REPLICA IDENTITY FULL")
    capture.run_once()
    return capture


def test_transaction_metadata(line: Capture) -> None:
    """The block in envelopes counts from 1, in all and by table; BEGIN and END carry the same id and counts."""
    line.sql.execute("CREATE TABLE other (id int PRIMARY KEY)")
    line.run_once()
    with line.sql.transaction():
        line.sql.execute("INSERT INTO line VALUES (1, 1, 'a')")
        line.sql.execute("INSERT INTO other VALUES (1), (2)")
        line.sql.execute("UPDATE line SET id = 2")
        line.sql.execute("DELETE FROM line")
    line.run_once(transaction_metadata=True)
    changes = sorted(
        (m for table in ("line", "other") for m in line.messages(table) if m.value is not None),
        key=lambda m: m.position,
    )
    orders = [
        (
            m.value["op"],
            m.value["transaction"]["total_order"],
            m.value["transaction"]["data_collection_order"],
        )
        for m in changes
    ]
    assert orders == [("c", 1, 1), ("c", 2, 1), ("c", 3, 2), ("d", 4, 2), ("c", 5, 3), ("d", 6, 4)]
    begin, end = metadata(line)
    (id_,) = {m.value["transaction"]["id"] for m in changes}
    assert id_ == f"{changes[0].value['source']['txId']}:{changes[0].position[1]}"
    assert begin == {
        "status": "BEGIN",
        "id": id_,
        "event_count": None,
        "data_collections": None,
        "ts_ms": changes[0].value["source"]["ts_ms"],
    }
    assert (end["status"], end["id"], end["event_count"]) == ("END", id_, 6)
    assert end["data_collections"] == [
        {"data_collection": f"{line.name}.line", "event_count": 4},
        {"data_collection": f"{line.name}.other", "event_count": 2},
    ]


@pytest.mark.parametrize("rows", [3, 4000])
def test_prepared_transactions(line: Capture, rows: int) -> None:
    """Nothing at PREPARE, all at COMMIT PREPARED, nothing of what is rolled back; over a restart as well."""
    dsn = streamed(line)

    def prepare(first: int, name: str) -> None:
        with psycopg.connect(line.dsn, autocommit=True, options=f"-c search_path={line.name}") as sql:
            sql.execute("BEGIN")
            sql.execute(
                "INSERT INTO line SELECT %s::int + i, 1, 'x' FROM generate_series(1, %s) i", [first, rows]
            )
            sql.execute(f"PREPARE TRANSACTION '{line.name}.{name}'")

    prepare(0, "kept")
    prepare(1_000_000, "dropped")
    line.run_once(dsn=dsn, **FEW)
    assert line.messages("line") == []
    with line.running(dsn=dsn, **FEW):
        line.sql.execute("INSERT INTO line VALUES (-1, 1, 'between')")
        wait_until(lambda: len(line.messages("line")) == 1)
        line.sql.execute(f"ROLLBACK PREPARED '{line.name}.dropped'")
        line.sql.execute(f"COMMIT PREPARED '{line.name}.kept'")
        wait_until(lambda: len(line.messages("line")) == rows + 1)
    check(line)


def test_the_slot_of_an_idle_database_follows(line: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another database is busy: what the slot confirms and what the server must keep both move on."""
    monkeypatch.setattr(streaming, "ADVANCE_S", 0.2)

    def slot() -> tuple[int, int]:
        row = line.sql.execute(
            "SELECT confirmed_flush_lsn - '0/0'::pg_lsn, restart_lsn - '0/0'::pg_lsn FROM pg_replication_slots "
            "WHERE slot_name = %s",
            [line.slot()],
        ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    confirmed, restart = slot()
    with (
        line.running(heartbeat_s=0.2),
        psycopg.connect(line.stack.postgres.dsn("crm"), autocommit=True) as busy,
    ):
        busy.execute(
            f"CREATE TABLE {line.name} AS SELECT i, repeat('x', 100) FROM generate_series(1, 50000) i"
        )
        # What running transactions there are is written now and then, here at once.
        busy.execute("CHECKPOINT")
        wait_until(lambda: slot()[0] > confirmed + 5_000_000 and slot()[1] > restart + 5_000_000)
        busy.execute(f"DROP TABLE {line.name}")
    assert slot()[0] <= line.progress().flushed_lsn
    assert line.messages("line") == []


def test_an_idle_sources_watermark_goes_on(line: Capture) -> None:
    """By the server's clock, a second behind it; that nothing is committed meanwhile is no lag."""

    def lag() -> float:
        return LAG.labels(line.name)._value.get()

    with line.running(heartbeat_s=0.1):
        line.sql.execute("INSERT INTO line VALUES (1, 1, 'a')")
        wait_until(lambda: len(line.messages("line")) == 1)
        committed = line.messages("line")[0].value["source"]["ts_ms"]
        wait_until(lambda: line.progress().watermark_us > committed * 1000)
        first, lagged = line.progress().watermark_us, lag()
        wait_until(lambda: line.progress().watermark_us > first + 1_000_000)
        now = line.sql.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").fetchone()
        assert now is not None
        assert line.progress().watermark_us <= now[0] - COMMIT_RACE_US
        assert lag() <= lagged
    stopped = line.progress().watermark_us
    line.run_once(heartbeat_s=0)
    assert line.progress().watermark_us == stopped
