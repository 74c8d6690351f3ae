"""The PostgreSQL source on real servers: snapshot, stream, restart, and every kind of change."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from decimal import Decimal

import psycopg
from integration.sources.harness import (
    Capture,
    assert_no_position_twice,
    assert_positions_grow,
    wait_until,
)

LINE = "CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text)"
COLUMNS = ("id", "cost", "note")


def make_line(capture: Capture, identity: str = "FULL") -> None:
    capture.sql.execute(LINE)
    capture.sql.execute(f"ALTER TABLE line REPLICA IDENTITY {identity}")


def test_snapshot_and_stream_meet_without_a_gap(capture: Capture) -> None:
    """Rows written before, during and after the snapshot by several writers are all there, once."""
    make_line(capture)
    capture.sql.execute("INSERT INTO line SELECT i, i, 'before' FROM generate_series(1, 2000) i")
    stop = threading.Event()

    def write(first: int) -> None:
        with psycopg.connect(capture.dsn, autocommit=True, options=f"-c search_path={capture.name}") as sql:
            number = first
            while not stop.is_set():
                sql.execute("INSERT INTO line VALUES (%s, 0, 'during')", [number])
                sql.execute(
                    "UPDATE line SET cost = cost + 1 WHERE id IN (%s, %s)", [number, number % 2000 + 1]
                )
                if number % 5 == 0:
                    sql.execute("DELETE FROM line WHERE id = %s", [number - 1])
                number += 1
                time.sleep(0.002)

    bases = (1_000_000, 2_000_000, 3_000_000)
    writers = [threading.Thread(target=write, args=(base,)) for base in bases]
    for writer in writers:
        writer.start()
    try:
        with capture.running():
            wait_until(lambda: len(capture.messages("line")) > 4000)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    capture.run_once()
    messages = capture.messages("line")
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)
    snapshot = [m.value["source"]["snapshot"] for m in messages if m.value and m.value["op"] == "r"]
    assert snapshot.count("last") == 1
    assert set(snapshot) == {"true", "last"}
    assert {m.value["source"]["snapshot"] for m in messages if m.value and m.value["op"] != "r"} == {"false"}


def test_a_restart_loses_and_doubles_nothing(capture: Capture) -> None:
    """Rows that share an LSN (multi-row inserts) before, between and after clean restarts."""
    make_line(capture)
    for round_ in range(4):
        capture.sql.execute(
            "INSERT INTO line SELECT %s::int * 100 + i, i, 'x' FROM generate_series(1, 50) i", [round_]
        )
        capture.run_once()
    messages = capture.messages("line")
    assert len(messages) == 200
    assert_no_position_twice(messages)
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)


def test_a_successor_waits_for_its_predecessor(capture: Capture) -> None:
    """Started while the first still runs and publishes, the second goes on where the first stopped."""
    make_line(capture)
    capture.run_once()
    with contextlib.ExitStack() as successor:
        with capture.running():
            wait_until(capture.streaming)
            successor.enter_context(capture.running())
            for number in range(100):
                capture.sql.execute("INSERT INTO line VALUES (%s, 1, 'first')", [number])
                time.sleep(0.01)
            wait_until(lambda: len(capture.messages("line")) == 100)
        capture.sql.execute("INSERT INTO line VALUES (200, 1, 'second')")
        wait_until(lambda: len(capture.messages("line")) == 101)
    assert_no_position_twice(capture.messages("line"))
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)


def test_only_the_last_state_of_a_transaction_is_marked(capture: Capture) -> None:
    """A line inserted with cost 0 and updated in the same transaction."""
    make_line(capture)
    capture.run_once()
    with capture.sql.transaction():
        capture.sql.execute("INSERT INTO line VALUES (1, 0, 'new')")
        capture.sql.execute("INSERT INTO line VALUES (2, 9, 'other')")
        capture.sql.execute("UPDATE line SET cost = 5 WHERE id = 1")
    capture.run_once()
    changes = sorted(capture.messages("line"), key=lambda m: m.position)
    assert [(m.value["op"], m.key["id"], m.last) for m in changes] == [
        ("c", 1, False),
        ("c", 2, True),
        ("u", 1, True),
    ]
    assert [m.position[2] for m in changes] == [0, 1, 2]
    assert changes[2].value["before"]["cost"] == Decimal("0.00")
    assert changes[2].value["after"]["cost"] == Decimal("5.00")
    source = changes[0].value["source"]
    assert abs(source["ts_us"] / 1e6 - time.time()) < 60
    assert changes[0].value["ts_us"] >= source["ts_us"]


def test_a_change_of_key_is_delete_tombstone_create(capture: Capture) -> None:
    """Under the old key the delete and its tombstone, under the new key the create."""
    make_line(capture)
    capture.sql.execute("INSERT INTO line VALUES (1, 1, 'a')")
    capture.run_once()
    capture.sql.execute("UPDATE line SET id = 2 WHERE id = 1")
    capture.run_once()
    changes = [m for m in capture.messages("line") if m.value is None or m.value["op"] != "r"]
    under_old = [m for m in changes if m.key == {"id": 1}]
    under_new = [m for m in changes if m.key == {"id": 2}]
    assert [m.value and m.value["op"] for m in under_old] == ["d", None]
    assert [m.value["op"] for m in under_new] == ["c"]
    assert under_new[0].position > under_old[0].position
    assert "__debezium.newkey" in under_old[0].headers
    assert "__debezium.oldkey" in under_new[0].headers


def test_a_delete_is_followed_by_a_tombstone(capture: Capture) -> None:
    """With the whole row before it, under REPLICA IDENTITY FULL."""
    make_line(capture)
    capture.sql.execute("INSERT INTO line VALUES (1, 1.25, 'a')")
    capture.run_once()
    capture.sql.execute("DELETE FROM line")
    capture.run_once()
    _, delete, tombstone = capture.messages("line")
    assert delete.value["op"] == "d"
    assert delete.value["before"] == {"id": 1, "cost": Decimal("1.25"), "note": "a"}
    assert tombstone.value is None
    assert tombstone.key == delete.key


def test_default_identity_names_what_it_does_not_know(capture: Capture) -> None:
    """Absent columns of `before` are null and named, never 0; an unchanged TOAST value likewise."""
    make_line(capture, "DEFAULT")
    capture.sql.execute("ALTER TABLE line ALTER note SET STORAGE EXTERNAL")
    capture.sql.execute("INSERT INTO line VALUES (1, 1, repeat('x', 9000))")
    capture.run_once()
    capture.sql.execute("UPDATE line SET cost = 2")
    capture.sql.execute("DELETE FROM line")
    capture.run_once()
    _, update, delete, _ = capture.messages("line")
    assert update.value["before"] is None
    assert update.value["after"] == {"id": 1, "cost": Decimal("2.00"), "note": None}
    assert json.loads(update.headers["tallystream.unchanged"]) == ["note"]
    assert delete.value["before"] == {"id": 1, "cost": None, "note": None}
    assert json.loads(delete.headers["tallystream.absent"]) == ["cost", "note"]


def test_full_identity_fills_unchanged_values(capture: Capture) -> None:
    """A TOASTed value that an update did not touch is taken from the old row, and still named."""
    make_line(capture)
    capture.sql.execute("ALTER TABLE line ALTER note SET STORAGE EXTERNAL")
    capture.sql.execute("INSERT INTO line VALUES (1, 1, repeat('x', 9000))")
    capture.run_once()
    capture.sql.execute("UPDATE line SET cost = 2")
    capture.run_once()
    update = capture.messages("line")[-1]
    assert update.value["after"]["note"] == "x" * 9000
    assert json.loads(update.headers["tallystream.unchanged"]) == ["note"]


def test_truncate_empties_every_partition(capture: Capture) -> None:
    """An op=t record in each partition, so that each consumer's fold is empty; later rows follow."""
    make_line(capture)
    capture.sql.execute("INSERT INTO line SELECT i, i, 'x' FROM generate_series(1, 20) i")
    capture.run_once()
    capture.sql.execute("TRUNCATE line")
    capture.sql.execute("INSERT INTO line VALUES (7, 7, 'after')")
    capture.run_once()
    messages = capture.messages("line")
    assert sorted(m.partition for m in messages if m.value["op"] == "t") == [0, 1]
    assert capture.folded("line", *COLUMNS) == {7: (7, Decimal("7.00"), "after")}


def test_nan_is_kept_and_stops_nothing(capture: Capture) -> None:
    """NaN in a NOT NULL numeric, in the snapshot and in the stream: null with a header."""
    capture.sql.execute(
        "CREATE TABLE cap (id int PRIMARY KEY, cap_money numeric(12,2) NOT NULL, free numeric)"
    )
    capture.sql.execute("INSERT INTO cap VALUES (1, 'NaN', 'Infinity')")
    capture.run_once()
    capture.sql.execute("INSERT INTO cap VALUES (2, 'NaN', '-Infinity'), (3, 1.50, 1.50)")
    capture.run_once()
    by_id = {m.key["id"]: m for m in capture.messages("cap")}
    assert json.loads(by_id[1].headers["tallystream.special"]) == {
        "after.cap_money": "NaN",
        "after.free": "Infinity",
    }
    assert json.loads(by_id[2].headers["tallystream.special"]) == {
        "after.cap_money": "NaN",
        "after.free": "-Infinity",
    }
    assert by_id[2].value["after"] == {"id": 2, "cap_money": None, "free": None}
    assert "tallystream.special" not in by_id[3].headers
    assert by_id[3].value["after"]["cap_money"] == Decimal("1.50")


def test_every_type_is_the_same_in_snapshot_and_stream(capture: Capture) -> None:
    """One row of many types, read by COPY and by the log: the same Avro values."""
    capture.sql.execute("CREATE TYPE state AS ENUM ('draft', 'approved')")
    capture.sql.execute("CREATE DOMAIN hours AS numeric(6,2) CHECK (VALUE >= 0)")
    capture.sql.execute(
        "CREATE TABLE everything (id bigint, at timestamptz, local timestamp, day date, clock time, ok boolean, "
        "s smallint, f4 real, f8 double precision, n numeric(30,10), free numeric, h hours, st state, u uuid, "
        "j jsonb, t text, v varchar(20), c char(3), b bytea, i interval, a int[], PRIMARY KEY (st, id))"
    )
    insert = (
        "INSERT INTO everything VALUES (%s, '2024-02-29 23:59:59.5+02', '1969-12-31 23:59:59.999999', '0044-03-15 BC', "
        "'12:34:56', true, -1, 1.5, 'NaN', -12345.0000000001, 0.100, 7.25, 'approved', "
        "'6b2f4f7e-0d6f-4d9b-9c0a-3a9d3a1b2c3d', '{\"a\": [1]}', E'tab\\t line\\n \\\\N é', 'v', 'x', '\\x00ff', "
        "'1 day 02:00', '{1,NULL}')"
    )
    capture.sql.execute(insert, [1])
    capture.run_once()
    capture.sql.execute(insert, [2])
    capture.run_once()
    read, streamed = sorted(capture.messages("everything"), key=lambda m: m.position)
    assert read.key == {"st": "approved", "id": 1}
    first, second = read.value["after"], streamed.value["after"]
    assert str({**first, "id": 2}) == str(second)  # as text: NaN differs from itself
    assert first["at"] == "2024-02-29T21:59:59.500000Z"
    assert first["local"] == -1
    assert first["n"] == Decimal("-12345.0000000001")
    assert first["h"] == Decimal("7.25")
    assert first["t"] == "tab\t line\n \\N é"
    assert first["c"] == "x  "
    assert first["b"] == b"\x00\xff"
    assert first["a"] == [1, None]


def test_tables_without_a_key_and_partitioned_tables(capture: Capture) -> None:
    """No key: null keys, nothing lost. Partitions: one topic, that of the partitioned table."""
    capture.sql.execute("CREATE TABLE log (line text)")
    capture.sql.execute("CREATE TABLE entry (id int PRIMARY KEY, note text) PARTITION BY RANGE (id)")
    capture.sql.execute("CREATE TABLE entry_1 PARTITION OF entry FOR VALUES FROM (0) TO (100)")
    capture.sql.execute("CREATE TABLE entry_2 PARTITION OF entry FOR VALUES FROM (100) TO (200)")
    capture.sql.execute("INSERT INTO log VALUES ('a'), ('a')")
    capture.sql.execute("INSERT INTO entry VALUES (1, 'a'), (150, 'b')")
    capture.run_once()
    capture.sql.execute("INSERT INTO log VALUES ('a')")
    capture.sql.execute("UPDATE entry SET note = 'c' WHERE id = 150")
    capture.run_once()
    log = capture.messages("log")
    assert [m.key for m in log] == [None, None, None]
    assert sorted(m.value["op"] for m in log) == ["c", "r", "r"]
    assert capture.folded("entry", "id", "note") == {1: (1, "a"), 150: (150, "c")}
    assert capture.messages("entry_1") == []
