"""The PostgreSQL source killed with SIGKILL, under load: nothing lost, nothing twice, row by row."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from integration.sources.harness import (
    Capture,
    assert_no_position_twice,
    assert_positions_grow,
    fold,
    running_stack,
    wait_until,
)
from support.faults.supervisor import Commands

from connectors.sources.positions import read_position
from connectors.sources.postgres import Progress
from streams.stack import Stack

COLUMNS = ("id", "cost", "note")
RECOVERY_S = 180.0  # on a machine that does much else besides
_started: list[subprocess.Popen[bytes]] = []
_blocks = itertools.count(1_000_000, 1_000_000)  # of ids, one for each writer


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as started:
        yield started


@pytest.fixture
def capture(stack: Stack, tmp_path: Path) -> Iterator[Capture]:
    made = Capture(stack, tmp_path)
    made.sql.execute("CREATE TABLE line (id int PRIMARY KEY, cost numeric(12,2) NOT NULL, note text)")
    made.sql.execute("ALTER TABLE line REPLICA IDENTITY FULL")
    yield made
    for process in _started:  # of a test that failed
        process.kill()
        process.wait()
    _started.clear()
    made.close()


def start(capture: Capture) -> subprocess.Popen[bytes]:
    """The source as its own process, as the command line runs it."""
    stack = capture.stack
    log = capture.folder / "source.log"
    commands = Commands(capture.config_file(), stack.broker.bootstrap, stack.registry.url, log)
    _started.append(commands.start("run"))
    return _started[-1]


@contextlib.contextmanager
def load(capture: Capture, writers: int = 2) -> Iterator[None]:
    """Writers of small transactions: inserts of several rows, updates, changes of key, deletes."""
    stop = threading.Event()

    def write(base: int) -> None:
        chance = random.Random(base)
        with psycopg.connect(capture.dsn, autocommit=True, options=f"-c search_path={capture.name}") as sql:
            number = base
            while not stop.is_set():
                with sql.transaction():
                    sql.execute(
                        "INSERT INTO line SELECT %s::int + i, 0, 'new' FROM generate_series(0, 9) i", [number]
                    )
                    sql.execute("UPDATE line SET cost = id WHERE id BETWEEN %s AND %s", [number, number + 9])
                sql.execute("UPDATE line SET id = -id WHERE id = %s", [number + chance.randrange(10)])
                sql.execute("DELETE FROM line WHERE id = %s", [number + chance.randrange(10)])
                number += 10
                time.sleep(0.002)

    threads = [threading.Thread(target=write, args=(next(_blocks),)) for _ in range(writers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def check(capture: Capture) -> int:
    """Finish what the log holds, compare the folded topic with the table; how many records it took."""
    capture.run_once()
    messages = capture.messages("line")
    assert fold(messages, *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)
    return len(messages)


def snapshot_rows(capture: Capture) -> int:
    """How many rows the snapshot under way has published; 0 when none is."""
    if not capture.slots():  # before there is one, the topic of positions may not be there either
        return 0
    stored = read_position(capture.stack.broker.bootstrap, capture.name)
    run = None if stored is None else Progress.from_json(stored).run
    return 0 if run is None else run.rows


@pytest.mark.slow
def test_kills_within_a_small_snapshot_under_load(capture: Capture) -> None:
    """SIGKILL at random moments of a snapshot that threads read, writers changing, moving and deleting its
    rows: the next start goes on with the rest, and in the end the topic equals the table."""
    capture.settings["snapshot_chunk_pages"] = 8
    rows = 150_000
    capture.sql.execute("INSERT INTO line SELECT i, i, 'old' FROM generate_series(1, %s::int) i", [rows])
    chance = random.Random(rows)
    kept, survived = 0, 0
    with load(capture), changes(capture, rows):
        for _ in range(6):
            source = start(capture)
            # (Asked while the source lives: a killed one's transaction hides what is stored behind it.)
            wait_until(lambda kept=kept: snapshot_rows(capture) > kept or done(capture), RECOVERY_S)
            ended = done(capture)
            time.sleep(chance.random() * 0.2)
            source.kill()
            source.wait()
            if ended:
                break
            survived += 1
            published = len(capture.messages("line"))
            assert published > kept, "what was stored as done is not there"
            kept = published
    assert survived >= 2, "the snapshot was too short to be killed within"
    check(capture)


def done(capture: Capture) -> bool:
    """Whether the snapshot has come to its end."""
    return bool(capture.slots()) and capture.progress().snapshot_done


@contextlib.contextmanager
def changes(capture: Capture, rows: int) -> Iterator[None]:
    """A writer that changes the snapshot's own rows: they grow, and so move to other pages."""
    stop = threading.Event()

    def write() -> None:
        chance = random.Random(rows)
        with psycopg.connect(capture.dsn, autocommit=True, options=f"-c search_path={capture.name}") as sql:
            while not stop.is_set():
                some = chance.randrange(rows)
                sql.execute(
                    "UPDATE line SET note = note || 'x' WHERE id BETWEEN %s AND %s", [some, some + 50]
                )
                sql.execute("DELETE FROM line WHERE id = %s", [chance.randrange(rows)])
                sql.execute("UPDATE line SET id = -id WHERE id = %s", [chance.randrange(rows)])
                time.sleep(0.005)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
def test_three_kills_under_load(capture: Capture) -> None:
    """SIGKILL at three moments while writers run: the topic equals the table, each change is there once.

    Before them a kill within the snapshot: what it had published is kept, and the next start goes on.
    """
    capture.settings["snapshot_chunk_pages"] = 8
    rows = 150_000  # a fast machine is not through with them before the kill
    capture.sql.execute("INSERT INTO line SELECT i, i, 'old' FROM generate_series(1, %s::int) i", [rows])
    source = start(capture)
    wait_until(lambda: snapshot_rows(capture) > 0)
    source.kill()
    source.wait()
    assert 0 < len(capture.messages("line")) < rows, "it was not killed within the snapshot"
    for pause in (0.4, 1.1, 2.3):
        with load(capture):
            source = start(capture)
            before = capture.progress()
            # The first of them publishes the rest of the snapshot before.
            wait_until(lambda before=before: capture.progress().commit_lsn > before.commit_lsn, RECOVERY_S)
            time.sleep(pause)
            source.send_signal(signal.SIGKILL)
            source.wait()
    assert check(capture) > rows


def test_a_stop_is_clean(capture: Capture) -> None:
    """SIGTERM ends the process with exit code 0, everything received published, nothing twice."""
    source = start(capture)
    with load(capture):
        wait_until(capture.streaming)
        time.sleep(1)
        source.terminate()
        assert source.wait(10) == 0
    check(capture)
