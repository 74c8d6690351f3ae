"""Snapshots on real servers: in chunks, in parallel, interrupted anywhere and resumed."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from integration.sources.harness import (
    Capture,
    assert_no_position_twice,
    assert_positions_grow,
    wait_until,
)

from connectors.sources.postgres import StopSignal
from connectors.sources.postgres.snapshot import snapshot
from connectors.sources.postgres.snapshot.reporting import SnapshotReport

ROWS = 3000
COLUMNS = ("id", "cost", "note")


class Interrupted(Exception):
    """The session's end, where a test wants it."""


@contextlib.contextmanager
def ending_after(monkeypatch: pytest.MonkeyPatch, chunks: int) -> Iterator[None]:
    """The session dies right after it has committed ``chunks`` chunks."""
    seen = 0
    advance = SnapshotReport.advance

    def counting(self: SnapshotReport, rows: int, estimated: int) -> None:
        nonlocal seen
        advance(self, rows, estimated)
        seen += 1
        if seen >= chunks:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(SnapshotReport, "advance", counting)
        with pytest.raises(Interrupted):
            yield


@pytest.fixture
def line(capture: Capture) -> Capture:
    """A table of a few dozen pages, read eight at a time."""
    capture.settings["snapshot_chunk_pages"] = 8
    capture.sql.execute(
        "CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text) WITH (fillfactor = 60)"
    )
    capture.sql.execute(
        "INSERT INTO line SELECT i, i, 'row ' || i FROM generate_series(1, %s::int) i", [ROWS]
    )
    capture.sql.execute("ANALYZE line")
    return capture


def assert_equal(capture: Capture, table: str = "line", columns: tuple[str, ...] = COLUMNS) -> None:
    """The folded topic is the table; no position twice, none steps back."""
    messages = capture.messages(table)
    assert capture.folded(table, *columns) == capture.rows(table, *columns)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)


@pytest.mark.parametrize("processes", [False, True])
def test_chunks_are_durable_and_a_resumed_snapshot_reads_the_rest(
    line: Capture, monkeypatch: pytest.MonkeyPatch, processes: bool
) -> None:
    """After a death two chunks are there and stored as done; the next start reads only the others."""
    monkeypatch.setattr(snapshot, "PROCESSES_FROM_BYTES", 0 if processes else 1 << 40)
    with ending_after(monkeypatch, 2):
        line.run_once()
    first = len(line.messages("line"))
    assert 0 < first < ROWS
    run = line.progress().run
    assert run is not None
    assert run.rows == first
    assert not line.progress().snapshot_done
    line.run_once()
    messages = line.messages("line")
    assert len(messages) == ROWS, "no row was read twice, for none has changed"
    assert [m.value["source"]["snapshot"] for m in messages].count("last") == 1
    assert line.progress().run is None
    assert line.progress().tables == {f"{line.name}.line": run.lsn}
    assert_equal(line)
    assert line.slots() == [line.slot()], "the second session's slot is gone"


def test_everything_that_happens_between_two_sessions(line: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inserts, updates that move rows between pages, deletes, changes of key: topic and table are equal."""
    with ending_after(monkeypatch, 2):
        line.run_once()
    line.sql.execute("INSERT INTO line SELECT i, 1, 'new' FROM generate_series(10001, 10500) i")
    line.sql.execute("UPDATE line SET note = repeat(note, 9) WHERE id % 7 = 0")
    line.sql.execute("DELETE FROM line WHERE id % 11 = 0")
    line.sql.execute("UPDATE line SET id = -id WHERE id % 13 = 0")
    line.sql.execute("VACUUM line")
    line.sql.execute("INSERT INTO line SELECT i, 2, 'in freed pages' FROM generate_series(20001, 20900) i")
    with ending_after(monkeypatch, 1):
        line.run_once()
    line.sql.execute("UPDATE line SET cost = cost + 1 WHERE id % 5 = 0")
    line.sql.execute("DELETE FROM line WHERE id % 17 = 0")
    line.run_once()
    assert_equal(line)


def test_a_value_outside_the_heap_survives_a_move_between_sessions(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row moves from a page not yet read to one that is done, and the log lacks its large value: it is
    in a snapshot record all the same."""
    capture.settings["snapshot_chunk_pages"] = 1
    capture.sql.execute("CREATE TABLE doc (id int PRIMARY KEY, n int, body text, filler text)")
    capture.sql.execute("ALTER TABLE doc ALTER body SET STORAGE EXTERNAL")
    capture.sql.execute(
        "INSERT INTO doc SELECT i, 0, CASE WHEN i >= 150 THEN repeat('x' || i, 2000) END, repeat('f', 400) "
        "FROM generate_series(1, 200) i"
    )
    capture.sql.execute("DELETE FROM doc WHERE id < 20")
    capture.sql.execute("VACUUM doc")  # room in the first pages
    with ending_after(monkeypatch, 3):
        capture.run_once()
    done = capture.messages("doc")
    assert done
    capture.sql.execute("UPDATE doc SET n = 1 WHERE id BETWEEN 190 AND 199")
    moved = [
        number
        for number, page in capture.sql.execute(
            "SELECT id, (ctid::text::point)[0]::int FROM doc WHERE n = 1"
        ).fetchall()
        if page < 2
    ]
    assert moved, "the test's rows did not move to where it wants them"
    capture.run_once()
    bodies = {m.key["id"]: m.value["after"]["body"] for m in capture.messages("doc") if m.value["op"] == "r"}
    assert {number: bodies.get(number) for number in moved} == {
        number: f"x{number}" * 2000 for number in moved
    }


@pytest.mark.parametrize("rewrite", ["VACUUM FULL line", "TRUNCATE line", "CLUSTER line USING line_pkey"])
def test_a_table_rewritten_between_two_sessions(
    line: Capture, monkeypatch: pytest.MonkeyPatch, rewrite: str
) -> None:
    """Its pages are other pages: it is read anew, and topic and table are equal."""
    with ending_after(monkeypatch, 2):
        line.run_once()
    line.sql.execute("DELETE FROM line WHERE id < 900")
    line.sql.execute(rewrite)
    line.sql.execute("INSERT INTO line VALUES (50001, 1, 'after')")
    line.run_once()
    assert_equal(line)


def test_partitions_and_their_moves(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leaf has its chunks; rows that move between partitions, and a new partition, are not lost."""
    capture.settings["snapshot_chunk_pages"] = 1
    capture.sql.execute(
        "CREATE TABLE entry (id int, year int, note text, PRIMARY KEY (id, year)) PARTITION BY LIST (year)"
    )
    capture.sql.execute("CREATE TABLE entry_1 PARTITION OF entry FOR VALUES IN (1)")
    capture.sql.execute("CREATE TABLE entry_2 (note text, year int NOT NULL, id int NOT NULL)")
    capture.sql.execute("ALTER TABLE entry_2 ADD PRIMARY KEY (id, year)")
    capture.sql.execute("ALTER TABLE entry ATTACH PARTITION entry_2 FOR VALUES IN (2)")
    capture.sql.execute("INSERT INTO entry SELECT i, 1 + i % 2, 'note ' || i FROM generate_series(1, 1500) i")
    with ending_after(monkeypatch, 5):
        capture.run_once()
    capture.sql.execute("UPDATE entry SET year = 3 - year WHERE id % 3 = 0")
    capture.sql.execute("CREATE TABLE entry_3 PARTITION OF entry FOR VALUES IN (3)")
    capture.sql.execute("INSERT INTO entry SELECT i, 3, 'three' FROM generate_series(2001, 2100) i")
    capture.run_once()
    assert_equal(capture, "entry", ("id", "year", "note"))


def test_a_table_added_later_is_resumed_too(line: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its snapshot stops half way; what changes until the next start comes through the stream."""
    line.run_once()
    line.sql.execute("CREATE TABLE later (id int PRIMARY KEY, cost int, note text)")
    line.sql.execute("INSERT INTO later SELECT i, i, 'row ' || i FROM generate_series(1, 4000) i")
    with ending_after(monkeypatch, 2):
        line.run_once()
    line.sql.execute("UPDATE later SET note = 'changed' WHERE id % 3 = 0")
    line.sql.execute("DELETE FROM later WHERE id % 5 = 0")
    line.sql.execute("UPDATE line SET cost = 0 WHERE id < 100")
    line.run_once()
    assert_equal(line, "later")
    assert_equal(line)


def test_a_table_that_joins_while_another_is_half_done(
    line: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first snapshot is finished, then the new table gets its own."""
    with ending_after(monkeypatch, 2):
        line.run_once()
    line.sql.execute("CREATE TABLE later (id int PRIMARY KEY, cost int, note text)")
    line.sql.execute("INSERT INTO later SELECT i, i, 'row ' || i FROM generate_series(1, 400) i")
    line.run_once()
    line.sql.execute("UPDATE later SET cost = -1")
    line.run_once()
    assert_equal(line, "later")
    assert_equal(line)


@pytest.mark.parametrize("done", [0, 2])
def test_a_table_without_a_key_is_begun_again(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    """Its rows can't be folded, only counted: what was published of it is taken back by a truncate."""
    capture.settings["snapshot_chunk_pages"] = 1
    capture.sql.execute("CREATE TABLE first (id int PRIMARY KEY, note text)")
    capture.sql.execute("INSERT INTO first SELECT i, repeat('x', 100) FROM generate_series(1, 400) i")
    capture.sql.execute("CREATE TABLE tally (kind int, note text)")
    capture.sql.execute("ALTER TABLE tally REPLICA IDENTITY FULL")
    capture.sql.execute("INSERT INTO tally SELECT i % 50, repeat('y', 100) FROM generate_series(1, 600) i")
    chunks = len(
        capture.sql.execute("SELECT 1 FROM generate_series(1, pg_relation_size('first') / 8192)").fetchall()
    )
    with ending_after(monkeypatch, chunks + done if done else 1):
        capture.run_once()
    for _ in range(2):  # killed again: begun again each time
        capture.sql.execute("DELETE FROM tally WHERE kind < 10")
        capture.sql.execute("UPDATE tally SET note = 'z' WHERE kind = 20")
        capture.sql.execute("INSERT INTO tally SELECT 7, 'new' FROM generate_series(1, 3)")
        if done:
            with ending_after(monkeypatch, 1):
                capture.run_once()
    capture.run_once()
    capture.sql.execute("DELETE FROM tally WHERE kind = 21")
    capture.run_once()
    counted: Counter[tuple[Any, ...]] = Counter()
    truncates = set()
    for message in sorted(capture.messages("tally"), key=lambda one: one.position):
        assert message.value is not None
        if message.value["op"] == "t":
            counted.clear()
            truncates.add(message.position)
            continue
        for image, step in (("before", -1), ("after", 1)):
            if message.value[image] is not None:
                counted[tuple(message.value[image].values())] += step
    assert +counted == Counter(capture.sql.execute("SELECT kind, note FROM tally").fetchall())
    assert min(counted.values()) >= 0
    assert len(truncates) == (3 if done else 0)


def test_a_stop_keeps_what_is_done(line: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop within the snapshot ends cleanly; the next start goes on."""
    stop = StopSignal()
    advance = SnapshotReport.advance

    def stopping(self: SnapshotReport, rows: int, estimated: int) -> None:
        advance(self, rows, estimated)
        stop.set()

    with monkeypatch.context() as patch:
        patch.setattr(SnapshotReport, "advance", stopping)
        line.source().run(stop)
    stop.close()
    assert 0 < len(line.messages("line")) < ROWS
    line.run_once()
    assert len(line.messages("line")) == ROWS
    assert_equal(line)


@pytest.mark.slow
def test_interrupted_at_random_under_load(line: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers move, change and delete rows all the time; the snapshot dies five times."""
    stop = threading.Event()

    def write(base: int) -> None:
        chance = random.Random(base)
        with psycopg.connect(line.dsn, autocommit=True, options=f"-c search_path={line.name}") as sql:
            number = base
            while not stop.is_set():
                some = chance.randrange(1, ROWS)
                sql.execute("INSERT INTO line VALUES (%s, 0, 'during')", [number])
                sql.execute("UPDATE line SET note = note || '+', cost = cost + 1 WHERE id = %s", [some])
                sql.execute("DELETE FROM line WHERE id = %s", [chance.randrange(1, ROWS)])
                sql.execute("UPDATE line SET id = -id WHERE id = %s", [chance.randrange(1, ROWS)])
                number += 1
                time.sleep(0.002)

    writers = [threading.Thread(target=write, args=(base,)) for base in (100_000, 200_000)]
    for writer in writers:
        writer.start()
    try:
        for chunks in (1, 1, 2, 1, 1):
            with ending_after(monkeypatch, chunks):
                line.run_once()
        with line.running():
            wait_until(lambda: line.progress().snapshot_done)
            time.sleep(0.5)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    line.run_once()
    assert_equal(line)
