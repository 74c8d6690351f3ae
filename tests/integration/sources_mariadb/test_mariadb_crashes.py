"""The MariaDB source as a process that is killed, and a server that is: nothing lost, nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from integration.sources.harness import assert_no_position_twice, assert_positions_grow, wait_until
from integration.sources_mariadb.harness import Capture, connect, running_mariadb

from streams.stack import Stack

COLUMNS = ("id", "cost", "note")
KILLS = 5
SNAPSHOT_KILLS = 2  # of these, soon after the start


class Writers:
    """Threads that write to the table until they are stopped, in transactions of several rows."""

    def __init__(self, capture: Capture, count: int) -> None:
        self._capture = capture
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n + 1,)) for n in range(count)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        sql = connect(self._capture.server, database=self._capture.name)
        seed = random.Random(number)
        at = number * 1_000_000
        with sql.cursor() as cursor:
            while not self._stop.is_set():
                sql.begin()
                cursor.execute(
                    "INSERT INTO line VALUES (%s, 0, 'a'), (%s, 0, 'b'), (%s, 0, 'c')", [at, at + 1, at + 2]
                )
                cursor.execute("UPDATE line SET cost = cost + 1, note = 'u' WHERE id = %s", [at])
                if seed.random() < 0.3:
                    cursor.execute("DELETE FROM line WHERE id = %s", [at + 1])
                if seed.random() < 0.2:
                    cursor.execute("UPDATE line SET id = -id WHERE id = %s", [at + 2])
                sql.commit()
                at += 3
                time.sleep(0.003)
        sql.close()


def start(capture: Capture) -> subprocess.Popen[bytes]:
    around = capture.surroundings
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from streams.cli.main import main; sys.exit(main())",
            "source",
            "run",
            str(capture.config_file()),
            "--kafka",
            around.kafka,
            "--registry",
            around.registry_url,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_kill_9_under_load(capture: Capture) -> None:
    """SIGKILL at random moments of snapshot and stream while three writers write: row-exact, once."""
    capture.execute("CREATE TABLE line (id int PRIMARY KEY, cost decimal(12,2) NOT NULL, note text)")
    capture.execute("INSERT INTO line SELECT seq, seq, 'before' FROM seq_1_to_20000")
    seed = random.Random(11)
    published = []
    with Writers(capture, 3):
        for number in range(KILLS):
            before = len(capture.messages("line"))
            process = start(capture)
            if number >= SNAPSHOT_KILLS:  # these hit the stream: something more was published
                wait_until(lambda: process.poll() is not None or len(capture.messages("line")) > before, 90)  # noqa: B023
                time.sleep(seed.random())
            else:
                time.sleep(1 + 2 * seed.random())
            assert process.poll() is None, "it ended by itself"
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            published.append(len(capture.messages("line")))
        time.sleep(0.5)
    capture.run_once()
    messages = capture.messages("line")
    assert len(messages) > 20_000
    assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
    assert_no_position_twice(messages)
    assert_positions_grow(messages)
    print(f"{KILLS} kills, published in between {published}, in the end {len(messages)} records")


def test_a_server_that_is_killed_and_comes_back(stack: Stack, tmp_path: Path) -> None:
    """The source waits, goes on by itself, and has each row once."""
    with running_mariadb({"sync-binlog": "1", "innodb-flush-log-at-trx-commit": "1"}) as server:
        capture = Capture(stack, server, tmp_path)
        capture.execute("CREATE TABLE line (id int PRIMARY KEY, cost decimal(12,2) NOT NULL, note text)")
        capture.run_once()
        with capture.running():
            capture.execute("INSERT INTO line VALUES (1, 1, 'before')")
            wait_until(lambda: len(capture.messages("line")) == 1)
            server.kill()
            server.start()
            capture.sql = connect(server, database=capture.name)
            capture.execute("INSERT INTO line VALUES (2, 2, 'after')")
            wait_until(lambda: len(capture.messages("line")) == 2)
        assert capture.folded("line", *COLUMNS) == capture.rows("line", *COLUMNS)
        assert_no_position_twice(capture.messages("line"))
        capture.close()
