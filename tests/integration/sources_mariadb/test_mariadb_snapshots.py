"""Snapshots of the MariaDB source that end early, and go on: keyed tables from where they were."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from integration.sources.harness import assert_no_position_twice, assert_positions_grow, wait_until
from integration.sources_mariadb.harness import Capture, connect
from integration.sources_mariadb.processes import COLUMNS, LINE, Writers
from integration.sources_mariadb.test_mariadb_transactions import prepare

from connectors.sources.check import WARN
from connectors.sources.mariadb import xa
from connectors.sources.mariadb.position import Progress
from connectors.sources.mariadb.server import Server
from connectors.sources.positions import read_position
from connectors.sources.publisher import Publisher
from connectors.sources.topics import Topics
from streams.errors import DependencyUnavailable

ROWS = 1000
CHUNK = 100
LOGGED = 5_000


@pytest.fixture
def fail_at(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Runs the source until its n-th commit, which does not come about."""
    real = Publisher.commit

    def run(number: int) -> None:
        left = number

        def commit(self: Publisher, position: bytes) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise DependencyUnavailable("as if killed")
            real(self, position)

        with monkeypatch.context() as patch:
            patch.setattr(Publisher, "commit", commit)
            with pytest.raises(DependencyUnavailable, match="as if killed"):
                capture.run_once(snapshot_chunk_rows=CHUNK)

    return run


KEYS = {
    "int": ("a int", "a", "cast(seq as signed) - 500"),
    "bigint": ("a bigint unsigned", "a", "18446744073709551615 - seq"),
    "decimal": ("a decimal(20,3)", "a", "(cast(seq as signed) - 500) / 1000"),
    "text": ("a varchar(20)", "a", "concat(char(97 + seq % 26 using utf8mb4), seq)"),
    "ci": ("a varchar(20) collate utf8mb4_general_ci", "a", "concat(if(seq % 2, 'Ä', 'a'), '\\'', seq)"),
    "latin1": (
        "a varchar(20) character set latin1 collate latin1_german1_ci",
        "a",
        "concat('é', seq % 7, seq)",
    ),
    "bytes": ("a varbinary(20)", "a", "unhex(left(sha2(seq, 256), 40))"),
    "binary": ("a binary(8)", "a", "unhex(lpad(hex(seq), 6, '0'))"),
    "date": ("a date", "a", "date_add('1990-01-01', interval seq day)"),
    "time": ("a time(3)", "a", "sec_to_time((cast(seq as signed) - 500) * 1.5)"),
    "datetime": ("a datetime(6)", "a", "date_add('1969-12-31', interval seq * 3500000 microsecond)"),
    "timestamp": ("a timestamp(3)", "a", "date_add('1995-01-01', interval seq * 3500000 microsecond)"),
    "several": ("a int, b varchar(9), c decimal(6,2)", "b, c, a", "seq, seq % 3, seq % 7"),
    "prefix": ("a varchar(200)", "a(4)", "concat(lpad(seq, 4, '0'), 'rest')"),
}
UNCOMPARED = {
    "enum": ("a enum('z','m','a'), b int", "a, b", "elt(seq % 3 + 1, 'z', 'm', 'a'), seq"),
    "uuid": ("a uuid", "a", "uuid()"),
    "double": ("a double", "a", "seq / 3"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_it_goes_on_from_any_key(capture: Capture, fail_at: Callable[[int], None], kind: str) -> None:
    """What was published is not read again, and what changed in between comes through the stream."""
    columns, key, values = KEYS[kind]
    capture.execute("SET sql_mode = '', time_zone = '+00:00'")
    capture.execute(f"CREATE TABLE line ({columns}, note text, PRIMARY KEY ({key}))")
    capture.execute(f"INSERT INTO line SELECT {values}, seq FROM seq_1_to_{ROWS}")
    fail_at(4)
    assert len(capture.messages("line")) == 3 * CHUNK
    seen = capture.messages("line")
    names = list(seen[0].key)
    chosen = " OR ".join(f"note % 10 = {digit}" for digit in (3, 7))
    capture.execute(f"UPDATE line SET note = note + 10000 WHERE {chosen}")
    capture.execute("DELETE FROM line WHERE note % 10 = 5")
    capture.run_once(snapshot_chunk_rows=CHUNK)
    messages = capture.messages("line")
    read = Counter(tuple(m.key.values()) for m in messages if m.value and m.value["op"] == "r")
    assert set(read.values()) == {1}
    state: dict[tuple[object, ...], str] = {}
    for m in messages:
        if m.value is None or m.value["op"] == "d":
            state.pop(tuple(m.key.values()), None)
        else:
            state[tuple(m.key.values())] = m.value["after"]["note"]
    rows = capture.execute("SELECT note FROM line")
    assert sorted(state.values()) == sorted(note for (note,) in rows)
    assert len(state) == len(rows) == ROWS - ROWS // 10
    assert names == [part.partition("(")[0].strip() for part in key.split(",")]
    assert [m.value["source"]["snapshot"] for m in messages if m.value].count("last") == 1
    assert_no_position_twice(messages)
    assert_positions_grow(messages)


@pytest.mark.parametrize("kind", UNCOMPARED)
def test_keys_that_do_not_compare_are_read_again(
    capture: Capture, fail_at: Callable[[int], None], kind: str
) -> None:
    """All rows are there; those of the chunks before come twice."""
    columns, key, values = UNCOMPARED[kind]
    capture.execute(f"CREATE TABLE line ({columns}, note text, PRIMARY KEY ({key}))")
    capture.execute(f"INSERT INTO line SELECT {values}, seq FROM seq_1_to_{ROWS}")
    fail_at(3)
    capture.run_once(snapshot_chunk_rows=CHUNK)
    messages = capture.messages("line")
    assert len(messages) == ROWS + 2 * CHUNK
    assert {m.value["after"]["note"] for m in messages} == {str(n) for n in range(1, ROWS + 1)}
    assert_no_position_twice(messages)


def lines(capture: Capture, table: str = "log") -> Counter[str]:
    """The rows of a table that has no key and only grows, as its topic tells them."""
    counted: Counter[str] = Counter()
    messages = capture.messages(table)
    for partition in (0, 1):
        there: list[str] = []
        for m in (m for m in messages if m.partition == partition):
            if m.value["op"] == "t":
                there = []
            else:
                assert m.value["op"] in "rc"
                there.append(m.value["after"]["line"])
        counted.update(there)
    return counted


def test_a_table_without_a_key_is_begun_again(capture: Capture, fail_at: Callable[[int], None]) -> None:
    """Behind a truncate event in each partition; what it held and what changed is there once."""
    capture.execute("CREATE TABLE aline (id int PRIMARY KEY)")
    capture.execute("INSERT INTO aline SELECT seq FROM seq_1_to_250")
    capture.execute("CREATE TABLE log (line text)")
    capture.execute(f"INSERT INTO log SELECT seq FROM seq_1_to_{ROWS}")
    fail_at(6)
    assert 0 < len(capture.messages("log")) < ROWS
    capture.execute("DELETE FROM log WHERE line = '1'")
    capture.execute("INSERT INTO log VALUES ('between')")
    capture.run_once(snapshot_chunk_rows=CHUNK)
    capture.execute("INSERT INTO log VALUES ('after')")
    capture.run_once()
    messages = capture.messages("log")
    assert [m.partition for m in messages if m.value["op"] == "t"] == [0, 1]
    counted = lines(capture)
    assert counted == Counter(line for (line,) in capture.execute("SELECT line FROM log"))
    assert len(capture.messages("aline")) == 250
    assert_positions_grow(capture.messages("aline"))


def test_a_table_in_another_order_is_begun_again(capture: Capture, fail_at: Callable[[int], None]) -> None:
    """A key that is collated otherwise than before is no place to go on from."""
    capture.execute("CREATE TABLE line (id varchar(9) COLLATE utf8mb4_bin PRIMARY KEY, note int)")
    capture.execute(f"INSERT INTO line SELECT concat(if(seq % 2, 'b', 'A'), seq), seq FROM seq_1_to_{ROWS}")
    fail_at(4)
    capture.execute("UPDATE line SET note = -note WHERE note < 300")
    capture.execute("ALTER TABLE line MODIFY id varchar(9) COLLATE utf8mb4_general_ci")
    capture.execute("UPDATE line SET note = note + 5000 WHERE note > 900")
    capture.run_once(snapshot_chunk_rows=CHUNK)
    messages = capture.messages("line")
    assert [m.partition for m in messages if m.value["op"] == "t"] == [0, 1]
    assert capture.folded("line", "id", "note") == capture.rows("line", "id", "note")
    assert len(capture.rows("line", "id", "note")) == ROWS


def test_xa_that_is_open_while_the_snapshot_begins(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshot waits for it; one that is prepared meanwhile is not lost, whenever it is decided."""
    capture.execute(LINE)
    capture.execute("INSERT INTO line SELECT seq, 0, 'first' FROM seq_1_to_100")
    names = [f"'{capture.name}{number}'" for number in range(3)]
    prepare(capture, names[0], "UPDATE line SET cost = 1 WHERE id = 1")

    waits = threading.Event()
    server = capture.source().server
    real = server.prepared

    def prepared(self: Server) -> set[str]:
        found = real(self)
        waits.set()
        return found

    monkeypatch.setattr(server, "prepared", prepared)

    def decide() -> None:
        assert waits.wait(60)
        prepare(capture, names[1], "UPDATE line SET cost = 2 WHERE id = 2")
        prepare(capture, names[2], "UPDATE line SET cost = 3 WHERE id = 3")
        capture.execute(f"XA COMMIT {names[0]}")

    thread = threading.Thread(target=decide)
    thread.start()
    capture.run_once()
    thread.join()
    assert capture.progress().prepared is not None
    capture.execute(f"XA COMMIT {names[1]}")
    capture.execute(f"XA ROLLBACK {names[2]}")
    capture.run_once()
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert capture.rows("line", *COLUMNS)[1][1] == 1
    assert capture.rows("line", *COLUMNS)[2][1] == 2


def test_xa_that_is_open_while_a_table_is_added(capture: Capture) -> None:
    """The stream has its changes: of the table that was there and, by the commit, of the new one."""
    capture.execute(LINE)
    capture.run_once()
    capture.execute("CREATE TABLE later (id int PRIMARY KEY, note text)")
    capture.execute("INSERT INTO later VALUES (1, 'first'), (2, 'first')")
    changes = ("UPDATE later SET note = 'xa' WHERE id = 1", "INSERT INTO line VALUES (1, 0, 'xa')")
    prepare(capture, f"'{capture.name}'", *changes)
    capture.run_once()
    assert {m.value["after"]["note"] for m in capture.messages("later")} == {"first"}
    capture.execute("UPDATE later SET note = 'second' WHERE id = 2")
    capture.execute(f"XA COMMIT '{capture.name}'")
    capture.run_once()
    assert capture.folded("later", "id", "note") == {1: (1, "xa"), 2: (2, "second")}
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert len(capture.messages("line")) == 1


def test_a_table_without_a_key_while_xa_commits(capture: Capture) -> None:
    """Snapshot after snapshot begins while XA transactions are committed: each of their rows is there once."""
    tables = [f"log{number}" for number in range(5)]
    for table in tables:
        capture.execute(f"CREATE TABLE {table} (line text)")
    stop = threading.Event()

    def write(writer: int) -> None:
        number = 0
        sql = connect(capture.server, database=capture.name)
        with sql.cursor() as cursor:
            while not stop.is_set():
                number += 1
                xid = f"'{capture.name}','{writer}-{number}'"
                cursor.execute(f"XA START {xid}")
                for table in tables:
                    cursor.execute(f"INSERT INTO {table} VALUES ('{writer}-{number}')")
                for statement in ("END", "PREPARE", "COMMIT"):
                    cursor.execute(f"XA {statement} {xid}")
                time.sleep(0.005)
        sql.close()

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
    for writer in writers:
        writer.start()
    try:
        for count in range(1, len(tables) + 1):
            capture.run_once(tables=[f"{capture.name}.{table}" for table in tables[:count]])
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    capture.run_once()
    for table in tables:
        assert lines(capture, table) == Counter(
            line for (line,) in capture.execute(f"SELECT line FROM {table}")
        )
        assert_no_position_twice(capture.messages(table))


def test_xa_that_stays_open_is_named(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot does not begin without its changes, nor wait for ever."""
    monkeypatch.setattr(xa, "WAIT_S", 0.5)
    capture.execute(LINE)
    prepare(capture, f"'{capture.name}'", "INSERT INTO line VALUES (1, 0, 'x')")
    with pytest.raises(DependencyUnavailable, match=f"prepared: '{capture.name}'.*XA COMMIT or XA ROLLBACK"):
        capture.run_once()
    warned = [one for one in capture.source().check() if one.subject == f"XA transaction '{capture.name}'"]
    assert [one.status for one in warned] == [WARN]
    capture.execute(f"XA ROLLBACK '{capture.name}'")
    capture.run_once()
    assert capture.messages("line") == []


def snapshot_rows(capture: Capture) -> int:
    """Published by a snapshot that is under way; more than there are when it is over."""
    stored = read_position(capture.stack.broker.bootstrap, capture.name)
    if stored is None:
        return 0
    run = Progress.from_json(stored, capture.gtids).run
    return sys.maxsize if run is None else run.rows


@pytest.mark.slow
def test_kill_9_within_the_snapshot(capture: Capture) -> None:
    """SIGKILL at random moments of it while writers write: goes on each time, row-exact, no row lost."""
    rows, chunk, kills = 80_000, 200, 6
    capture.settings["snapshot_chunk_rows"] = chunk
    capture.execute(LINE)
    capture.execute(f"INSERT INTO line SELECT seq * 10, seq, 'before' FROM seq_1_to_{rows}")
    capture.execute("CREATE TABLE log (line text)")
    capture.execute(f"INSERT INTO log SELECT seq FROM seq_1_to_{LOGGED}")
    Topics(capture.surroundings.kafka, None, 1).ensure_positions()
    seed = random.Random(5)
    seen = [0]
    stop = threading.Event()

    def update() -> None:
        sql = connect(capture.server, database=capture.name)
        with sql.cursor() as cursor:
            while not stop.is_set():
                number = seed.randrange(1, rows) * 10
                cursor.execute("UPDATE line SET cost = cost + 1 WHERE id = %s", [number])
                cursor.execute("UPDATE line SET id = id + 1 WHERE id = %s", [number + 10])
                cursor.execute("DELETE FROM line WHERE id = %s", [number + 20])
                cursor.execute("INSERT INTO log VALUES (%s)", [number])
                time.sleep(0.002)
        sql.close()

    thread = threading.Thread(target=update)
    thread.start()
    try:
        with Writers(capture, 1):
            for _ in range(kills):
                process = capture.process(capture.folder / "log")
                before = seen[-1]

                def went_on() -> bool:
                    # Not asked after the kill, when the transaction that it left open hides the position.
                    seen[-1] = snapshot_rows(capture)
                    return process.poll() is not None or seen[-1] > before  # noqa: B023

                seen.append(before)
                wait_until(went_on, 90)
                time.sleep(seed.random() * 0.2)
                assert process.poll() is None, "it ended by itself"
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
            assert sorted(set(seen)) == seen, "each went on with the snapshot"
            assert seen[-1] < rows + LOGGED, "it was not over before the last kill"
    finally:
        stop.set()
        thread.join()
    capture.run_once()
    messages = capture.messages("line")
    read = Counter(m.key["id"] for m in messages if m.value and m.value["op"] == "r")
    assert set(read.values()) == {1}
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)
    counted = lines(capture)
    assert counted == Counter(line for (line,) in capture.execute("SELECT line FROM log"))
    print(f"{kills} kills, rows published in between {seen[1:]}, in the end {len(messages)} records")
